"""Real containers through an engine of this machine: pulling, running, and making sure that none is left."""

import base64
import contextlib
import json
import logging
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from emulator.batch.run.images import Image, ImageRefused

logger = logging.getLogger(__name__)
Kind = Literal["docker", "podman", "buildah", "process"]
PROBE_SECONDS, PULL_SECONDS, REMOVE_SECONDS = 20, 1800, 60
MOST_OUTPUT = 2000


@dataclass(frozen=True)
class Container:
    """One container to run: binds are (real folder, path inside), an empty folder means the image's own."""

    image: Image
    command: Sequence[str]
    environment: Mapping[str, str]
    binds: Sequence[tuple[Path, str]]
    folder: str
    options: Sequence[str] = ()
    name: str = field(default_factory=lambda: f"batch-{secrets.token_hex(8)}")


class Engine:
    """One of the container engines, or none (`process`): then container tasks run as plain processes."""

    def __init__(self, kind: Kind, data_dir: Path, *, registry_url: str = "") -> None:
        self.kind = kind
        self._host = urlsplit(registry_url).netloc
        self._folder = data_dir.resolve() / "containers"
        self._ca = data_dir.resolve() / "ca.pem"
        self._pulled = dict[str, str]()
        self._pulling = threading.Lock()

    @property
    def runs_containers(self) -> bool:
        """Tell whether container tasks run in containers."""
        return self.kind != "process"

    def pull(self, image: Image) -> str:
        """Fetch the image unless it is there, and return the name by which the engine knows it.

        An image of the emulated registry is fetched by its digest, so a tag that moves is never mixed up.
        """
        name = image.reference.at(self._host, image.digest) if image.is_own else image.name
        with self._pulling:
            if name not in self._pulled:
                self._fetch(name, image)
                self._pulled[name] = image.name
        return name

    def _fetch(self, name: str, image: Image) -> None:
        server = name.partition("/")[0]
        with self._logged_in(server, image) as environment:
            command = [*self._program(), "pull"]
            if self.kind != "docker" and image.is_own:
                command += ["--cert-dir", str(self._certificates())]
            source = f"docker://{name}" if self.kind == "buildah" else name
            try:
                done = _run([*command, source], PULL_SECONDS, environment)
            except subprocess.TimeoutExpired as error:
                raise ImageRefused("ContainerInvalidImage", "The pull took too long") from error
        if done.returncode != 0:
            raise ImageRefused("ContainerInvalidImage", _last_words(done))

    @contextlib.contextmanager
    def _logged_in(self, server: str, image: Image) -> Iterator[dict[str, str]]:
        """Hand the credential over in a file of its own: the three engines read the same form."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            file = Path(folder, "config.json")
            pair = base64.b64encode(f"{image.username}:{image.password}".encode()).decode()
            logins = {server: {"auth": pair}} if image.username else {}
            file.touch(mode=0o600)
            file.write_text(json.dumps({"auths": logins}))
            yield {"DOCKER_CONFIG": folder, "REGISTRY_AUTH_FILE": str(file)}

    def _certificates(self) -> Path:
        folder = self._folder / "certificates"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._ca, folder / "ca.crt")
        return folder

    def _program(self) -> list[str]:
        if self.kind != "buildah":
            return [shutil.which(self.kind) or self.kind]
        # A store of its own: the machine's images and containers are nobody's business here.
        places = ["--root", str(self._folder / "store"), "--runroot", str(self._folder / "run")]
        return [shutil.which("buildah") or "buildah", *places, "--storage-driver", "vfs"]

    def command(self, container: Container) -> tuple[list[str], dict[str, str]]:
        """Return what to run for the container, and with which environment.

        `buildah` makes the container here and now; whatever the engine, `remove` has to follow in the end.
        """
        name = self.pull(container.image)
        if self.kind == "buildah":
            return self._buildah(name, container)
        command = [*self._program(), "run", "--rm", "--name", container.name, "--network", "host"]
        for variable in container.environment:
            command += ["--env", variable]
        for source, target in container.binds:
            command += ["--volume", f"{source}:{target}"]
        if container.folder:
            command += ["--workdir", container.folder]
        # Values go by the client's own environment: none of them stands in a list of processes.
        environment = {**_bare_environment(), **container.environment}
        return [*command, *container.options, name, *container.command], environment

    def _buildah(self, name: str, container: Container) -> tuple[list[str], dict[str, str]]:
        program = self._program()
        made = _run([*program, "from", "--pull=never", "--name", container.name, name], PULL_SECONDS, {})
        if made.returncode != 0:
            raise ImageRefused("ContainerMiscError", _last_words(made))
        if container.options:
            logger.info("buildah runs without the container options %s", shlex.join(container.options))
        command = [*program, "run", "--isolation=chroot"]
        for variable, value in container.environment.items():
            command += ["--env", f"{variable}={value}"]
        for source, target in container.binds:
            command += ["--volume", f"{source}:{target}"]
        if container.folder:
            command += ["--workingdir", container.folder]
        inside = [*container.image.entrypoint, *(container.command or container.image.command)]
        return [*command, container.name, "--", *inside], _bare_environment()

    def remove(self, container: Container) -> None:
        """Make sure that the container is gone, whatever became of its client."""
        words = ["rm", container.name] if self.kind == "buildah" else ["rm", "--force", container.name]
        with contextlib.suppress(subprocess.TimeoutExpired):
            _run([*self._program(), *words], REMOVE_SECONDS, {})


def choose(wish: str, data_dir: Path, *, registry_url: str) -> Engine:
    """Return the engine that was asked for; `auto` takes the first that works here, else none.

    Raise ValueError when the engine that was asked for does not work.
    """
    order: Sequence[Kind] = ("docker", "podman", "buildah")
    if wish == "process":
        kind: Kind = "process"
    elif wish == "auto":
        kind = next((each for each in order if works(each)), "process")
    else:
        kind = next((each for each in order if each == wish), "process")
        if not works(kind):
            raise ValueError(f"{wish} does not work on this machine")
    if kind == "process":
        logger.warning(
            "Container tasks run as plain processes, not in containers; their images are only looked up"
        )
    else:
        logger.info("Container tasks run in containers of %s", kind)
    return Engine(kind, data_dir, registry_url=registry_url)


def works(kind: Kind) -> bool:
    """Tell whether an engine is installed and answers; buildah's chroot isolation is for root only."""
    if kind == "process" or shutil.which(kind) is None or (kind == "buildah" and os.geteuid() != 0):
        return False
    command = ["buildah", "--version"] if kind == "buildah" else [kind, "info"]
    try:
        return _run(command, PROBE_SECONDS, {}).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _bare_environment() -> dict[str, str]:
    return {name: value for name in ("PATH", "HOME", "DOCKER_HOST") if (value := os.environ.get(name))}


def _run(
    command: Sequence[str], seconds: float, environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        env={**_bare_environment(), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    text = (done.stderr or done.stdout).strip()
    return text[-MOST_OUTPUT:] or f"{done.args[0]} ended with {done.returncode}"
