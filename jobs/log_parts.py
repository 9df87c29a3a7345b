"""Logs by parts: from an offset on, the last so many bytes, or those before an offset; never more than a page can take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from activity.gateways import gateway_for
from cloud.batch import BatchGateway
from cloud.errors import CloudError
from jobs.files import secrets_of, storage_of
from jobs.logs import live, masked, withheld
from jobs.models import Job, JobPreparation, Task
from pools.models import StorageAccount

PART = 512 * 1024
PATIENCE = 5.0
KEPT_LOGS = {"stdout.txt": "../stdout.txt", "stderr.txt": "../stderr.txt"}

Way = Literal["offset", "tail", "before"]
WAYS: tuple[Way, ...] = ("offset", "tail", "before")


@dataclass(frozen=True)
class Asked:
    """Which bytes of a log are wanted: those from `count` on, the last `count`, or those before `count`."""

    way: Way
    count: int


@dataclass(frozen=True)
class LogPart:
    """Bytes of a log, where they begin, where the next do, and where they came from.

    `size` is the whole log's when this reading has shown it; `has_more` says that more can be read at once.
    """

    data: bytes
    start: int
    next_offset: int
    source: str  # "node" or "storage"
    size: int | None
    has_more: bool


@dataclass(frozen=True)
class LogFile:
    """A log that can be read by ranges: how to read it on its node, and where a copy is kept, if one is."""

    read: Callable[[BatchGateway, int, int], bytes]
    size: Callable[[BatchGateway], int | None]
    kept: tuple[str, str] | None = None


def task_log(job: Job, task: Task, name: str) -> LogFile:
    """Return a task's stdout.txt or stderr.txt."""
    where = (job.batch_id, task.batch_id, name)

    def read(gateway: BatchGateway, start: int, limit: int) -> bytes:
        return gateway.read_task_file(*where, start=start, limit=limit, timeout=PATIENCE).data

    def size(gateway: BatchGateway) -> int | None:
        facts = gateway.task_file_properties(*where, timeout=PATIENCE)
        return facts.content_length if facts else None

    return LogFile(read, size, kept_log(job, task.batch_id, name))


def preparation_log(preparation: JobPreparation, name: str) -> LogFile:
    """Return stdout.txt or stderr.txt of a job's preparation task on one node."""
    path = f"{preparation.task_root_directory.strip('/')}/{name}"
    where = (preparation.pool_id, preparation.node_id, path)

    def read(gateway: BatchGateway, start: int, limit: int) -> bytes:
        return gateway.read_node_file(*where, start=start, limit=limit, timeout=PATIENCE).data

    def size(gateway: BatchGateway) -> int | None:
        facts = gateway.node_file_properties(*where, timeout=PATIENCE)
        return facts.content_length if facts else None

    return LogFile(read, size)


def kept_log(job: Job, task_id: str, name: str) -> tuple[str, str] | None:
    """Return container and path under which a task's output is kept when it ends; None when it is not."""
    for task in (job.plan or {}).get("tasks", ()):
        for output in task["output_files"] if task["id"] == task_id else ():
            if output["pattern"] == KEPT_LOGS.get(name):
                return output["container"], output["path"]
    return None


def read_log(job: Job, log: LogFile, asked: Asked, *, is_over: bool) -> LogPart:
    """Read a part of a log, known secrets starred out; `is_over` says that nothing will be added to it.

    From the node while it is there, else what was kept in storage. Raises CloudError and NotNow.
    """
    secrets = secrets_of(job)
    with live(job.account):
        try:
            return _part(_on_node(job, log), asked, secrets, is_over=is_over)
        except CloudError as error:
            if not error.is_missing or log.kept is None or job.storage is None:
                raise
        return _part(_in_storage(job.storage, *log.kept), asked, secrets, is_over=is_over)


@dataclass(frozen=True)
class _Source:
    name: str
    read: Callable[[int, int], bytes]
    size: Callable[[], int | None]


def _on_node(job: Job, log: LogFile) -> _Source:
    gateway = gateway_for(job.account)
    return _Source("node", lambda start, limit: log.read(gateway, start, limit), lambda: log.size(gateway))


def _in_storage(storage: StorageAccount, container: str, path: str) -> _Source:
    gateway = storage_of(storage)

    def read(start: int, limit: int) -> bytes:
        return gateway.read(container, path, start=start, limit=limit, timeout=PATIENCE)

    def size() -> int | None:
        facts = gateway.properties(container, path, timeout=PATIENCE)
        return facts.size if facts else None

    return _Source("storage", read, size)


@dataclass(frozen=True)
class _Window:
    """What was read: more than is shown, on either side."""

    data: bytes
    begin: int
    is_full: bool

    @property
    def end(self) -> int:
        return self.begin + len(self.data)


def _part(source: _Source, asked: Asked, secrets: Sequence[bytes], *, is_over: bool) -> LogPart:
    # A secret may lie across either end of what is shown: so much is read around it and cut off again.
    reach = max([1, *map(len, secrets)])
    size: int | None = None
    if asked.way == "tail":
        first, window, size = _last_bytes(source, asked.count, reach)
        last = first + PART
    else:
        first = asked.count if asked.way == "offset" else max(0, asked.count - PART)
        last = first + PART if asked.way == "offset" else asked.count
        window = _read(source, first, last, reach)
    held = 0 if is_over and not window.is_full else withheld(window.data, secrets)
    ready = window.end - held
    text = masked(window.data, secrets)
    if asked.way != "offset" and first:
        first = window.begin + _line_start(text, first - window.begin, min(last, ready) - window.begin)
    end = max(first, min(last, ready))
    if not window.is_full and (window.data or not window.begin):
        size = window.end
    return LogPart(
        data=text[first - window.begin : end - window.begin],
        start=first,
        next_offset=end,
        source=source.name,
        size=size,
        has_more=ready > end,
    )


def _read(source: _Source, first: int, last: int, reach: int) -> _Window:
    begin = max(0, first - reach)
    limit = last + reach - begin
    data = source.read(begin, limit)
    return _Window(data, begin, is_full=len(data) >= limit)


def _last_bytes(source: _Source, count: int, reach: int) -> tuple[int, _Window, int]:
    """Return where the last `count` bytes begin, the window of their first part, and the log's size."""
    # Most logs are short: they are whole in one reading, without asking for the size first.
    window = _read(source, 0, PART, reach)
    size = source.size() if window.is_full else window.end
    if size is None:
        raise CloudError(code="FileNotFound", kind="not_found", status=404, message="The log is gone.")
    first = max(0, size - count)
    if first and window.is_full:
        window = _read(source, first, first + PART, reach)
    return first, window, size


def _line_start(text: bytes, at: int, end: int) -> int:
    """Return where the first line from `at` on begins; where a character does when no line begins near.

    The byte before `at` is in `text`, and something before `end` is always left.
    """
    found = text.find(b"\n", at - 1, min(at + PART // 8, end - 1))
    if found >= 0:
        return found + 1
    for start in range(at, min(at + 4, end)):
        if text[start] & 0xC0 != 0x80:
            return start
    return at
