"""Blocks that are staged and not committed yet: files of their own, which survive a restart."""

import base64
import binascii
import contextlib
import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.blob import files
from emulator.blob.errors import BlobError, bad_query

MOST_ID_BYTES = 64
KEPT_SECONDS = 7 * 24 * 3600  # the service drops uncommitted blocks after a week
_TO_FILE, _TO_ID = str.maketrans("/+", "_-"), str.maketrans("_-", "/+")


@dataclass(frozen=True)
class Block:
    """A staged block."""

    path: Path
    size: int


@dataclass(frozen=True)
class Piece:
    """Where the bytes of a committed block come from: a staged file, or a stretch of the blob as it is."""

    key: str
    size: int
    path: Path | None = None
    offset: int = 0


class Blocks:
    """The staging place of all blobs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, container: str, name: str, key: str, received: Path) -> None:
        """Stage a block in place of an earlier one with the same id."""
        folder = self._folder(container, name)
        folder.mkdir(parents=True, exist_ok=True)
        known = next(iter(self.staged(container, name)), key)
        if _length(known) != _length(key):
            raise BlobError("InvalidBlobOrBlock", Reason="All block ids of a blob have the same length")
        received.replace(folder / key.translate(_TO_FILE))

    def staged(self, container: str, name: str) -> dict[str, Block]:
        """Return the uncommitted blocks of a blob by id."""
        found: dict[str, Block] = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder(container, name)) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                found[entry.name.translate(_TO_ID)] = Block(Path(entry.path), entry.stat().st_size)
        return found

    def drop(self, container: str, name: str) -> None:
        """Forget the uncommitted blocks of a blob."""
        files.remove_tree(self._folder(container, name))

    def drop_container(self, container: str) -> None:
        """Forget the uncommitted blocks of all blobs of a container."""
        files.remove_tree(self._root / container)

    def drop_old(self) -> None:
        """Forget what has been waiting for longer than the service would keep it."""
        limit = time.time() - KEPT_SECONDS
        for folder in self._root.glob("*/*"):
            if folder.stat().st_mtime < limit:
                files.remove_tree(folder)

    def _folder(self, container: str, name: str) -> Path:
        return self._root / container / hashlib.sha256(name.encode()).hexdigest()


def check_key(key: str) -> str:
    """Return a valid block id, refuse another one."""
    if not key:
        raise BlobError("MissingRequiredQueryParameter", QueryParameterName="blockid")
    try:
        length = len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError) as error:
        raise BlobError("InvalidBlockId") from error
    if not 0 < length <= MOST_ID_BYTES:
        raise bad_query("blockid", key, f"A block id has 1 to {MOST_ID_BYTES} bytes")
    return key


def _length(key: str) -> int:
    return len(base64.b64decode(key))


def resolve(
    wanted: Sequence[tuple[str, str]], staged: dict[str, Block], committed: Sequence[tuple[str, int]]
) -> list[Piece]:
    """Find the bytes of each (kind, id) of a block list; kinds are Committed, Uncommitted and Latest."""
    pieces, offset = dict[str, Piece](), 0
    for key, size in committed:
        pieces.setdefault(key, Piece(key, size, offset=offset))
        offset += size
    found = list[Piece]()
    for kind, key in wanted:
        block = staged.get(key) if kind != "Committed" else None
        if block is not None:
            found.append(Piece(key, block.size, path=block.path))
        elif kind != "Uncommitted" and key in pieces:
            found.append(pieces[key])
        else:
            raise BlobError("InvalidBlockList")
    return found
