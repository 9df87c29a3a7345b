"""Reading output of tasks while pages wait: few at once, and nobody waits for an Azure that is silent."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from activity.models import Account
from cloud.errors import CloudError

MOST_AT_ONCE = 3
WAIT_SECONDS = 1.0
PAUSE_SECONDS = 15.0
SHORTEST_SECRET = 4  # bytes

_seats = threading.BoundedSemaphore(MOST_AT_ONCE)
_closed_until: dict[int, float] = {}


class NotNow(Exception):
    """Too many read at once, or Azure did not answer a moment ago; try again in `seconds`."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


@contextmanager
def live(account: Account) -> Iterator[None]:
    """Allow one live read of an account's files; raises NotNow instead of making pages queue.

    A fault of the connection closes the account's live reads for a while, so that a silent Azure
    never holds more than MOST_AT_ONCE of a web process's threads, and those only once per pause.
    """
    left = _closed_until.get(account.pk, 0.0) - time.monotonic()
    if left > 0:
        raise NotNow("Azure Batch did not answer a moment ago.", seconds=left)
    if not _seats.acquire(timeout=WAIT_SECONDS):
        raise NotNow("Too many files are being read at once.", seconds=2)
    try:
        yield
    except CloudError as error:
        # Not for an error about one file: that would close the logs of all others with it.
        if error.kind in ("timeout", "unreachable", "throttled"):
            _closed_until[account.pk] = time.monotonic() + max(PAUSE_SECONDS, error.retry_after or 0)
        raise
    finally:
        _seats.release()


def masked(window: bytes, secrets: Iterable[bytes]) -> bytes:
    """Return the same number of bytes with every byte of each secret starred out, also where two overlap."""
    shown = bytearray(window)
    for secret in _known(secrets):
        at = window.find(secret)
        while at >= 0:
            shown[at : at + len(secret)] = b"*" * len(secret)
            at = window.find(secret, at + 1)
    return bytes(shown)


def withheld(data: bytes, secrets: Iterable[bytes]) -> int:
    """Return how many bytes at the end could be the beginning of a secret, to be held back until more is there."""
    longest = 0
    for secret in _known(secrets):
        for length in range(min(len(secret) - 1, len(data)), longest, -1):
            if data.endswith(secret[:length]):
                longest = length
                break
    return longest


def masked_pieces(pieces: Iterable[bytes], secrets: Sequence[bytes]) -> Iterator[bytes]:
    """Yield a stream with each secret starred out, also where it lies across two pieces."""
    known = _known(secrets)
    reach = max(map(len, known), default=1) - 1
    window, given = b"", 0  # the latest bytes as they came, and how many of them have been yielded
    for piece in pieces:
        window += piece
        ready = len(window) - withheld(window, known)
        yield masked(window, known)[given:ready]
        # A secret may begin in what was yielded, behind another one, and end in what comes.
        dropped = max(0, ready - reach)
        window, given = window[dropped:], ready - dropped
    yield masked(window, known)[given:]


def _known(secrets: Iterable[bytes]) -> list[bytes]:
    """Return the secrets that are looked for: starring out the shortest ones would spoil the log and tell them."""
    return [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
