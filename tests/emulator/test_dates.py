"""Dates of clients: read, or refused in one way."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.clock import Clock
from emulator.dates import file_date, http_date, iso_date

PARTS = (
    "Mon,",
    "01",
    "Jan",
    "2024",
    "00:00:00",
    "GMT",
    "-0000",
    "+9999",
    "9" * 30,
    "T",
    "Z",
    ",",
    ":",
    "²",
    "\0",
    "é",
)
TEXTS = st.text(max_size=40) | st.lists(st.sampled_from(PARTS), max_size=9).map(" ".join)


@given(text=TEXTS)
def test_any_text_is_a_date_in_utc_or_a_value_error(text: str) -> None:
    for read in (http_date, iso_date):
        with contextlib.suppress(ValueError):
            assert read(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("Mon, 01 Jan 2024 10:00:00 GMT", 10),
        ("Mon, 01 Jan 2024 10:00:00 +0200", 8),
        ("Mon, 01 Jan 2024 10:00:00 -0000", 10),
        ("Mon, 01 Jan 2024 10:00:00", 10),
    ],
)
def test_date_of_a_header(text: str, hour: int) -> None:
    assert http_date(text) == datetime(2024, 1, 1, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2024-01-01T10:00:00Z", 10),
        ("2024-01-01T10:00:00.0000000+02:00", 8),
        ("2024-01-01T10:00", 10),
    ],
)
def test_date_of_a_document(text: str, hour: int) -> None:
    assert iso_date(text) == datetime(2024, 1, 1, hour, tzinfo=UTC)


def test_date_of_a_file() -> None:
    assert file_date(1_700_000_000_123_456_789) == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert file_date(10**27) == datetime.max.replace(tzinfo=UTC)
    assert file_date(-(10**27)) == datetime.min.replace(tzinfo=UTC)


def test_wait_that_outlasts_the_calendar_ends_with_it() -> None:
    assert Clock(scale=0.001).after(1e12) == datetime.max.replace(tzinfo=UTC)
