"""Operations are carried out once, in order, and whatever happens is written down."""

import threading
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from activity import bell, ledger, revisions
from activity.models import Account, Operation
from activity.refusals import Refused
from cloud.errors import CloudError

State = Operation.State
pytestmark = pytest.mark.django_db


class Rings:
    """Remembers which operations a worker was rung for; stands where the broker would be."""

    def __init__(self) -> None:
        self.operation_ids: list[int] = []
        self.is_down = False

    def send_task(self, name: str, *, kwargs: dict[str, Any], **options: Any) -> None:
        """Take a message, or fail as a broker that is away does."""
        if self.is_down:
            raise ConnectionError("broker away")
        self.operation_ids.append(kwargs["operation_id"])


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> Rings:
    """Return the list of rings, instead of sending them."""
    rings = Rings()
    monkeypatch.setattr(current_app, "send_task", rings.send_task)
    monkeypatch.setattr(bell, "_silent_until", 0.0)
    return rings


@pytest.fixture
def now() -> datetime:
    """Return the moment at which the test happens."""
    return timezone.now()


def ask(account: Account, *, now: datetime, actor: User | None = None, **overrides: Any) -> Operation:
    """Write down a wish."""
    wish: dict[str, Any] = {"verb": "create", "kind": "pool", "subject": "gpu", "payload": {}, **overrides}
    with transaction.atomic():
        return ledger.request(account=account, actor=actor, task_name="tests.carry_out", now=now, **wish)


def do_nothing(operation: Operation) -> None:
    """Succeed."""


def failing(error: Exception) -> ledger.CarryOut:
    """Return work that fails like this."""

    def carry_out(operation: Operation) -> None:
        raise error

    return carry_out


def passing_fault(**values: Any) -> CloudError:
    """Return a fault that may pass."""
    return CloudError(code="ServerBusy", message="Busy.", is_passing=True, **values)


def test_a_wish_is_written_down_and_rung_for_after_commit(
    account: Account, admin: User, rings: Rings, now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        operation = ask(
            account, now=now, actor=admin, payload={"password": "hunter22", "nodes": 2}, reason="demo"
        )
        assert rings.operation_ids == []
    assert rings.operation_ids == [operation.pk]
    operation.refresh_from_db()
    assert (operation.state, operation.asked_by, operation.reason) == (State.PENDING, "ada", "demo")
    assert operation.argument("nodes") == 2
    assert "hunter22" not in str(operation.payload)


def test_a_broker_that_is_away_loses_nothing(
    account: Account, rings: Rings, now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    rings.is_down = True
    with django_capture_on_commit_callbacks(execute=True):
        operation = ask(account, now=now)
    rings.is_down = False
    assert not ledger.dispatch(operation), "pages do not wait for a broker that has just been away"
    bell._silent_until = 0.0
    assert ledger.sweep(now=now + timedelta(seconds=5)) == 0, "the message may still be on its way"
    assert ledger.sweep(now=now + timedelta(seconds=31)) == 1
    assert ledger.sweep(now=now + timedelta(seconds=32)) == 0, "rung just now"
    assert rings.operation_ids == [operation.pk]


def test_success_is_written_down_with_its_result(account: Account, rings: Rings, now: datetime) -> None:
    operation = ask(account, now=now)
    ledger.run(operation.pk, carry_out=lambda found: {"etag": "1", "sas_token": "sv=1&sig=abc"}, now=now)
    operation.refresh_from_db()
    assert operation.state == State.SUCCEEDED
    assert operation.result["etag"] == "1"
    assert "abc" not in str(operation.result)
    assert operation.finished_at is not None
    assert operation.lease_until is None
    assert ledger.run(operation.pk, carry_out=do_nothing, now=now) is None, "settled"


def test_a_passing_fault_waits_longer_each_time_and_keeps_to_retry_after(
    account: Account, rings: Rings, now: datetime
) -> None:
    operation = ask(account, now=now)
    pauses = []
    for _ in range(4):
        ledger.run(operation.pk, carry_out=failing(passing_fault()), now=now)
        operation.refresh_from_db()
        pauses.append((operation.due_at - now).total_seconds())
        assert operation.state == State.PENDING
        assert operation.is_retrying
        assert ledger.claim(operation.pk, now=now) is None, "not due yet"
        now = operation.due_at
    assert pauses[0] < 3 < pauses[1] < 6 < pauses[2] < 10 < pauses[3] < 20
    ledger.run(operation.pk, carry_out=failing(passing_fault(retry_after=250.0)), now=now)
    operation.refresh_from_db()
    assert operation.due_at - now >= timedelta(seconds=250)
    assert operation.error_code == "ServerBusy"


def test_a_passing_fault_is_given_up_after_a_day(account: Account, rings: Rings, now: datetime) -> None:
    operation = ask(account, now=now)
    Operation.objects.update(attempts=9, requested_at=now - timedelta(hours=25))
    ledger.run(operation.pk, carry_out=failing(passing_fault()), now=now)
    operation.refresh_from_db()
    assert operation.state == State.FAILED


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            CloudError(
                code="PoolQuotaReached", message="Too many.", values={"limit": "5"}, advice="Ask for more."
            ),
            "PoolQuotaReached",
            "Too many. Ask for more.",
        ),
        (ledger.Failed("No such image.", "image"), "image", "No such image."),
        (Refused("Not now.", "busy"), "busy", "Not now."),
        (KeyError("password=hunter22"), "Internal", "KeyError: 'password=••••••'"),
    ],
)
def test_a_lasting_fault_fails_at_once_and_says_why(
    account: Account, rings: Rings, now: datetime, error: Exception, code: str, text: str
) -> None:
    operation = ask(account, now=now)
    settled: list[str] = []
    ledger.run(
        operation.pk, carry_out=failing(error), now=now, settle=lambda found: settled.append(found.state)
    )
    operation.refresh_from_db()
    assert (operation.state, operation.error_code, operation.error) == (State.FAILED, code, text)
    assert settled == [State.FAILED]


