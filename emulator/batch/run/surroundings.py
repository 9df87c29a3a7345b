"""As whom a command runs, with which variables and folders: on the node itself, or in a container on it."""

import errno
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from emulator.batch.run import environment, failures
from emulator.batch.run.containers import Container
from emulator.batch.run.failures import TaskFault
from emulator.batch.run.images import Image
from emulator.batch.run.layout import NODE_ROOT, WORKING, Node, TaskFolder
from emulator.batch.run.mounts import Volumes
from emulator.batch.run.processes import Launch
from emulator.batch.run.sandbox import Sandbox, search_path
from emulator.batch.run.work import Work

NOT_FOUND = errno.ENOENT
# Variables of an image that would change which programs and libraries of this machine a plain process uses.
_ONLY_INSIDE = ("PATH", "HOME", "LD_", "PYTHON")
# What a task may ask to be bound into its container, and which folder of the node that is.
_BINDABLE = {name: name for name in ("shared", "startup", "applications")}


@dataclass(frozen=True)
class Place:
    """A command on a node: its folder there, the Batch service's address, and what the node mounts."""

    work: Work
    node: Node
    folder: TaskFolder
    url: str
    volumes: Volumes

    def variables(self, root: PurePosixPath) -> dict[str, str]:
        """Return the settings and the documented variables, which win; `root` is the node's as the command sees it."""
        work, node = self.work, self.node
        prepared = self.preparation if work.kind in ("task", "jobrelease") else None
        common = (work.job or {}).get("commonEnvironmentSettings")
        return {
            **environment.settings(common, work.body.get("environmentSettings")),
            **environment.node_variables(
                account=work.account,
                url=self.url,
                pool_id=work.pool_id,
                node_id=work.node_id,
                is_dedicated=work.node_id.endswith("_d"),
                root=root,
            ),
            **environment.task_variables(
                folder=root / work.folder,
                job_id=work.job_id,
                task_id=work.task_id,
                preparation=root / prepared if prepared else None,
                disk_bytes=shutil.disk_usage(node.root).free if work.kind == "task" else None,
            ),
        }

    @property
    def preparation(self) -> str | None:
        """The folder of the job's preparation task below the node's root."""
        body = (self.work.job or {}).get("jobPreparationTask")
        return f"workitems/{self.work.job_id}/job-1/{body['id']}" if body else None


def user(work: Work, sandbox: Sandbox) -> tuple[int, int] | None:
    """Return uid and gid for a command, None for the emulator's own user (which elevated tasks get)."""
    identity = work.body.get("userIdentity") or {}
    level = (identity.get("autoUser") or {}).get("elevationLevel")
    if name := identity.get("username"):
        accounts = {each["name"]: each for each in work.pool.get("userAccounts") or ()}
        level = accounts.get(name, {}).get("elevationLevel")
    return None if str(level).lower() == "admin" else sandbox.task_user


def process(
    place: Place, sandbox: Sandbox, owner: tuple[int, int] | None, *, image: Image | None = None
) -> Launch:
    """Return the launch of a command on the node itself; an image only lends it its variables."""
    node, folder = place.node, place.folder
    working = str(node.shown(folder.working))
    inner = image.environment if image else {}
    found = {"LANG": "C.UTF-8", "HOME": working, "USER": "_azbatch"}
    found |= {name: value for name, value in inner.items() if not name.startswith(_ONLY_INSIDE)}
    found |= {"PATH": search_path(inner.get("PATH", "")), **place.variables(node.seen)}
    mapped = {name: environment.map_node_root(value, node.seen) for name, value in found.items()}
    command = _split(environment.map_node_root(str(place.work.body["commandLine"]), node.seen))
    if not command:
        raise TaskFault(failures.command_not_found(""))
    return Launch(
        command,
        mapped,
        working,
        (folder.stdout, folder.stderr),
        user=owner,
        namespace=sandbox.namespace,
        mounts=sandbox.mounts(node.root, place.volumes, owner),
    )


def container(place: Place, image: Image) -> Container:
    """Return the container of a command; inside it the node's folders lie at the documented place."""
    settings = place.work.body["containerSettings"]
    is_default = str(settings.get("workingDirectory")).lower() == "containerimagedefault"
    return Container(
        image=image,
        command=_split(str(place.work.body.get("commandLine") or "")),
        environment=place.variables(NODE_ROOT),
        binds=_binds(place, settings.get("containerHostBatchBindMounts")),
        folder="" if is_default else str(NODE_ROOT / place.work.folder / WORKING),
        options=_split(str(settings.get("containerRunOptions") or "")),
    )


def _binds(place: Place, wanted: list[Mapping[str, Any]] | None) -> list[tuple[Path, str]]:
    """Return what is bound: the whole node unless the task names folders; the mounts come after their parent."""
    mounted = [(source, str(NODE_ROOT / "fsmounts" / name)) for name, source in place.volumes]
    if wanted is None:
        return [(place.node.root, str(NODE_ROOT)), *mounted]
    below = {**_BINDABLE, "task": place.work.folder, "jobprep": place.preparation}
    found = list[tuple[Path, str]]()
    for kind in (str(entry.get("source", "")).lower() for entry in wanted):
        if kind == "vfsmounts":
            found += mounted
        elif path := below.get(kind):
            found.append((place.node.root / path, str(NODE_ROOT / path)))
    return found


def _split(command: str) -> list[str]:
    """Take a command line apart; the service runs it without a shell."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise TaskFault(failures.command_not_launched(f"{error} in {command}")) from error
