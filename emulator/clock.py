"""What time it is, and how long the emulated machinery takes."""

import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Tell the real time, and shorten the waits of emulated machines by `scale`.

    Time stamps are always real: clients compare them with their own clocks (signatures, tokens, SAS). Only the
    delays that the emulator invents (a node's boot, an allocation) are divided by `scale`: 10 means that they pass
    ten times faster. Processes of tasks run in real time, so their time limits are never scaled.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if scale <= 0:
            raise ValueError("the time scale must be greater than 0")
        self.scale = scale
        self._lock = threading.Lock()
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)

    def stamp(self) -> datetime:
        """Return an instant that no earlier call returned: ETags are made of it and must differ."""
        with self._lock:
            self._last = max(self.now(), self._last + timedelta(microseconds=1))
            return self._last

    def scaled(self, seconds: float) -> float:
        """Return how many real seconds an emulated wait of `seconds` takes."""
        return seconds / self.scale

    def after(self, seconds: float) -> datetime:
        """Return the real instant at which an emulated wait of `seconds`, begun now, is over.

        It is the calendar's last one for a wait that would end after it.
        """
        try:
            return self.now() + timedelta(seconds=self.scaled(seconds))
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)

    def sleep(self, seconds: float) -> None:
        """Wait for an emulated `seconds`."""
        time.sleep(self.scaled(seconds))
