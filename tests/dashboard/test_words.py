"""How numbers, times and names are said."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard import words
from dashboard.templatetags.zoobatch import bar, count_parts


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (62, "1 m 02 s"),
        (4321, "1 h 12 m"),
        (172_799, "47 h 59 m"),
        (200_000, "2 d 7 h"),
    ],
)
def test_lengths_of_time(seconds: float, said: str) -> None:
    """In the two largest units."""
    assert words.duration(timedelta(seconds=seconds)) == said
    assert words.duration(None) == ""


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2026, 11, 24, 14, 32, 10, tzinfo=UTC), "14:32:10"),
        (datetime(2026, 11, 22, 9, 12, tzinfo=UTC), "22 Nov 09:12"),
        (datetime(2025, 1, 3, 9, 12, tzinfo=UTC), "3 Jan 2025 09:12"),
    ],
)
def test_moments(moment: datetime, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter the nearer they are, always in UTC."""
    now = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
    monkeypatch.setattr(words.timezone, "now", lambda: now)
    assert words.clock(moment) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (None, "")]
)
def test_sizes(number: int | None, said: str) -> None:
    """In binary units."""
    assert words.size(number) == said


def test_counts_and_names() -> None:
    """The noun has the right number; long names lose what all share."""
    assert words.count(1, "node") == "1 node"
    assert words.count(2, "retry,retries") == "2 retries"
    assert words.noun(2, "job") == "jobs"
    assert words.short_size("STANDARD_NC4as_T4_v3") == "NC4as_T4_v3"
    assert words.image_tail("zoo.azurecr.io/a/b@sha256:0123456789abcdef") == "a/b@0123456789ab"
    assert words.image_tail("zoo.azurecr.io/pytorch:2.0") == "pytorch:2.0"
    assert words.initials("ada.lovelace") == "AL"
    assert words.initials("") == "?"
    assert words.state_word("starttaskfailed") == "Start task failed"
    assert words.state_word("idle") == "Idle"


def test_a_bar_is_as_wide_as_its_counts() -> None:
    """Parts follow one another; its text is escaped."""
    drawn = bar([("run", 1), ("idle", 1), ("bad", 0)], 4, 'a "b"')
    assert 'x="0.00%" width="25.00%"' in drawn
    assert 'class="f-hid" x="25.00%" width="25.00%"' in drawn
    assert "f-bad" not in drawn
    assert "a &quot;b&quot;" in drawn


def test_node_states_are_counted_by_family() -> None:
    """States that are on their way count together."""
    counts = {"running": 2, "creating": 1, "rebooting": 1, "starttaskfailed": 1, "preempted": 1}
    assert count_parts(counts) == [("run", 2), ("trans", 2), ("bad", 1), ("lost", 1)]
