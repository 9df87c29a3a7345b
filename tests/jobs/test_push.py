"""Submissions carried out against the local Azure: one job with its tasks, wherever a worker dies on the way."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models
from django.utils import timezone

from activity import ledger
from activity.models import Account, Operation
from cloud.types import OPERATION_ENV, OPERATION_KEY
from jobs import operations, push, sync
from jobs.models import Job, JobDefinition, JobDefinitionRevision, Task
from pools.models import Pool
from tests.emulator.batch import connect, fresh, make_job, make_task, wait
from tests.emulator.batch import make_pool as make_real_pool
from tests.make import make_pool
from tests.stops import crash_at
from tests.worker import InlineWorker

pytestmark = pytest.mark.django_db
State = Operation.State
STEPS = [
    "ledger.claimed",
    "job.create.ready",
    "job.create.done",
    "job.tasks.done",
    "job.submit.done",
    "ledger.carried_out",
]
"""Where a submission may be interrupted."""

TASKS = 3
SPEC = {
    "name": "three",
    "title": "Three tasks",
    "kind": "check",
    "parameters": [{"name": "run_name", "label": "Run name", "type": "text"}],
    "environment": [{"name": "RUN_NAME", "parameter": "run_name"}],
    "tasks": [{"id": str(n), "script": ["echo $RUN_NAME"], "elevation": "nonadmin"} for n in range(TASKS)],
}
"""A definition whose tasks only say something."""


@pytest.fixture
def client(emulator: dict[str, Any]) -> Iterator[BatchClient]:
    """Return Microsoft's client, with which somebody else changes the account."""
    with connect(emulator) as found:
        yield found


