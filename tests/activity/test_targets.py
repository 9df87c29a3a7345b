"""Each target is read by one worker at a time, soon after it is due, and faster while things change."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django.db import connection
from django.utils import timezone

from activity import revisions, targets
from activity.models import Account, SyncRun, SyncTarget
from activity.targets import Counts
from cloud.errors import CloudError

pytestmark = pytest.mark.django_db
QUIET, BUSY = Counts(seen=3), Counts(seen=3, changed=1)


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the targets that a worker was rung for, instead of ringing."""
    rung: list[int] = []
    monkeypatch.setattr(
        current_app, "send_task", lambda name, *, kwargs, **options: rung.append(kwargs["target_id"])
    )
    return rung


@pytest.fixture
def now() -> datetime:
    """Return the moment at which the test happens."""
    return timezone.now()


def watch(account: Account, *, now: datetime, **overrides: Any) -> SyncTarget:
    """Make a target due now, read every 5 to 60 seconds."""
    return targets.ensure(account, "pools", task_name="tests.pull", now=now, **overrides)


def pull(
    target: SyncTarget, *, now: datetime, counts: Counts = QUIET, error: Exception | None = None
) -> SyncRun:
    """Read a target once, seeing this."""

    def read(found: SyncTarget) -> Counts:
        if error is not None:
            raise error
        return counts

    run = targets.pull(target.pk, read=read, now=now)
    assert run is not None
    target.refresh_from_db()
    return run


def test_a_new_target_is_due_at_once_and_rung_for_once_by_two_beats(
    account: Account, rings: list[int], now: datetime
) -> None:
    target = watch(account, now=now)
    assert targets.dispatch_due(now=now) == 1
    assert targets.dispatch_due(now=now) == 0
    assert rings == [target.pk]


def test_a_lost_message_or_worker_only_delays_a_reading(
    account: Account, rings: list[int], now: datetime
) -> None:
    watch(account, now=now)
    targets.dispatch_due(now=now)
    assert targets.dispatch_due(now=now + timedelta(seconds=12)) == 1


def test_the_pause_grows_while_nothing_changes_and_shrinks_when_something_does(
    account: Account, rings: list[int], now: datetime
) -> None:
    target = watch(account, now=now)
    pauses = []
    for counts in (QUIET, QUIET, QUIET, QUIET, QUIET, QUIET, BUSY):
        pull(target, now=now, counts=counts)
        pauses.append((target.next_due_at - now).total_seconds())
        now = target.next_due_at
    assert pauses[:6] == pytest.approx([8, 12.8, 20.5, 32.8, 52.4, 60], rel=0.11)
    assert pauses[6] == pytest.approx(5, rel=0.11)


