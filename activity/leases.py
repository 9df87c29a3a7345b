"""Keep a lease alive from a thread while its holder waits for Azure."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connection

log = logging.getLogger(__name__)


@contextmanager
def kept_alive(extend: Callable[[], bool], *, seconds: float) -> Iterator[threading.Event]:
    """Extend a lease of so many seconds four times within it; the yielded event is set once it is lost."""
    lost, done = threading.Event(), threading.Event()

    def beat() -> None:
        try:
            while not done.wait(seconds / 4):
                try:
                    if not extend():
                        lost.set()
                        return
                except DatabaseError as error:
                    log.warning("lease extend=failed error=%s", error)
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join()
