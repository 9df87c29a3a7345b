"""Keep rows equal to a listing: write only what differs by hash, in small batches, and notice what has gone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import models

from activity.bulk import BATCH, bulk_write
from activity.targets import Counts


@dataclass(frozen=True, slots=True)
class Seen:
    """One listed object: what identifies it among its siblings, its hash, and its columns."""

    key: tuple[str, ...]
    digest: str
    values: Mapping[str, Any]


def mirror(
    rows: models.QuerySet,
    key: Sequence[str],
    pages: Iterable[Sequence[Seen]],
    *,
    owner: Mapping[str, Any],
    now: datetime,
) -> Counts:
    """Make `rows` (all siblings, dead ones too) equal to the pages of one full listing.

    `key` names the columns that identify a row beside those of `owner`; the model has a unique
    constraint over both without a condition.
    """
    known = {
        tuple(row[: len(key)]): (row[-3], row[-2], row[-1])
        for row in rows.values_list(*key, "synced_hash", "deleted_at", "pk")
    }
    counts, listed = Counts(), set()
    for page in pages:
        changed: dict[tuple[str, ...], Seen] = {}
        for seen in page:
            listed.add(seen.key)
            if known.get(seen.key, ("",))[:2] != (seen.digest, None):
                changed[seen.key] = seen
        new = sum(1 for found in changed if found not in known)
        counts += Counts(seen=len(page), created=new, changed=len(changed) - new)
        _upsert(rows.model, key, list(changed.values()), owner)
    gone = [pk for found, (_, deleted, pk) in known.items() if deleted is None and found not in listed]
    return counts + Counts(vanished=bury(rows, gone, now=now))


def _upsert(
    model: type[models.Model], key: Sequence[str], changed: Sequence[Seen], owner: Mapping[str, Any]
) -> None:
    if not changed:
        return
    columns = [*changed[0].values, "synced_hash", "deleted_at"]
    unique = [*owner, *key]
    for batch in batches(changed):
        fresh = [
            model(
                **owner,
                **dict(zip(key, seen.key, strict=True)),
                **fit(model, seen.values),
                synced_hash=seen.digest,
                deleted_at=None,
            )
            for seen in batch
        ]
        with bulk_write():
            model._default_manager.bulk_create(
                fresh, update_conflicts=True, unique_fields=unique, update_fields=columns
            )


def bury(rows: models.QuerySet, gone: Sequence[int], *, now: datetime) -> int:
    """Mark rows as deleted by their numbers; return how many."""
    for batch in batches(gone):
        with bulk_write():
            rows.filter(pk__in=batch).update(deleted_at=now)
    return len(gone)


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut a sequence into pieces that one transaction may write."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def fit(model: type[models.Model], values: Mapping[str, Any]) -> dict[str, Any]:
    """Cut texts to their columns' lengths: PostgreSQL refuses what is too long, and Azure sets few limits."""
    fitted = dict(values)
    for name, value in values.items():
        if isinstance(value, str):
            longest = getattr(model._meta.get_field(name), "max_length", None)
            fitted[name] = value[:longest] if longest else value
    return fitted


def plain(value: Any) -> Any:
    """Turn snapshots' parts into plain JSON values (dataclasses to dicts, times to text)."""
    return orjson.loads(orjson.dumps(value))
