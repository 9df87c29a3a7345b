"""Jobs, tasks and preparation follow listings, and what they add up to is always what is listed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from activity import revisions
from activity.models import Account, SyncTarget
from activity.targets import Counts
from cloud.types import AzureError, JobSnapshot, TaskSnapshot
from jobs import sync
from jobs.models import Job, JobPreparation, Task
from jobs.sync import jobs, tasks
from pools.sync import lifecycle
from pools.sync.pools import apply_pools
from tests.make import make_finished_job, make_job, make_pool, make_task
from tests.snapshots import BORN, ended, job_seen, pool_seen, preparation_seen, task_seen

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
MARK = uuid4()


def pull(account: Account, *listed: JobSnapshot, now: datetime = NOW) -> Counts:
    """Apply one full listing of an account's jobs."""
    before = lifecycle.shown(Job.objects.for_account(account), now=now)
    counts = jobs.apply_jobs(account, list(listed), now=now)
    ids = {seen.id.lower() for seen in listed}
    return counts + lifecycle.bury_missing(Job, account, before, ids, topic="job", now=now)


def asked_job(account: Account, **overrides: Any) -> Job:
    """Make a job as operations leave it: nothing of it has been seen."""
    asked = {"synced_hash": "", "state": "", "creation_time": None, "tasks_total": None, "tasks_active": 0}
    return make_job(account, **{"batch_id": "job_1", "operation": MARK, **asked, **overrides})


def look(job: Job, *listed: TaskSnapshot, now: datetime = NOW) -> Job:
    """Apply a full listing of a job's tasks, add it up, and return the job as it is then."""
    counts = tasks.apply_tasks(job, [list(listed)], now=now)
    tasks.sum_up(job, is_changed=not counts.is_quiet)
    return Job.objects.get(pk=job.pk)


def done(id: str, result: str = "success") -> TaskSnapshot:
    """Show a task that is over."""
    code = 0 if result == "success" else 1
    return task_seen(id, "completed", result=result, exit_code=code, start_time=BORN, end_time=BORN)


def test_a_job_made_elsewhere_appears_with_its_pool_and_is_not_ours(account: Account) -> None:
    pool = make_pool(account, batch_id="GPU_1")
    before = revisions.tag(account, "jobs", "job:job_1")
    assert pull(account, job_seen()) == Counts(seen=1, created=1)
    job = Job.objects.get()
    assert (job.is_ours, job.pool, job.pool_id_seen, job.created_at) == (False, pool, "gpu_1", BORN)
    assert (job.tasks_total, job.has_final_tasks) == (None, False)
    assert revisions.tag(account, "jobs", "job:job_1") != before


def test_a_job_listed_before_its_pool_finds_it_later(account: Account) -> None:
    pull(account, job_seen(), ended(job_seen("old")), job_seen("stray", pool_id="elsewhere"))
    assert set(Job.objects.values_list("pool", flat=True)) == {None}
    apply_pools(account, [pool_seen("GPU_1")], now=NOW)
    assert jobs.link_pools(account, Job.objects.all()) == 2
    assert jobs.link_pools(account, Job.objects.all()) == 0
    linked = Job.objects.exclude(pool=None).values_list("batch_id", "pool__batch_id")
    assert sorted(linked) == [("job_1", "GPU_1"), ("old", "GPU_1")]


def test_our_job_is_recognised_by_its_mark_and_keeps_what_was_asked(account: Account) -> None:
    asked = asked_job(account, title="Round 7", asked_priority=5)
    assert pull(account, job_seen(operation=MARK, priority=7)) == Counts(seen=1, changed=1)
    job = Job.objects.get()
    assert (job.pk, job.is_ours, job.title, job.asked_priority) == (asked.pk, True, "Round 7", 5)
    assert (job.priority, job.on_all_tasks_complete, job.state) == (7, "terminatejob", "active")


def test_what_another_zoobatch_submitted_is_not_ours(account: Account) -> None:
    pull(account, job_seen(operation=uuid4()))
    assert not Job.objects.get().is_ours


def test_an_unchanged_job_costs_no_write(account: Account) -> None:
    listed = [job_seen(), ended(job_seen("old"))]
    pull(account, *listed)
    before, tag = list(Job.objects.values()), revisions.tag(account, "jobs")
    with CaptureQueriesContext(connection) as queries:
        assert pull(account, *listed) == Counts(seen=2)
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    assert (list(Job.objects.values()), revisions.tag(account, "jobs")) == (before, tag)