def test_a_fault_of_our_own_database_passes(account: Account, rings: Rings, now: datetime) -> None:
    operation = ask(account, now=now)
    ledger.run(operation.pk, carry_out=failing(OperationalError("database is locked")), now=now)
    operation.refresh_from_db()
    assert operation.state == State.PENDING


def test_postponed_work_waits_without_growing_pauses(account: Account, rings: Rings, now: datetime) -> None:
    operation = ask(account, now=now)
    for _ in range(9):
        ledger.run(
            operation.pk, carry_out=failing(ledger.Postponed("The pool is being made.", seconds=7)), now=now
        )
        operation.refresh_from_db()
        assert 7 <= (operation.due_at - now).total_seconds() < 8
        now = operation.due_at
    assert operation.error == "The pool is being made."


def test_one_operation_at_a_time_per_subject_oldest_first(
    account: Account, rings: Rings, now: datetime, django_capture_on_commit_callbacks: Any
) -> None:
    first, second = ask(account, now=now), ask(account, now=now, verb="resize")
    other = ask(account, now=now, subject="other")
    assert ledger.claim(second.pk, now=now) is None
    assert ledger.claim(first.pk, now=now) is not None
    assert ledger.claim(second.pk, now=now) is None
    assert ledger.claim(other.pk, now=now) is not None
    Operation.objects.filter(pk=first.pk).update(state=State.PENDING, attempt_token=None, lease_until=None)
    with django_capture_on_commit_callbacks(execute=True):
        ledger.run(first.pk, carry_out=do_nothing, now=now)
    assert rings.operation_ids == [second.pk], "the next one is rung for at once"
    assert ledger.claim(second.pk, now=now) is not None


def test_the_database_forbids_two_running_operations_of_one_subject(
    account: Account, rings: Rings, now: datetime
) -> None:
    first, second = ask(account, now=now), ask(account, now=now)
    # As when the younger one was committed and claimed first.
    running = {
        "state": State.RUNNING,
        "attempt_token": uuid.uuid4(),
        "lease_until": now + timedelta(minutes=1),
    }
    Operation.objects.filter(pk=second.pk).update(**running)
    assert ledger.claim(first.pk, now=now) is None


