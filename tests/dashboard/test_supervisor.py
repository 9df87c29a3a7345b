"""Children are restarted when they die, stopped in order, and never outlive their supervisor."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.supervisor import Child, Supervisor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kept_signals() -> Iterator[None]:
    """Put the signal handlers back that a supervisor replaces."""
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in found.items():
        signal.signal(number, handler)


class Watched:
    """A supervisor whose words and children's words are kept, and which stops on a condition."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.output = io.StringIO()
        self.supervisor = Supervisor(self.said.append, output=self.output)

    def add(self, name: str, code: str, **options: object) -> Child:
        """Start a Python program as a child."""
        child = Child(name, [sys.executable, "-uc", textwrap.dedent(code)], os.environ, **options)  # type: ignore[arg-type]
        self.supervisor.add(child)
        return child

    def run_until(self, text: str, *, seconds: float = 15.0) -> str:
        """Run until the text was said or printed, stop all, and return everything."""
        deadline = time.monotonic() + seconds

        def each_turn() -> None:
            if text in self.everything() or time.monotonic() > deadline:
                self.supervisor.request_stop()

        self.supervisor.run(each_turn)
        return self.everything()

    def everything(self) -> str:
        """Return what the supervisor said and what the children printed."""
        return "\n".join(self.said) + "\n" + self.output.getvalue()


def is_alive(pid: int) -> bool:
    """Return whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pids: list[int]) -> None:
    """Give processes that were killed a moment to be gone."""
    deadline = time.monotonic() + 5
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if is_alive(pid)]


@pytest.mark.usefixtures("kept_signals")
def test_lines_are_prefixed_and_a_last_line_without_end_is_not_lost() -> None:
    watched = Watched()
    watched.add("web", "import sys; print('one'); sys.stdout.write('last')", is_once=True)
    shown = watched.run_until("last")
    assert "web      | one\nweb      | last\n" in shown


@pytest.mark.usefixtures("kept_signals")
def test_a_child_that_dies_is_reported_and_started_again() -> None:
    watched = Watched()
    child = watched.add("worker", "import time; print('up'); time.sleep(60)", on_line=lambda line: None)
    first: list[int] = []

    def kill_once() -> None:
        if "up" in watched.output.getvalue() and not first and child.process is not None:
            first.append(child.process.pid)
            os.kill(first[0], signal.SIGKILL)
        if watched.output.getvalue().count("up") == 2:
            watched.supervisor.request_stop()

    watched.supervisor.run(kill_once)
    assert watched.said == ["worker was killed by SIGKILL; starting it again in 0.5 s"]


@pytest.mark.usefixtures("kept_signals")
def test_restarts_pause_longer_each_time() -> None:
    watched = Watched()
    watched.add("web", "raise SystemExit(3)")
    watched.run_until("in 2 s")
    assert watched.said == [
        f"web ended with code 3; starting it again in {pause} s" for pause in ("0.5", "1", "2")
    ]


@pytest.mark.usefixtures("kept_signals")
def test_what_runs_once_is_tried_until_it_succeeds(tmp_path: Path) -> None:
    watched = Watched()
    flag = tmp_path / "flag"
    code = f"""
        import pathlib, sys
        flag = pathlib.Path({str(flag)!r})
        if not flag.exists():
            flag.touch()
            sys.exit(1)
        print("seeded")
    """
    child = watched.add("demo", code, is_once=True)
    watched.run_until("seeded")
    assert len(watched.said) == 1
    assert child.process is None


@pytest.mark.usefixtures("kept_signals")
def test_all_are_stopped_those_that_others_need_last_and_grandchildren_too() -> None:
    watched = Watched()
    polite = """
        import signal, subprocess, sys, time
        def stop(*_):
            print(f"{sys.argv[0]} bye", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
        print(f"helper {helper.pid}", flush=True)
        time.sleep(600)
    """
    watched.add("azure", polite, stops_last=True)
    watched.add("web", polite)
    deadline = time.monotonic() + 20

    def each_turn() -> None:
        if watched.output.getvalue().count("helper") == 2 or time.monotonic() > deadline:
            watched.supervisor.request_stop()

    watched.supervisor.run(each_turn)
    shown = watched.output.getvalue()
    assert shown.index("web      | -c bye") < shown.index("azure    | -c bye")
    helpers = [int(line.split()[-1]) for line in shown.splitlines() if "helper" in line]
    assert len(helpers) == 2
    wait_for_end(helpers)
    assert watched.said == []


@pytest.mark.usefixtures("kept_signals")
def test_who_does_not_stop_is_killed() -> None:
    watched = Watched()
    watched.add(
        "web",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(600)",
        stop_seconds=0.5,
    )
    watched.run_until("up")
    assert watched.said == ["web does not stop; killing it"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a child die with its parent")
def test_a_killed_supervisor_leaves_nobody_behind(tmp_path: Path) -> None:
    code = """
        import os, sys
        from dashboard.supervisor import Child, Supervisor
        supervisor = Supervisor(print)
        supervisor.add(Child("web", [sys.executable, "-c", "import time; time.sleep(600)"], os.environ))
        print(supervisor.children[0].process.pid, flush=True)
        supervisor.run(lambda: None)
    """
    supervisor = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    child = int(supervisor.stdout.readline())
    assert is_alive(child)
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    wait_for_end([child])
