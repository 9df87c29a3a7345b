"""What every value that crosses the gateway shares: content hashes, ownership marks, durations."""

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

OPERATION_KEY = "zoobatch_operation"
"""Metadata item on every pool and job we create: the id of the operation that asked for it."""

SECRET_NAMES_KEY = "zoobatch_secret_env"
"""Metadata item naming the secret environment settings of one of our jobs, separated by commas."""

OPERATION_ENV = "ZOOBATCH_OPERATION"
"""Environment setting that marks a task as ours: tasks have no metadata in Azure Batch."""

SECRET_NAMES_ENV = "ZOOBATCH_SECRET_ENV"
"""Environment setting naming a task's secret settings, separated by commas."""

Metadata = tuple[tuple[str, str], ...]
"""Name and value pairs in Azure's order."""

DETAIL = {"synced": False}
"""Marks a field that only a full read fills: it takes no part in the content hash."""


@cache
def _synced_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind) if f.metadata.get("synced", True))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One object as Azure showed it, names and states verbatim (in snake case), secrets masked."""

    def content_hash(self) -> str:
        """Hash the synced fields, so that an unchanged object costs no write (32 hex digits)."""
        kind: Any = type(self)
        content = {name: getattr(self, name) for name in _synced_names(kind)}
        packed = orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=_plain)
        return hashlib.blake2b(packed, digest_size=16).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    raise TypeError(type(value).__name__)


def metadata_value(metadata: Metadata, name: str) -> str | None:
    """Return the first metadata item of that name."""
    return next((value for key, value in metadata if key == name), None)