def test_a_job_that_ends_is_written_and_its_tasks_are_read_at_once(account: Account) -> None:
    pull(account, job_seen())
    sync.keep_targets(account, now=NOW)
    assert pull(account, ended(job_seen(), at=LATER), now=LATER) == Counts(seen=1, changed=1)
    job = Job.objects.get()
    assert (job.state, job.terminate_reason, job.end_time) == ("completed", "AllTasksComplete", LATER)
    assert SyncTarget.objects.get(kind="tasks").hurried_at == LATER
    assert not job.has_final_tasks, "one last look is still to be taken"


def test_a_scheduling_error_is_kept_and_shown(account: Account) -> None:
    error = AzureError(code="PoolNotFound", message="The pool is gone.", category="usererror")
    pull(account, replace(ended(job_seen()), scheduling_error=error))
    badge = Job.objects.get().badge
    assert (badge.word, badge.reason) == ("Failed", "PoolNotFound: The pool is gone.")


def test_a_job_deleted_in_azure_is_noticed(account: Account) -> None:
    pull(account, job_seen(), job_seen("job_2"))
    assert pull(account, job_seen("job_2"), now=LATER) == Counts(seen=1, vanished=1)
    gone = Job.objects.get(batch_id="job_1")
    assert (gone.deleted_at, gone.badge.word) == (LATER, "Deleted")


def test_the_same_id_submitted_anew_elsewhere_replaces_the_row(account: Account) -> None:
    asked = asked_job(account)
    pull(account, job_seen(operation=MARK))
    again = job_seen(creation_time=BORN + timedelta(hours=1))
    assert pull(account, again, now=LATER) == Counts(seen=1, created=1)
    old, new = Job.objects.order_by("pk")
    assert (old.pk, old.deleted_at, new.deleted_at, new.is_ours) == (asked.pk, LATER, None, False)


def test_right_after_its_submission_a_job_may_be_missing_from_the_listing(account: Account) -> None:
    waiting = asked_job(account, batch_id="waiting")
    asked_job(account, batch_id="accepted", confirmed_at=NOW - timedelta(seconds=10), operation=uuid4())
    assert pull(account).is_quiet
    assert pull(account, now=NOW + timedelta(minutes=3)) == Counts(vanished=1)
    assert Job.objects.alive().get() == waiting


def test_a_job_first_seen_while_a_listing_was_read_is_not_taken_for_gone(account: Account) -> None:
    """The slow listing of all jobs takes minutes; the fast one runs beside it."""
    before = lifecycle.shown(Job.objects.for_account(account), now=NOW)
    pull(account, job_seen())
    assert lifecycle.bury_missing(Job, account, before, set(), topic="job", now=NOW).is_quiet
    assert Job.objects.get().deleted_at is None


def test_a_foreign_job_under_our_id_waits_until_our_request_failed(account: Account) -> None:
    asked_job(account)
    assert pull(account, job_seen()).is_quiet
    Job.objects.update(problem="Azure Batch has a job job_1 already.")
    assert pull(account, job_seen()) == Counts(seen=1, created=1)
    assert not Job.objects.alive().get().is_ours


def test_a_job_long_over_when_first_seen_is_not_looked_into(account: Account) -> None:
    old = ended(job_seen("old"), at=NOW - timedelta(days=8))
    fresh = ended(job_seen("fresh"), at=NOW - timedelta(days=6))
    pull(account, old, fresh)
    sync.keep_targets(account, now=NOW)
    assert SyncTarget.objects.get(kind="tasks").subject == "fresh"


def test_tasks_are_written_with_every_column_and_again_only_when_changed(account: Account) -> None:
    job = make_job(account, tasks_total=None, tasks_active=0)
    failure = AzureError(code="FailureExitCode", message="It exited.", category="usererror")
    failed = replace(
        done("2", "failure"),
        failure_info=failure,
        node_id="tvmps_1_d",
        max_wall_clock_time=timedelta(hours=2),
    )
    listed = [task_seen("1", image_name="zoo.azurecr.io/pytorch:1"), failed]
    look(job, *listed)
    row = Task.objects.get(batch_id="2")
    assert (row.exit_code, row.node_id, row.max_wall_clock_time) == (1, "tvmps_1_d", timedelta(hours=2))
    assert row.failure_info["code"] == "FailureExitCode"
    assert "exit code 1" in row.problem
    tag, before = revisions.tag(account, "jobs"), list(Task.objects.values())
    with CaptureQueriesContext(connection) as queries:
        look(Job.objects.get(), *listed)
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    assert (revisions.tag(account, "jobs"), list(Task.objects.values())) == (tag, before)


