"""As whom tasks run on this machine, and what of it they see."""

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from emulator.batch.run.layout import NODE_ROOT

logger = logging.getLogger(__name__)
# A user of no passwd entry, outside the ranges that Debian and systemd hand out: nothing else runs as it.
TASK_USER = 64321
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROBE = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
uid, gid = os.getuid(), os.getgid()
ok = libc.unshare(0x00020000 | (0x10000000 if sys.argv[1] == "user" else 0)) == 0
if ok and sys.argv[1] == "user":
    open("/proc/self/setgroups", "w").write("deny")
    open("/proc/self/uid_map", "w").write(f"{uid} {uid} 1")
    open("/proc/self/gid_map", "w").write(f"{gid} {gid} 1")
ok = ok and libc.mount(b"none", b"/", None, 0x44000, None) == 0
ok = ok and libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None) == 0
sys.exit(not ok)
"""

Namespace = Literal["mount", "user"]


@dataclass(frozen=True)
class Mount:
    """One mount in a task's own namespace; `source` is for binds, `options` for an empty tmpfs."""

    kind: Literal["bind", "tmpfs"]
    target: str
    source: str = ""
    options: str = ""

    def plan(self) -> dict[str, str]:
        """Return the mount as the supervisor reads it."""
        return {"kind": self.kind, "target": self.target, "source": self.source, "options": self.options}


@dataclass(frozen=True)
class Sandbox:
    """What this machine allows. `task_user` is the uid and gid of tasks that are not elevated, None for our own."""

    namespace: Namespace | None
    task_user: tuple[int, int] | None
    data_dir: Path
    programs: tuple[Path, ...]

    @classmethod
    def of_machine(cls, data_dir: Path) -> "Sandbox":
        """Find out what can be done here: namespaces need root or unprivileged user namespaces."""
        is_root = os.geteuid() == 0
        namespace: Namespace | None = "mount" if is_root else "user"
        if not _can("mount" if is_root else "user"):
            namespace = None
        programs = tuple(dict.fromkeys(Path(path).resolve() for path in (sys.prefix, sys.base_prefix)))
        found = cls(namespace, None, data_dir.resolve(), programs)
        if is_root and (namespace or all(_is_open(path) for path in (data_dir.resolve(), *programs))):
            found = cls(namespace, (TASK_USER, TASK_USER), found.data_dir, programs)
        found.announce(is_root=is_root)
        return found

    def announce(self, *, is_root: bool) -> None:
        """Say in the log as whom tasks run: never as root silently."""
        if not is_root:
            logger.info("Tasks run as this process's own user, uid %s", os.geteuid())
        elif self.task_user:
            logger.warning(
                "The emulator is root: tasks run as uid %s, but those of elevation level admin run as root",
                self.task_user[0],
            )
        else:
            logger.warning(
                "The emulator is root and has neither mount namespaces nor a folder that other users can reach: "
                "ALL TASKS RUN AS ROOT. Run it as an ordinary user, or with --data-dir where others may enter"
            )
        if self.namespace:
            logger.info("Tasks see their node's folders at %s, in a mount namespace of their own", NODE_ROOT)
        else:
            logger.info(
                "Tasks see their node's folders where they are; %s is replaced in commands", NODE_ROOT
            )

    def node_path(self, root: Path) -> PurePosixPath:
        """Return the path by which tasks know their node's root."""
        return NODE_ROOT if self.namespace else PurePosixPath(root)

    def mounts(
        self, root: Path, volumes: Iterable[tuple[str, Path]], user: tuple[int, int] | None
    ) -> list[Mount]:
        """Return what makes the node's folders appear at the documented path, with its volumes mounted.

        The emulator's data (keys, other nodes) disappears behind an empty folder, and for a user who may not
        enter the folders that the interpreter lies in, those folders are replaced by ones with nothing else in them.
        """
        if not self.namespace:
            return []
        covered = [self.data_dir, *_closed(self.programs, user)]
        if not Path(NODE_ROOT).is_dir():
            covered.append(Path(NODE_ROOT.parts[0], NODE_ROOT.parts[1]))
        sources = [("bind", root, str(NODE_ROOT))]
        found = list[Mount]()
        for folder in _outermost(covered):
            found.append(Mount("tmpfs", str(folder), options="mode=0755"))
            sources += [("bind", path, str(path)) for path in self.programs if path.is_relative_to(folder)]
        found += [Mount("bind", target, source=str(source)) for _, source, target in sources]
        found.append(Mount("tmpfs", str(NODE_ROOT / "fsmounts"), options="mode=0755"))
        for name, source in volumes:
            found.append(Mount("bind", str(NODE_ROOT / "fsmounts" / name), source=str(source)))
        return found


def search_path(more: str = "") -> str:
    """Return the PATH of tasks: the emulator's own programs first, then an image's, then the system's."""
    own = str(Path(sys.prefix, "bin"))
    return ":".join(part for part in (own, more, SYSTEM_PATH) if part)


def _can(namespace: str) -> bool:
    command: Sequence[str] = (sys.executable, "-I", "-S", "-c", _PROBE, namespace)
    done: subprocess.CompletedProcess[Any] = subprocess.run(command, check=False, capture_output=True)
    return done.returncode == 0


def _is_open(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents))


def _closed(paths: Iterable[Path], user: tuple[int, int] | None) -> list[Path]:
    """Return the outermost folders on the way to `paths` that other users may not enter."""
    if user is None:
        return []
    ways = [list(reversed(path.parents)) for path in paths]
    found = [next((folder for folder in way if not _is_open(folder)), None) for way in ways]
    return [folder for folder in found if folder is not None]


def _outermost(folders: Iterable[Path]) -> list[Path]:
    unique = sorted(set(folders))
    return [
        path for path in unique if not any(path != other and path.is_relative_to(other) for other in unique)
    ]
