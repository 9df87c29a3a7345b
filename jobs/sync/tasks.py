"""Tasks and preparation of one job, as Azure lists them, and what they add up to."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from activity.bulk import bulk_write
from activity.revisions import bump
from activity.targets import Counts
from cloud.batch import BatchGateway
from cloud.errors import CloudError
from cloud.types import PreparationSnapshot, TaskSnapshot
from jobs.models import Job, JobPreparation, Task
from pools.sync.mirror import Seen, mirror, plain

from .schedule import pace_tasks


def pull_tasks(job: Job, gateway: BatchGateway, *, now: datetime) -> Counts:
    """List a job's tasks and how its preparation went per node; a job that is gone has none.

    `job` is read before the listing: only then is a listing of a completed job the last one.
    """
    try:
        counts = apply_tasks(job, gateway.list_tasks(job.batch_id), now=now)
        counts += apply_preparations(job, gateway.preparation_status(job.batch_id), now=now)
    except CloudError as error:
        if not error.is_missing:
            raise
        counts = apply_tasks(job, (), now=now)
    counts += sum_up(job, is_changed=not counts.is_quiet)
    pace_tasks(job.account, now=now)
    return counts


def apply_tasks(job: Job, pages: Iterable[list[TaskSnapshot]], *, now: datetime) -> Counts:
    """Make the rows of a job's tasks equal to the pages of a full listing."""
    seen = ([Seen((task.id,), task.content_hash(), task_values(task)) for task in page] for page in pages)
    return mirror(Task.objects.filter(job=job), ["batch_id"], seen, owner={"job": job}, now=now)


def apply_preparations(job: Job, listed: Iterable[PreparationSnapshot], *, now: datetime) -> Counts:
    """Make the rows of a job's preparation per node equal to a full listing."""
    page = [Seen((node.node_id,), node.content_hash(), preparation_values(node)) for node in listed]
    rows = JobPreparation.objects.filter(job=job)
    return mirror(rows, ["node_id"], [page], owner={"job": job}, now=now)


def sum_up(job: Job, *, is_changed: bool) -> Counts:
    """Write what a job's tasks and preparation add up to, if that differs."""
    columns = _sums(job) if is_changed or job.tasks_total is None else {}
    if job.state == "completed":
        columns["has_final_tasks"] = (
            not Task.objects.alive().filter(job=job, state__in=("preparing", "running")).exists()
        )
    columns = {name: value for name, value in columns.items() if getattr(job, name) != value}
    if not columns and not is_changed:
        return Counts()
    with bulk_write():
        if columns:
            Job.objects.filter(pk=job.pk).update(**columns)
        bump(job.account, "jobs", f"job:{job.batch_id}")
    return Counts(changed=1)


def _sums(job: Job) -> dict[str, Any]:
    rows = Task.objects.alive().filter(job=job).values_list("state", "result")
    tasks = Counter((state, result if state == "completed" else "") for state, result in rows)
    states = Counter(state for state, _ in tasks.elements())
    nodes = list(JobPreparation.objects.alive().filter(job=job).values_list("state", "result"))
    return {
        "tasks_total": states.total(),
        "tasks_active": states["active"],
        "tasks_preparing": states["preparing"],
        "tasks_running": states["running"],
        "tasks_failed": tasks["completed", "failure"],
        "tasks_succeeded": states["completed"] - tasks["completed", "failure"],
        "preparations_running": sum(1 for state, _ in nodes if state == "running"),
        "preparations_failed": sum(1 for node in nodes if node == ("completed", "failure")),
    }


def task_values(seen: TaskSnapshot) -> dict[str, Any]:
    """The columns of a task."""
    return {
        "display_name": seen.display_name or "",
        "etag": seen.etag or "",
        "creation_time": seen.creation_time,
        "last_modified": seen.last_modified,
        "state": seen.state,
        "state_transition_time": seen.state_transition_time,
        "previous_state": seen.previous_state or "",
        "command_line": seen.command_line,
        "image_name": seen.image_name or "",
        "required_slots": seen.required_slots,
        "max_wall_clock_time": seen.max_wall_clock_time,
        "retention_time": seen.retention_time,
        "max_task_retry_count": seen.max_task_retry_count,
        "start_time": seen.start_time,
        "end_time": seen.end_time,
        "exit_code": seen.exit_code,
        "result": seen.result or "",
        "failure_info": plain(seen.failure_info),
        "retry_count": seen.retry_count,
        "last_retry_time": seen.last_retry_time,
        "requeue_count": seen.requeue_count,
        "last_requeue_time": seen.last_requeue_time,
        "container_id": seen.container_id or "",
        "container_state": seen.container_state or "",
        "container_error": seen.container_error or "",
        "pool_id": seen.pool_id or "",
        "node_id": seen.node_id or "",
        "task_root_directory": seen.task_root_directory or "",
    }


def preparation_values(seen: PreparationSnapshot) -> dict[str, Any]:
    """The columns of a job's preparation on one node."""
    run = seen.preparation
    return {
        "pool_id": seen.pool_id,
        "state": (run.state if run else "") or "",
        "start_time": run.start_time if run else None,
        "end_time": run.end_time if run else None,
        "exit_code": run.exit_code if run else None,
        "result": (run.result if run else "") or "",
        "failure_info": plain(run.failure_info) if run else None,
        "retry_count": run.retry_count if run else 0,
        "task_root_directory": (run.task_root_directory if run else "") or "",
        "release": plain(seen.release),
    }
