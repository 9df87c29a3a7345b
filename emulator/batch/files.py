"""Files of nodes and tasks: lists, properties, contents by range, and removal.

Tasks put there what they like: links that lead elsewhere, pipes, names that are no text. What lies beyond the folder
that is asked for, or is neither a file nor a directory, is not there for clients. The way to a file is taken step by
step without following a link, so that one put in place meanwhile leads nowhere.
"""

import mimetypes
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from emulator import dates
from emulator.batch import jobs, nodes, pools, tasks, wire
from emulator.batch.http import (
    Answer,
    Handler,
    Operation,
    Request,
    date_header,
    list_docs,
    operation,
    predicate,
)
from emulator.blob.files import open_file, parent
from emulator.errors import BatchError

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d{1,20})-(\d{0,20})", re.ASCII)
_TEXT = frozenset({".txt", ".log", ".err", ".out", ""})


@dataclass(frozen=True)
class _Place:
    """A folder whose files are served, without links on the way to it, and the address that its files have."""

    root: Path
    url: str


@dataclass(frozen=True)
class _File:
    """A file or directory of a place: its path without links, and its status there."""

    path: Path
    facts: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.facts.st_mode)


def _node_place(state: "BatchState", request: Request) -> _Place:
    pool = pools.find(state, request)
    node = nodes.find(state, request, pool)
    root = state.runner.node_root(request.account, pool.id, node.id)
    return _Place(root.resolve(), f"{nodes.url_of(request, pool.id, node.id)}/files")


def _task_place(state: "BatchState", request: Request) -> _Place:
    job = jobs.find(state, request)
    task = tasks.find(state, request, job)
    if task.private.get("is_cleaned"):
        raise BatchError("TaskFilesCleanedup")
    info = task.doc.get("nodeInfo")
    if info is None:
        raise BatchError("TaskFilesUnavailable")
    root = state.runner.node_root(request.account, info["poolId"], info["nodeId"]).resolve()
    folder = _look(root, root / info["taskRootDirectory"])
    # A task can move its own directory away and put a link there.
    if folder is None or not folder.is_directory or folder.path != root / info["taskRootDirectory"]:
        raise BatchError("TaskFilesUnavailable")
    return _Place(folder.path, f"{tasks.url_of(request, job.id, task.id)}/files")


def _look(root: Path, path: Path) -> _File | None:
    """Return what a path means when links are followed, None when it leads out of the root or to nothing to read."""
    try:
        real = Path(os.path.realpath(path, strict=True))
    except (OSError, ValueError):
        return None
    return _status(real) if real.is_relative_to(root) else None


