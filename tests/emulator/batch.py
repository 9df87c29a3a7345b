"""Small objects for tests of the emulated Batch: pools, jobs, tasks, and waiting for what they become."""

import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential

Found = TypeVar("Found")
PATIENCE = 20.0


def connect(endpoints: dict[str, Any]) -> BatchClient:
    """Return Microsoft's client, signing with the account's key."""
    batch = endpoints["batch"]
    credential = AzureNamedKeyCredential(batch["account"], batch["key"])
    return BatchClient(batch["url"], credential, connection_verify=endpoints["ca"], retry_total=0)


def fresh(prefix: str = "test") -> str:
    """Return an id that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def machine(**more: Any) -> models.VirtualMachineConfiguration:
    """Return the node image that the demo uses."""
    return models.VirtualMachineConfiguration(
        image_reference=models.BatchVmImageReference(
            publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2204"
        ),
        node_agent_sku_id="batch.node.ubuntu 22.04",
        **more,
    )


def make_pool(client: BatchClient, *, nodes: int = 1, waits: bool = True, **more: Any) -> str:
    """Create a pool and wait until its nodes are idle; return its id."""
    name = fresh("pool")
    more.setdefault("virtual_machine_configuration", machine())
    client.create_pool(
        models.BatchPoolCreateOptions(
            id=name, vm_size="standard_nc4as_t4_v3", target_dedicated_nodes=nodes, **more
        )
    )
    if waits:
        wait(lambda: [node.state for node in client.list_nodes(name)] == ["idle"] * nodes)
    return name


def make_job(client: BatchClient, pool: str, **more: Any) -> str:
    """Create a job on the pool and return its id."""
    name = fresh("job")
    client.create_job(
        models.BatchJobCreateOptions(id=name, pool_info=models.BatchPoolInfo(pool_id=pool), **more)
    )
    return name


def make_task(client: BatchClient, job: str, command: str = "/bin/sh -c 'echo hello'", **more: Any) -> str:
    """Add a task and return its id."""
    name = more.pop("id", None) or fresh("task")
    client.create_task(job, models.BatchTaskCreateOptions(id=name, command_line=command, **more))
    return name


def wait(check: Callable[[], Found], patience: float = PATIENCE) -> Found:
    """Call `check` until it returns something true, and return that."""
    end = time.monotonic() + patience
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.03)


def finished(client: BatchClient, job: str, task: str) -> models.BatchTask:
    """Wait until the task is completed and return it."""

    def check() -> models.BatchTask | None:
        found = client.get_task(job, task)
        return found if found.state == "completed" else None

    return wait(check)


def output(client: BatchClient, job: str, task: str, name: str = "stdout.txt") -> bytes:
    """Return the content of a task's file."""
    return b"".join(client.download_task_file(job, task, name))
