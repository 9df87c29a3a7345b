"""Uploads in progress: what was acknowledged of them outlives the process, like everything else."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from emulator.clock import Clock
from emulator.registry import names
from emulator.registry.blobs import Blobs, digest_of_file
from emulator.registry.errors import RegistryError
from emulator.store import Store

FORGOTTEN = timedelta(days=7)


@dataclass(frozen=True)
class Upload:
    """An upload and how many of its bytes have been acknowledged."""

    id: str
    repository: str
    size: int
    path: Path


class Writer:
    """Append to an upload; without `commit` nothing of it counts."""

    def __init__(self, upload: Upload, store: Store) -> None:
        self._upload = upload
        self._store = store
        self._file: BinaryIO = upload.path.open("r+b")
        # Beyond the size there may be bytes of a request that was cut off.
        self._file.truncate(upload.size)
        self._file.seek(upload.size)

    def write(self, content: bytes) -> None:
        """Append some bytes."""
        self._file.write(content)

    def commit(self) -> Upload:
        """Make what was written part of the upload and return that."""
        self._file.flush()
        size = self._file.tell()
        self._store.execute("UPDATE registry_uploads SET size = ? WHERE id = ?", size, self._upload.id)
        return replace(self._upload, size=size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Uploads:
    """Begin, continue, finish and cancel uploads."""

    def __init__(self, folder: Path, store: Store, clock: Clock, blobs: Blobs) -> None:
        self._folder = folder
        self._store = store
        self._clock = clock
        self._blobs = blobs
        self._claimed = set[str]()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        store.create(
            "CREATE TABLE IF NOT EXISTS registry_uploads (id TEXT PRIMARY KEY, repository TEXT NOT NULL, "
            "size INTEGER NOT NULL, created REAL NOT NULL) WITHOUT ROWID"
        )

    def begin(self, repository: str) -> Upload:
        """Return a new, empty upload."""
        name, created = str(uuid.uuid4()), self._clock.now().timestamp()
        upload = Upload(name, repository, 0, self._folder / name)
        upload.path.touch()
        self._store.execute("INSERT INTO registry_uploads VALUES (?, ?, 0, ?)", name, repository, created)
        return upload

    def get(self, repository: str, name: str) -> Upload:
        """Return an upload to a repository, or refuse."""
        row = self._store.row(
            "SELECT id, size FROM registry_uploads WHERE id = ? AND repository = ?", name, repository
        )
        if row is None:
            raise RegistryError("BLOB_UPLOAD_UNKNOWN", detail={"uuid": name})
        return Upload(row["id"], repository, row["size"], self._folder / row["id"])

    @contextmanager
    def claim(self, name: str) -> Iterator[None]:
        """Hold an upload for one request; refuse when another one holds it."""
        with self._lock:
            if name in self._claimed:
                raise RegistryError("TOOMANYREQUESTS")
            self._claimed.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._claimed.discard(name)

    def writer(self, upload: Upload) -> Writer:
        """Return what appends to an upload that the caller has claimed."""
        return Writer(upload, self._store)

    def finish(self, upload: Upload, digest: str) -> None:
        """Make an upload a blob; one that is not what its digest says is cancelled and refused."""
        names.digest(digest)
        found = digest_of_file(upload.path)
        if found != digest:
            self.cancel(upload)
            raise RegistryError("DIGEST_INVALID", detail={"expected": digest, "found": found})
        with self._store.transaction() as connection:
            self._blobs.adopt(upload.path, upload.repository, digest, upload.size)
            connection.execute("DELETE FROM registry_uploads WHERE id = ?", (upload.id,))
        upload.path.unlink(missing_ok=True)

    def cancel(self, upload: Upload) -> None:
        """Forget an upload."""
        self._store.execute("DELETE FROM registry_uploads WHERE id = ?", upload.id)
        upload.path.unlink(missing_ok=True)

    def recover(self) -> None:
        """Forget old uploads and remove the files that a sudden end left without a row."""
        limit = (self._clock.now() - FORGOTTEN).timestamp()
        self._store.execute("DELETE FROM registry_uploads WHERE created < ?", limit)
        known = {row["id"] for row in self._store.rows("SELECT id FROM registry_uploads")}
        for file in self._folder.iterdir():
            if file.name not in known:
                file.unlink()
