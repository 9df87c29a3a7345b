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
    """Return the same number of bytes with each secret starred out."""
    for secret in secrets:
        if secret:
            window = window.replace(secret, b"*" * len(secret))
    return window


def withheld(data: bytes, secrets: Iterable[bytes]) -> int:
    """Return how many bytes at the end could be the beginning of a secret, to be held back until more is there."""
    longest = 0
    for secret in secrets:
        for length in range(min(len(secret) - 1, len(data)), longest, -1):
            if data.endswith(secret[:length]):
                longest = length
                break
    return longest


def masked_pieces(pieces: Iterable[bytes], secrets: Sequence[bytes]) -> Iterator[bytes]:
    """Yield a stream with each secret starred out, also where it lies across two pieces."""
    kept = b""
    for piece in pieces:
        window = masked(kept + piece, secrets)
        held = withheld(window, secrets)
        kept = window[len(window) - held :]
        yield window[: len(window) - held]
    yield kept
