"""Keep several processes running: start them, prefix what they say, restart what dies, stop all in order.

One thread: the kernel's “die with your parent” is tied to the thread that started the child.
"""

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

_PR_SET_PDEATHSIG = 1
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0  # a child that ran this long is not in a crash loop
_TICK = 0.2


@dataclass(eq=False)
class Child:
    """One process to keep running, or to run once (`is_once`: until it ends well)."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str | None = None
    stop_seconds: float = 8.0
    is_once: bool = False
    stops_last: bool = False  # after all others are gone, because they depend on it
    on_line: Callable[[str], None] | None = None
    process: subprocess.Popen[bytes] | None = None
    pause: float = 0.5
    started_at: float = 0.0
    start_at: float | None = None  # when it is due to be started again
    is_done: bool = False
    _rest: bytes = field(default=b"", repr=False)


class Supervisor:
    """Runs children until it is told to stop; `say` prints one line about what happens."""

    def __init__(self, say: Callable[[str], None], *, output: IO[str] | None = None) -> None:
        self.say = say
        self.children: list[Child] = []
        self.stop_requests = 0
        self._output = output or sys.stdout
        self._selector = selectors.DefaultSelector()

    def add(self, child: Child) -> None:
        """Take on a child and start it."""
        self.children.append(child)
        self._start(child)

    def request_stop(self, *_: object) -> None:
        """Stop at the next turn; asked twice, kill. Fit to be a signal handler."""
        self.stop_requests += 1

    def run(self, each_turn: Callable[[], None]) -> None:
        """Look after the children until a stop is requested, then stop them all."""
        signal.signal(signal.SIGINT, self.request_stop)
        signal.signal(signal.SIGTERM, self.request_stop)
        try:
            while not self.stop_requests:
                self._turn()
                each_turn()
        finally:
            self._stop_all()

    def _turn(self) -> None:
        self._read(_TICK)
        now = time.monotonic()
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._ended(child, now)
            if child.start_at is not None and child.start_at <= now:
                self._start(child)

    def _start(self, child: Child) -> None:
        child.start_at = None
        child.started_at = time.monotonic()
        child.process = subprocess.Popen(
            child.command,
            env=dict(child.environment),
            cwd=child.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop the rest in order.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _ended(self, child: Child, now: float) -> None:
        """Report an end, and plan the next start."""
        assert child.process is not None
        code = child.process.returncode
        self._drain(child)
        _kill_group(child.process)  # whatever it left behind
        child.process = None
        if child.is_once and code == 0:
            child.is_done = True
            return
        if now - child.started_at > _STEADY_SECONDS:
            child.pause = 0.5
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self.say(f"{child.name} {how}; starting it again in {child.pause:g} s")
        child.start_at = now + child.pause
        child.pause = min(child.pause * 2, _LONGEST_PAUSE)

    def _read(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            self._pass_on(key.data)

    def _pass_on(self, child: Child) -> bool:
        """Print what a child has said, line by line; return False at the end of its output."""
        assert child.process is not None
        assert child.process.stdout is not None
        data = child.process.stdout.read1(65536)  # type: ignore[attr-defined]
        if data is None:
            return True
        *lines, child._rest = (child._rest + data).split(b"\n")
        if not data and child._rest:
            lines, child._rest = [child._rest], b""
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            print(f"{child.name:<9}| {text}", file=self._output, flush=True)
            if child.on_line is not None:
                child.on_line(text)
        if not data:
            self._selector.unregister(child.process.stdout)
        return bool(data)

    def _drain(self, child: Child) -> None:
        """Print the rest of what a child that has ended said, and close the pipe."""
        assert child.process is not None
        pipe = child.process.stdout
        assert pipe is not None
        deadline = time.monotonic() + 1.0  # a grandchild may hold the pipe open
        while pipe in self._selector.get_map() and time.monotonic() < deadline:
            self._read(0.05)
        if pipe in self._selector.get_map():
            self._selector.unregister(pipe)
        pipe.close()

    def _stop_all(self) -> None:
        """Ask everybody to stop, in reverse order, and kill whoever does not in time."""
        for stops_last in (False, True):
            leaving = [child for child in reversed(self.children) if child.stops_last == stops_last]
            deadline = time.monotonic() + max((child.stop_seconds for child in leaving), default=0.0)
            for child in leaving:
                if child.process is not None:
                    child.process.terminate()
            while any(child.process is not None for child in leaving):
                self._read(_TICK)
                is_late = time.monotonic() > deadline or self.stop_requests > 1
                for child in leaving:
                    self._let_go(child, is_late=is_late)

    def _let_go(self, child: Child, *, is_late: bool) -> None:
        if child.process is None:
            return
        if is_late and child.process.poll() is None:
            self.say(f"{child.name} does not stop; killing it")
            _kill_group(child.process)
            child.process.wait()
        if child.process.poll() is not None:
            self._drain(child)
            _kill_group(child.process)
            child.process = None


def _die_with_parent() -> None:
    """Ask the kernel to kill this child when the supervisor dies: safe, because all work is repeatable."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
