"""Files of nodes and tasks: lists, properties, contents by range, and removal."""

import mimetypes
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from emulator.batch import jobs, nodes, pools, tasks, wire
from emulator.batch.http import Answer, Handler, Operation, Request, list_docs, operation, predicate
from emulator.errors import BatchError

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_TEXT = frozenset({".txt", ".log", ".err", ".out", ""})


@dataclass(frozen=True)
class _Place:
    """A folder whose files are served, and the address that its files have."""

    root: Path
    url: str


def _node_place(state: "BatchState", request: Request) -> _Place:
    pool = pools.find(state, request)
    node = nodes.find(state, request, pool)
    root = state.runner.node_root(request.account, pool.id, node.id)
    return _Place(root, f"{nodes.url_of(request, pool.id, node.id)}/files")


def _task_place(state: "BatchState", request: Request) -> _Place:
    job = jobs.find(state, request)
    task = tasks.find(state, request, job)
    if task.private.get("is_cleaned"):
        raise BatchError("TaskFilesCleanedup")
    info = task.doc.get("nodeInfo")
    if info is None:
        raise BatchError("TaskFilesUnavailable")
    root = state.runner.node_root(request.account, info["poolId"], info["nodeId"])
    folder = root / info["taskRootDirectory"]
    if not folder.is_dir():
        raise BatchError("TaskFilesUnavailable")
    return _Place(folder, f"{tasks.url_of(request, job.id, task.id)}/files")


def _resolve(place: _Place, name: str) -> Path:
    """Return the file that a name means; links and `..` must not lead out of the folder."""
    root = place.root.resolve()
    path = (root / name.replace("\\", "/")).resolve()
    if not path.is_relative_to(root) or not path.exists():
        raise BatchError("FileNotFound")
    return path


def _list(place: _Place, request: Request) -> Answer:
    keep = predicate(request, frozenset({"name"}))
    docs = [_entry(place, path) for path in _walk(place.root, recursive=request.flag("recursive"))]
    return list_docs(request, "files", [doc for doc in docs if keep is None or keep(doc)])


def _walk(root: Path, *, recursive: bool) -> Iterator[Path]:
    """Yield the entries level by level, folders of a level before what is in them; links are not followed."""
    level = [root]
    while level:
        below = list[Path]()
        for folder in level:
            try:
                entries = sorted(folder.iterdir())
            except OSError:
                continue
            yield from entries
            below += [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
        level = below if recursive else []


def _entry(place: _Place, path: Path) -> dict[str, Any]:
    name = path.relative_to(place.root).as_posix()
    doc: dict[str, Any] = {"name": name, "url": f"{place.url}/{quote(name)}", "isDirectory": path.is_dir()}
    if doc["isDirectory"]:
        return doc
    try:
        facts = path.stat()
    except OSError:
        facts = path.lstat()
    doc["properties"] = {
        "lastModified": wire.instant(_modified(facts)),
        "contentLength": str(facts.st_size),
        "contentType": _type(path),
        "fileMode": _mode(facts),
    }
    return doc


def _modified(facts: os.stat_result) -> datetime:
    return datetime.fromtimestamp(facts.st_mtime, tz=UTC)


def _mode(facts: os.stat_result) -> str:
    return f"0o{facts.st_mode:o}"


def _type(path: Path) -> str:
    if path.suffix in _TEXT:
        return "text/plain"
    guess = mimetypes.guess_type(path.name)[0] or ""
    is_known = guess.startswith(("text/", "image/")) or guess == "application/json"
    return guess if is_known else "application/octet-stream"


def _headers(request: Request, place: _Place, path: Path, facts: os.stat_result) -> dict[str, str]:
    name = path.relative_to(place.root.resolve()).as_posix()
    url = f"{place.url}/{name}"
    return {
        "Content-Type": _type(path),
        "Last-Modified": wire.http_date(_modified(facts)),
        "ocp-batch-file-isdirectory": str(stat.S_ISDIR(facts.st_mode)),
        "ocp-batch-file-url": quote(url, safe=""),
        "ocp-batch-file-mode": _mode(facts),
    }


def _check_dates(request: Request, facts: os.stat_result) -> bool:
    """Refuse a file changed since If-Unmodified-Since; tell whether If-Modified-Since asks for nothing."""
    modified = _modified(facts).replace(microsecond=0)
    until = _date(request, "if-unmodified-since")
    if until is not None and modified > until:
        raise BatchError("ConditionNotMet")
    since = _date(request, "if-modified-since")
    return since is not None and modified <= since


def _date(request: Request, name: str) -> datetime | None:
    if name not in request.headers:
        return None
    try:
        return parsedate_to_datetime(request.headers[name])
    except ValueError as error:
        raise BatchError("InvalidHeaderValue", HeaderName=name, HeaderValue=request.headers[name]) from error


def _properties(place: _Place, request: Request) -> Answer:
    path = _resolve(place, request.parameters["path"])
    facts = path.stat()
    headers = _headers(request, place, path, facts)
    if _check_dates(request, facts):
        return Answer(304, headers=headers)
    length = 0 if path.is_dir() else facts.st_size
    return Answer(200, headers={**headers, "Content-Length": str(length)})


def _read(place: _Place, request: Request) -> Answer:
    """Answer the content or a range of it: 200 in both cases, since the SDKs take nothing else."""
    path = _resolve(place, request.parameters["path"])
    if path.is_dir():
        raise BatchError("FileNotFound", Reason="The path is a directory")
    facts = path.stat()
    headers = _headers(request, place, path, facts)
    if _check_dates(request, facts):
        return Answer(304, headers=headers)
    start, end = _range(request, facts.st_size)
    headers["Content-Length"] = str(end - start)
    return Answer(200, headers=headers, stream=_chunks(path, start, end))


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


def _chunks(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = end - start
        while left > 0:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk


def _remove(place: _Place, request: Request) -> Answer:
    path = _resolve(place, request.parameters["path"])
    if not path.is_dir():
        path.unlink()
        return Answer(200)
    if request.flag("recursive"):
        shutil.rmtree(path)
        return Answer(200)
    try:
        path.rmdir()
    except OSError as error:
        raise BatchError("OperationInvalidForCurrentState", Reason="The directory is not empty") from error
    return Answer(200)


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
