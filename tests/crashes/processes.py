"""Celery's worker and beat as real processes on the database of the running test.

They are forked from a server that has imported everything already, so that starting one costs a moment.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]
_context = multiprocessing.get_context("forkserver")


class Processes:
    """The processes of one test; all are gone when it ends. `log` gets what they say.

    All of one test run share a database, an emulator and a broker: the server reads the settings once.
    """

    def __init__(self, folder: Path, endpoints: Mapping[str, Any], broker_url: str) -> None:
        self.log = folder / "processes.log"
        self.started: list[BaseProcess] = []
        environment = {
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.crashes.settings",
            "ZOOBATCH_DATABASE_URL": _database_url(),
            "ZOOBATCH_BROKER_URL": broker_url,
            "ZOOBATCH_CA_BUNDLE": endpoints["ca"],
            "ZOOBATCH_AUTHORITY": endpoints["identity"]["authority"],
        }
        _context.set_forkserver_preload(["tests.crashes.preloaded"])
        with mock.patch.dict(os.environ, environment):
            forkserver.ensure_running()

    def worker(self, *, crash_at: str = "") -> BaseProcess:
        """Start a worker, which kills itself at a step if one is named."""
        options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return self._start("worker", *options, crash_at=crash_at)

    def beat(self) -> BaseProcess:
        """Start beat, which rings again for what was lost."""
        schedule = self.log.with_name("beat-schedule")
        return self._start("beat", f"--schedule={schedule}")

    def stop(self) -> None:
        """Stop everything that still runs, as suddenly as the rest: a warm shutdown has tests of its own."""
        for process in self.started:
            process.kill()
        for process in self.started:
            process.join()

    def _start(self, *arguments: str, crash_at: str = "") -> BaseProcess:
        process = _context.Process(target=_run, args=(arguments, self.log, crash_at))
        process.start()
        self.started.append(process)
        return process


def _run(arguments: tuple[str, ...], log: Path, crash_at: str) -> None:
    """Be a Celery process; this runs in the forked one."""
    from dashboard.celery import app

    with log.open("ab") as said:
        os.dup2(said.fileno(), sys.stdout.fileno())
        os.dup2(said.fileno(), sys.stderr.fileno())
    os.environ["CRASH_AT"] = crash_at
    app.start(["--quiet", *arguments])


def _database_url() -> str:
    """Return the address of the test's own database for other processes."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    found = settings.DATABASES["default"]
    password = f":{found['PASSWORD']}" if found.get("PASSWORD") else ""
    return f"postgres://{found['USER']}{password}@{found['HOST']}:{found['PORT'] or 5432}/{name}"


def broker_url(folder: Path, worker: str) -> str:
    """Return a broker that no other run rings: a file in the folder, or a database of Redis by the test worker's number."""
    if not settings.CELERY_BROKER_URL.startswith("redis"):
        return f"sqlq://localhost/{folder}/broker.sqlite3"
    server, _, _ = settings.CELERY_BROKER_URL.rpartition("/")
    return f"{server}/{11 + int(worker.removeprefix('gw') or 0)}"
