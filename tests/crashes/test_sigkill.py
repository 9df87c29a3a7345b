"""A worker killed at any step of creating a pool or submitting a job: started again, there is exactly one of each."""

import re
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient
from django.conf import LazySettings

from activity.models import Account, Operation
from jobs.models import Job, JobDefinition
from jobs.operations import create_job
from pools.models import Image
from pools.operations import create_pool
from tests.crashes.processes import ROOT, Processes, broker_url
from tests.emulator.batch import connect
from tests.local import connect_account, new_mounts, new_pool, stock_registry
from tests.make import make_pool

pytestmark = pytest.mark.django_db(transaction=True)
POOL_STEPS = (
    "ledger.claimed",
    "pool.create.ready",
    "pool.create.done",
    "ledger.carried_out",
    "ledger.finished",
)
JOB_STEPS = (
    "ledger.claimed",
    "job.create.ready",
    "job.create.done",
    "job.tasks.done",
    "job.submit.done",
    "ledger.carried_out",
    "ledger.finished",
)
PATIENCE = 60.0


@pytest.fixture
def local(emulator: dict[str, Any], settings: LazySettings) -> Account:
    """Return the account of the shared emulator."""
    return connect_account(emulator, settings)


@pytest.fixture
def image(local: Account, emulator: dict[str, Any]) -> Image:
    """Return an image that is really in its registry."""
    return stock_registry(local, emulator)


@pytest.fixture
def processes(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    emulator: dict[str, Any],
    local: Account,
    request: pytest.FixtureRequest,
) -> Iterator[Processes]:
    """Return worker and beat on the test's database."""
    name = getattr(request.config, "workerinput", {}).get("workerid", "gw0")
    found = Processes(tmp_path, emulator, broker_url(tmp_path_factory.getbasetemp(), name))
    yield found
    found.stop()


@pytest.fixture
def azure(emulator: dict[str, Any]) -> Iterator[BatchClient]:
    """Return Microsoft's client, to see what there really is."""
    with connect(emulator) as client:
        yield client


def until(check: Callable[[], bool], processes: Processes) -> None:
    """Wait for something to become true; what the processes said is shown when it does not."""
    end = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < end, processes.log.read_text()[-4000:]
        time.sleep(0.1)


def crash_and_recover(operation: Operation, step: str, processes: Processes) -> None:
    """Let a worker die at the step, start another one, and wait until the operation is settled."""
    processes.beat()
    victim = processes.worker(crash_at=step)
    until(lambda: victim.exitcode is not None, processes)
    assert victim.exitcode == -signal.SIGKILL, processes.log.read_text()[-4000:]
    processes.worker()
    settled = Operation.objects.filter(pk=operation.pk).exclude(state__in=Operation.UNSETTLED)
    until(settled.exists, processes)
    operation.refresh_from_db()
    assert (operation.state, operation.error) == (Operation.State.SUCCEEDED, "")


@pytest.mark.parametrize("step", POOL_STEPS)
def test_killed_while_creating_a_pool_makes_one_pool(
    local: Account, image: Image, processes: Processes, azure: BatchClient, step: str
) -> None:
    prefix = f"crash-{uuid.uuid4().hex[:10]}"
    pool = new_pool(local, image, prefix)
    operation = create_pool(pool, mounts=new_mounts(local), actor=None)
    crash_and_recover(operation, step, processes)
    (made,) = [each for each in azure.list_pools() if each.id.startswith(prefix)]
    assert str(operation.uuid) in [item.value for item in made.metadata]
    pool.refresh_from_db()
    assert pool.problem == ""
    assert pool.confirmed_at is not None
    until(lambda: type(pool).objects.get(pk=pool.pk).was_seen, processes)


@pytest.mark.parametrize("step", JOB_STEPS)
def test_killed_while_submitting_a_job_makes_one_job_with_its_task(
    local: Account, processes: Processes, azure: BatchClient, step: str
) -> None:
    pool = make_pool(local, mount_configuration=[])
    definition = JobDefinition.objects.get(slug="gpu-check")
    job = Job(account=local, revision=definition.current, pool=pool, parameters={"run_name": step})
    operation = create_job(job, actor=None)
    crash_and_recover(operation, step, processes)
    (made,) = [each for each in azure.list_jobs() if each.id == job.batch_id]
    assert str(operation.uuid) in [item.value for item in made.metadata]
    assert made.all_tasks_complete_mode == "terminatejob"
    assert [task.id for task in azure.list_tasks(job.batch_id)] == ["1"]
    job.refresh_from_db()
    assert (job.problem, job.confirmed_at is not None) == ("", True)


def test_every_step_of_both_is_killed_at() -> None:
    """The lists above name each step that the code reaches, so that a new one is not forgotten."""
    found = set[str]()
    for file in ("activity/ledger.py", "pools/push.py", "jobs/push.py"):
        found |= set(re.findall(r'steps\.reached\("([\w.]+)"\)', (ROOT / file).read_text()))
    wanted = {step for step in found if step.startswith(("ledger.", "pool.create.", "job.create."))}
    wanted |= {step for step in found if step.startswith(("job.tasks.", "job.submit."))}
    assert wanted == {*POOL_STEPS, *JOB_STEPS}
