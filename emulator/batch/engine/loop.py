"""The engine's thread: pass after pass over what is unsettled."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from emulator.batch.delays import Delays
from emulator.batch.engine import execution, jobs, nodes, pools, recovery, scheduling
from emulator.batch.engine.runs import Run, Runs, stop
from emulator.batch.runner import Runner
from emulator.batch.tables import Tables
from emulator.clock import Clock

logger = logging.getLogger(__name__)
# A pass is cheap; this bounds how late a deadline that nothing announced is noticed.
LONGEST_WAIT = 1.0
SHUTDOWN_SECONDS = 10.0


class Engine:
    """Moves everything on. Its collaborators change items inside `tables.store.transaction()` only."""

    def __init__(
        self, *, tables: Tables, clock: Clock, runner: Runner, delays: Delays, accounts: Sequence[str]
    ) -> None:
        self.tables = tables
        self.clock = clock
        self.runner = runner
        self.delays = delays
        self.accounts = list(accounts)
        self.runs = Runs()
        self.is_stopping = False
        self._later: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="batch-engine", daemon=True)

    def start(self) -> None:
        """Recover from the last end, then begin."""
        with self.tables.store.transaction():
            recovery.recover(self)
        self._thread.start()

    def stop(self) -> None:
        """End the loop and kill the processes; what they were doing stays marked as running for recovery."""
        self.is_stopping = True
        self._wake.set()
        self._thread.join(timeout=SHUTDOWN_SECONDS)
        stop(self.runs.all())
        for thread in threading.enumerate():
            if thread.name.startswith("batch-run-"):
                thread.join(timeout=SHUTDOWN_SECONDS)

    def kick(self) -> None:
        """Ask for a pass now."""
        self._wake.set()

    def later(self, action: Callable[[], None]) -> None:
        """Do slow work (removing files) after the pass has committed, outside its transaction."""
        self._later.append(action)

    def begin(self, run: Run) -> None:
        """Occupy the run's place now and start its thread once the transaction has committed."""
        self.runs.add(run)
        self.later(partial(self._spawn, run))

    def _spawn(self, run: Run) -> None:
        name = f"batch-run-{run.id}"
        threading.Thread(target=self._carry_out, args=(run,), name=name, daemon=True).start()

    def _carry_out(self, run: Run) -> None:
        try:
            _WORK[run.kind](self, run)
        except Exception:
            logger.exception("The %s on node %s failed in the emulator", run.kind, run.node)
            if not self.is_stopping:
                _GIVE_UP[run.kind](self, run)
        finally:
            with self.tables.store.transaction():
                self.runs.remove(run)
                if not self.is_stopping:
                    nodes.settle(self, run.account, run.pool, run.node)
            self.kick()

    def _loop(self) -> None:
        while not self.is_stopping:
            self._wake.clear()
            try:
                self.step(self.clock.now())
            except Exception:
                logger.exception("A pass of the engine failed")
            self._wake.wait(self._wait())

    def step(self, now: datetime) -> None:
        """Make one pass: everything that is due moves on, and free slots take tasks."""
        with self.tables.store.transaction():
            pools.advance(self, now)
            nodes.advance(self, now)
            jobs.advance(self, now)
            scheduling.assign(self, now)
        self._run_later()

    def _run_later(self) -> None:
        while self._later:
            try:
                self._later.popleft()()
            except Exception:
                logger.exception("Work after a pass failed")

    def _wait(self) -> float:
        due = self.tables.next_due()
        if due is None:
            return LONGEST_WAIT
        return min(max(due - self.clock.now().timestamp(), 0.01), LONGEST_WAIT)


_Act = Callable[[Engine, Run], None]
_WORK: dict[str, _Act] = {"boot": nodes.boot, "task": execution.run_task, "release": jobs.run_release}
# What becomes of it when the emulator itself failed: no task or node may hang for ever.
_GIVE_UP: dict[str, _Act] = {
    "boot": nodes.give_up,
    "task": execution.give_up,
    "release": jobs.give_up,
}
