"""Operations: write down a wish, carry it out exactly once, and never forget it.

The row is the queue. The broker only rings a bell: a lost message is rung again by `sweep`, a repeated one finds
the row taken or settled. Claiming and finishing are conditional updates, so any number of workers may try.
"""

import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from activity import bell, leases, revisions, roles, steps
from activity.models import Account, Operation
from activity.refusals import Refused
from cloud import redaction
from cloud.errors import CloudError

log = logging.getLogger(__name__)

LONGEST_PAUSE = 300.0
State = Operation.State
CarryOut = Callable[[Operation], Mapping[str, Any] | None]
Settle = Callable[[Operation], None]


class Postponed(Exception):
    """Not yet: something else must happen first. The operation waits `seconds` and tries again, without it counting as a fault."""

    def __init__(self, message: str, *, seconds: float = 5.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Failed(Exception):
    """It cannot be done and trying again would not help; `code` is for programs."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Cancelled(Exception):
    """Somebody asked to stop it."""


class LeaseLost(Exception):
    """Another worker has taken the operation over; whatever this one still knows no longer counts."""


@dataclass(frozen=True)
class _Outcome:
    """What an attempt came to: the new state and the columns that go with it."""

    state: str
    pause: float = 0.0
    result: Mapping[str, Any] = field(default_factory=dict)
    error_code: str = ""
    error: str = ""
    error_values: Mapping[str, str] = field(default_factory=dict)


def request(
    verb: str,
    kind: str,
    subject: str,
    *,
    account: Account,
    actor: User | None,
    task_name: str,
    payload: Mapping[str, Any],
    now: datetime,
    reason: str = "",
    is_change: bool = True,
) -> Operation:
    """Write down a wish inside the caller's transaction and ring for a worker once that is committed.

    `task_name` is the Celery task that calls `run`; the payload holds ids and plain values, and is masked.
    Raises Refused when the account is only observed, unless nothing is changed by it (`is_change` False).
    """
    if is_change:
        roles.require_change(None, account)
    operation = Operation.objects.create(
        verb=verb,
        kind=kind,
        subject=subject,
        account=account,
        actor=actor,
        actor_name=actor.get_username() if actor else "",
        reason=redaction.mask_text(reason),
        task_name=task_name,
        payload=redaction.mask_structure(dict(payload)),
        requested_at=now,
        due_at=now,
        dispatched_at=now,
    )
    _changed(operation)
    transaction.on_commit(partial(dispatch, operation), robust=True)
    log.info("operation=%s event=requested verb=%s %s=%s", operation.mark, verb, kind, subject)
    return operation


def dispatch(operation: Operation) -> bool:
    """Ring for a worker; a broker that is away is no fault, since `sweep` rings again."""
    return bell.ring(operation.task_name, operation_id=operation.pk)


def claim(operation_id: int, *, now: datetime) -> Operation | None:
    """Take an operation for this worker, or return None when it is not to be taken now.

    Not to be taken: settled, not due, leased, or an older one of the same subject is unsettled.
    """
    token = uuid.uuid4()
    try:
        # Two racing claims of one subject meet the database's constraint; the second waits for the next ring.
        with transaction.atomic():
            taken = (
                Operation.objects.claimable(now)
                .filter(pk=operation_id)
                .update(
                    state=State.RUNNING,
                    attempt_token=token,
                    attempts=F("attempts") + 1,
                    started_at=now,
                    lease_until=now + _lease(),
                )
            )
    except IntegrityError:
        return None
    if not taken:
        return None
    operation = Operation.objects.select_related("account", "actor").get(pk=operation_id)
    _changed(operation)
    return operation


def run(
    operation_id: int, *, carry_out: CarryOut, now: datetime, settle: Settle | None = None
) -> Operation | None:
    """Claim an operation, carry it out and write down what came of it; None when it was not ours to take.

    `carry_out` must be repeatable: after a crash it is called again. It returns plain values for `result`, and raises
    CloudError, Postponed, Failed or Cancelled. `settle` runs in the transaction that settles the operation, and only
    if this attempt is still the valid one.
    """
    begun = time.monotonic()
    operation = claim(operation_id, now=now)
    if operation is None:
        return None
    steps.reached("ledger.claimed")
    with leases.kept_alive(partial(_extend, operation), seconds=settings.ZOOBATCH_LEASE_SECONDS):
        outcome = _attempt(operation, carry_out, now=now)
    steps.reached("ledger.carried_out")
    ended = now + timedelta(seconds=time.monotonic() - begun)
    if _finish(operation, outcome, now=ended, settle=settle):
        steps.reached("ledger.finished")
    return operation


def still_wanted(operation: Operation) -> None:
    """Raise Cancelled or LeaseLost when this attempt should stop; to be asked between the steps of long work."""
    row = (
        Operation.objects.filter(pk=operation.pk, attempt_token=operation.attempt_token, state=State.RUNNING)
        .values("cancel_requested_at")
        .first()
    )
    if row is None:
        raise LeaseLost
    if row["cancel_requested_at"] is not None:
        raise Cancelled


def cancel(operation: Operation, *, actor: User | None, now: datetime) -> None:
    """Ask to stop an operation: at once if no worker has it, else at its next step.

    Submitters may cancel what they asked for themselves. Raises Refused by role, and when it is settled.
    """
    roles.require(actor, operation.account, _role_to_cancel(operation, actor))
    who = f"Cancelled by {actor.get_username() if actor else 'the system'}."
    mine = Operation.objects.filter(pk=operation.pk)
    with transaction.atomic():
        asked = mine.unsettled().update(cancel_requested_at=now)
        mine.filter(state=State.PENDING).update(
            state=State.CANCELLED, finished_at=now, error_code="Cancelled", error=who, attempt_token=None
        )
        _changed(operation)
        transaction.on_commit(partial(_ring_next, operation), robust=True)
    if not asked:
        raise Refused("It has already come to an end.", "settled")
    operation.refresh_from_db()


def may_cancel(operation: Operation, user: User) -> bool:
    """Tell whether a user's role is enough to cancel an operation."""
    return roles.can(user, operation.account, _role_to_cancel(operation, user))


def _role_to_cancel(operation: Operation, actor: User | None) -> str:
    is_own = actor is not None and operation.actor_id == actor.pk
    return roles.Role.SUBMITTER if is_own else roles.Role.OPERATOR


def sweep(*, now: datetime, limit: int = 200) -> int:
    """Ring again for operations whose message was lost, whose pause is over or whose worker died; return how many."""
    stale = now - timedelta(seconds=settings.ZOOBATCH_DISPATCH_GRACE_SECONDS)
    silent = Q(dispatched_at__isnull=True) | Q(dispatched_at__lt=F("due_at")) | Q(dispatched_at__lt=stale)
    waiting = list(Operation.objects.claimable(now).filter(silent).order_by("due_at", "pk")[:limit])
    rung = 0
    for operation in waiting:
        # Conditional, so that two beats do not both ring.
        mine = Operation.objects.filter(pk=operation.pk, dispatched_at=operation.dispatched_at)
        if mine.update(dispatched_at=now):
            rung += dispatch(operation)
    return rung


def prune(*, now: datetime) -> int:
    """Delete settled operations older than the retention setting; return how many."""
    oldest = now - timedelta(days=settings.ZOOBATCH_KEEP_OPERATIONS_DAYS)
    old = Operation.objects.filter(finished_at__lt=oldest).exclude(state__in=Operation.UNSETTLED)
    return old.delete()[0]


def _lease() -> timedelta:
    return timedelta(seconds=settings.ZOOBATCH_LEASE_SECONDS)


def _extend(operation: Operation) -> bool:
    """Push the lease out, unless another attempt has taken over."""
    mine = Operation.objects.filter(
        pk=operation.pk, attempt_token=operation.attempt_token, state=State.RUNNING
    )
    return mine.update(lease_until=timezone.now() + _lease()) == 1


def _attempt(operation: Operation, carry_out: CarryOut, *, now: datetime) -> _Outcome:
    """Call `carry_out` and translate how it ended."""
    try:
        if operation.cancel_requested_at is not None:
            raise Cancelled
        return _Outcome(State.SUCCEEDED, result=carry_out(operation) or {})
    except Cancelled:
        return _Outcome(State.CANCELLED, error_code="Cancelled", error="Cancelled on request.")
    except Postponed as wait:
        return _Outcome(State.PENDING, pause=wait.seconds, error_code="Postponed", error=str(wait))
    except CloudError as fault:
        text = f"{fault.message} {fault.advice}".strip()
        outcome = _Outcome(State.FAILED, error_code=fault.code, error=text, error_values=dict(fault.values))
        return _again(operation, outcome, fault.retry_after, now=now) if fault.is_passing else outcome
    except (Failed, Refused) as fault:
        return _Outcome(State.FAILED, error_code=fault.code, error=str(fault))
    except DatabaseError as fault:
        log.warning("operation=%s event=database_fault error=%s", operation.mark, fault)
        return _again(
            operation, _Outcome(State.FAILED, error_code="Database", error=str(fault)), None, now=now
        )
    except LeaseLost:
        return _Outcome(State.PENDING, error_code="LeaseLost")  # not written: the token no longer matches
    except Exception as fault:
        log.exception("operation=%s event=unexpected", operation.mark)
        return _Outcome(State.FAILED, error_code="Internal", error=f"{type(fault).__name__}: {fault}")


def _again(operation: Operation, outcome: _Outcome, retry_after: float | None, *, now: datetime) -> _Outcome:
    """Turn a passing fault into another try after a growing pause, unless it has been tried for too long."""
    tried_for = now - operation.requested_at
    if operation.attempts > 5 and tried_for > timedelta(hours=settings.ZOOBATCH_GIVE_UP_HOURS):
        return outcome
    pause = min(LONGEST_PAUSE, 2.0 ** min(operation.attempts, 9)) * random.uniform(0.8, 1.2)
    return _Outcome(
        State.PENDING,
        pause=max(pause, retry_after or 0.0),
        error_code=outcome.error_code,
        error=outcome.error,
        error_values=outcome.error_values,
    )


def _finish(operation: Operation, outcome: _Outcome, *, now: datetime, settle: Settle | None) -> bool:
    """Write an attempt's outcome if the attempt is still the valid one, and ring for whoever is next."""
    is_settled = outcome.state not in Operation.UNSETTLED
    columns: dict[str, Any] = {
        "state": outcome.state,
        "due_at": now + timedelta(seconds=outcome.pause),
        "finished_at": now if is_settled else None,
        "lease_until": None,
        "attempt_token": None,
        "result": redaction.mask_structure(dict(outcome.result)),
        "error_code": outcome.error_code,
        "error": redaction.mask_text(outcome.error),
        "error_values": redaction.mask_structure(dict(outcome.error_values)),
    }
    with transaction.atomic():
        mine = Operation.objects.filter(
            pk=operation.pk, attempt_token=operation.attempt_token, state=State.RUNNING
        )
        if not mine.update(**columns):
            log.warning("operation=%s event=superseded", operation.mark)
            return False
        for name, value in columns.items():
            setattr(operation, name, value)
        _changed(operation)
        if is_settled:
            if settle is not None:
                settle(operation)
            transaction.on_commit(partial(_ring_next, operation), robust=True)
    log.info(
        "operation=%s event=%s attempt=%s code=%s",
        operation.mark,
        outcome.state,
        operation.attempts,
        outcome.error_code or "-",
    )
    return True


def _ring_next(operation: Operation) -> None:
    """Ring for the oldest waiting operation of the same subject, now that the one before it has come to an end."""
    waiting = Operation.objects.of(operation.kind, operation.subject).filter(
        account=operation.account, state=State.PENDING
    )
    following = waiting.order_by("pk").first()
    if following is not None:
        dispatch(following)


def _changed(operation: Operation) -> None:
    """Let the pages that show it know."""
    kind, subject = operation.kind, operation.subject
    revisions.bump(operation.account, "operations", f"{kind}s", f"{kind}:{subject}")
