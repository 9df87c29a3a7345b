"""Calls about tasks: added by the hundred, each with its own result."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from cloud.batch.creation import EXISTS_CODES
from cloud.batch.jobs import moment
from cloud.batch.session import BatchSession, segment
from cloud.errors import CloudError
from cloud.faultbodies import parse_error
from cloud.faults import is_passing, kind_of
from cloud.types import OPERATION_ENV, TaskAddResult, TaskSnapshot, TaskSpec
from cloud.wire import read_jobs, write_jobs

LARGEST_COLLECTION = 100
_FEW = 3  # up to so many marks are read one by one, more with one listing

_MARKS = "id,environmentSettings"


class TaskCalls:
    """What a Batch account does with tasks."""

    session: BatchSession

    def add_tasks(self, job_id: str, specs: Sequence[TaskSpec]) -> list[TaskAddResult]:
        """Add tasks to a job, in order and a hundred at a time; safe to repeat for the same operation.

        Returns one result per task in the order given. Raises only when a whole request fails;
        what was added before is then recognised by the next attempt.
        """
        results: dict[str, TaskAddResult] = {}
        for start in range(0, len(specs), LARGEST_COLLECTION):
            self._add_collection(job_id, specs[start : start + LARGEST_COLLECTION], results)
        existing = [spec for spec in specs if results[spec.id].status == "taken"]
        marks = self._task_marks(job_id, [spec.id for spec in existing])
        for spec in existing:
            if marks.get(spec.id) == spec.operation:
                results[spec.id] = TaskAddResult(task_id=spec.id, status="already_ours")
        return [results[spec.id] for spec in specs]

    def _add_collection(
        self, job_id: str, specs: Sequence[TaskSpec], results: dict[str, TaskAddResult]
    ) -> None:
        body = write_jobs.task_collection(write_jobs.task(spec) for spec in specs)
        try:
            answer = self.session.post(f"/jobs/{segment(job_id)}/addtaskcollection", body)
        except CloudError as error:
            if error.status != 413:
                raise
            self._add_halves(job_id, specs, results, error)
            return
        for item in answer.get("value") or ():
            result = _add_result(item)
            results[result.task_id] = result
        for spec in specs:
            results.setdefault(spec.id, _unanswered(spec.id))

    def _add_halves(
        self, job_id: str, specs: Sequence[TaskSpec], results: dict[str, TaskAddResult], error: CloudError
    ) -> None:
        """Split a collection that is too large; a task too large by itself fails."""
        if len(specs) == 1:
            results[specs[0].id] = TaskAddResult(task_id=specs[0].id, status="failed", error=error)
            return
        middle = len(specs) // 2
        self._add_collection(job_id, specs[:middle], results)
        self._add_collection(job_id, specs[middle:], results)

    def _task_marks(self, job_id: str, task_ids: Sequence[str]) -> dict[str, str | None]:
        """Return each existing task's operation mark; tasks carry it as an environment setting."""
        base = f"/jobs/{segment(job_id)}/tasks"
        if len(task_ids) <= _FEW:
            found = (self.session.get_or_none(f"{base}/{segment(id)}", select=_MARKS) for id in task_ids)
            return {data["id"]: _mark(data) for data in found if data}
        wanted = set(task_ids)
        pages = self.session.pages(base, select=_MARKS)
        return {data["id"]: _mark(data) for page in pages for data in page if data["id"] in wanted}

    def list_tasks(
        self, job_id: str, *, changed_since: datetime | None = None
    ) -> Iterator[list[TaskSnapshot]]:
        """List a job's tasks page by page, all or those whose state changed since then."""
        wanted = f"stateTransitionTime ge {moment(changed_since)}" if changed_since else None
        path = f"/jobs/{segment(job_id)}/tasks"
        for page in self.session.pages(path, select=read_jobs.TASK_MEMBERS, filter=wanted):
            yield [read_jobs.task(item, job_id) for item in page]


def _mark(data: dict[str, Any]) -> str | None:
    settings = data.get("environmentSettings") or ()
    return next((item.get("value") for item in settings if item.get("name") == OPERATION_ENV), None)


def _add_result(item: dict[str, Any]) -> TaskAddResult:
    """Read one result; the status's capitals differ between versions, so an error decides too."""
    task_id, status = str(item.get("taskId")), str(item.get("status", "")).lower()
    if status == "success" and not item.get("error"):
        return TaskAddResult(task_id=task_id, status="created")
    code, message, values = parse_error(item.get("error") or {})
    code = code or status or "Unknown"
    http_status = {"clienterror": 400, "servererror": 500}.get(status)
    if code in EXISTS_CODES:
        http_status = 409
    kind = kind_of(code, http_status)
    error = CloudError(
        code=code,
        message=message or "The task was not added.",
        kind=kind,
        is_passing=is_passing(code, kind),
        values=values,
        status=http_status,
    )
    return TaskAddResult(task_id=task_id, status="taken" if code in EXISTS_CODES else "failed", error=error)


def _unanswered(task_id: str) -> TaskAddResult:
    error = CloudError(
        code="NoResult", kind="server", is_passing=True, message="Azure returned no result for this task."
    )
    return TaskAddResult(task_id=task_id, status="failed", error=error)
