"""Run everything on one machine: web, worker, beat and the local Azure, under one supervisor."""

import fcntl
import http.client
import json
import os
import socket
import sys
from typing import IO, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from dashboard.first_user import NAME, ensure_first_user
from dashboard.local_azure import connect
from dashboard.supervisor import Child, Supervisor

HOST = "127.0.0.1"  # a demo's passwords are for this machine alone


class Command(BaseCommand):
    """Start and look after the processes of a demo."""

    help = "Run web, worker, beat and the local Azure on this machine until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, start the children, connect the account once the local Azure is ready, seed the demo."""
        if not settings.IS_DEMO:
            raise CommandError(
                "This is for one machine. In production run web, worker and beat each by itself: docs/deploy.md."
            )
        lock = self._lock()
        self._require_free_ports()
        call_command("prepare")
        self.password = ensure_first_user()
        self.is_azure_ready = self.is_greeted = False
        self.supervisor = Supervisor(self._say)
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        self.environment = environment | {"DJANGO_SETTINGS_MODULE": "dashboard.settings"}
        # The local Azure is not ours: it gets none of our settings.
        bare = {
            name: value
            for name, value in environment.items()
            if not name.startswith(("ZOOBATCH_", "DJANGO_"))
        }
        self._add("azure", _azure(), environment=bare, stops_last=True, on_line=self._azure_said)
        self._add("web", _web())
        self.supervisor.run(self._each_turn)
        lock.close()
        self._say("stopped")

    def _each_turn(self) -> None:
        """Greet once the pages answer, and start what needs the local Azure once that is ready."""
        if not self.is_greeted and _answers():
            self.is_greeted = True
            self._greet()
        if self.is_azure_ready:
            try:
                self._connect()
                self.is_azure_ready = False
            except DatabaseError as error:
                self._say(f"the database is busy ({error}); trying again")

    def _azure_said(self, line: str) -> None:
        self.is_azure_ready = self.is_azure_ready or line.strip() == "ready"

    def _connect(self) -> None:
        """Write down where the local Azure is, and start worker, beat and the demo's seeding the first time."""
        endpoints = (settings.ZOOBATCH_EMULATOR_DIR / "endpoints.json").read_text(encoding="utf-8")
        connect(json.loads(endpoints))
        # Nothing else here needs the database, and a restart of it should not find us holding on.
        connections.close_all()
        if len(self.supervisor.children) == 2:
            self._add("worker", _worker(), stop_seconds=15)
            self._add("beat", _celery("beat"))
            self._add("demo", [sys.executable, "manage.py", "demo"], is_once=True)

    def _add(self, name: str, command: list[str], **options: Any) -> None:
        options.setdefault("environment", self.environment)
        self.supervisor.add(Child(name, command, folder=str(settings.BASE_DIR), **options))

    def _greet(self) -> None:
        self._say(f"zoobatch answers at {settings.ZOOBATCH_PUBLIC_URL}")
        if self.password:
            self._say(f"sign in as {NAME} with password {self.password} (shown this once)")
        else:
            self._say(
                f"sign in as {NAME}; forgotten the password? .venv/bin/python manage.py changepassword {NAME}"
            )
        self._say(f"everything is kept in {settings.ZOOBATCH_DATA_DIR}; Ctrl-C stops it")

    def _say(self, text: str) -> None:
        self.stdout.write(f"zoobatch | {text}")
        self.stdout.flush()

    def _lock(self) -> IO[str]:
        """Hold the data folder: two supervisors on it would fight."""
        lock = (settings.ZOOBATCH_DATA_DIR / "up.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(f"zoobatch already runs in {settings.ZOOBATCH_DATA_DIR}.") from error
        return lock

    def _require_free_ports(self) -> None:
        wanted = [("ZOOBATCH_PORT", settings.ZOOBATCH_PORT)]
        wanted += [("ZOOBATCH_EMULATOR_PORTS", port) for port in settings.ZOOBATCH_EMULATOR_PORTS]
        for name, port in wanted:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError as error:
                    raise CommandError(
                        f"Port {port} is taken by another program; choose another with {name}."
                    ) from error


def _celery(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "celery", "--quiet", "-A", "dashboard", *arguments]


def _worker() -> list[str]:
    return _celery("worker", "--without-gossip", "--without-mingle", "--without-heartbeat")


def _web() -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "dashboard.wsgi", "--bind", f"{HOST}:{settings.ZOOBATCH_PORT}"),
        *("--workers", "1", "--worker-class", "gthread", "--threads", "8"),
        *("--keep-alive", "75", "--graceful-timeout", "5", "--log-level", "warning"),
    ]


def _azure() -> list[str]:
    services = ("batch", "registry", "identity", "blob")
    ports = zip(services, settings.ZOOBATCH_EMULATOR_PORTS, strict=True)
    flags = [part for service, port in ports for part in (f"--{service}-port", str(port))]
    return [
        sys.executable,
        "-m",
        "emulator",
        "serve",
        "--data-dir",
        str(settings.ZOOBATCH_EMULATOR_DIR),
        "--container-runtime",
        settings.ZOOBATCH_CONTAINER_RUNTIME,
        *flags,
    ]


def _answers() -> bool:
    """Return whether the web process serves."""
    web = http.client.HTTPConnection(HOST, settings.ZOOBATCH_PORT, timeout=1)
    try:
        web.request("GET", "/healthz")
        return web.getresponse().status == 200
    except OSError:
        return False
    finally:
        web.close()
