"""The files of a task: on its node while the node lives, and what was kept in storage."""

import mimetypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from posixpath import normpath

from activity.gateways import gateway_for, reveal, storage_gateway
from cloud.errors import CloudError
from cloud.storage import StorageGateway
from jobs.logs import live, masked_pieces
from jobs.models import Job, Task
from jobs.specs import secret_of
from pools.models import StorageAccount

MOST_FILES = 500


@dataclass(frozen=True)
class FileRow:
    """A file that can be downloaded."""

    name: str
    size: int | None
    changed_at: datetime | None


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
