"""Times, durations and small values as Azure writes them."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from cloud.types import AzureError, Metadata

_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?$"
)
_UNLIMITED = timedelta(days=10_000_000)  # Azure writes P10675199DT2H48M5.4775807S for "no limit"


def time(text: str | None) -> datetime | None:
    """Read an RFC 3339 time; digits beyond microseconds are dropped."""
    return datetime.fromisoformat(text) if text else None


def header_time(text: str | None) -> datetime | None:
    """Read an RFC 1123 time of a header."""
    return parsedate_to_datetime(text) if text else None


def duration(text: str | None) -> timedelta | None:
    """Read an ISO 8601 duration, a year as 365 days and a month as 30 as Azure does; unlimited is None."""
    found = _DURATION.match(text) if text else None
    if not found:
        return None
    parts = {name: float(value) for name, value in found.groupdict().items() if value}
    days = parts.pop("years", 0.0) * 365 + parts.pop("months", 0.0) * 30 + parts.pop("days", 0.0)
    if days >= _UNLIMITED.days:
        return None
    return timedelta(days=days, **parts)


def pairs(items: Iterable[Mapping[str, Any]] | None) -> Metadata:
    """Read a list of name and value objects."""
    return tuple((str(item.get("name", "")), str(item.get("value", ""))) for item in items or ())


def error(data: Mapping[str, Any] | None, details: str = "values") -> AzureError | None:
    """Read an error kept inside an object; `details` is the member with its name and value pairs."""
    if not data:
        return None
    return AzureError(
        code=str(data.get("code") or ""),
        message=str(data.get("message") or ""),
        details=pairs(data.get(details)),
        category=data.get("category"),
    )


def errors(items: Iterable[Mapping[str, Any]] | None, details: str = "values") -> tuple[AzureError, ...]:
    """Read a list of errors kept inside an object."""
    return tuple(found for item in items or () if (found := error(item, details)))
