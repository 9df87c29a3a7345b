"""Calls about the files of tasks and nodes: listed, followed by byte range, downloaded in parts."""

from collections.abc import Iterator

from cloud.batch.session import BatchSession, segment
from cloud.errors import CloudError
from cloud.types import FileChunk, FileSnapshot
from cloud.wire import read_jobs

LARGEST_READ = 1024 * 1024
_DOWNLOAD_PART = 4 * 1024 * 1024
_TAIL_TIMEOUT = 5.0
_DOWNLOAD_TIMEOUT = 60.0


class FileCalls:
    """What a Batch account shows of the files on its nodes."""

    session: BatchSession

    def list_task_files(
        self, job_id: str, task_id: str, *, recursive: bool = True
    ) -> Iterator[list[FileSnapshot]]:
        """List a task's files, page by page; names are relative to the task's directory."""
        pages = self.session.pages(_task_files(job_id, task_id), recursive="true" if recursive else "false")
        for page in pages:
            yield [read_jobs.file(item) for item in page]

    def task_file_properties(
        self, job_id: str, task_id: str, path: str, *, timeout: float | None = None
    ) -> FileSnapshot | None:
        """Read size and times of a task's file, None when it does not exist; with `timeout` it is asked once."""
        return self._properties(_task_files(job_id, task_id), path, timeout)

    def node_file_properties(
        self, pool_id: str, node_id: str, path: str, *, timeout: float | None = None
    ) -> FileSnapshot | None:
        """Read size and times of a node's file, None when it does not exist; with `timeout` it is asked once."""
        return self._properties(_node_files(pool_id, node_id), path, timeout)

    def read_task_file(
        self,
        job_id: str,
        task_id: str,
        path: str,
        *,
        start: int,
        limit: int = LARGEST_READ,
        timeout: float = _TAIL_TIMEOUT,
    ) -> FileChunk:
        """Read a task's file from an offset on, at most `limit` bytes; empty when nothing new is there."""
        return self._read(_task_files(job_id, task_id), path, start, limit, timeout)

    def read_node_file(
        self,
        pool_id: str,
        node_id: str,
        path: str,
        *,
        start: int,
        limit: int = LARGEST_READ,
        timeout: float = _TAIL_TIMEOUT,
    ) -> FileChunk:
        """Read a node's file from an offset on, at most `limit` bytes; empty when nothing new is there."""
        return self._read(_node_files(pool_id, node_id), path, start, limit, timeout)

    def iterate_task_file(self, job_id: str, task_id: str, path: str) -> Iterator[bytes]:
        """Download a task's file in parts, as long as it was at the start."""
        base = _task_files(job_id, task_id)
        facts = self._properties(base, path)
        if facts is None:
            raise CloudError(
                code="FileNotFound", kind="not_found", status=404, message=f"There is no file {path}."
            )
        offset, end = 0, facts.content_length or 0
        while offset < end:
            part = self._read(base, path, offset, min(_DOWNLOAD_PART, end - offset), _DOWNLOAD_TIMEOUT)
            if not part.data:
                return
            yield part.data
            offset = part.next_offset

    def _properties(self, base: str, path: str, timeout: float | None = None) -> FileSnapshot | None:
        try:
            headers = self.session.head(f"{base}/{segment(path)}", timeout=timeout)
        except CloudError as error:
            if error.is_missing:
                return None
            raise
        return read_jobs.file_headers(path, headers)

    def _read(self, base: str, path: str, start: int, limit: int, timeout: float) -> FileChunk:
        size = max(1, min(limit, _DOWNLOAD_PART))
        address = f"{base}/{segment(path)}"
        data = self.session.read_range(address, start=start, limit=size, timeout=timeout)
        return FileChunk(data=data, offset=start)


def _task_files(job_id: str, task_id: str) -> str:
    return f"/jobs/{segment(job_id)}/tasks/{segment(task_id)}/files"


def _node_files(pool_id: str, node_id: str) -> str:
    return f"/pools/{segment(pool_id)}/nodes/{segment(node_id)}/files"