def _status(path: Path) -> _File | None:
    """Return the file or directory at a path without links, None for anything else."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    is_readable = stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)
    return _File(path, facts) if is_readable else None


def _find(place: _Place, request: Request) -> _File:
    found = _look(place.root, place.root / _name(request))
    if found is None:
        raise BatchError("FileNotFound")
    return found


def _name(request: Request) -> str:
    return request.parameters["path"].replace("\\", "/")


def _list(place: _Place, request: Request) -> Answer:
    keep = predicate(request, frozenset({"name"}))
    found = _walk(place.root, recursive=request.flag("recursive"))
    docs = [_entry(place, path, file) for path, file in found]
    return list_docs(request, "files", [doc for doc in docs if keep is None or keep(doc)])


def _walk(root: Path, *, recursive: bool) -> Iterator[tuple[Path, _File]]:
    """Yield the entries level by level, folders of a level before what is in them; no folder is entered by a link."""
    level = [root]
    while level:
        below = list[Path]()
        for folder in level:
            for path in _paths(folder):
                file = _look(root, path) if path.is_symlink() else _status(path)
                if file is None:
                    continue
                yield path, file
                if file.is_directory and file.path == path:
                    below.append(path)
        level = below if recursive else []


def _paths(folder: Path) -> list[Path]:
    """Return what lies in a folder by name; names that are not UTF-8 cannot be told to a client."""
    try:
        return sorted(path for path in folder.iterdir() if _is_text(path.name))
    except OSError:
        return []


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entry(place: _Place, path: Path, file: _File) -> dict[str, Any]:
    name = path.relative_to(place.root).as_posix()
    doc: dict[str, Any] = {
        "name": name,
        "url": f"{place.url}/{quote(name)}",
        "isDirectory": file.is_directory,
    }
    if not file.is_directory:
        doc["properties"] = {
            "lastModified": wire.instant(_modified(file.facts)),
            "contentLength": str(file.facts.st_size),
            "contentType": _type(path),
            "fileMode": _mode(file.facts),
        }
    return doc


def _modified(facts: os.stat_result) -> datetime:
    return dates.file_date(facts.st_mtime_ns)


def _mode(facts: os.stat_result) -> str:
    return f"0o{facts.st_mode:o}"


def _type(path: Path) -> str:
    if path.suffix in _TEXT:
        return "text/plain"
    guess = mimetypes.guess_type(path.name)[0] or ""
    is_known = guess.startswith(("text/", "image/")) or guess == "application/json"
    return guess if is_known else "application/octet-stream"


def _headers(place: _Place, file: _File) -> dict[str, str]:
    url = f"{place.url}/{file.path.relative_to(place.root).as_posix()}"
    return {
        "Content-Type": _type(file.path),
        "Last-Modified": wire.http_date(_modified(file.facts)),
        "ocp-batch-file-isdirectory": str(file.is_directory),
        "ocp-batch-file-url": quote(os.fsencode(url), safe=""),
        "ocp-batch-file-mode": _mode(file.facts),
    }


def _check_dates(request: Request, facts: os.stat_result) -> bool:
    """Refuse a file changed since If-Unmodified-Since; tell whether If-Modified-Since asks for nothing."""
    modified = _modified(facts).replace(microsecond=0)
    until = date_header(request, "if-unmodified-since")
    if until is not None and modified > until:
        raise BatchError("ConditionNotMet")
    since = date_header(request, "if-modified-since")
    return since is not None and modified <= since


def _properties(place: _Place, request: Request) -> Answer:
    """Answer the properties of a file, or of a directory, whose length is 0."""
    file = _find(place, request)
    headers = _headers(place, file)
    if _check_dates(request, file.facts):
        return Answer(304, headers=headers)
    length = 0 if file.is_directory else file.facts.st_size
    return Answer(200, headers={**headers, "Content-Length": str(length)})


def _read(place: _Place, request: Request) -> Answer:
    """Answer the content or a range of it: 200 in both cases, since the SDKs take nothing else.

    A directory has no content: FileNotFound, of whose kind the service's list has no other code ("Batch Status and
    Error Codes" of its REST reference; what the service itself answers is not documented).
    """
    file = _find(place, request)
    if file.is_directory:
        raise BatchError("FileNotFound", Reason="The path is a directory")
    headers = _headers(place, file)
    if _check_dates(request, file.facts):
        return Answer(304, headers=headers)
    start, end = _range(request, file.facts.st_size)
    headers["Content-Length"] = str(end - start)
    try:
        descriptor, _ = open_file(place.root, file.path.relative_to(place.root).parts)
    except OSError as error:
        raise BatchError("FileNotFound") from error
    return Answer(200, headers=headers, stream=_chunks(os.fdopen(descriptor, "rb"), start, end))


def _range(request: Request, size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last that `ocp-range` asks for."""
    text = request.headers.get("ocp-range")
    if text is None:
        return 0, size
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise BatchError("InvalidHeaderValue", HeaderName="ocp-range", HeaderValue=text)
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if start >= size or end <= start:
        raise BatchError("InvalidRange", HeaderName="ocp-range", HeaderValue=text)
    return start, end


def _chunks(content: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    with content:
        content.seek(start)
        left = end - start
        while left > 0 and (chunk := content.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _remove(place: _Place, request: Request) -> Answer:
    """Remove a file, or a directory with all that is in it if `recursive` says so; of a link, the link itself."""
    _find(place, request)
    name = PurePosixPath(_name(request))
    folder = _look(place.root, place.root / name.parent)
    if folder is None or name.name in ("", ".."):
        raise BatchError("FileNotFound")
    parts = (*folder.path.relative_to(place.root).parts, name.name)
    try:
        with parent(place.root, parts) as opened:
            _remove_in(opened, name.name, recursive=request.flag("recursive"))
    except FileNotFoundError as error:
        raise BatchError("FileNotFound") from error
    except OSError as error:
        raise BatchError("OperationInvalidForCurrentState", Reason=error.strerror) from error
    return Answer(200)


def _remove_in(folder: int, name: str, *, recursive: bool) -> None:
    if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
        os.unlink(name, dir_fd=folder)
    elif recursive:
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.rmdir(name, dir_fd=folder)


_FindPlace = Callable[["BatchState", Request], _Place]


def _on(find_place: _FindPlace, act: Callable[[_Place, Request], Answer]) -> Handler:
    """Return the handler that does `act` in the folder of a node or task."""

    def handle(state: "BatchState", request: Request) -> Answer:
        return act(find_place(state, request), request)

    return handle


def _operations(base: str, find_place: _FindPlace) -> tuple[Operation, ...]:
    return (
        operation("GET", base, _on(find_place, _list)),
        operation("GET", f"{base}/{{path}}", _on(find_place, _read)),
        operation("HEAD", f"{base}/{{path}}", _on(find_place, _properties)),
        operation("DELETE", f"{base}/{{path}}", _on(find_place, _remove)),
    )


OPERATIONS = (
    *_operations("/pools/{pool}/nodes/{node}/files", _node_place),
    *_operations("/jobs/{job}/tasks/{task}/files", _task_place),
)
