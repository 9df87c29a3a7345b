"""Walking a container's folder in the order in which the service lists blobs."""

import base64
import binascii
import errno
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from emulator.blob import files
from emulator.blob.errors import bad_query
from emulator.blob.names import MOST_LETTERS, MOST_SEGMENTS

# A task may have removed or replaced a file since its folder was read, or closed a folder to others.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES)
_LAST = "\U0010ffff"  # sorts after all that a name can go on with


@dataclass(frozen=True)
class Found:
    """A file of the container."""

    name: str
    status: os.stat_result


@dataclass(frozen=True)
class Page:
    """A page of blobs and of prefixes (texts) in one order, and the marker of the next one."""

    items: list[Found | str]
    next_marker: str


class Walk:
    """Yield the files below a folder by name, those that begin with `prefix` and come after `after`.

    One folder at a time is read and sorted, so a walk needs memory for the widest folder only, and a walk that
    begins in the middle passes over whole folders. `skip` may be set on the way: names that begin with it are left
    out from then on. What vanishes meanwhile is left out, as are links, pipes and names that are not UTF-8.
    """

    def __init__(self, root: Path, prefix: str = "", after: str = "") -> None:
        self.skip = ""
        self._root = root
        self._prefix = prefix
        self._after = after

    def files(self) -> Generator[Found]:
        """Yield the files."""
        yield from self._below(os.open(self._root, files.FOLDER), "")

    def _below(self, folder: int, base: str) -> Generator[Found]:
        try:
            for key in _entries(folder):
                name = base + key
                if not self._is_wanted(name):
                    continue
                try:
                    if key.endswith("/"):
                        yield from self._below(os.open(key[:-1], files.FOLDER, dir_fd=folder), name)
                    else:
                        yield Found(name, files.look(folder, key))
                except OSError as error:
                    if error.errno not in _GONE:
                        raise
        finally:
            os.close(folder)

    def _is_wanted(self, name: str) -> bool:
        if self.skip and name.startswith(self.skip):
            return False
        if not name.endswith("/"):
            return name.startswith(self._prefix) and name > self._after and len(name) <= MOST_LETTERS
        leads_there = name.startswith(self._prefix) or self._prefix.startswith(name)
        goes_on = name > self._after or self._after.startswith(name)
        return leads_there and goes_on and len(name) <= MOST_LETTERS and name.count("/") < MOST_SEGMENTS


def _entries(folder: int) -> Iterator[str]:
    """Return the files and folders of a folder in order; folders end with a slash, which makes the order right."""
    keys = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                keys.append(f"{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                keys.append(entry.name)
    return (key for key in sorted(keys) if _is_text(key))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def page(root: Path, *, prefix: str, delimiter: str, marker: str, size: int) -> Page:
    """Return one page; with a delimiter, names that go on after it are shown as one prefix."""
    walk, items = Walk(root, prefix, _read_marker(marker)), list[Found | str]()
    with closing(walk.files()) as found:
        for file in found:
            if len(items) == size:
                return Page(items, _marker(items[-1]))
            group = _group(file.name, prefix, delimiter)
            if group:
                items.append(group)
                walk.skip = group
            else:
                items.append(file)
    return Page(items, "")


def _group(name: str, prefix: str, delimiter: str) -> str:
    end = name.find(delimiter, len(prefix)) if delimiter else -1
    return name[: end + len(delimiter)] if end >= 0 else ""


def _marker(last: Found | str) -> str:
    """Name the last item of a page: files that appear meanwhile neither shift nor repeat the rest."""
    text = last + _LAST if isinstance(last, str) else last.name
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_marker(marker: str) -> str:
    try:
        return base64.urlsafe_b64decode(marker.encode()).decode()
    except (binascii.Error, ValueError) as error:
        raise bad_query("marker", marker, "The marker was not made by this service") from error