def test_counts_equal_what_is_listed(account: Account) -> None:
    job = make_job(account, tasks_asked=6, tasks_total=None, tasks_active=0)
    states = ["active", "preparing", "running", "running"]
    job = look(
        job, *(task_seen(str(n), state) for n, state in enumerate(states)), done("8"), done("9", "failure")
    )
    counted = (
        job.tasks_active,
        job.tasks_preparing,
        job.tasks_running,
        job.tasks_succeeded,
        job.tasks_failed,
    )
    assert counted == (1, 1, 2, 1, 1)
    assert (job.tasks_total, job.total, job.done) == (6, 6, 2)
    assert job.badge.word == "Running"
    job = look(job)
    assert (job.tasks_total, job.tasks_running, job.tasks_failed) == (0, 0, 0)


def test_a_task_that_goes_and_comes_back_is_the_same_row(account: Account) -> None:
    job = make_job(account)
    look(job, task_seen("1"), task_seen("2"))
    look(job, task_seen("1"), now=LATER)
    assert Task.objects.get(batch_id="2").deleted_at == LATER
    look(job, task_seen("1"), task_seen("2"))
    assert Task.objects.alive().count() == Task.objects.count() == 2


def test_tasks_of_two_jobs_may_have_the_same_id(account: Account) -> None:
    first, second = make_job(account), make_job(account)
    make_task(second, batch_id="1")
    look(first, task_seen("1"))
    assert look(first).tasks_total == 0
    assert Task.objects.alive().get().job == second


@pytest.mark.parametrize(
    ("listed", "word"),
    [
        ([done("1"), done("2")], "Succeeded"),
        ([done("1"), done("2", "failure")], "Partly failed"),
        ([done("1", "failure"), done("2", "failure")], "Failed"),
        ([], "Terminated"),
    ],
)
def test_an_ended_job_shows_how_its_tasks_went_and_is_final(
    account: Account, listed: list[TaskSnapshot], word: str
) -> None:
    pull(account, ended(job_seen()))
    job = look(Job.objects.get(), *listed)
    assert job.badge.word == word
    assert job.has_final_tasks
    assert not Job.objects.unfinished().exists()
    sync.pace_tasks(account, now=NOW)
    assert not SyncTarget.objects.filter(kind="tasks", is_active=True).exists()


def test_an_ended_job_with_a_task_still_stopping_is_looked_at_again(account: Account) -> None:
    pull(account, ended(job_seen()))
    assert not look(Job.objects.get(), task_seen("1", "running")).has_final_tasks
    assert look(Job.objects.get(), done("1", "failure")).has_final_tasks


def test_a_listing_from_before_the_end_is_not_the_last(account: Account) -> None:
    """The tasks were listed for a job that was active then; it ended while they were read."""
    pull(account, job_seen())
    as_it_was = Job.objects.get()
    pull(account, ended(job_seen()))
    assert not look(as_it_was, done("1")).has_final_tasks


def prepare(job: Job, *listed: Any) -> Job:
    """Apply a full listing of a job's preparation, add it up, and return the job as it is then."""
    counts = tasks.apply_preparations(job, listed, now=NOW)
    tasks.sum_up(job, is_changed=not counts.is_quiet)
    return Job.objects.get(pk=job.pk)


def test_a_job_whose_preparation_failed_shows_blocked(account: Account) -> None:
    job = look(make_job(account), task_seen("1"))
    job = prepare(job, preparation_seen(state="running", result=None))
    assert (job.preparations_running, job.badge.word) == (1, "Preparing")
    job = prepare(job, preparation_seen(result="failure"))
    assert (job.preparations_running, job.preparations_failed) == (0, 1)
    assert job.badge.word == "Blocked"
    row = JobPreparation.objects.get()
    assert (row.badge.word, row.exit_code) == ("Failed", 3)
    assert "exit code 3" in row.problem
    job = prepare(job, preparation_seen(result="failure"), preparation_seen("b", "running", None))
    assert job.badge.word == "Preparing", "another node may still manage"
    job = look(job, task_seen("1", "running"))
    assert job.badge.word == "Running"


