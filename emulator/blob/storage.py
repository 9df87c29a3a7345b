"""Containers and blobs kept as folders and files, with what is known of them in the database."""

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from emulator import dates
from emulator.blob import files, listing
from emulator.blob.blocks import Blocks
from emulator.blob.errors import BlobError
from emulator.blob.facts import ContainerFacts, Facts, FactsTable, Texts
from emulator.blob.names import check_container, segments
from emulator.clock import Clock
from emulator.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Blob:
    """A blob as it is now: its file and what is known of this content."""

    name: str
    status: os.stat_result
    facts: Facts

    @property
    def size(self) -> int:
        """Return the length of the content."""
        return self.status.st_size

    @property
    def etag(self) -> str:
        """Return the bare ETag."""
        return files.etag(self.status, self.facts.modified)

    @property
    def modified(self) -> datetime:
        """Return when content or properties last changed."""
        return dates.file_date(max(self.status.st_mtime_ns, self.facts.modified))

    @property
    def created(self) -> datetime:
        """Return when the content was made, as far as that is known."""
        return dates.file_date(self.facts.created or self.status.st_mtime_ns)


@dataclass(frozen=True)
class Container:
    """A container as it is now."""

    name: str
    metadata: Texts
    modified: datetime

    @property
    def etag(self) -> str:
        """Return the bare ETag."""
        return f"0x{(self.modified - _EPOCH) // timedelta(microseconds=1):X}"


Check = Callable[[Blob | None], None]
ContainerCheck = Callable[[Container], None]