def test_a_change_by_us_makes_it_due_now_even_while_it_is_being_read(
    account: Account, rings: list[int], now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    target = watch(account, now=now)
    pull(target, now=now)
    with django_capture_on_commit_callbacks(execute=True):
        targets.hurry(account, "pools", now=now)
        target.refresh_from_db()
        assert (target.next_due_at, target.interval) == (now, target.min_interval)
    assert rings == [target.pk], "rung for without waiting for the tick"

    def read(found: SyncTarget) -> Counts:
        targets.hurry(account, "pools", now=now + timedelta(milliseconds=1))
        return QUIET

    targets.pull(target.pk, read=read, now=now)
    target.refresh_from_db()
    assert (target.next_due_at - now).total_seconds() < 1, "what was read may be older than the change"
    pull(target, now=target.next_due_at)
    assert (target.next_due_at - now).total_seconds() > 4, "hurried once, read again once"


def test_a_reading_longer_than_its_interval_does_not_hurry_itself(
    account: Account, rings: list[int], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = watch(account, now=now)
    targets.dispatch_due(now=now)
    clock = iter([0.0, 45.0])
    monkeypatch.setattr(targets.time, "monotonic", lambda: next(clock))
    pull(target, now=now)
    assert (target.next_due_at - now).total_seconds() > 50


def test_a_reading_is_written_down_with_what_it_saw(
    account: Account, rings: list[int], now: datetime
) -> None:
    target = watch(account, now=now)
    run = pull(target, now=now, counts=Counts(seen=9, created=2, changed=3, vanished=1))
    assert (run.state, run.seen, run.created, run.changed, run.vanished) == ("succeeded", 9, 2, 3, 1)
    assert target.last_succeeded_at is not None
    assert target.lease_until is None
    assert not target.is_stale(now)
    assert target.is_stale(now + timedelta(minutes=4))


def test_a_fault_is_written_down_masked_and_tried_again_later(
    account: Account, rings: list[int], now: datetime
) -> None:
    target = watch(account, now=now)
    before = revisions.tag(account, "sync")
    error = CloudError(code="ServerBusy", message="Busy: Bearer abcdefghijklmnop", retry_after=90.0)
    run = pull(target, now=now, error=error)
    assert (run.state, run.error_code) == ("failed", "ServerBusy")
    assert "abcdefghijklmnop" not in run.error + target.last_error
    assert target.failures == 1
    assert target.next_due_at >= now + timedelta(seconds=90)
    assert revisions.tag(account, "sync") != before
    pull(target, now=now)
    assert (target.failures, target.last_error) == (0, "")


def test_a_fault_of_ours_fails_the_run_and_not_the_worker(
    account: Account, rings: list[int], now: datetime
) -> None:
    run = pull(watch(account, now=now), now=now, error=ZeroDivisionError("division by zero"))
    assert (run.error_code, run.error) == ("Internal", "Internal: ZeroDivisionError: division by zero")


def test_a_target_is_not_read_twice_at_once(account: Account, rings: list[int], now: datetime) -> None:
    target = watch(account, now=now)

    def read(found: SyncTarget) -> Counts:
        assert targets.pull(target.pk, read=lambda other: BUSY, now=now) is None
        return QUIET

    assert targets.pull(target.pk, read=read, now=now) is not None
    assert SyncRun.objects.count() == 1


def test_a_dead_worker_s_lease_runs_out_and_the_late_one_cannot_give_it_back(
    account: Account, rings: list[int], now: datetime
) -> None:
    target = watch(account, now=now)
    later = now + timedelta(seconds=121)

    def overtaken(found: SyncTarget) -> Counts:
        taken = targets._take(found.pk, now=later)
        assert taken is not None
        return QUIET

    targets.pull(target.pk, read=overtaken, now=now)
    target.refresh_from_db()
    assert target.lease_until is not None
    assert target.lease_until > later


def test_ensure_changes_only_what_differs_and_wakes_a_resting_target(
    account: Account, rings: list[int], now: datetime, django_assert_num_queries: Any
) -> None:
    target = watch(account, now=now)
    pull(target, now=now)
    due = target.next_due_at
    with django_assert_num_queries(1):
        watch(account, now=now)
    slower = watch(account, now=now, max_interval=300)
    assert (slower.max_interval, slower.next_due_at) == (300, due)
    targets.rest(account, "pools")
    assert targets.dispatch_due(now=now + timedelta(days=1)) == 0
    assert watch(account, now=now).next_due_at == now


def test_old_runs_go_and_abandoned_ones_are_closed(account: Account, rings: list[int], now: datetime) -> None:
    target = watch(account, now=now)
    pull(target, now=now - timedelta(days=15))
    abandoned = SyncRun.objects.create(
        target=target, account=account, kind="pools", started_at=now - timedelta(hours=2)
    )
    assert targets.prune(now=now) == 1
    abandoned.refresh_from_db()
    assert (abandoned.state, abandoned.error_code) == ("failed", "Abandoned")


@pytest.mark.django_db(transaction=True)
def test_two_beats_and_three_workers_never_overlap_and_miss_nothing(
    account: Account, rings: list[int]
) -> None:
    now = timezone.now()
    pairs = [watch(account, now=now, subject=f"pool-{number}") for number in range(4)]
    reading: set[int] = set()
    overlaps: list[int] = []
    guard = threading.Lock()

    def read(found: SyncTarget) -> Counts:
        with guard:
            if found.pk in reading:
                overlaps.append(found.pk)
            reading.add(found.pk)
        threading.Event().wait(0.01)
        with guard:
            reading.discard(found.pk)
        return QUIET

    def beat() -> None:
        try:
            for turn in range(8):
                targets.dispatch_due(now=now + timedelta(minutes=turn))
                for target in pairs:
                    targets.pull(target.pk, read=read, now=timezone.now())
        finally:
            connection.close()

    threads = [threading.Thread(target=beat) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    assert set(SyncRun.objects.values_list("state", flat=True)) == {"succeeded"}
    assert set(rings) == {target.pk for target in pairs}
