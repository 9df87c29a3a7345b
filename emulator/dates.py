"""Reading the dates that clients and tasks write, whatever they write."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def http_date(text: str) -> datetime:
    """Return the instant of a header (RFC 1123), in UTC; a date that names no zone is taken as one of UTC.

    Raise ValueError, and nothing else, for what is no date or lies beyond the calendar.
    """
    try:
        return _utc(parsedate_to_datetime(text))
    except (IndexError, OverflowError, TypeError) as error:
        raise ValueError(f"{text[:64]!r} is not a date") from error


def iso_date(text: str) -> datetime:
    """Return the instant of a document (ISO 8601, with up to seven digits after the seconds), as above."""
    try:
        return _utc(datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text.strip())))
    except OverflowError as error:
        raise ValueError(f"{text[:64]!r} is not an instant") from error


def file_date(nanoseconds: int) -> datetime:
    """Return the instant of a file's time stamp, counted from 1970, in UTC.

    Tasks may set any: one beyond the calendar is its first or last instant.
    """
    try:
        return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return (datetime.max if nanoseconds > 0 else datetime.min).replace(tzinfo=UTC)


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
