"""Blobs: content in files named by digest, shared between the repositories that link to them."""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from emulator.registry import names
from emulator.registry.errors import RegistryError
from emulator.store import Store

READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Blob:
    """One blob and the file that has its content."""

    digest: str
    size: int
    path: Path


class Blobs:
    """Keep blobs: a file comes before its row and goes after it, so that a row always has its file."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        folder.mkdir(parents=True, exist_ok=True)
        store.create(
            "CREATE TABLE IF NOT EXISTS registry_blobs ("
            "digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS registry_links ("
            "repository TEXT NOT NULL, digest TEXT NOT NULL REFERENCES registry_blobs ON DELETE CASCADE, "
            "PRIMARY KEY (repository, digest)) WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS registry_links_digest ON registry_links (digest)",
        )

    def path(self, digest: str) -> Path:
        """Return where the content of a blob lies."""
        return self._folder / names.digest(digest).removeprefix("sha256:")

    def find(self, repository: str, digest: str) -> Blob | None:
        """Return a blob of a repository."""
        row = self._store.row(
            "SELECT size FROM registry_blobs JOIN registry_links USING (digest) "
            "WHERE repository = ? AND digest = ?",
            repository,
            digest,
        )
        return Blob(digest, row["size"], self.path(digest)) if row is not None else None

    def get(self, repository: str, digest: str) -> Blob:
        """Return a blob of a repository, or refuse."""
        blob = self.find(repository, names.digest(digest))
        if blob is None:
            raise RegistryError("BLOB_UNKNOWN", detail={"digest": digest})
        return blob

    def adopt(self, source: Path, repository: str, digest: str, size: int) -> None:
        """Keep a file as a blob of the repository; the caller has checked its digest and removes it afterwards."""
        with self._store.transaction() as connection:
            known = connection.execute("SELECT 1 FROM registry_blobs WHERE digest = ?", (digest,)).fetchone()
            if known is None:
                # A link instead of a rename: until the commit, the upload must stay as it is.
                self.path(digest).unlink(missing_ok=True)
                os.link(source, self.path(digest))
                connection.execute("INSERT INTO registry_blobs VALUES (?, ?)", (digest, size))
            connection.execute("INSERT OR IGNORE INTO registry_links VALUES (?, ?)", (repository, digest))

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Give a repository a blob of another one; tell whether that has it."""
        with self._store.transaction() as connection:
            if self.find(source, digest) is None:
                return False
            connection.execute("INSERT OR IGNORE INTO registry_links VALUES (?, ?)", (repository, digest))
            return True

    def unlink(self, repository: str, digests: Iterable[str]) -> None:
        """Take blobs from a repository, in the caller's transaction if any; `sweep` after it removes the files."""
        with self._store.transaction() as connection:
            for digest in digests:
                connection.execute(
                    "DELETE FROM registry_links WHERE repository = ? AND digest = ?", (repository, digest)
                )
                connection.execute(
                    "DELETE FROM registry_blobs WHERE digest = ? AND NOT EXISTS "
                    "(SELECT 1 FROM registry_links WHERE digest = registry_blobs.digest)",
                    (digest,),
                )

    def linked(self, repository: str) -> list[str]:
        """Return the digests of all blobs of a repository."""
        rows = self._store.rows("SELECT digest FROM registry_links WHERE repository = ?", repository)
        return [row["digest"] for row in rows]

    def sweep(self, digests: Iterable[str]) -> None:
        """Remove the files of those digests that have no row (any more); never call it inside a transaction."""
        # It holds the writer's place itself, so that nobody can bring such a blob back in between.
        with self._store.transaction() as connection:
            for digest in digests:
                row = connection.execute(
                    "SELECT 1 FROM registry_blobs WHERE digest = ?", (digest,)
                ).fetchone()
                if row is None:
                    self.path(digest).unlink(missing_ok=True)

    def recover(self) -> None:
        """Remove the files that a sudden end left without a row."""
        self.sweep(
            f"sha256:{file.name}" for file in self._folder.iterdir() if names.is_digest(f"sha256:{file.name}")
        )


def digest_of_file(path: Path) -> str:
    """Return the digest of a file's content, read piece by piece."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            found.update(piece)
    return f"sha256:{found.hexdigest()}"


def read_small(blob: Blob, most: int) -> bytes:
    """Return the content of a blob, empty if it is larger than `most` or has just been deleted."""
    if blob.size <= most:
        with contextlib.suppress(FileNotFoundError):
            return blob.path.read_bytes()
    return b""
