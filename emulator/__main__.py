"""The command line: `python -m emulator serve --data-dir DIR`."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from emulator.app import SERVICES, AlreadyServed, Options, serve

DEFAULT_PORTS = {"batch": 10443, "registry": 10444, "identity": 10445, "blob": 10446}
RUNTIMES = ("auto", "docker", "podman", "buildah", "process")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if given.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("uvicorn", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    options = Options(
        data_dir=given.data_dir,
        host=given.host,
        ports={name: getattr(given, f"{name}_port") for name in SERVICES},
        time_scale=given.time_scale,
        container_runtime=given.container_runtime,
        accounts=given.account or Options.accounts,
        login_servers=given.login_server or Options.login_servers,
    )
    try:
        serve(options, sys.stdout)
    except (AlreadyServed, OSError) as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emulator",
        description="A local Azure: Batch, container registry, Entra tokens and blobs over HTTPS.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "serve",
        help="serve until interrupted",
        description="Write DIR/ca.pem and DIR/endpoints.json, then serve; prints 'ready' when all ports answer.",
    )
    command.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="where all state lives")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    for name in SERVICES:
        command.add_argument(
            f"--{name}-port",
            type=_port,
            default=DEFAULT_PORTS[name],
            metavar="N",
            help="default: %(default)s; 0 takes any free port",
        )
    command.add_argument(
        "--time-scale",
        type=_scale,
        default=1.0,
        metavar="X",
        help="let the emulated waits (allocation, boot) pass X times faster (default: %(default)s)",
    )
    command.add_argument("--container-runtime", choices=RUNTIMES, default="auto", help="default: %(default)s")
    command.add_argument(
        "--account",
        type=_account,
        action="append",
        metavar="NAME[=HOST]",
        help="a Batch account and a host name that it answers to; repeatable (default: zoobatch)",
    )
    command.add_argument(
        "--login-server",
        action="append",
        metavar="HOST",
        help="a registry name that images may use; repeatable (default: zoobatch.azurecr.io)",
    )
    command.add_argument("--verbose", action="store_true", help="log every request")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return port


def _scale(text: str) -> float:
    scale = float(text)
    if not scale > 0:
        raise argparse.ArgumentTypeError("the time scale must be greater than 0")
    return scale


def _account(text: str) -> tuple[str, str | None]:
    name, _, host = text.partition("=")
    if not name.isalnum():
        raise argparse.ArgumentTypeError(f"{name!r} is no account name: letters and digits only")
    return name, host or None


if __name__ == "__main__":
    sys.exit(main())
