"""Blobs as files below a container's folder, reached step by step so that no symbolic link is ever followed.

Tasks write into these folders as they like, also while a request is being answered: every step is taken from an
open folder, so that a link or another folder put in place meanwhile leads nowhere.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from emulator.blob.errors import BlobError

Owner = tuple[int, int]
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe that a task left there would wait for its other end.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER_MODE, FILE_MODE = 0o2770, 0o660
COPY_BYTES = 16 * 1024 * 1024
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY, errno.EEXIST)


def identity(status: os.stat_result) -> str:
    """Name the content of a file: another file, size or time of change is another content."""
    return f"{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"


def etag(status: os.stat_result, modified: int) -> str:
    """Return the bare ETag of a file whose properties were last changed at `modified` (0 if never)."""
    text = f"{identity(status)}:{modified}"
    return f"0x{hashlib.blake2b(text.encode(), digest_size=8).hexdigest().upper()}"


@contextlib.contextmanager
def parent(
    root: Path, parts: Sequence[str], *, make: bool = False, owner: Owner | None = None
) -> Iterator[int]:
    """Open the folder of a blob, making it first if wanted; FileNotFoundError when there is none."""
    folder = os.open(root, FOLDER)
    try:
        for part in parts[:-1]:
            deeper = _step(folder, part, make, owner)
            os.close(folder)
            folder = deeper
        yield folder
    finally:
        os.close(folder)


def _step(folder: int, part: str, make: bool, owner: Owner | None) -> int:
    """Open a folder inside an open one."""
    made = False
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o700 if owner else 0o777, dir_fd=folder)
            made = True
    try:
        deeper = os.open(part, FOLDER, dir_fd=folder)
    except OSError as error:
        if make and error.errno in _IN_THE_WAY:
            raise BlobError("ResourceTypeMismatch") from error
        if error.errno in _ABSENT:
            raise FileNotFoundError(error.errno, error.strerror, part) from error
        raise
    if made and owner is not None:
        hand_over(deeper, owner)
    return deeper


def hand_over(file: int, owner: Owner) -> None:
    """Give an open file or folder to the owner and its group; one that has a second name is left alone."""
    status = os.fstat(file)
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and (status.st_nlink != 1 or not stat.S_ISREG(status.st_mode)):
        return
    mode = FOLDER_MODE if is_folder else FILE_MODE
    if (status.st_uid, status.st_gid) != owner:
        os.fchown(file, *owner)
    if stat.S_IMODE(status.st_mode) & mode != mode:
        os.fchmod(file, stat.S_IMODE(status.st_mode) | mode)


def hand_over_tree(root: Path, owner: Owner) -> None:
    """Give a folder and all that is in it to the owner."""
    for _, _, names, folder in os.fwalk(root, follow_symlinks=False):
        hand_over(folder, owner)
        for name in names:
            with contextlib.suppress(OSError):
                file = os.open(name, FILE, dir_fd=folder)
                try:
                    hand_over(file, owner)
                finally:
                    os.close(file)


def look(folder: int, name: str) -> os.stat_result:
    """Return the status of a file in an open folder; FileNotFoundError for anything but a plain file."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError(errno.ENOENT, "Not a plain file", name)
    return status


def open_file(root: Path, parts: Sequence[str]) -> tuple[int, os.stat_result]:
    """Open a blob's file for reading; FileNotFoundError when there is none."""
    with parent(root, parts) as folder:
        try:
            file = os.open(parts[-1], FILE, dir_fd=folder)
        except OSError as error:
            if error.errno in (*_ABSENT, errno.ENXIO):
                raise FileNotFoundError(error.errno, error.strerror, parts[-1]) from error
            raise
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        raise FileNotFoundError(errno.ENOENT, "Not a plain file", parts[-1])
    return file, status


def put_in_place(folder: int, name: str, staged: Path) -> None:
    """Move a finished file to its name in one step; folders without any file in them make room for it."""
    try:
        os.replace(staged, name, dst_dir_fd=folder)
    except OSError as error:
        if error.errno not in _IN_THE_WAY:
            raise
        if not _remove_bare(folder, name):
            raise BlobError("ResourceTypeMismatch") from error
        os.replace(staged, name, dst_dir_fd=folder)


def _remove_bare(folder: int, name: str) -> bool:
    """Remove a tree of folders unless something else is in it."""
    if any(files for _, _, files, _ in os.fwalk(name, dir_fd=folder)):
        return False
    try:
        for _, folders, _, inside in os.fwalk(name, topdown=False, dir_fd=folder):
            for deeper in folders:
                os.rmdir(deeper, dir_fd=inside)
        os.rmdir(name, dir_fd=folder)
    except OSError:
        return False
    return True


def copy_range(source: int, target: int, offset: int, length: int) -> None:
    """Append a part of a file to another one without taking it into memory."""
    while length > 0:
        try:
            done = os.copy_file_range(source, target, min(length, COPY_BYTES), offset)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            done = os.sendfile(target, source, offset, min(length, COPY_BYTES))
        if done == 0:
            raise BlobError("InternalError", Reason="A file became shorter while it was read")
        offset, length = offset + done, length - done


def remove_tree(path: Path) -> None:
    """Remove a folder and all that is in it; what tasks are still writing there may stay."""
    shutil.rmtree(path, ignore_errors=True)