class Storage:
    """The content of the account. `check` arguments see the present state under the lock and may refuse."""

    def __init__(self, root: Path, account: str, store: Store, clock: Clock) -> None:
        self.owner: files.Owner | None = None
        self._clock = clock
        self._facts = FactsTable(store)
        self._lock = threading.RLock()
        root = root.absolute()  # nodes mount the folders, whatever their own working folder is
        staging = root / ".staging"
        self._account, self._incoming, self._trash = root / account, staging / "incoming", staging / "trash"
        self.blocks = Blocks(staging / "blocks")
        for leftover in (self._incoming, self._trash):
            files.remove_tree(leftover)
            leftover.mkdir(parents=True)
        self._account.mkdir(parents=True, exist_ok=True)
        # Tasks pass through these on their way to containers; what is on its way in is not for them.
        root.chmod(0o711)
        self._account.chmod(0o711)
        staging.chmod(0o700)
        self.blocks.drop_old()

    def set_owner(self, owner: files.Owner | None) -> None:
        """Give all containers, and from now on all that is written into them, to a user and group."""
        self.owner = owner
        if owner is not None:
            for name in self.container_names():
                files.hand_over_tree(self._account / name, owner)

    # Containers

    def container_names(self) -> list[str]:
        """Return the names of all containers in order."""
        with os.scandir(self._account) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))

    def folder(self, container: str) -> Path:
        """Return the folder of a container."""
        path = self._account / check_container(container)
        if path.is_symlink() or not path.is_dir():
            raise BlobError("ContainerNotFound")
        return path

    def container(self, name: str) -> Container:
        """Return a container."""
        path = self.folder(name)
        facts = self._facts.container(name) or ContainerFacts(path.stat().st_mtime_ns, {})
        return Container(name, facts.metadata, dates.file_date(facts.modified))

    def create_container(self, name: str, metadata: Texts) -> Container:
        """Make a container; its folder appears complete."""
        target = self._account / check_container(name)
        fresh = self._trash / str(uuid.uuid4())
        with self._lock:
            if target.exists():
                raise BlobError("ContainerAlreadyExists")
            self._facts.forget_container(name)
            self._facts.keep_container(name, ContainerFacts(self._now(), metadata))
            fresh.mkdir(mode=0o700 if self.owner else 0o777)
            if self.owner:
                files.hand_over_tree(fresh, self.owner)
            fresh.rename(target)
        return self.container(name)

    def set_container_metadata(self, name: str, metadata: Texts, check: ContainerCheck) -> Container:
        """Replace a container's metadata."""
        with self._lock:
            check(self.container(name))
            self._facts.keep_container(name, ContainerFacts(self._now(), metadata))
            return self.container(name)

    def delete_container(self, name: str, check: ContainerCheck) -> None:
        """Remove a container at once, however much is in it."""
        gone = self._trash / str(uuid.uuid4())
        with self._lock:
            check(self.container(name))
            self.folder(name).rename(gone)
            self._facts.forget_container(name)
        self.blocks.drop_container(name)
        files.remove_tree(gone)

    # Blobs

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """Lend the name of a file for content on its way in; it is removed unless it was put in place."""
        path = self.new_incoming()
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def new_incoming(self) -> Path:
        """Return a name that is free for content on its way in."""
        return self._incoming / str(uuid.uuid4())

    def create_incoming(self, path: Path) -> int:
        """Open such a file for writing, readable by others only as the owner of containers says."""
        return os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if self.owner else 0o666
        )

    def find(self, container: str, name: str) -> Blob | None:
        """Return a blob, None when it does not exist."""
        root, parts = self.folder(container), segments(name)
        try:
            with files.parent(root, parts) as folder:
                return self._blob(container, name, files.look(folder, parts[-1]))
        except FileNotFoundError:
            return None

    def open(self, container: str, name: str) -> tuple[int, Blob]:
        """Open a blob for reading: the file stays what it is even when the blob is replaced meanwhile."""
        root, parts = self.folder(container), segments(name)
        try:
            file, status = files.open_file(root, parts)
        except FileNotFoundError as error:
            raise BlobError("BlobNotFound") from error
        return file, self._blob(container, name, status)

    def committed(self, container: str, blob: Blob) -> list[tuple[str, int]]:
        """Return the blocks that a blob was committed from."""
        return self._facts.blocks(container, blob.name, files.identity(blob.status))

    def put(
        self,
        container: str,
        name: str,
        staged: Path,
        facts: Facts,
        check: Check,
        blocks: Sequence[tuple[str, int]] = (),
    ) -> Blob:
        """Put finished content in place in one step; uncommitted blocks of the blob are dropped."""
        parts, stamp = segments(name), self._now()
        # The clock of file systems is coarse: a stamp of our own tells apart contents written in quick succession.
        os.utime(staged, ns=(stamp, stamp))
        if self.owner:
            os.chown(staged, *self.owner)
            staged.chmod(files.FILE_MODE)
        status = staged.stat()
        key = files.identity(status)
        with self._lock:
            root = self.folder(container)
            check(self.find(container, name))
            with files.parent(root, parts, make=True, owner=self.owner) as folder:
                self._facts.keep(container, name, key, replace(facts, created=stamp), blocks)
                files.put_in_place(folder, parts[-1], staged)
            self._facts.forget(container, name, but=key)
        self.blocks.drop(container, name)
        return self._blob(container, name, status)

    def revise(
        self,
        container: str,
        name: str,
        check: Check,
        *,
        content: Texts | None = None,
        metadata: Texts | None = None,
    ) -> Blob:
        """Replace the properties of a blob's content, or its metadata."""
        with self._lock:
            blob = self.find(container, name)
            check(blob)
            if blob is None:
                raise BlobError("BlobNotFound")
            facts = replace(
                blob.facts,
                modified=self._now(),
                content=blob.facts.content if content is None else content,
                metadata=blob.facts.metadata if metadata is None else metadata,
            )
            key = files.identity(blob.status)
            self._facts.keep(container, name, key, facts, self.committed(container, blob))
            return replace(blob, facts=facts)

    def delete(self, container: str, name: str, check: Check) -> None:
        """Remove a blob; the folders that led to it stay, since a task may be about to write into them."""
        root, parts = self.folder(container), segments(name)
        with self._lock:
            blob = self.find(container, name)
            check(blob)
            if blob is None:
                raise BlobError("BlobNotFound")
            try:
                with files.parent(root, parts) as folder:
                    os.unlink(parts[-1], dir_fd=folder)
            except FileNotFoundError as error:
                raise BlobError("BlobNotFound") from error
            self._facts.forget(container, name)

    def page(
        self, container: str, *, prefix: str, delimiter: str, marker: str, size: int
    ) -> tuple[list[Blob | str], str]:
        """Return one page of a listing (blobs, and prefixes as texts) and the marker of the next one."""
        page = listing.page(
            self.folder(container), prefix=prefix, delimiter=delimiter, marker=marker, size=size
        )
        known = self._facts.of(container, [item.name for item in page.items if not isinstance(item, str)])
        items: list[Blob | str] = []
        for item in page.items:
            if isinstance(item, str):
                items.append(item)
                continue
            facts = known.get((item.name, files.identity(item.status)))
            items.append(Blob(item.name, item.status, facts or Facts()))
        return items, page.next_marker

    def _blob(self, container: str, name: str, status: os.stat_result) -> Blob:
        facts = self._facts.get(container, name, files.identity(status))
        return Blob(name, status, facts or Facts())

    def _now(self) -> int:
        """Return an instant that no earlier call returned, in nanoseconds."""
        return (self._clock.stamp() - _EPOCH) // timedelta(microseconds=1) * 1000
