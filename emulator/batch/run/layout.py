"""Where things lie on a node: the documented folders, as the emulator and as tasks see them."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# The node root of most Linux images; scripts in the field hard-code it.
NODE_ROOT = PurePosixPath("/mnt/batch/tasks")
FOLDERS = ("applications", "fsmounts", "shared", "startup/wd", "volatile", "workitems")
OPEN_FOLDERS = ("shared", "startup", "volatile", "workitems")
WORKING = "wd"
# The group of all tasks has every right in the folders of a node, others have none.
GROUP_ONLY = 0o2770


@dataclass(frozen=True)
class Node:
    """One node's file system: `root` is the real folder, `seen` the path by which its tasks know it."""

    root: Path
    seen: PurePosixPath

    def shown(self, path: Path) -> PurePosixPath:
        """Return how tasks see a path below the root."""
        return self.seen / path.relative_to(self.root).as_posix()

    def make(self, owner: tuple[int, int] | None) -> None:
        """Create the folders; with an owner (uid, gid), let its group write where tasks may write."""
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in OPEN_FOLDERS:
            share(self.root / name, owner)

    def link(self, volumes: Iterable[tuple[str, Path]]) -> None:
        """Let links stand for the mounts, where tasks have no mount namespace of their own."""
        for name, source in volumes:
            link = self.root / "fsmounts" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(source)


@dataclass(frozen=True)
class TaskFolder:
    """The folder of one task and the files that every task has in it."""

    path: Path

    @property
    def working(self) -> Path:
        """The folder in which the command starts."""
        return self.path / WORKING

    @property
    def stdout(self) -> Path:
        """Where the command's standard output goes, live."""
        return self.path / "stdout.txt"

    @property
    def stderr(self) -> Path:
        """Where the command's standard error goes, live."""
        return self.path / "stderr.txt"

    def make(self, owner: tuple[int, int] | None, *, keeps_files: bool) -> None:
        """Create the folder for a run.

        A retry finds the working folder as the failed run left it, which is what a task that keeps checkpoints
        there relies on; the output files begin anew. A first run finds nothing.
        """
        if not keeps_files:
            shutil.rmtree(self.path, ignore_errors=True)
        self.working.mkdir(parents=True, exist_ok=True)
        share(self.path.parent, owner)
        share(self.path, owner)
        share(self.working, owner)
        for file in (self.stdout, self.stderr):
            file.unlink(missing_ok=True)
            file.touch()
            share(file, owner)


def share(path: Path, owner: tuple[int, int] | None) -> None:
    """Hand a file or folder to a user and group; without one it stays the emulator's own."""
    if owner is None:
        return
    os.chown(path, *owner)
    path.chmod(GROUP_ONLY if path.is_dir() else 0o660)
