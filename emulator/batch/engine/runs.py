"""What is being done on the nodes right now: the one part of the state that lives in memory.

A run ends when its process has really ended; until then it occupies its slots, whatever the task's state says.
"""

import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Run:
    """One thread at work on a node: booting it, running a task, or a job's release task."""

    kind: Literal["boot", "task", "release"]
    account: str
    pool: str
    node: str
    job: str = ""
    task: str = ""
    slots: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    stop: threading.Event = field(default_factory=threading.Event, compare=False)


class Runs:
    """The runs in progress; changed only inside a transaction of the store, which serialises them."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._locks: dict[tuple[str, str, str, str], threading.Lock] = {}

    def add(self, run: Run) -> None:
        """Occupy the run's slots."""
        self._runs[run.id] = run

    def remove(self, run: Run) -> None:
        """Free the run's slots."""
        self._runs.pop(run.id, None)

    def all(self) -> list[Run]:
        """Return every run."""
        return list(self._runs.values())

    def of_node(self, account: str, pool: str, node: str) -> list[Run]:
        """Return what goes on on one node."""
        return [run for run in self.all() if (run.account, run.pool, run.node) == (account, pool, node)]

    def of_job(self, account: str, job: str) -> list[Run]:
        """Return the tasks and release tasks of one job."""
        return [run for run in self.all() if (run.account, run.job) == (account, job)]

    def of_task(self, account: str, job: str, task: str) -> list[Run]:
        """Return the runs of one task: more than one only while an earlier one is still dying."""
        return [run for run in self.of_job(account, job) if run.task == task]

    def preparation_lock(self, run: Run) -> threading.Lock:
        """Return the lock that lets one task at a time prepare a job on a node."""
        return self._locks.setdefault((run.account, run.pool, run.node, run.job), threading.Lock())


def stop(runs: Iterable[Run]) -> None:
    """Tell the runs to kill their processes; they are removed when that is done."""
    for run in runs:
        run.stop.set()