def test_an_abandoned_operation_is_taken_again_and_the_late_one_cannot_overwrite(
    account: Account, rings: Rings, now: datetime
) -> None:
    operation = ask(account, now=now)
    later = now + timedelta(seconds=121)

    def overtaken(found: Operation) -> dict[str, str]:
        assert ledger.sweep(now=later) == 1
        ledger.run(found.pk, carry_out=lambda again: {"by": "the second"}, now=later)
        with pytest.raises(ledger.LeaseLost):
            ledger.still_wanted(found)
        return {"by": "the first"}

    settled: list[str] = []
    ledger.run(operation.pk, carry_out=overtaken, now=now, settle=lambda found: settled.append("late"))
    operation.refresh_from_db()
    assert operation.result == {"by": "the second"}
    assert operation.attempts == 2
    assert settled == []


def test_cancelling_what_waits_settles_it_and_what_runs_is_asked_to_stop(
    account: Account, admin: User, rings: Rings, now: datetime
) -> None:
    waiting = ask(account, now=now)
    ledger.cancel(waiting, actor=admin, now=now)
    assert (waiting.state, waiting.error) == (State.CANCELLED, "Cancelled by ada.")
    with pytest.raises(Refused, match="already"):
        ledger.cancel(waiting, actor=admin, now=now)

    running = ask(account, now=now, subject="other")

    def long_work(found: Operation) -> None:
        ledger.still_wanted(found)
        ledger.cancel(Operation.objects.get(pk=found.pk), actor=admin, now=now)
        ledger.still_wanted(found)
        pytest.fail("went on after the cancel")

    ledger.run(running.pk, carry_out=long_work, now=now)
    running.refresh_from_db()
    assert running.state == State.CANCELLED


def test_viewers_may_not_cancel(account: Account, viewer: User, rings: Rings, now: datetime) -> None:
    operation = ask(account, now=now)
    with pytest.raises(Refused):
        ledger.cancel(operation, actor=viewer, now=now)


def test_an_observed_account_refuses_every_change_but_not_a_probe(
    account: Account, rings: Rings, now: datetime
) -> None:
    account.mode = Account.Mode.OBSERVE
    account.save()
    with pytest.raises(Refused, match="observe only") as refused:
        ask(account, now=now)
    assert refused.value.code == "observe_only"
    assert not Operation.objects.exists()
    ask(account, now=now, kind="probe", verb="test", is_change=False)


def test_each_change_of_state_moves_the_pages_revision(account: Account, rings: Rings, now: datetime) -> None:
    topics = ("operations", "pools", "pool:gpu")
    tags = [revisions.tag(account, *topics)]
    operation = ask(account, now=now)
    tags.append(revisions.tag(account, *topics))
    ledger.run(operation.pk, carry_out=do_nothing, now=now)
    tags.append(revisions.tag(account, *topics))
    assert len(set(tags)) == 3


def test_old_settled_operations_are_pruned(account: Account, rings: Rings, now: datetime) -> None:
    old, waiting = ask(account, now=now), ask(account, now=now, subject="other")
    ledger.run(old.pk, carry_out=do_nothing, now=now)
    assert ledger.prune(now=now) == 0
    assert ledger.prune(now=now + timedelta(days=401)) == 1
    assert list(Operation.objects.all()) == [waiting]


@pytest.mark.django_db(transaction=True)
def test_of_many_racing_workers_exactly_one_carries_it_out(
    account: Account, rings: Rings, now: datetime
) -> None:
    operations = [ask(account, now=now, subject=f"pool-{number}") for number in range(5)]
    done: list[int] = []

    def work() -> None:
        try:
            for operation in operations:
                ledger.run(operation.pk, carry_out=lambda found: done.append(found.pk), now=now)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [operation.pk for operation in operations]
    assert set(Operation.objects.values_list("state", "attempts")) == {(State.SUCCEEDED, 1)}


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_kept_alive_while_the_work_takes_long(
    account: Account, rings: Rings, settings: Any
) -> None:
    settings.ZOOBATCH_LEASE_SECONDS = 1
    operation = ask(account, now=timezone.now())

    def slow(found: Operation) -> None:
        threading.Event().wait(1.6)
        assert ledger.claim(found.pk, now=timezone.now()) is None
        ledger.still_wanted(found)

    ledger.run(operation.pk, carry_out=slow, now=timezone.now())
    operation.refresh_from_db()
    assert (operation.state, operation.attempts) == (State.SUCCEEDED, 1)
