"""When to read what from Azure, and by whom: one reader at a time per target, faster while things change."""

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from activity import bell, leases, revisions
from activity.models import Account, SyncRun, SyncTarget
from cloud import redaction
from cloud.errors import CloudError

log = logging.getLogger(__name__)

_GROWTH = 1.6
_JITTER = 0.1


@dataclass(frozen=True)
class Counts:
    """What one reading saw and did, in rows."""

    seen: int = 0
    created: int = 0
    changed: int = 0
    vanished: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.seen + other.seen,
            self.created + other.created,
            self.changed + other.changed,
            self.vanished + other.vanished,
        )

    @property
    def is_quiet(self) -> bool:
        """Whether nothing was different from last time."""
        return not (self.created or self.changed or self.vanished)


Read = Callable[[SyncTarget], Counts]


def ensure(
    account: Account,
    kind: str,
    subject: str = "",
    *,
    task_name: str,
    now: datetime,
    min_interval: float = 5,
    max_interval: float = 60,
) -> SyncTarget:
    """Return the target, made due now if it is new, and set to these intervals (seconds) and awake if it is not."""
    wanted = {
        "task_name": task_name,
        "min_interval": min_interval,
        "max_interval": max_interval,
        "is_active": True,
    }
    target, is_new = SyncTarget.objects.get_or_create(
        account=account,
        kind=kind,
        subject=subject,
        defaults={**wanted, "interval": min_interval, "next_due_at": now},
    )
    if not is_new and any(getattr(target, name) != value for name, value in wanted.items()):
        if not target.is_active:
            wanted["next_due_at"] = now
        SyncTarget.objects.filter(pk=target.pk).update(**wanted)
        target.refresh_from_db()
    return target


def hurry(account: Account, kind: str, subject: str = "", *, now: datetime) -> None:
    """Read a target at once and often again, because somebody has just changed what it reads."""
    mine = SyncTarget.objects.filter(account=account, kind=kind, subject=subject, is_active=True)
    if mine.update(next_due_at=now, hurried_at=now, interval=F("min_interval")):
        transaction.on_commit(lambda: _dispatch(mine.due(now), now=now), robust=True)


def rest(account: Account, kind: str, subject: str = "") -> None:
    """Stop reading a target whose thing is gone or settled for good."""
    SyncTarget.objects.filter(account=account, kind=kind, subject=subject).update(is_active=False)


def dispatch_due(*, now: datetime, limit: int = 200) -> int:
    """Ring for every target that is due; return how many. Two beats at once ring once per target."""
    return _dispatch(SyncTarget.objects.due(now).order_by("next_due_at")[:limit], now=now)


def pull(target_id: int, *, read: Read, now: datetime) -> SyncRun | None:
    """Read a target under its lease and write down how it went; None when another worker is reading it.

    `read` gets the target and returns what it saw and did; a CloudError fails the run, never the worker.
    """
    begun = time.monotonic()
    target = _take(target_id, now=now)
    if target is None:
        return None
    run = SyncRun.objects.create(
        target=target, account=target.account, kind=target.kind, subject=target.subject, started_at=now
    )
    fault: CloudError | None = None
    counts = Counts()
    with leases.kept_alive(partial(_extend, target), seconds=settings.ZOOBATCH_LEASE_SECONDS):
        try:
            counts = read(target)
        except CloudError as error:
            fault = error
        except Exception as error:
            log.exception("sync=%s event=unexpected", target)
            fault = CloudError(code="Internal", message=f"{type(error).__name__}: {error}")
    _close(target, run, counts, fault, now=now + timedelta(seconds=time.monotonic() - begun))
    return run


def pull_now(target: SyncTarget, *, now: datetime) -> None:
    """Read one target at once, as the refresh button does."""
    hurry(target.account, target.kind, target.subject, now=now)


def prune(*, now: datetime) -> int:
    """Delete sync runs older than the retention setting and close those whose worker died; return how many went."""
    lost = now - timedelta(hours=1)
    SyncRun.objects.filter(state=SyncRun.State.RUNNING, started_at__lt=lost).update(
        state=SyncRun.State.FAILED,
        finished_at=now,
        error_code="Abandoned",
        error="The worker stopped in the middle.",
    )
    oldest = now - timedelta(days=settings.ZOOBATCH_KEEP_SYNC_RUNS_DAYS)
    return SyncRun.objects.filter(started_at__lt=oldest).delete()[0]


def _dispatch(due: Iterable[SyncTarget], *, now: datetime) -> int:
    """Push each out by its interval and ring for it: if message or worker is lost, it comes due again by itself."""
    rung = 0
    for target in due:
        later = now + timedelta(seconds=_jittered(max(target.interval, 10.0)))
        if SyncTarget.objects.filter(pk=target.pk, next_due_at=target.next_due_at).update(next_due_at=later):
            rung += bell.ring(target.task_name, target_id=target.pk, expires=120)
    return rung


def _take(target_id: int, *, now: datetime) -> SyncTarget | None:
    """Take a target's lease unless somebody else holds it."""
    token = uuid.uuid4()
    free = SyncTarget.objects.filter(pk=target_id, is_active=True).exclude(lease_until__gt=now)
    lease = now + timedelta(seconds=settings.ZOOBATCH_LEASE_SECONDS)
    if not free.update(lease_token=token, lease_until=lease, last_started_at=now):
        return None
    return SyncTarget.objects.select_related("account").get(pk=target_id)


def _extend(target: SyncTarget) -> bool:
    lease = timezone.now() + timedelta(seconds=settings.ZOOBATCH_LEASE_SECONDS)
    return (
        SyncTarget.objects.filter(pk=target.pk, lease_token=target.lease_token).update(lease_until=lease) == 1
    )


def _close(
    target: SyncTarget, run: SyncRun, counts: Counts, fault: CloudError | None, *, now: datetime
) -> None:
    """Close the run and give the lease back with the next due time, if the lease is still ours."""
    run.finished_at = now
    run.seen, run.created, run.changed, run.vanished = (
        counts.seen,
        counts.created,
        counts.changed,
        counts.vanished,
    )
    columns: dict[str, object] = {"lease_token": None, "lease_until": None}
    if fault is None:
        run.state = SyncRun.State.SUCCEEDED
        interval = target.min_interval if not counts.is_quiet else target.interval * _GROWTH
        columns |= {"last_succeeded_at": now, "last_error": "", "failures": 0}
    else:
        run.state = SyncRun.State.FAILED
        run.error_code, run.error = fault.code, redaction.mask_text(str(fault))
        interval = max(target.interval * _GROWTH, target.min_interval)
        columns |= {"last_error": run.error, "failures": F("failures") + 1}
    columns["interval"] = interval = min(interval, target.max_interval)
    pause = max(_jittered(interval), fault.retry_after or 0.0 if fault else 0.0)
    with transaction.atomic():
        run.save()
        mine = SyncTarget.objects.filter(pk=target.pk, lease_token=target.lease_token)
        # Hurried while it was being read: what was read may be older than the change, so it stays due.
        hurried = mine.filter(hurried_at__gte=target.last_started_at)
        if not hurried.update(**columns | {"interval": F("min_interval"), "next_due_at": now}):
            mine.update(**columns, next_due_at=now + timedelta(seconds=pause))
        if fault is not None or target.failures or not counts.is_quiet:
            revisions.bump(target.account, "sync")


def _jittered(seconds: float) -> float:
    """Spread so that a hundred targets made at once do not stay in step."""
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)
