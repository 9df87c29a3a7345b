"""The local Azure that tests speak to: the real emulator in a process of its own, never a double of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

COMMAND: Sequence[str] = (sys.executable, "-m", "emulator")
ROOT = Path(__file__).parent.parent
READY_SECONDS = 30
STOP_SECONDS = 30
# Waits of the emulated machines pass twenty times faster; a node is idle within half a second.
TIME_SCALE = "20"
SERVICES = ("batch", "registry", "identity", "blob")


class RunningEmulator:
    """One emulator over one folder, that can be killed and started again on the same ports."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.data_dir = data_dir
        self.arguments = arguments
        self.ports = dict.fromkeys(SERVICES, 0)
        self.process: subprocess.Popen[str] | None = None
        self.endpoints: dict[str, Any] = {}

    def start(self) -> dict[str, Any]:
        """Start it, wait for `ready`, and return its endpoints."""
        ports = [f"--{name}-port={port}" for name, port in self.ports.items()]
        log = (self.data_dir.parent / f"{self.data_dir.name}.log").open("a")
        with log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", f"--data-dir={self.data_dir}", *ports, *self.arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        stdout = self.process.stdout
        line = stdout.readline().strip() if stdout else ""
        if line != "ready":
            self.kill()
            raise RuntimeError(f"The emulator did not start: {Path(log.name).read_text()[-4000:]}")
        self.endpoints = json.loads((self.data_dir / "endpoints.json").read_text())
        urls = {
            name: self.endpoints[name].get("url") or self.endpoints[name]["authority"] for name in SERVICES
        }
        self.ports = {name: urlsplit(url).port or 443 for name, url in urls.items()}
        return self.endpoints

    def kill(self) -> None:
        """Kill it without warning, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self._forget()

    def stop(self) -> int:
        """Stop it as a supervisor would and return its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        return self._forget()

    def _forget(self) -> int:
        if self.process is None:
            return 0
        code = self.process.wait(STOP_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return the endpoints (the content of endpoints.json) of an emulator that all tests share.

    Tests keep apart by the ids of what they make. Tasks run as plain processes; tests of containers start an
    emulator of their own with RunningEmulator.
    """
    running = RunningEmulator(
        tmp_path_factory.mktemp("emulator") / "data",
        f"--time-scale={TIME_SCALE}",
        "--container-runtime=process",
    )
    try:
        yield running.start()
    finally:
        running.stop()
