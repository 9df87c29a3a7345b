"""Celery's worker and beat as real processes on the database of the running test."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 20


class Processes:
    """The processes of one test; all are gone when it ends. `log` gets what they say."""

    def __init__(self, folder: Path, endpoints: Mapping[str, Any], broker_url: str) -> None:
        self.log = folder / "processes.log"
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.crashes.settings",
            "ZOOBATCH_DATABASE_URL": _database_url(),
            "ZOOBATCH_BROKER_URL": broker_url,
            "ZOOBATCH_CA_BUNDLE": endpoints["ca"],
            "ZOOBATCH_AUTHORITY": endpoints["identity"]["authority"],
        }

    def worker(self, *, crash_at: str = "") -> subprocess.Popen[bytes]:
        """Start a worker, which kills itself at a step if one is named."""
        options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return self._start("worker", *options, CRASH_AT=crash_at)

    def beat(self) -> subprocess.Popen[bytes]:
        """Start beat, which rings again for what was lost."""
        return self._start("beat")

    def stop(self) -> None:
        """Stop everything that still runs."""
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "dashboard", *arguments]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment | environment, stdout=log, stderr=log
            )
        self.started.append(process)
        return process


def _database_url() -> str:
    """Return the address of the test's own database for other processes."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    found = settings.DATABASES["default"]
    password = f":{found['PASSWORD']}" if found.get("PASSWORD") else ""
    return f"postgres://{found['USER']}{password}@{found['HOST']}:{found['PORT'] or 5432}/{name}"


def broker_url(folder: Path, worker: str) -> str:
    """Return a broker that no other test rings: a file of its own, or a database of Redis by the test worker's number."""
    if not settings.CELERY_BROKER_URL.startswith("redis"):
        return f"sqlq://localhost/{folder}/broker.sqlite3"
    server, _, _ = settings.CELERY_BROKER_URL.rpartition("/")
    return f"{server}/{11 + int(worker.removeprefix('gw') or 0)}"
