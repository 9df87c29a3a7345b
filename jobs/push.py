"""Carry out what was asked of jobs: each verb may be repeated after a crash and still happens once.

A job is submitted in steps: created so that it stays open, given its tasks, then told to end with them. Azure
counts a job without tasks as complete, and an interrupted submission must neither end early nor stay empty.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from activity import ledger, steps, targets
from activity.gateways import gateway_for
from activity.models import Operation
from activity.revisions import bump
from cloud.batch import BatchGateway
from cloud.errors import CloudError
from cloud.types import AlreadyOurs, JobSnapshot, Taken, TaskAddResult
from jobs.kinds import ACTIVE, TASKS
from jobs.models import Job
from jobs.recipes import JobPlan
from jobs.specs import job_spec, task_specs

Verb = Callable[[Operation, Job, BatchGateway], Mapping[str, Any]]


def carry_out(operation: Operation) -> Mapping[str, Any]:
    """Do in Azure what an operation asks of a job; raises CloudError or ledger.Failed."""
    job = Job.objects.select_related("account", "pool", "storage").get(pk=operation.argument("job"))
    return VERBS[operation.verb](operation, job, gateway_for(operation.account))


def settle(operation: Operation) -> None:
    """Note on the job's row how an operation ended, in the transaction that settles it."""
    now = operation.finished_at or timezone.now()
    job = Job.objects.filter(pk=operation.argument("job")).first()
    if job is None:
        return
    is_done = operation.state == Operation.State.SUCCEEDED
    columns: dict[str, Any] = {}
    if operation.verb == "create":
        columns = _creation_columns(operation, job, now)
    elif operation.verb == "terminate" and not is_done:
        columns = {"termination_asked_at": None}
    elif operation.verb == "delete" and not is_done:
        columns = {"deletion_asked_at": None}
    elif operation.verb == "delete" and not job.was_seen:
        columns = {"deleted_at": now}
    if columns:
        Job.objects.filter(pk=job.pk).update(**columns)
    bump(operation.account, "jobs", f"job:{job.batch_id}")
    targets.hurry(operation.account, ACTIVE, now=now)
    targets.hurry(operation.account, TASKS, job.batch_id, now=now)


def _creation_columns(operation: Operation, job: Job, now: datetime) -> dict[str, Any]:
    if operation.state == Operation.State.SUCCEEDED:
        return {"confirmed_at": now, "problem": ""}
    columns: dict[str, Any] = {"problem": operation.error or "The request was cancelled."}
    if operation.error_code == "JobExists":
        return columns | ({} if job.was_seen else {"deleted_at": now})
    _request_discard(operation, job, now)
    return columns


def _request_discard(operation: Operation, job: Job, now: datetime) -> None:
    """Have a failed submission cleared away: the job may be there, open and empty."""
    if operation.account.is_observe_only:
        return
    ledger.request(
        "discard",
        "job",
        job.batch_id,
        account=operation.account,
        actor=None,
        task_name=operation.task_name,
        payload={"job": job.pk, "mark": operation.mark},
        now=now,
        reason="Cleans up after the failed submission.",
    )


def mend(*, now: datetime) -> int:
    """Settle jobs whose submission was cancelled or lost before any worker had it; return how many."""
    waiting = Job.objects.alive().filter(
        is_ours=True, confirmed_at=None, problem="", created_at__lt=now - timedelta(minutes=1)
    )
    marks = [mark for mark in waiting.values_list("operation", flat=True) if mark]
    ended = Operation.objects.filter(uuid__in=marks).exclude(state__in=Operation.UNSETTLED)
    for operation in ended:
        settle(operation)
    return len(ended)


def _create(operation: Operation, job: Job, gateway: BatchGateway) -> Mapping[str, Any]:
    plan = JobPlan.from_dict(job.plan or {})
    steps.reached("job.create.ready")
    made = gateway.create_job(job_spec(job, plan, operation.mark))
    steps.reached("job.create.done")
    if isinstance(made, Taken):
        raise ledger.Failed(
            f"Azure Batch has a job {made.id} already, made elsewhere. Nothing was changed; choose another id.",
            "JobExists",
        )
    if isinstance(made, AlreadyOurs) and _is_submitted(job, gateway):
        return {"was_there": True}
    ledger.still_wanted(operation)
    _add_tasks(operation, job, plan, gateway)
    steps.reached("job.tasks.done")
    gateway.update_job(job.batch_id, on_all_tasks_complete="terminatejob")
    steps.reached("job.submit.done")
    return {"was_there": isinstance(made, AlreadyOurs), "tasks": len(plan.tasks)}


def _is_submitted(job: Job, gateway: BatchGateway) -> bool:
    """Whether an earlier attempt came through all steps: its last one is the one that shows."""
    seen = gateway.get_job(job.batch_id)
    return seen is not None and (seen.on_all_tasks_complete == "terminatejob" or seen.state != "active")


def _add_tasks(operation: Operation, job: Job, plan: JobPlan, gateway: BatchGateway) -> None:
    specs = task_specs(job, plan, operation.mark, now=timezone.now())
    missing = [result for result in gateway.add_tasks(job.batch_id, specs) if not result.is_there]
    if missing:
        raise _reason(missing[0])


def _reason(result: TaskAddResult) -> Exception:
    error = result.error
    if isinstance(error, CloudError) and error.is_passing:
        return error
    text = str(error) if error else f"The job has a task {result.task_id} already, made elsewhere."
    return ledger.Failed(
        f"Task {result.task_id} was not accepted: {text}", error.code if error else "TaskExists"
    )


def _find(job: Job, gateway: BatchGateway) -> JobSnapshot | None:
    """Look a job up; None when it is gone, and when its id has become somebody else's."""
    seen = gateway.get_job(job.batch_id)
    return seen if seen and job.stands_for(seen.operation, seen.creation_time) else None


def _terminate(operation: Operation, job: Job, gateway: BatchGateway) -> Mapping[str, Any]:
    steps.reached("job.terminate.ready")
    reason = operation.argument("reason", "")
    was_active = _find(job, gateway) is not None and gateway.terminate_job(job.batch_id, reason=reason)
    steps.reached("job.terminate.done")
    return {"was_active": was_active}


def _delete(operation: Operation, job: Job, gateway: BatchGateway) -> Mapping[str, Any]:
    steps.reached("job.delete.ready")
    was_there = _find(job, gateway) is not None and gateway.delete_job(job.batch_id)
    steps.reached("job.delete.done")
    return {"was_there": was_there}


def _discard(operation: Operation, job: Job, gateway: BatchGateway) -> Mapping[str, Any]:
    seen = gateway.get_job(job.batch_id)
    if seen is None or seen.operation != operation.argument("mark"):
        return {"was_there": False}
    return {"was_there": gateway.delete_job(job.batch_id)}


VERBS: Mapping[str, Verb] = {
    "create": _create,
    "terminate": _terminate,
    "delete": _delete,
    "discard": _discard,
}
