"""Jobs of an account, as Azure lists them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from activity import targets
from activity.bulk import bulk_write
from activity.models import Account
from activity.revisions import bump
from activity.targets import Counts
from cloud.batch import BatchGateway
from cloud.types import JobSnapshot
from jobs.kinds import TASKS
from jobs.models import Job, Task
from pools.models import Pool
from pools.sync.lifecycle import Found, apply_page, bury_missing, shown
from pools.sync.mirror import batches, plain

from .schedule import pace_tasks

UNFINISHED = ("active", "disabling", "disabled", "enabling", "terminating", "deleting")

RECENT = timedelta(days=7)
"""Jobs that ended longer ago when first seen keep their tasks unread until somebody asks for them."""


def pull_active_jobs(account: Account, gateway: BatchGateway, *, now: datetime) -> Counts:
    """List the unfinished jobs, and look up those that no longer are: finished or deleted meanwhile."""
    counts, listed = Counts(), set[str]()
    thought_unfinished = _thought_unfinished(account)
    before = shown(thought_unfinished, now=now)
    expected = {*before.values(), *thought_unfinished.values_list("batch_id", flat=True)}
    for page in gateway.list_jobs(states=UNFINISHED):
        listed.update(seen.id.lower() for seen in page)
        counts += apply_jobs(account, page, now=now)
    left = [batch_id for batch_id in expected if batch_id.lower() not in listed]
    found = [job for batch_id in left if (job := gateway.get_job(batch_id))]
    counts += apply_jobs(account, found, now=now)
    there = listed | {job.id.lower() for job in found}
    counts += bury_missing(Job, account, before, there, topic="job", now=now)
    link_pools(account, Job.objects.for_account(account).unfinished())
    return _settle(account, counts, now=now)


def pull_all_jobs(account: Account, gateway: BatchGateway, *, now: datetime) -> Counts:
    """List every job, so that finished ones made elsewhere appear and deleted ones go."""
    counts, listed = Counts(), set[str]()
    before = shown(Job.objects.for_account(account), now=now)
    for page in gateway.list_jobs():
        listed.update(seen.id.lower() for seen in page)
        counts += apply_jobs(account, page, now=now)
    counts += bury_missing(Job, account, before, listed, topic="job", now=now)
    link_pools(account, Job.objects.for_account(account).alive())
    return _settle(account, counts, now=now)


def _thought_unfinished(account: Account) -> Any:
    """Jobs that were unfinished when last seen, or that Azure accepted and has not shown yet."""
    unseen = Q(synced_hash="", confirmed_at__isnull=False)
    return Job.objects.for_account(account).alive().filter(Q(state__in=UNFINISHED) | unseen)


def _settle(account: Account, counts: Counts, *, now: datetime) -> Counts:
    """Let what depends on jobs follow them."""
    if not counts.is_quiet:
        gone = Task.objects.alive().filter(job__account=account).exclude(job__deleted_at=None)
        gone.update(deleted_at=now)
    pace_tasks(account, now=now)
    return counts


def apply_jobs(account: Account, page: Sequence[JobSnapshot], *, now: datetime) -> Counts:
    """Make the rows of some listed jobs equal to them."""
    pools = _pools_of(account, page)
    found = [
        Found(
            job.id,
            job.operation,
            job.creation_time,
            job.content_hash(),
            job_values(job),
            {
                "pool_id": pools.get((job.pool_id or "").lower()),
                "has_final_tasks": _is_long_over(job, now),
            },
        )
        for job in page
    ]
    counts = apply_page(Job, account, found, topic="job", now=now)
    if not counts.is_quiet:
        for job in page:
            if job.state == "completed":
                targets.hurry(account, TASKS, job.id, now=now)
    return counts


def _pools_of(account: Account, page: Sequence[JobSnapshot]) -> dict[str, int]:
    ids = {job.pool_id.lower() for job in page if job.pool_id}
    rows = Pool.objects.for_account(account).alive().filter(batch_id_lower__in=ids)
    return dict(rows.values_list("batch_id_lower", "pk"))


def link_pools(account: Account, rows: QuerySet) -> int:
    """Give those of `rows` their pool that were listed before it was; return how many."""
    lost = list(rows.filter(pool=None).exclude(pool_id_seen="").values_list("pk", "pool_id_seen"))
    pools = (
        dict(Pool.objects.for_account(account).alive().values_list("batch_id_lower", "pk")) if lost else {}
    )
    found = [(pk, pools[name.lower()]) for pk, name in lost if name.lower() in pools]
    for batch in batches(found):
        with bulk_write():
            for pk, pool in batch:
                Job.objects.filter(pk=pk).update(pool_id=pool)
            bump(account, "jobs", "pools")
    return len(found)


def _is_long_over(job: JobSnapshot, now: datetime) -> bool:
    ended = job.end_time or job.state_transition_time
    return job.state == "completed" and ended is not None and ended < now - RECENT


def job_values(seen: JobSnapshot) -> dict[str, Any]:
    """The observed columns of a job."""
    return {
        "display_name": seen.display_name or "",
        "etag": seen.etag or "",
        "creation_time": seen.creation_time,
        "last_modified": seen.last_modified,
        "state": seen.state,
        "state_transition_time": seen.state_transition_time,
        "previous_state": seen.previous_state or "",
        "priority": seen.priority,
        "max_parallel_tasks": seen.max_parallel_tasks,
        "max_wall_clock_time": seen.max_wall_clock_time,
        "max_task_retry_count": seen.max_task_retry_count,
        "on_all_tasks_complete": seen.on_all_tasks_complete or "",
        "on_task_failure": seen.on_task_failure or "",
        "uses_task_dependencies": seen.uses_task_dependencies,
        "pool_id_seen": seen.pool_id or "",
        "start_time": seen.start_time,
        "end_time": seen.end_time,
        "terminate_reason": seen.terminate_reason or "",
        "scheduling_error": plain(seen.scheduling_error),
        "metadata": plain(seen.metadata),
    }
