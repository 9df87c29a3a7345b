"""A whole zoobatch as `make run` starts it, in a folder and on ports of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 60


class Demo:
    """The supervisor and its children; `said` is everything that it has printed."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.ports = _free_ports(5)
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self.said: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until its pages answer and its first job is asked for."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ZOOBATCH_", "DJANGO_"))
        }
        self.said = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env=inherited
            | {
                "ZOOBATCH_DATA_DIR": str(self.data_dir),
                "ZOOBATCH_PORT": str(self.ports[0]),
                "ZOOBATCH_EMULATOR_PORTS": ",".join(map(str, self.ports[1:])),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self.wait(lambda: self.health("readyz")[0] == 200, "to be ready")

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does and return its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(STOP_SECONDS)
        self.process = None
        return code

    def wait(self, check: Callable[[], object], what: str, seconds: float = 120) -> None:
        """Wait for something; what was printed is shown when it does not come."""
        end = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < end, f"waited in vain {what}:\n" + "\n".join(self.said[-60:])
            time.sleep(0.2)

    def health(self, name: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of a health page; status 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/{name}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    @property
    def password(self) -> str:
        """The first user's password, printed at the first start alone; empty otherwise."""
        found = re.search(r"with password (\S+)", "\n".join(self.said))
        return found.group(1) if found else ""

    @property
    def endpoints(self) -> dict[str, Any]:
        """What the local Azure says of itself."""
        found: dict[str, Any] = json.loads((self.data_dir / "emulator" / "endpoints.json").read_text())
        return found

    def child(self, words: str) -> int:
        """Return the process id of the child with these words in its command line."""
        assert self.process is not None
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and _parent(folder) == self.process.pid:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if words in command:
                    return int(folder.name)
        raise AssertionError(f"no child has {words!r} in its command line")

    def survivors(self) -> list[str]:
        """Return the command lines of processes that still work on this data folder."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                is_ours = (
                    str(self.data_dir).encode()
                    in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
                )
            except OSError:
                continue
            if is_ours and int(folder.name) != os.getpid():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def _listen(self) -> None:
        process = self.process
        assert process is not None
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.said.append(line.rstrip())


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_bytes().rpartition(b") ")[2].split()[1])
    except OSError:
        return 0


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
