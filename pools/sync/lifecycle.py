"""Match listed pools or jobs with rows: ours by the mark in their metadata, others by their id."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import models

from activity.bulk import bulk_write
from activity.models import Account
from activity.revisions import bump
from activity.targets import Counts

from .mirror import batches, fit

LISTING_LAG = timedelta(minutes=2)
"""For so long a thing that Azure has just accepted may be missing from its listings."""

Model = type[Any]
"""The class of pools or of jobs: a Lifecycle with `account`, `batch_id` and `creation_time`."""

Verdict = Literal["create", "replace", "update", "same", "ignore"]


@dataclass(frozen=True, slots=True)
class Found:
    """One listed pool or job; `first` are columns set only when its row is made."""

    id: str
    operation: str | None
    creation_time: datetime | None
    digest: str
    values: Mapping[str, Any]
    first: Mapping[str, Any] = field(default_factory=dict)


def judge(row: Any, found: Found) -> Verdict:
    """Say what a listed object means for the living row of its id (None: there is none)."""
    if row is None:
        return "create"
    if not row.was_seen:
        if row.owns(found.operation):
            return "update"
        # Somebody else's thing under the id we asked for: while our request is on its way it will be
        # told so; once it has failed the name is free for what is really there.
        return "replace" if row.problem else "ignore"
    if row.creation_time and found.creation_time and row.creation_time != found.creation_time:
        return "replace"
    return "same" if row.synced_hash == found.digest else "update"


def apply_page(model: Model, account: Account, page: Sequence[Found], *, topic: str, now: datetime) -> Counts:
    """Make the rows of a page of listed objects equal to it; `topic` is `pool` or `job`."""
    counts = Counts()
    for batch in batches(page):
        rows = _living(model, account, batch)
        verdicts = [(found, rows.get(found.id.lower())) for found in batch]
        work = [(judge(row, found), found, row) for found, row in verdicts]
        changes = [entry for entry in work if entry[0] not in ("same", "ignore")]
        counts += Counts(seen=len(batch))
        if changes:
            counts += _write(model, account, changes, topic=topic, now=now)
    return counts


def _living(model: Model, account: Account, batch: Sequence[Found]) -> dict[str, Any]:
    ids = [found.id.lower() for found in batch]
    rows = model._default_manager.filter(account=account, deleted_at=None, batch_id_lower__in=ids)
    return {row.batch_id.lower(): row for row in rows}


def _write(
    model: Model,
    account: Account,
    changes: Iterable[tuple[Verdict, Found, Any]],
    *,
    topic: str,
    now: datetime,
) -> Counts:
    created, changed, topics = 0, 0, {f"{topic}s"}
    with bulk_write():
        fresh = []
        for verdict, found, row in changes:
            topics.add(f"{topic}:{found.id}")
            if verdict == "replace":
                model._default_manager.filter(pk=row.pk).update(deleted_at=now)
            if verdict == "update" or (row := _given_up(model, account, found)):
                _update(model, row, found)
                changed += 1
            else:
                fresh.append(_new(model, account, found, now=now))
                created += 1
        model._default_manager.bulk_create(fresh)
        bump(account, *topics)
    return Counts(created=created, changed=changed)


def _given_up(model: Model, account: Account, found: Found) -> Any:
    """Find the dead row whose request made this after all: an answer was lost, or it was given up too early."""
    try:
        mark = UUID(found.operation or "")
    except ValueError:
        return None
    dead = model._default_manager.filter(account=account, operation=mark).exclude(deleted_at=None)
    return dead.filter(models.Q(synced_hash="") | models.Q(creation_time=found.creation_time)).first()


def _update(model: Model, row: Any, found: Found) -> None:
    columns = fit(model, found.values) | {"synced_hash": found.digest, "deleted_at": None}
    model._default_manager.filter(pk=row.pk).update(**columns)


def _new(model: Model, account: Account, found: Found, *, now: datetime) -> Any:
    columns = fit(model, {**found.values, **found.first})
    return model(
        account=account,
        batch_id=found.id,
        is_ours=False,
        created_at=found.creation_time or now,
        synced_hash=found.digest,
        **columns,
    )


def shown(rows: models.QuerySet, *, now: datetime) -> dict[int, str]:
    """Return numbers and ids of those of `rows` that a full listing has to have, unless they are gone.

    To be asked before the listing is read: what appears meanwhile may be missing from it.
    """
    fresh = models.Q(confirmed_at=None) | models.Q(confirmed_at__gt=now - LISTING_LAG)
    known = rows.filter(deleted_at=None).exclude(fresh, synced_hash="")
    return dict(known.values_list("pk", "batch_id"))


def bury_missing(
    model: Model,
    account: Account,
    known: Mapping[int, str],
    listed: set[str],
    *,
    topic: str,
    now: datetime,
) -> Counts:
    """Mark those as deleted that were `shown` before a full listing which does not have them."""
    gone = [(pk, batch_id) for pk, batch_id in known.items() if batch_id.lower() not in listed]
    for batch in batches(gone):
        with bulk_write():
            living = model._default_manager.filter(pk__in=[pk for pk, _ in batch], deleted_at=None)
            living.update(deleted_at=now)
            bump(account, f"{topic}s", *(f"{topic}:{batch_id}" for _, batch_id in batch))
    return Counts(vanished=len(gone))
