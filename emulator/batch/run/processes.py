"""Run one command under its supervisor, until it ends, its time is over, or it is to stop."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.batch.run.sandbox import Mount, Namespace

SUPERVISOR = Path(__file__).with_name("supervisor.py")
# How late a time limit or the wish to stop may be noticed.
PATIENCE = 0.05
UMASK = 0o007


@dataclass(frozen=True)
class Launch:
    """A command and its surroundings; `outputs` are one file for both streams, or two."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    outputs: Sequence[Path]
    user: tuple[int, int] | None = None
    namespace: Namespace | None = None
    mounts: Sequence[Mount] = ()
    umask: int = UMASK

    def plan(self) -> dict[str, Any]:
        """Return the launch as the supervisor reads it."""
        return {
            "parent": os.getpid(),
            "command": list(self.command),
            "environment": dict(self.environment),
            "folder": self.folder,
            "outputs": [str(path) for path in self.outputs],
            "user": self.user,
            "namespace": self.namespace,
            "mounts": [mount.plan() for mount in self.mounts],
            "umask": self.umask,
        }


@dataclass(frozen=True)
class Ended:
    """How a command ended: `exit_code` is 128 + n for signal n, and None when it was never started."""

    exit_code: int | None
    is_stopped: bool = False
    is_too_long: bool = False
    step: str = ""
    errno: int = 0
    reason: str = ""


@dataclass
class _Watch:
    """What is known of the process, and what was done about it."""

    stop: threading.Event
    limit: float | None
    end: float | None = None
    is_stopped: bool = False
    is_too_long: bool = False

    def is_over(self) -> bool:
        """Tell, once, that the process has to go."""
        if self.is_stopped or self.is_too_long:
            return False
        self.is_stopped = self.stop.is_set()
        self.is_too_long = not self.is_stopped and self.end is not None and time.monotonic() >= self.end
        return self.is_stopped or self.is_too_long


def run(
    launch: Launch,
    *,
    stop: threading.Event,
    limit: float | None = None,
    on_started: Callable[[], None] = lambda: None,
) -> Ended:
    """Run the command in the calling thread; `limit` is in seconds of real time from its start.

    When this returns, every process that the command started is gone.
    """
    process = subprocess.Popen(
        (sys.executable, "-I", "-S", str(SUPERVISOR)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env={"LANG": "C.UTF-8"},
        start_new_session=True,
    )
    events = queue.SimpleQueue[dict[str, Any]]()
    reader = threading.Thread(target=_read, args=(process, launch, events), daemon=True)
    reader.start()
    try:
        return _follow(process, events, _Watch(stop, limit), on_started)
    finally:
        process.terminate()
        process.wait()
        reader.join()


def _read(
    process: "subprocess.Popen[bytes]", launch: Launch, events: "queue.SimpleQueue[dict[str, Any]]"
) -> None:
    """Hand the plan over and pass on what the supervisor says; `gone` is the last event."""
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout, contextlib.suppress(BrokenPipeError):
        with process.stdin:
            process.stdin.write(json.dumps(launch.plan()).encode())
        for line in process.stdout:
            events.put(json.loads(line))
    events.put({"event": "gone"})


def _follow(
    process: "subprocess.Popen[bytes]",
    events: "queue.SimpleQueue[dict[str, Any]]",
    watch: _Watch,
    on_started: Callable[[], None],
) -> Ended:
    while True:
        if watch.is_over():
            process.terminate()
        try:
            event = events.get(timeout=PATIENCE)
        except queue.Empty:
            continue
        match event["event"]:
            case "started":
                watch.end = None if watch.limit is None else time.monotonic() + watch.limit
                on_started()
            case "ended":
                code = os.waitstatus_to_exitcode(event["status"])
                return Ended(code if code >= 0 else 128 - code, watch.is_stopped, watch.is_too_long)
            case "failed":
                reason = event["reason"]
                return Ended(None, watch.is_stopped, step=event["step"], errno=event["errno"], reason=reason)
            case _:
                reason = f"The supervisor ended with code {process.wait()}"
                return Ended(None, watch.is_stopped, watch.is_too_long, step="supervisor", reason=reason)
