"""What goes wrong: processes killed without warning, messages that never arrive, Azure away for a moment."""

import random
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from activity.models import Operation
from dashboard.celery import app
from tests.crashes.processes import Processes
from tests.emulator_fixture import RunningEmulator

WORKERS = 2
EMULATOR_EVERY = 6
BEAT_EVERY = 5


class Strikes:
    """Kills and starts again; `counts` says what was hit how often."""

    def __init__(self, processes: Processes, emulator: RunningEmulator, chance: random.Random) -> None:
        self.processes, self.emulator, self.chance = processes, emulator, chance
        self.counts: Counter[str] = Counter()
        self.caught = 0
        self._strikes = 0
        self.beat = processes.beat()
        self.workers = [processes.worker() for _ in range(WORKERS)]
        self.next_at = self._soon()

    def strike_if_due(self) -> None:
        """Strike every two to four seconds: always at a worker, at the rest from time to time."""
        if time.monotonic() < self.next_at:
            return
        self._strikes += 1
        if self.chance.random() < 0.5:
            self.counts["messages dropped"] += app.control.purge() or 0
        self.caught += Operation.objects.filter(state=Operation.State.RUNNING).count()
        both = self.chance.random() < 0.2
        for index in range(WORKERS) if both else [self.chance.randrange(WORKERS)]:
            self.workers[index] = self._kill("workers", self.workers[index], self.processes.worker)
        if self._strikes % BEAT_EVERY == 3:
            self.beat = self._kill("beat", self.beat, self.processes.beat)
        if self._strikes % EMULATOR_EVERY == 2:
            self._take_azure_away()
        self.next_at = self._soon()

    def _soon(self) -> float:
        return time.monotonic() + self.chance.uniform(2, 4)

    def _kill(self, name: str, victim: BaseProcess, start: Callable[[], BaseProcess]) -> BaseProcess:
        """Kill a process, which has no children: worker threads die with it. Return its successor."""
        if victim.exitcode is not None:
            raise RuntimeError(
                f"One of the {name} has ended by itself: {self.processes.log.read_text()[-4000:]}"
            )
        victim.kill()
        victim.join()
        self.counts[name] += 1
        return start()

    def _take_azure_away(self) -> None:
        self.emulator.kill()
        self.counts["emulator"] += 1
        time.sleep(self.chance.uniform(0.2, 2))
        self.emulator.start()
