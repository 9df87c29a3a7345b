"""The process between the emulator and a task: it makes the task's surroundings, starts it, and buries it.

Run as a script of its own (`python -I -S supervisor.py`), since forking a process of many threads and then running
Python in the child is not safe. It reads one JSON object from standard input and writes one JSON object per event
to standard output: {"event": "started", "pid"}, then {"event": "ended", "status"} (as waitpid gives it), or
{"event": "failed", "step", "errno", "reason"} when the command could not be started.

It is killed gently (SIGTERM) when the emulator dies or wants the task stopped, and then kills every descendant of
the task, also those that left the process group: it is their subreaper.
"""

import contextlib
import ctypes
import errno
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
SCAN_SECONDS = 0.02
_libc = ctypes.CDLL(None, use_errno=True)
_is_stopping = False


class StepFailed(Exception):
    """A step before the command's start failed; carries the step's name and the errno."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(step)
        self.step = step
        self.error = error


def main() -> None:
    """Carry out the plan on standard input and exit when the task and all it started are gone."""
    plan = json.load(sys.stdin)
    _null_input()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _stop)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != plan["parent"]:
        return
    try:
        output = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in plan["outputs"]]
        _enter_namespace(plan)
        _mount(plan["mounts"])
        child = _start(plan, output)
    except StepFailed as failure:
        error = failure.error
        _tell(event="failed", step=failure.step, errno=error.errno, reason=str(error))
        return
    for descriptor in output:
        os.close(descriptor)
    _tell(event="started", pid=child)
    if _is_stopping:
        _kill_descendants()
    status = _wait(child)
    _bury()
    _tell(event="ended", status=status)


def _tell(**event: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


def _null_input() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), "prctl")


def _check(result: int, step: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise StepFailed(step, OSError(number, os.strerror(number)))


def _enter_namespace(plan: dict[str, Any]) -> None:
    """Get a mount namespace of our own: with `namespace` "mount" as root, with "user" as anybody."""
    if plan["namespace"] is None:
        return
    uid, gid = os.getuid(), os.getgid()
    is_user = plan["namespace"] == "user"
    _check(_libc.unshare(CLONE_NEWNS | (CLONE_NEWUSER if is_user else 0)), "unshare")
    if is_user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount /")


def _mount(mounts: list[dict[str, str]]) -> None:
    """Carry out the mounts in order; sources are opened first, as a mount may cover a later source."""
    sources = [os.open(each["source"], os.O_PATH) if each["kind"] == "bind" else -1 for each in mounts]
    for each, source in zip(mounts, sources, strict=True):
        target = each["target"].encode()
        os.makedirs(target, exist_ok=True)  # noqa: PTH103 - bytes, as mount(2) wants them
        step = f"mount {each['target']}"
        if each["kind"] == "bind":
            path = f"/proc/self/fd/{source}".encode()
            _check(_libc.mount(path, target, None, MS_BIND | MS_REC, None), step)
            os.close(source)
        else:
            flags = MS_NOSUID | MS_NODEV if each["kind"] == "tmpfs" else 0
            kind = each["kind"].encode()
            _check(_libc.mount(kind, target, kind, flags, each["options"].encode()), step)


def _start(plan: dict[str, Any], output: list[int]) -> int:
    """Fork the task and return its pid once the command runs; raise StepFailed when it cannot."""
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _become_task(plan, output, parent, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        fault = pipe.read()
    if fault:
        os.waitpid(child, 0)
        found = json.loads(fault)
        raise StepFailed(found["step"], OSError(found["errno"], found["reason"]))
    return child


def _become_task(plan: dict[str, Any], output: list[int], parent: int, fault: int) -> NoReturn:
    step = "start"
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setsid()
        os.dup2(output[0], 1)
        os.dup2(output[-1], 2)
        if plan["user"] is not None:
            step = "user"
            uid, gid = plan["user"]
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            _prctl(PR_SET_NO_NEW_PRIVS, 1)
        os.umask(plan["umask"])
        # After the change of user, which clears it.
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        step = "folder"
        os.chdir(plan["folder"])
        step = "command"
        os.execvpe(plan["command"][0], plan["command"], plan["environment"])
    except StepFailed as failure:
        _report(fault, step, failure.error)
    except OSError as error:
        _report(fault, step, error)
    except ValueError as error:  # a NUL somewhere, or a name of a variable that cannot be one
        _report(fault, step, OSError(errno.EINVAL, str(error)))
    os._exit(127)


def _report(pipe: int, step: str, error: OSError) -> None:
    fault = {"step": step, "errno": error.errno, "reason": error.strerror}
    os.write(pipe, json.dumps(fault).encode())


def _wait(child: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status


def _bury() -> None:
    """Kill and wait until no descendant is left: orphans come to us, so each round finds the next ones."""
    while True:
        _kill_descendants()
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(SCAN_SECONDS)


def _stop(_number: int, _frame: object) -> None:
    global _is_stopping
    _is_stopping = True
    _kill_descendants()


def _kill_descendants() -> None:
    parents = dict[int, int]()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(entry.path, "stat").read_bytes().rpartition(b") ")[2].split()
                parents[int(entry.name)] = int(fields[1])
    mine = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= found
    for pid in mine - {os.getpid()}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
