"""How instants, durations and identifiers are written in Batch's JSON and headers."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from emulator.errors import BatchError, invalid

# The service's own way to write "no limit".
UNLIMITED = "P10675199DT2H48M5.4775807S"
_FIRST_INSTANT = datetime(1, 1, 1, tzinfo=UTC)
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
# From here on a duration counts as unlimited; what ends by then still ends before the calendar does.
_MOST_DAYS = 1_000_000
# As deep as the service's own reader goes.
_MOST_LEVELS = 100
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def instant(moment: datetime) -> str:
    """Write an instant as JSON has it: UTC, microseconds without trailing zeros."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


def moment(text: str) -> datetime:
    """Read an instant of JSON, with up to seven fractional digits; raise ValueError otherwise."""
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", text.strip())
    value = datetime.fromisoformat(trimmed)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def http_date(value: datetime) -> str:
    """Write an instant as a header has it (RFC 1123)."""
    return format_datetime(value.astimezone(UTC), usegmt=True)


def etag(last_modified: datetime) -> str:
    """Return the service's ETag: the instant in ticks of 100 ns since year 1, in upper-case hex."""
    ticks = (last_modified - _FIRST_INSTANT) // timedelta(microseconds=1) * 10
    return f"0x{ticks:X}"


def duration(text: object, name: str) -> timedelta | None:
    """Read an ISO 8601 duration, None when it is unlimited; years count 365 days and months 30."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or text in ("P", "PT"):
        raise invalid(name, text, "The value is not an ISO 8601 duration")
    parts = {unit: float(value) for unit, value in match.groupdict(default="0").items()}
    days = parts["years"] * 365 + parts["months"] * 30 + parts["weeks"] * 7 + parts["days"]
    if days + parts["hours"] / 24 + parts["minutes"] / 1440 + parts["seconds"] / 86400 >= _MOST_DAYS:
        return None
    return timedelta(days=days, hours=parts["hours"], minutes=parts["minutes"], seconds=parts["seconds"])


def duration_text(value: timedelta | None) -> str:
    """Write a duration in its shortest normal form."""
    if value is None:
        return UNLIMITED
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06d}".rstrip("0") if value.microseconds else ""
    date = f"{value.days}D" if value.days else ""
    time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction:
        time += f"{seconds}{fraction}S"
    if not date and not time:
        return "PT0S"
    return f"P{date}T{time}" if time else f"P{date}"


def normal_duration(text: object, name: str) -> str:
    """Return the duration as the service would echo it."""
    return duration_text(duration(text, name))


def check_id(value: object, name: str = "id") -> str:
    """Return an identifier that obeys the service's rule, or refuse it."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        reason = "An id is 1 to 64 letters, digits, hyphens and underscores"
        raise invalid(name, value, reason)
    return value


def without_nulls(value: Any, level: int = 0) -> Any:
    """Drop null members at every depth: absent is absent on this wire. Refuse what is nested too deep."""
    if level > _MOST_LEVELS:
        reason = f"The depth of nested values in a single property cannot exceed {_MOST_LEVELS}"
        raise BatchError("InvalidRequestBody", Reason=reason)
    if isinstance(value, dict):
        return {
            name: without_nulls(member, level + 1) for name, member in value.items() if member is not None
        }
    if isinstance(value, list):
        return [without_nulls(member, level + 1) for member in value]
    return value