def test_preparation_that_succeeded_blocks_nothing(account: Account) -> None:
    job = prepare(look(make_job(account), task_seen("1")), preparation_seen())
    assert (job.preparations_failed, JobPreparation.objects.get().badge.word) == (0, "Succeeded")
    assert job.badge.word != "Blocked"
    assert prepare(job).preparations_failed == 0
    assert not JobPreparation.objects.alive().exists()


def test_many_unfinished_jobs_are_looked_into_more_slowly(account: Account) -> None:
    make_finished_job(account)
    for _ in range(sync.schedule.MANY):
        make_job(account)
    sync.keep_targets(account, now=NOW)
    watched = SyncTarget.objects.filter(kind="tasks", is_active=True)
    assert set(watched.values_list("max_interval", flat=True)) == {10}
    make_job(account)
    sync.pace_tasks(account, now=NOW)
    assert set(watched.values_list("max_interval", flat=True)) == {60}
    assert watched.count() == sync.schedule.MANY + 1


IDS = ["alpha", "beta", "Gamma"]
Facts = tuple[bool, int, int, bool]


def job_listings() -> st.SearchStrategy[list[dict[str, Facts]]]:
    """Draw listings of a few jobs that come, change, end, go, and are made anew; marked as ours or not."""
    facts = st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 2), st.booleans())
    return st.lists(st.dictionaries(st.sampled_from(IDS), facts), max_size=6)


def task_listings() -> st.SearchStrategy[list[dict[str, tuple[str, str]]]]:
    """Draw listings of a few tasks."""
    states = st.sampled_from(["active", "preparing", "running", "completed"])
    facts = st.tuples(states, st.sampled_from(["success", "failure"]))
    return st.lists(st.dictionaries(st.sampled_from("abcde"), facts), max_size=6)


class AnySequence(TestCase):
    """Whatever is listed, and in whatever order, the rows equal the last listing."""

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(job_listings(), st.sets(st.sampled_from(IDS)))
    def test_the_living_rows_equal_the_last_listing(
        self, listings: list[dict[str, Facts]], asked: set[str]
    ) -> None:
        account = Account.objects.create(slug="a", batch_account="aaa", batch_endpoint="https://127.0.0.1:9")
        marks = {name: uuid4() for name in IDS}
        for name in asked:
            asked_job(account, batch_id=name, operation=marks[name], problem="It timed out.")
        now = NOW
        for listing in listings:
            now += timedelta(minutes=5)
            last = {name: self.show(name, facts, marks) for name, facts in listing.items()}
            pull(account, *last.values(), now=now)
            assert pull(account, *last.values(), now=now).is_quiet, "the second time nothing is new"
            living = Job.objects.alive().exclude(synced_hash="")
            assert {job.batch_id: (job.synced_hash, job.state, job.priority) for job in living} == {
                name: (seen.content_hash(), seen.state, seen.priority) for name, seen in last.items()
            }

    def show(self, name: str, facts: Facts, marks: dict[str, Any]) -> JobSnapshot:
        has_ended, age, priority, is_marked = facts
        seen = job_seen(
            name,
            operation=marks[name] if is_marked else None,
            creation_time=BORN + timedelta(hours=age),
            priority=priority,
        )
        return ended(seen) if has_ended else seen

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(task_listings(), st.integers(1, 3))
    def test_tasks_and_their_sums_equal_the_last_listing(
        self, listings: list[dict[str, tuple[str, str]]], size: int
    ) -> None:
        account = Account.objects.create(slug="a", batch_account="aaa", batch_endpoint="https://127.0.0.1:9")
        job = make_job(account, tasks_total=None, tasks_active=0)
        for listing in listings:
            page = [
                done(name, result) if state == "completed" else task_seen(name, state)
                for name, (state, result) in listing.items()
            ]
            counts = tasks.apply_tasks(job, cut(page, size), now=NOW)
            tasks.sum_up(job, is_changed=not counts.is_quiet)
            job.refresh_from_db()
            living = dict(Task.objects.alive().filter(job=job).values_list("batch_id", "synced_hash"))
            assert living == {task.id: task.content_hash() for task in page}
            wanted = Counter(result if state == "completed" else state for state, result in listing.values())
            assert (
                Counter(
                    active=job.tasks_active,
                    preparing=job.tasks_preparing,
                    running=job.tasks_running,
                    success=job.tasks_succeeded,
                    failure=job.tasks_failed,
                )
                == wanted
            )
            assert job.tasks_total == len(page)


def cut(items: list[TaskSnapshot], size: int) -> Iterator[list[TaskSnapshot]]:
    """Cut a listing into pages."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
