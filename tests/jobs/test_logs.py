"""Secrets in output, and the limits of live reading."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activity.models import Account
from cloud.errors import CloudError
from jobs import logs
from jobs.files import is_safe

SECRETS = [b"hunter22", b"s3cret"]


@pytest.fixture(autouse=True)
def _open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_closed_until", {})


def test_a_secret_is_starred_out_byte_for_byte() -> None:
    """Offsets stay what they were."""
    assert logs.masked(b"key=hunter22;", SECRETS) == b"key=********;"


@pytest.mark.parametrize(("end", "held"), [(b"...hunt", 4), (b"...s", 1), (b"...x", 0), (b"hunter2", 7)])
def test_the_beginning_of_a_secret_is_held_back(end: bytes, held: int) -> None:
    """Until the rest of it is there, or it proves to be none."""
    assert logs.withheld(end, SECRETS) == held


@pytest.mark.parametrize("cut", range(1, 24))
def test_a_stream_hides_secrets_wherever_it_is_cut(cut: int) -> None:
    """Across two pieces too."""
    whole = b"a hunter22 b s3cret c hun"
    shown = b"".join(logs.masked_pieces([whole[:cut], whole[cut:]], SECRETS))
    assert shown == b"a ******** b ****** c hun"


def test_a_longer_secret_is_hidden_whole_and_overlapping_ones_are_too() -> None:
    """In whatever order they are given."""
    assert logs.masked(b"a hunter22-extra b hunter22", [b"hunter22", b"hunter22-extra"]) == b"a %s b %s" % (
        b"*" * 14,
        b"*" * 8,
    )
    assert logs.masked(b"abcdefgh", [b"abcdef", b"defgh"]) == b"********"


def test_too_short_a_secret_is_left() -> None:
    """Else every log would be stars, and tell it."""
    assert logs.masked(b"a cat, abc, abcd", [b"", b"a", b"abc", b"abcd"]) == b"a cat, abc, ****"
    assert logs.withheld(b"xab", [b"abc", b"x"]) == 0


@given(
    pieces=st.lists(st.text("abc", max_size=8).map(str.encode), max_size=12),
    secrets=st.lists(st.text("abc", max_size=9).map(str.encode), max_size=4),
)
def test_pieces_show_what_the_whole_would(pieces: list[bytes], secrets: list[bytes]) -> None:
    """However the stream is cut, byte for byte; and what was shown of a growing log is never taken back."""
    whole = b"".join(pieces)
    masked = logs.masked(whole, secrets)
    assert len(masked) == len(whole)
    assert all(secret not in masked for secret in secrets if len(secret) >= logs.SHORTEST_SECRET)
    assert b"".join(logs.masked_pieces(pieces, secrets)) == masked
    for end in range(len(whole) + 1):
        ready = end - logs.withheld(whole[:end], secrets)
        assert logs.masked(whole[:end], secrets)[:ready] == masked[:ready]


def test_a_silent_azure_closes_live_reading_for_a_while(account: Account) -> None:
    """The next page does not wait for it again."""
    with pytest.raises(CloudError), logs.live(account):
        raise CloudError(code="x", message="no answer", kind="timeout")
    with pytest.raises(logs.NotNow), logs.live(account):
        pytest.fail("it must not be tried")


def test_a_missing_file_closes_nothing(account: Account) -> None:
    """It is an answer."""
    with pytest.raises(CloudError), logs.live(account):
        raise CloudError(code="x", message="no such file", kind="not_found")
    with logs.live(account):
        pass


def test_only_a_few_read_at_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are told to come back."""
    monkeypatch.setattr(logs, "WAIT_SECONDS", 0.01)
    readers: list[Any] = [logs.live(account) for _ in range(logs.MOST_AT_ONCE)]
    for reader in readers:
        reader.__enter__()
    with pytest.raises(logs.NotNow), logs.live(account):
        pytest.fail("there is no seat left")
    for reader in readers:
        reader.__exit__(None, None, None)
    with logs.live(account):
        pass


@pytest.mark.parametrize(
    ("path", "safe"), [("wd/a.json", True), ("stdout.txt", True), ("", False), ("a\\b", False), ("..", False)]
)
def test_safe_paths(path: str, safe: bool) -> None:
    """Nothing above the folder."""
    assert is_safe(path) is safe


def test_one_file_that_azure_cannot_read_closes_nothing(account: Account) -> None:
    """Else a single odd name would keep everybody from every log."""
    with pytest.raises(CloudError), logs.live(account):
        raise CloudError(code="x", message="internal error", kind="server")
    with logs.live(account):
        pass
    assert not is_safe("wd/\0")
