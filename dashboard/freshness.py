"""How old what we show is."""

from dataclasses import dataclass
from datetime import datetime

from activity.models import Account, SyncTarget

# What pages show most of; other targets, such as sizes, may be hours old without anybody minding.
MAIN_KINDS = ("pools", "jobs")


@dataclass(frozen=True)
class Freshness:
    """When an account was last read in full (None: never), and what stands in the way if it is stale."""

    read_at: datetime | None
    is_stale: bool
    error: str
    next_try_at: datetime | None


def freshness(account: Account, *, now: datetime) -> Freshness:
    """Say how old an account's pools and jobs are: the oldest of the two counts."""
    targets = list(
        SyncTarget.objects.filter(account=account, kind__in=MAIN_KINDS, subject="", is_active=True)
    )
    seen = [target.last_succeeded_at for target in targets]
    read_at = min((moment for moment in seen if moment), default=None) if all(seen) else None
    stale = [target for target in targets if target.is_stale(now)]
    return Freshness(
        read_at=read_at,
        is_stale=bool(stale) or not targets,
        error=next((target.last_error for target in stale if target.last_error), ""),
        next_try_at=min((target.next_due_at for target in stale), default=None),
    )
