"""Calls about jobs and their preparation."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cloud.batch.creation import create_once, vanished
from cloud.batch.session import BatchSession, segment
from cloud.errors import CloudError
from cloud.types import (
    AllTasksComplete,
    Creation,
    JobSnapshot,
    JobSpec,
    PreparationSnapshot,
    TaskCounts,
)
from cloud.wire import read_jobs, write_jobs

_NO_PREPARATION = frozenset(
    {
        "JobPreparationTaskOrReleaseTaskNotSpecified",
        "JobPreparationTaskNotSpecified",
        "JobReleaseTaskNotSpecified",
    }
)


def literal(text: str) -> str:
    """Quote a text for an OData filter."""
    return "'" + text.replace("'", "''") + "'"


def moment(at: datetime) -> str:
    """Write a time for an OData filter."""
    return f"DateTime'{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"


class JobCalls:
    """What a Batch account does with jobs."""

    session: BatchSession

    def create_job(self, spec: JobSpec) -> Creation:
        """Create a job; safe to repeat for the same operation."""

        def find_operation() -> str | None:
            if found := self.get_job(spec.id):
                return found.operation
            raise vanished(spec.id)

        return create_once(
            id=spec.id,
            operation=spec.operation,
            create=lambda: self.session.post("/jobs", write_jobs.create_job(spec)),
            find_operation=find_operation,
        )

    def get_job(self, job_id: str) -> JobSnapshot | None:
        """Read a job with its whole masked object, None when it does not exist."""
        data = self.session.get_or_none(f"/jobs/{segment(job_id)}")
        return read_jobs.job(data, raw=True) if data else None

    def list_jobs(
        self,
        *,
        states: Sequence[str] = (),
        pool_id: str | None = None,
        changed_since: datetime | None = None,
    ) -> Iterator[list[JobSnapshot]]:
        """List jobs page by page; `changed_since` means their state, not their tasks'."""
        parts = []
        if states:
            parts.append("(" + " or ".join(f"state eq {literal(state)}" for state in states) + ")")
        if pool_id:
            parts.append(f"executionInfo/poolId eq {literal(pool_id)}")
        if changed_since:
            parts.append(f"stateTransitionTime ge {moment(changed_since)}")
        wanted = " and ".join(parts) or None
        for page in self.session.pages("/jobs", select=read_jobs.JOB_MEMBERS, filter=wanted):
            yield [read_jobs.job(item) for item in page]

    def update_job(
        self,
        job_id: str,
        *,
        on_all_tasks_complete: AllTasksComplete | None = None,
        priority: int | None = None,
    ) -> None:
        """Change a job; what is None keeps its value."""
        self.session.patch(f"/jobs/{segment(job_id)}", write_jobs.update_job(on_all_tasks_complete, priority))

    def terminate_job(self, job_id: str, *, reason: str = "") -> bool:
        """Ask for a job's end; False when it has ended or does not exist."""
        try:
            self.session.post(f"/jobs/{segment(job_id)}/terminate", write_jobs.terminate_job(reason))
        except CloudError as error:
            if error.is_missing or error.code == "JobCompleted":
                return False
            if error.code not in {"JobBeingTerminated", "JobBeingDeleted"}:
                raise
        return True

    def delete_job(self, job_id: str) -> bool:
        """Ask for a job's deletion; False when it was gone already."""
        try:
            self.session.delete(f"/jobs/{segment(job_id)}")
        except CloudError as error:
            if error.is_missing:
                return False
            if error.code != "JobBeingDeleted":
                raise
        return True

    def task_counts(self, job_id: str) -> TaskCounts:
        """Count a job's tasks by state; Azure's counts lag by seconds."""
        return read_jobs.task_counts(self.session.get(f"/jobs/{segment(job_id)}/taskcounts"))

    def preparation_status(self, job_id: str) -> list[PreparationSnapshot]:
        """List how preparation and release went per node; empty for a job that has neither."""
        path = f"/jobs/{segment(job_id)}/jobpreparationandreleasetaskstatus"
        try:
            return [read_jobs.preparation(item) for page in self.session.pages(path) for item in page]
        except CloudError as error:
            if error.code in _NO_PREPARATION:
                return []
            raise