@pytest.fixture(scope="module")
def places(emulator: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Return the ids of two real pools: one with a node, one without."""
    with connect(emulator) as client:
        yield {"busy": make_real_pool(client, nodes=1), "empty": make_real_pool(client, nodes=0)}


@pytest.fixture
def pool(live: Account, places: dict[str, str]) -> Pool:
    """Return a pool without nodes: what is submitted to it waits."""
    return make_pool(live, batch_id=places["empty"])


@pytest.fixture
def busy(live: Account, places: dict[str, str]) -> Pool:
    """Return a pool that runs what is submitted to it."""
    return make_pool(live, batch_id=places["busy"])


def revision(**changes: Any) -> JobDefinitionRevision:
    """Save a definition."""
    definition = JobDefinition.objects.create(slug=fresh("three"), title="Three", kind="check")
    return JobDefinitionRevision.objects.create(
        definition=definition, number=1, spec={**SPEC, **changes}, made_at=timezone.now()
    )


def ask(pool: Pool, **overrides: Any) -> Job:
    """Ask for a job of three tasks."""
    spec = overrides.pop("spec", {})
    values = {"account": pool.account, "pool": pool, "batch_id": fresh("job"), "revision": revision(**spec)}
    job = Job(**values | overrides)
    operations.create_job(job, actor=None)
    return job


def look(account: Account) -> None:
    """Read the account's jobs back, then their tasks."""
    sync.keep_targets(account, now=timezone.now())
    InlineWorker().pull("jobs")


def listed(client: BatchClient, job: Job) -> list[Any]:
    """Return what the local Azure has under a job's id, whatever the case."""
    return [seen for seen in client.list_jobs() if seen.id.lower() == job.batch_id.lower()]


def mark(seen: Any) -> str | None:
    """Return the mark of the operation that made a job."""
    return next((item.value for item in seen.metadata or () if item.name == OPERATION_KEY), None)


def latest() -> Operation:
    """Return the operation that was asked for last."""
    return Operation.objects.latest("pk")


def settle_all(worker: InlineWorker) -> None:
    """Let a worker carry out what waits, pauses skipped, until nothing is left."""

    def is_done() -> bool:
        worker.skip_pauses()
        worker.run_operations()
        return not Operation.objects.unsettled().exists()

    wait(is_done)


def test_a_job_is_submitted_with_its_tasks_and_ends_with_them(
    busy: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    job = ask(busy, title="Round 7", asked_priority=5, parameters={"run_name": "seven of nine"})
    worker.run_operations()
    assert (latest().state, latest().result) == (State.SUCCEEDED, {"was_there": False, "tasks": TASKS})
    (seen,) = listed(client, job)
    assert (seen.display_name, seen.priority, mark(seen)) == ("Round 7", 5, latest().mark)
    assert seen.all_tasks_complete_mode == "terminatejob"
    wait(lambda: client.get_job(job.batch_id).state == "completed")
    assert client.get_job(job.batch_id).execution_info.termination_reason == "AllTasksComplete"
    for task in client.list_tasks(job.batch_id):
        settings = {item.name: item.value for item in task.environment_settings or ()}
        assert settings[OPERATION_ENV] == latest().mark
        assert b"".join(client.download_task_file(job.batch_id, task.id, "stdout.txt")) == b"seven of nine\n"
    job.refresh_from_db()
    assert job.confirmed_at is not None
    look(busy.account)
    worker.pull("tasks", job.batch_id)
    job.refresh_from_db()
    assert (job.badge.word, job.tasks_succeeded, job.has_final_tasks) == ("Succeeded", TASKS, True)


@pytest.mark.parametrize("step", ["job.create.done", "job.tasks.done"])
def test_an_interrupted_submission_neither_ends_early_nor_is_taken_for_done(
    busy: Pool, client: BatchClient, worker: InlineWorker, step: str
) -> None:
    job = ask(busy)
    crash_at(worker, step)
    (seen,) = listed(client, job)
    assert seen.all_tasks_complete_mode == "noaction"
    tasks = list(client.list_tasks(job.batch_id))
    assert len(tasks) == (TASKS if step == "job.tasks.done" else 0)
    wait(lambda: all(task.state == "completed" for task in client.list_tasks(job.batch_id)))
    assert client.get_job(job.batch_id).state == "active", "it stays open until it has been told otherwise"
    look(busy.account)
    job.refresh_from_db()
    assert (job.was_seen, job.confirmed_at) == (True, None)
    worker.run_operations()
    wait(lambda: client.get_job(job.batch_id).state == "completed")
    assert len(list(client.list_tasks(job.batch_id))) == TASKS


@pytest.mark.parametrize("step", STEPS)
def test_a_submission_interrupted_at_any_step_makes_one_job_with_its_tasks(
    pool: Pool, client: BatchClient, worker: InlineWorker, step: str
) -> None:
    job = ask(pool)
    crash_at(worker, step)
    assert worker.run_operations() == 1
    assert (latest().state, latest().attempts) == (State.SUCCEEDED, 2)
    assert latest().result["was_there"] is (STEPS.index(step) >= STEPS.index("job.create.done"))
    (seen,) = listed(client, job)
    assert (seen.all_tasks_complete_mode, mark(seen)) == ("terminatejob", latest().mark)
    tasks = list(client.list_tasks(job.batch_id))
    assert sorted(task.id for task in tasks) == [str(number) for number in range(TASKS)]
    look(pool.account)
    worker.pull("tasks", job.batch_id)
    row = Job.objects.alive().get(batch_id=job.batch_id)
    assert (row.pk, row.is_ours, row.tasks_total, row.problem) == (job.pk, True, TASKS, "")


def test_a_submission_interrupted_at_every_step_in_turn_is_still_one(
    pool: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    job = ask(pool)
    for step in STEPS[:-1]:
        crash_at(worker, step)
    worker.run_operations()
    assert (latest().state, latest().attempts) == (State.SUCCEEDED, len(STEPS))
    assert len(listed(client, job)) == 1
    assert len(list(client.list_tasks(job.batch_id))) == TASKS


def test_a_job_that_ran_to_its_end_before_the_retry_is_left_alone(
    busy: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    job = ask(busy)
    crash_at(worker, "job.submit.done")
    wait(lambda: client.get_job(job.batch_id).state == "completed")
    before = [task.as_dict() for task in client.list_tasks(job.batch_id)]
    worker.run_operations()
    assert (latest().state, latest().result) == (State.SUCCEEDED, {"was_there": True})
    assert [task.as_dict() for task in client.list_tasks(job.batch_id)] == before


def test_more_tasks_than_one_request_takes_are_all_added_once(
    pool: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    many = [{"id": str(n), "script": ["true"]} for n in range(130)]
    job = ask(pool, spec={"tasks": many})
    crash_at(worker, "job.tasks.done")
    worker.run_operations()
    assert latest().state == State.SUCCEEDED
    assert len({task.id for task in client.list_tasks(job.batch_id)}) == 130


def test_somebody_elses_job_under_the_same_id_fails_clearly(
    pool: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    theirs = make_job(client, pool.batch_id)
    job = ask(pool, batch_id=theirs.upper())
    settle_all(worker)
    operation = latest()
    assert (operation.verb, operation.state, operation.error_code) == ("create", State.FAILED, "JobExists")
    assert "made elsewhere" in operation.error
    assert mark(client.get_job(theirs)) is None
    assert list(client.list_tasks(theirs)) == []
    job.refresh_from_db()
    assert (job.is_deleted, job.badge.word) == (True, "Failed")
    look(pool.account)
    assert not Job.objects.alive().get(batch_id=theirs).is_ours


VERBS: dict[str, Callable[[Job], object]] = {
    "terminate": lambda job: operations.terminate_job(job, actor=None),
    "delete": lambda job: operations.delete_job(job, actor=None),
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_was_asked_of_a_job_never_happens_to_a_strangers_of_the_same_id(
    pool: Pool, client: BatchClient, worker: InlineWorker, verb: str
) -> None:
    """Asked for before it turned out that the id belongs to somebody else."""
    theirs = make_job(client, pool.batch_id)
    before = client.get_job(theirs).as_dict()
    VERBS[verb](ask(pool, batch_id=theirs))
    settle_all(worker)
    assert client.get_job(theirs).as_dict() == before
    assert (latest().verb, latest().state) == (verb, State.SUCCEEDED)
    assert not any(latest().result.values())


@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_was_made_anew_elsewhere_is_not_ended_for_the_old_one(
    pool: Pool, client: BatchClient, worker: InlineWorker, verb: str
) -> None:
    job = ask(pool)
    worker.run_operations()
    look(pool.account)
    job.refresh_from_db()
    client.begin_delete_job(job.batch_id)
    wait(lambda: not listed(client, job))
    renamed = make_job_named(client, job.batch_id, pool.batch_id)
    VERBS[verb](job)
    settle_all(worker)
    assert client.get_job(job.batch_id).as_dict() == renamed
    look(pool.account)
    assert not Job.objects.alive().get(batch_id=job.batch_id).is_ours


def make_job_named(client: BatchClient, name: str, pool: str) -> dict[str, Any]:
    """Let somebody else make a job of this id, and return it as it is then."""
    client.create_job(models.BatchJobCreateOptions(id=name, pool_info=models.BatchPoolInfo(pool_id=pool)))
    found: dict[str, Any] = client.get_job(name).as_dict()
    return found


def test_somebody_elses_task_in_our_job_fails_clearly_and_the_job_is_cleared_away(
    pool: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    job = ask(pool)
    crash_at(worker, "job.create.done")
    make_task(client, job.batch_id, id="1")
    settle_all(worker)
    created = Operation.objects.get(verb="create")
    assert (created.state, created.error_code) == (State.FAILED, "TaskExists")
    assert "Task 1 was not accepted" in created.error
    assert (latest().verb, latest().result) == ("discard", {"was_there": True})
    wait(lambda: not listed(client, job))
    job.refresh_from_db()
    assert job.badge.word == "Failed"
    assert "Task 1" in job.badge.reason


def test_a_submission_cancelled_on_its_way_is_cleared_away(
    pool: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    job = ask(pool)
    crash_at(worker, "job.create.done")
    ledger.cancel(latest(), actor=None, now=timezone.now())
    settle_all(worker)
    assert Operation.objects.get(verb="create").state == State.CANCELLED
    assert (latest().verb, latest().result) == ("discard", {"was_there": True})
    wait(lambda: not listed(client, job))


def test_a_submission_cancelled_before_it_began_is_noticed(
    pool: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    job = ask(pool)
    now = timezone.now()
    ledger.cancel(latest(), actor=None, now=now)
    assert push.mend(now=now) == 0, "it was asked for just now"
    assert push.mend(now=now + timedelta(minutes=2)) == 1
    assert push.mend(now=now + timedelta(minutes=2)) == 0
    settle_all(worker)
    assert (latest().verb, latest().result) == ("discard", {"was_there": False})
    job.refresh_from_db()
    assert (job.badge.word, job.badge.reason) == ("Failed", "Cancelled by the system.")
    assert not listed(client, job)


def test_a_job_is_terminated_with_its_reason(pool: Pool, client: BatchClient, worker: InlineWorker) -> None:
    job = ask(pool)
    worker.run_operations()
    operations.terminate_job(job, actor=None, reason="EnoughOfIt")
    crash_at(worker, "job.terminate.done")
    settle_all(worker)
    assert latest().state == State.SUCCEEDED
    wait(lambda: client.get_job(job.batch_id).state == "completed")
    assert client.get_job(job.batch_id).execution_info.termination_reason == "EnoughOfIt"
    look(pool.account)
    job.refresh_from_db()
    assert (job.state, job.badge.word, job.badge.reason) == ("completed", "Terminated", "EnoughOfIt")


def test_terminating_what_has_ended_or_gone_succeeds(
    busy: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    over, gone = ask(busy), ask(busy)
    settle_all(worker)
    wait(lambda: client.get_job(over.batch_id).state == "completed")
    client.begin_delete_job(gone.batch_id)
    wait(lambda: not listed(client, gone))
    for job in (over, gone):
        operations.terminate_job(job, actor=None)
        settle_all(worker)
        assert (latest().state, latest().result) == (State.SUCCEEDED, {"was_active": False})


@pytest.mark.parametrize("step", ["job.delete.ready", "job.delete.done", "ledger.carried_out"])
def test_a_deletion_interrupted_at_any_step_is_done(
    pool: Pool, client: BatchClient, worker: InlineWorker, step: str
) -> None:
    job = ask(pool)
    worker.run_operations()
    look(pool.account)
    worker.pull("tasks", job.batch_id)
    job.refresh_from_db()
    operations.delete_job(job, actor=None)
    crash_at(worker, step)
    settle_all(worker)
    assert latest().state == State.SUCCEEDED
    wait(lambda: not listed(client, job))
    look(pool.account)
    job.refresh_from_db()
    assert job.badge.word == "Deleted"
    assert not Task.objects.alive().filter(job=job).exists()


def test_deleting_what_is_gone_already_succeeds(
    pool: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    job = ask(pool)
    worker.run_operations()
    client.begin_delete_job(job.batch_id)
    wait(lambda: not listed(client, job))
    operations.delete_job(job, actor=None)
    worker.run_operations()
    assert (latest().state, latest().result) == (State.SUCCEEDED, {"was_there": False})
    job.refresh_from_db()
    assert job.is_deleted, "it was never seen, so no listing will notice"


def test_a_job_made_elsewhere_is_seen_and_deleted_too(
    pool: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    theirs = make_job(client, pool.batch_id)
    make_task(client, theirs)
    look(pool.account)
    worker.pull("tasks", theirs)
    job = Job.objects.get(batch_id=theirs)
    assert (job.is_ours, job.pool, job.tasks_total) == (False, pool, 1)
    operations.delete_job(job, actor=None)
    settle_all(worker)
    wait(lambda: not listed(client, job))
    look(pool.account)
    job.refresh_from_db()
    assert job.is_deleted


def test_a_preparation_that_fails_blocks_the_job_and_says_so(
    busy: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    preparation = {"script": ["exit 3"], "max_task_retry_count": 0, "elevation": "nonadmin"}
    job = ask(busy, spec={"preparation": preparation})
    worker.run_operations()
    assert latest().state == State.SUCCEEDED
    look(busy.account)

    def is_blocked() -> bool:
        worker.pull("tasks", job.batch_id)
        job.refresh_from_db()
        return job.badge.word == "Blocked"

    wait(is_blocked)
    assert (job.preparations_failed, job.tasks_active) == (1, TASKS)
    assert "exit code 3" in job.preparations.get().problem
    operations.delete_job(job, actor=None)
    settle_all(worker)


def test_a_finished_job_that_was_made_elsewhere_is_found_in_the_slow_lane(
    busy: Pool, client: BatchClient, worker: InlineWorker
) -> None:
    theirs = make_job(client, busy.batch_id, all_tasks_complete_mode="terminatejob")
    make_task(client, theirs)
    wait(lambda: client.get_job(theirs).state == "completed")
    look(busy.account)
    assert not Job.objects.filter(batch_id=theirs).exists()
    worker.pull("all_jobs")
    job = Job.objects.get(batch_id=theirs)
    assert (job.state, job.is_ours, job.pool) == ("completed", False, busy)
