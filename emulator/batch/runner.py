"""What nodes do: prepare folders, mounts and images, and run the commands of tasks as real processes."""

import logging
import shlex
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from emulator.batch import wire
from emulator.batch.run import failures, mounts, surroundings, transfer
from emulator.batch.run.containers import Container, choose
from emulator.batch.run.failures import TaskFault
from emulator.batch.run.images import Image, ImageRefused, Registry, admit
from emulator.batch.run.layout import Node, TaskFolder
from emulator.batch.run.processes import Ended, Launch, run
from emulator.batch.run.sandbox import Sandbox
from emulator.batch.run.surroundings import Place
from emulator.batch.run.work import Outcome, Work
from emulator.clock import Clock

logger = logging.getLogger(__name__)


class Blobs(mounts.Blobs, transfer.Blobs, Protocol):
    """What nodes need of the storage service."""

    def set_owner(self, owner: tuple[int, int] | None) -> None:
        """Let the files that clients write belong to the user of tasks."""


class NodeSetupError(Exception):
    """A node that could not be made ready, in the words of the node's `errors`."""

    def __init__(self, code: str, message: str, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class Runner:
    """The nodes of all pools, as folders and processes of this machine. Safe between threads."""

    def __init__(
        self,
        data_dir: Path,
        *,
        blobs: Blobs,
        registry: Registry,
        clock: Clock,
        container_runtime: str,
        batch_url: str,
        registry_url: str,
    ) -> None:
        self._folder = data_dir.resolve() / "nodes"
        self._blobs = blobs
        self._registry = registry
        self._clock = clock
        self._url = batch_url
        self._sandbox = Sandbox.of_machine(data_dir)
        self._engine = choose(container_runtime, data_dir, registry_url=registry_url)
        blobs.set_owner(self._sandbox.task_user)

    def node_root(self, account: str, pool_id: str, node_id: str) -> Path:
        """Return the folder that is a node's file system."""
        return self._folder / account / pool_id.lower() / node_id

    def wipe_node(self, account: str, pool_id: str, node_id: str) -> None:
        """Remove everything that lies on a node; links to what it mounts are removed, never followed."""
        shutil.rmtree(self.node_root(account, pool_id, node_id), ignore_errors=True)

    def prepare_node(self, account: str, pool: Mapping[str, Any], node_id: str) -> None:
        """Make folders, mounts and images ready, or raise NodeSetupError."""
        node = self._node(account, str(pool["id"]), node_id)
        node.make(self._sandbox.task_user)
        try:
            mounted = mounts.volumes(self._blobs, pool.get("mountConfiguration"))
        except mounts.MountFailed as fault:
            raise NodeSetupError("MountConfigurationError", fault.message, fault.details) from fault
        if not self._sandbox.namespace:
            node.link(mounted)
        containers = _containers(pool)
        for name in containers.get("containerImageNames") or ():
            try:
                self._pull(str(name), containers.get("containerRegistries") or ())
            except ImageRefused as fault:
                found = failures.container(fault.code, fault.message, image=str(name))
                details = {pair["name"]: pair["value"] for pair in found["details"]}
                raise NodeSetupError(fault.code, found["message"], details) from fault

    def run(self, work: Work, *, stop: threading.Event, on_started: Callable[[], None]) -> Outcome:
        """Run a command until it ends, its time is over or it is to stop, and deliver its output files."""
        started_at = self._clock.now()

        def note_start() -> None:
            nonlocal started_at
            started_at = self._clock.now()
            on_started()

        place = self._place(work)
        folder, container = place.folder, None
        try:
            user = surroundings.user(work, self._sandbox)
            folder.make(user, keeps_files=work.attempt > 0)
            transfer.fetch(self._blobs, work.body.get("resourceFiles") or (), folder, user)
            launch, container = self._launch(place, user)
            ended = run(launch, stop=stop, limit=_limit(work.body), on_started=note_start)
            failure = _judge(ended, launch)
        except TaskFault as fault:
            return Outcome(started_at, self._clock.now(), failure=fault.failure)
        finally:
            if container is not None:
                self._engine.remove(container)
        try:
            outputs = work.body.get("outputFiles") or ()
            transfer.deliver(self._blobs, outputs, folder, succeeded=failure is None)
        except TaskFault as fault:
            failure = failure or fault.failure
        info = {"containerId": container.name, "state": "exited"} if container else None
        return Outcome(started_at, self._clock.now(), ended.exit_code, failure, info)

    def _node(self, account: str, pool_id: str, node_id: str) -> Node:
        root = self.node_root(account, pool_id, node_id)
        return Node(root, self._sandbox.node_path(root))

    def _pull(self, name: str, credentials: Any) -> Image:
        image = admit(self._registry, name, credentials)
        if self._engine.runs_containers:
            self._engine.pull(image)
        return image

    def _place(self, work: Work) -> Place:
        node = self._node(work.account, work.pool_id, work.node_id)
        return Place(work, node, TaskFolder(node.root / work.folder), self._url, self._volumes(work))

    def _volumes(self, work: Work) -> mounts.Volumes:
        """Return what the node mounts; a container of storage that has gone since its boot is no longer there."""
        try:
            return mounts.volumes(self._blobs, work.pool.get("mountConfiguration"))
        except mounts.MountFailed:
            logger.warning("Pool %s has a mount that is not there any more", work.pool_id)
            return []

    def _launch(self, place: Place, user: tuple[int, int] | None) -> tuple[Launch, Container | None]:
        """Return how to run the command, and the container it runs in, if any."""
        settings = place.work.body.get("containerSettings")
        if settings is None:
            return surroundings.process(place, self._sandbox, user), None
        name, given = str(settings["imageName"]), settings.get("registry")
        credentials = [given] if given else _containers(place.work.pool).get("containerRegistries") or ()
        try:
            image = self._pull(name, credentials)
            if not self._engine.runs_containers:
                return surroundings.process(place, self._sandbox, user, image=image), None
            container = surroundings.container(place, image)
            command, environment = self._engine.command(container)
        except ImageRefused as fault:
            raise TaskFault(failures.container(fault.code, fault.message, image=name)) from fault
        outputs = (place.folder.stdout, place.folder.stderr)
        return Launch(command, environment, "/", outputs, umask=0o022), container


def _judge(ended: Ended, launch: Launch) -> dict[str, Any] | None:
    """Return why the run counts as a failure, None when it does not."""
    if ended.is_stopped:
        return failures.ended()
    if ended.is_too_long:
        return failures.time_limit()
    if ended.exit_code == 0:
        return None
    if ended.exit_code is not None:
        return failures.exit_code(ended.exit_code)
    if ended.step != "command":
        return failures.internal(f"{ended.step}: {ended.reason}")
    if ended.reason and ended.errno != surroundings.NOT_FOUND:
        return failures.command_not_launched(ended.reason)
    return failures.command_not_found(shlex.join(launch.command))


def _containers(pool: Mapping[str, Any]) -> Mapping[str, Any]:
    machine = pool.get("virtualMachineConfiguration") or {}
    return machine.get("containerConfiguration") or {}


def _limit(body: Mapping[str, Any]) -> float | None:
    """Return the seconds that the command may run, None when it may run for ever."""
    text = (body.get("constraints") or {}).get("maxWallClockTime")
    found = None if text is None else wire.duration(text, "maxWallClockTime")
    return None if found is None else found.total_seconds()
