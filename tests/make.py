"""Plain functions that make rows for tests, the way sync and operations would have left them."""

import itertools
from datetime import timedelta
from typing import Any

from django.utils import timezone

from activity.models import Account, Credential, Operation
from jobs.models import Job, Task
from pools.models import Image, Node, Pool, Registry, Repository, StorageAccount, VmImage, VmSize

_numbers = itertools.count(1)


def make_credential(**overrides: Any) -> Credential:
    """Make a credential that refers to an environment variable, which tests need not set."""
    number = next(_numbers)
    values = {"name": f"credential {number}", "source": "env", "reference": f"ZOOBATCH_CREDENTIAL_{number}"}
    return Credential.objects.create(**values | {"username": "puller"} | overrides)


def make_registry(account: Account, **overrides: Any) -> Registry:
    """Make a registry with a user that nodes pull with."""
    values: dict[str, Any] = {"login_server": f"registry{next(_numbers)}.azurecr.io"}
    values["credential"] = overrides.pop("credential", None) or make_credential()
    return Registry.objects.create(account=account, **values | overrides)


def make_storage(account: Account, **overrides: Any) -> StorageAccount:
    """Make a storage account with a key."""
    values: dict[str, Any] = {"name": f"storage{next(_numbers)}", "endpoint": "https://127.0.0.1:9/storage"}
    values["credential"] = overrides.pop("credential", None) or make_credential()
    return StorageAccount.objects.create(account=account, **values | overrides)


def make_image(account: Account, *, repository: str = "pytorch", **overrides: Any) -> Image:
    """Make a tag of a repository, in the account's first registry or a new one."""
    registry = Registry.objects.filter(account=account).first() or make_registry(account)
    row, _ = Repository.objects.get_or_create(registry=registry, name=repository)
    number = next(_numbers)
    values = {"tag": f"1.{number}", "digest": f"sha256:{number:064x}", "last_updated_on": timezone.now()}
    return Image.objects.create(repository=row, **values | overrides)


def make_vm_image(account: Account, **overrides: Any) -> VmImage:
    """Make a node image that runs containers."""
    values = {
        "node_agent_sku_id": "batch.node.ubuntu 22.04",
        "publisher": "microsoft-dsvm",
        "offer": "ubuntu-hpc",
        "sku": "2204",
        "version": "latest",
        "os_type": "linux",
        "is_container_capable": True,
    }
    return VmImage.objects.create(account=account, **values | overrides)


def gpu_size() -> VmSize:
    """Return a size with a GPU; made anew where a test has emptied the tables."""
    facts = {"family": "NCasT4_v3", "has_gpu": True, "gpu_count": "1", "gpu_model": "NVIDIA T4", "vcpus": 4}
    return VmSize.objects.get_or_create(name="Standard_NC4as_T4_v3", defaults=facts)[0]


def cpu_size() -> VmSize:
    """Return a size without a GPU; made anew where a test has emptied the tables."""
    return VmSize.objects.get_or_create(name="Standard_D2s_v3", defaults={"family": "Dsv3", "vcpus": 2})[0]


def make_pool(account: Account, **overrides: Any) -> Pool:
    """Make a steady pool without nodes, as sync shows it."""
    now = timezone.now()
    values = {
        "batch_id": f"pool_{next(_numbers)}",
        "created_at": now - timedelta(days=1),
        "creation_time": now - timedelta(days=1),
        "is_ours": True,
        "synced_hash": "seen",
        "state": "active",
        "allocation_state": "steady",
        "vm_size": "Standard_NC4as_T4_v3",
    }
    return Pool.objects.create(account=account, **values | overrides)


def make_node(pool: Pool, **overrides: Any) -> Node:
    """Make an idle node of a pool."""
    values = {"batch_id": f"tvmps_{next(_numbers):08x}_d", "state": "idle", "synced_hash": "seen"}
    return Node.objects.create(pool=pool, **values | {"state_transition_time": timezone.now()} | overrides)


def make_job(account: Account, **overrides: Any) -> Job:
    """Make an active job with one waiting task, as sync shows it."""
    now = timezone.now()
    values = {
        "title": f"Job {next(_numbers)}",
        "created_at": now,
        "creation_time": now,
        "is_ours": True,
        "synced_hash": "seen",
        "state": "active",
        "tasks_total": 1,
        "tasks_asked": 1,
        "tasks_active": 1,
    }
    return Job.objects.create(account=account, **values | overrides)


def make_finished_job(account: Account, **overrides: Any) -> Job:
    """Make a job that succeeded, and of which nothing is left to look at."""
    now = timezone.now()
    values = {
        "state": "completed",
        "tasks_active": 0,
        "tasks_succeeded": 1,
        "start_time": now - timedelta(minutes=5),
        "end_time": now,
        "terminate_reason": "AllTasksComplete",
        "has_final_tasks": True,
    }
    return make_job(account, **values | overrides)


def make_task(job: Job, **overrides: Any) -> Task:
    """Make a running task of a job."""
    now = timezone.now()
    values = {
        "batch_id": f"task_{next(_numbers)}",
        "state": "running",
        "synced_hash": "seen",
        "creation_time": now,
        "start_time": now,
        "node_id": "tvmps_1_d",
    }
    return Task.objects.create(job=job, **values | overrides)


def make_operation(account: Account, **overrides: Any) -> Operation:
    """Make an operation that waits for a worker."""
    values = {"verb": "create", "kind": "pool", "subject": "pool_1", "task_name": "pools.run_operation"}
    return Operation.objects.create(account=account, **values | overrides)
