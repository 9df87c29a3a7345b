"""Put the services together and serve them: one process, four HTTPS ports, one folder of state."""

import asyncio
import contextlib
import fcntl
import ipaddress
import json
import logging
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import uvicorn
from starlette.applications import Starlette

from emulator import tls
from emulator.batch.routes import create_app as batch_app
from emulator.batch.runner import Runner
from emulator.batch.state import BatchState
from emulator.blob.routes import create_app as blob_app
from emulator.blob.state import BlobState
from emulator.clock import Clock
from emulator.identity.routes import create_app as identity_app
from emulator.identity.state import IdentityState
from emulator.registry.routes import create_app as registry_app
from emulator.registry.state import RegistryState
from emulator.store import Store

logger = logging.getLogger(__name__)
SERVICES = ("batch", "registry", "identity", "blob")
BACKLOG = 256
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 1


class AlreadyServed(Exception):
    """Another emulator holds the data folder."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    data_dir: Path
    host: str = "127.0.0.1"
    ports: Mapping[str, int] = field(default_factory=dict)
    time_scale: float = 1.0
    container_runtime: str = "auto"
    accounts: Sequence[tuple[str, str | None]] = (("zoobatch", None),)
    login_servers: Sequence[str] = ("zoobatch.azurecr.io",)


class Emulator:
    """All services over one store, ready to be served."""

    def __init__(self, options: Options, sockets: Mapping[str, list[socket.socket]]) -> None:
        self.options = options
        self.sockets = sockets
        data_dir = options.data_dir
        store, clock = Store(data_dir / "state.sqlite3"), Clock(options.time_scale)
        self.identity = IdentityState(data_dir, store, clock)
        self.registry = RegistryState(data_dir, store, clock, identity=self.identity)
        self.blob = BlobState(data_dir, store, clock, identity=self.identity)
        for name, service in (
            ("identity", self.identity),
            ("registry", self.registry),
            ("blob", self.blob),
        ):
            service.base_url = self.url(name)
        self.registry.hosts = list(options.login_servers)
        self.runner = Runner(
            data_dir,
            blobs=self.blob,
            registry=self.registry,
            clock=clock,
            container_runtime=options.container_runtime,
            batch_url=self.url("batch"),
            registry_url=self.url("registry"),
        )
        self.batch = BatchState(
            data_dir,
            store,
            clock,
            identity=self.identity,
            runner=self.runner,
            accounts=options.accounts,
            authority=self.url("identity"),
            tenant=self.identity.tenant,
        )

    def url(self, name: str) -> str:
        """Return the address of a service."""
        host, port = self.sockets[name][0].getsockname()[:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        return f"https://[{shown}]:{port}" if ":" in shown else f"https://{shown}:{port}"

    def apps(self) -> dict[str, Starlette]:
        """Return the application of each service."""
        return {
            "batch": batch_app(self.batch),
            "registry": registry_app(self.registry),
            "identity": identity_app(self.identity),
            "blob": blob_app(self.blob),
        }

    def endpoints(self, ca: Path) -> dict[str, Any]:
        """Return what clients need to know: addresses, keys, and the CA to trust."""
        accounts = self.batch.accounts
        port = self.sockets["batch"][0].getsockname()[1]
        return {
            "ca": str(ca.resolve()),
            "batch": {"url": self.url("batch"), "account": accounts[0].name, "key": accounts[0].key},
            "registry": {
                "url": self.url("registry"),
                "username": self.registry.username,
                "password": self.registry.password,
                "login_servers": list(self.options.login_servers),
            },
            "identity": {
                "authority": self.url("identity"),
                "tenant": self.identity.tenant,
                "client_id": self.identity.client_id,
                "client_secret": self.identity.client_secret,
            },
            "blob": {"url": self.blob.url, "account": self.blob.account, "key": self.blob.key},
            "accounts": [
                {
                    "account": account.name,
                    "key": account.key,
                    "urls": [f"https://{host}:{port}" for host in account.hosts],
                }
                for account in accounts
            ],
        }


class _Server(uvicorn.Server):
    """A server that leaves the signals to the process, which has several of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(options: Options, output: TextIO) -> None:
    """Serve until SIGTERM or SIGINT; write `ready` to the output when all ports answer.

    Raise AlreadyServed when another process holds the data folder.
    """
    options.data_dir.mkdir(parents=True, exist_ok=True)
    options.data_dir.chmod(0o700)
    with _held(options.data_dir), contextlib.ExitStack() as stack:
        sockets = {name: _bind(options, name, stack) for name in SERVICES}
        hosts = [options.host, *(host for _, host in options.accounts if host), *options.login_servers]
        certificates = tls.issue(options.data_dir, [host for host in hosts if host not in ("0.0.0.0", "::")])
        emulator = Emulator(options, sockets)
        _write_endpoints(options.data_dir / "endpoints.json", emulator.endpoints(certificates.ca))
        asyncio.run(_serve(emulator, certificates, output))


@contextlib.contextmanager
def _held(data_dir: Path) -> Iterator[None]:
    """Hold the folder: the kernel lets go of the lock even when the process is killed."""
    with (data_dir / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyServed(f"Another emulator serves {data_dir}") from error
        yield


def _bind(options: Options, name: str, stack: contextlib.ExitStack) -> list[socket.socket]:
    """Listen on the asked-for address, and for Batch on the loopback addresses given to accounts."""
    first = stack.enter_context(_listen(options.host, options.ports.get(name, 0)))
    port = first.getsockname()[1]
    bound = [first]
    if name == "batch" and options.host not in ("0.0.0.0", "::"):
        aliases = {host for _, host in options.accounts if host and _is_loopback(host)} - {options.host}
        bound += [stack.enter_context(_listen(host, port)) for host in sorted(aliases)]
    return bound


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio sends small answers at once only on sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"Cannot listen on {host}:{port}: {error.strerror}") from error
    listener.listen(BACKLOG)
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _write_endpoints(path: Path, endpoints: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(endpoints, indent=2) + "\n")
    fresh.replace(path)


async def _serve(emulator: Emulator, certificates: tls.Certificates, output: TextIO) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    servers = {name: _Server(_config(app, certificates)) for name, app in emulator.apps().items()}
    running = [
        asyncio.create_task(server.serve(sockets=emulator.sockets[name])) for name, server in servers.items()
    ]
    emulator.batch.start()
    while not all(server.started for server in servers.values()):
        await asyncio.sleep(0.01)
    print("ready", file=output, flush=True)
    await stopping.wait()
    for server in servers.values():
        server.should_exit = True
    await asyncio.gather(*running)
    await asyncio.to_thread(emulator.batch.stop)


def _config(app: Starlette, certificates: tls.Certificates) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ssl_certfile=str(certificates.certificate),
        ssl_keyfile=str(certificates.key),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
