"""The files of a task: on its node while the node lives, and what was kept in storage."""

import mimetypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from posixpath import normpath

from activity.gateways import gateway_for, reveal, storage_gateway
from cloud.batch import BatchGateway
from cloud.errors import CloudError
from cloud.storage import StorageGateway
from jobs.logs import live, masked, masked_pieces, withheld
from jobs.models import Job, JobPreparation, Task
from jobs.specs import secret_of
from pools.models import StorageAccount

LOG_LIMIT = 512 * 1024
MOST_FILES = 500
KEPT_LOGS = {"stdout.txt": "../stdout.txt", "stderr.txt": "../stderr.txt"}


@dataclass(frozen=True)
class FileRow:
    """A file that can be downloaded."""

    name: str
    size: int | None
    changed_at: datetime | None


@dataclass(frozen=True)
class LogPart:
    """Bytes of a log from `offset` on, where the next begin, and where they came from."""

    data: bytes
    next_offset: int
    source: str  # "node" or "storage"


def is_safe(path: str) -> bool:
    """Whether a path stays inside the folder it is relative to."""
    return (
        bool(path)
        and not path.startswith("/")
        and "\\" not in path
        and path.isprintable()
        and normpath(path) == path.rstrip("/")
        and not path.startswith("..")
    )


def secrets_of(job: Job) -> list[bytes]:
    """Return the values that must not show in a job's output."""
    names = {
        variable.get("secret")
        for group in [(job.plan or {}).get("common_environment", ())]
        + [task.get("environment", ()) for task in (job.plan or {}).get("tasks", ())]
        for variable in group
    }
    found = [secret_of(job.account, name) for name in sorted(filter(None, names))]
    return [reveal(credential).encode() for credential in found if credential]


@dataclass(frozen=True)
class LogFile:
    """A log that can be read by ranges: how to read it on its node, and where a copy is kept, if one is."""

    read: Callable[[BatchGateway, int, int], bytes]
    kept: tuple[str, str] | None = None


def task_log(job: Job, task_id: str, name: str) -> LogFile:
    """Return a task's stdout.txt or stderr.txt."""

    def read(gateway: BatchGateway, start: int, limit: int) -> bytes:
        return gateway.read_task_file(job.batch_id, task_id, name, start=start, limit=limit).data

    return LogFile(read, kept_log(job, task_id, name))


def preparation_log(preparation: JobPreparation, name: str) -> LogFile:
    """Return stdout.txt or stderr.txt of a job's preparation task on one node."""
    path = f"{preparation.task_root_directory.strip('/')}/{name}"

    def read(gateway: BatchGateway, start: int, limit: int) -> bytes:
        pool, node = preparation.pool_id, preparation.node_id
        return gateway.read_node_file(pool, node, path, start=start, limit=limit).data

    return LogFile(read)


def read_log(job: Job, log: LogFile, *, start: int, is_over: bool) -> LogPart:
    """Read a log from `start` on, known secrets starred out.

    From the node while it is there, else what was kept in storage. Raises CloudError and NotNow.
    """
    secrets = secrets_of(job)
    # A secret may begin before what is asked for: read that much earlier, and cut it off again.
    reach = max((len(secret) for secret in secrets), default=1) - 1
    begin, limit = max(0, start - reach), LOG_LIMIT + reach
    with live(job.account):
        try:
            data, source = log.read(gateway_for(job.account), begin, limit), "node"
        except CloudError as error:
            if not error.is_missing or log.kept is None or job.storage is None:
                raise
            data, source = storage_of(job.storage).read(*log.kept, start=begin, limit=limit), "storage"
    held = 0 if is_over and len(data) < limit else withheld(data, secrets)
    shown = masked(data, secrets)[start - begin : len(data) - held]
    return LogPart(shown, start + len(shown), source)


def kept_log(job: Job, task_id: str, name: str) -> tuple[str, str] | None:
    """Return container and path under which a task's output is kept when it ends; None when it is not."""
    for task in (job.plan or {}).get("tasks", ()):
        for output in task["output_files"] if task["id"] == task_id else ():
            if output["pattern"] == KEPT_LOGS.get(name):
                return output["container"], output["path"]
    return None


def storage_of(storage: StorageAccount) -> StorageGateway:
    """Return the gateway to a job's storage account."""
    return storage_gateway(
        storage.account, name=storage.name, endpoint=storage.address, credential=storage.credential
    )


def task_files(task: Task) -> list[FileRow]:
    """List the files of a task on its node; raises CloudError when the node or the files are gone."""
    job = task.job
    with live(job.account):
        pages = gateway_for(job.account).list_task_files(job.batch_id, task.batch_id, recursive=True)
        files = (file for page in pages for file in page if not file.is_directory)
        seen = list(islice(files, MOST_FILES))
    return [FileRow(file.name, file.content_length, file.last_modified) for file in seen]


def result_files(job: Job) -> list[FileRow]:
    """List what a job has left in storage: everything in its folder, results first."""
    if job.storage is None or not job.results_path:
        return []
    with live(job.account):
        pages = storage_of(job.storage).list_blobs(job.results_container, prefix=f"{job_folder(job)}/")
        blobs = list(islice((blob for page in pages for blob in page), MOST_FILES))
    cut = len(job_folder(job)) + 1
    rows = [FileRow(blob.name[cut:], blob.size, blob.last_modified) for blob in blobs]
    return sorted(rows, key=lambda row: (not row.name.startswith("results/"), row.name))


def job_folder(job: Job) -> str:
    """Return the folder in storage that belongs to a job alone: its results lie in it."""
    return job.results_path.rpartition("/")[0] or job.results_path


def open_task_file(task: Task, path: str) -> Iterator[bytes]:
    """Read a file of a task in pieces; the first piece is read at once, so that a missing file raises CloudError."""
    job = task.job
    return _begun(lambda: gateway_for(job.account).iterate_task_file(job.batch_id, task.batch_id, path), job)


def open_result(job: Job, path: str) -> Iterator[bytes]:
    """Read a file of a job's folder in storage in pieces; a missing file raises CloudError."""
    storage = job.storage
    if storage is None:
        raise CloudError(code="BlobNotFound", message="This job keeps no files.", kind="not_found")
    return _begun(
        lambda: storage_of(storage).download(job.results_container, f"{job_folder(job)}/{path}"), job
    )


def _begun(read: Callable[[], Iterator[bytes]], job: Job) -> Iterator[bytes]:
    secrets = secrets_of(job)
    with live(job.account):
        pieces = iter(read())
        first = next(pieces, b"")
    return masked_pieces(chain([first], pieces), secrets)


def content_type(path: str) -> str:
    """Return what a download says it is; browsers are told not to guess."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"
