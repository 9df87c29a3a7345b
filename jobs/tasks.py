"""Celery tasks of jobs: adapters between the broker and push or sync."""

from celery import shared_task
from django.utils import timezone

from activity import ledger, targets
from activity.gateways import gateway_for
from activity.models import Account
from activity.targets import Counts
from jobs import push, sync
from jobs.models import Job


@shared_task(name="jobs.run_operation")
def run_operation(*, operation_id: int) -> None:
    """Carry out one operation on a job."""
    ledger.run(operation_id, carry_out=push.carry_out, settle=push.settle, now=timezone.now())


@shared_task(name="jobs.pull_active_jobs")
def pull_active_jobs(*, target_id: int) -> None:
    """Read an account's unfinished jobs."""
    now = timezone.now()
    targets.pull(
        target_id, read=lambda t: sync.pull_active_jobs(t.account, gateway_for(t.account), now=now), now=now
    )


@shared_task(name="jobs.pull_all_jobs")
def pull_all_jobs(*, target_id: int) -> None:
    """Read all jobs of an account."""
    now = timezone.now()
    targets.pull(
        target_id, read=lambda t: sync.pull_all_jobs(t.account, gateway_for(t.account), now=now), now=now
    )


@shared_task(name="jobs.pull_tasks")
def pull_tasks(*, target_id: int) -> None:
    """Read one job's tasks and preparation."""
    now = timezone.now()
    targets.pull(target_id, read=lambda t: _tasks(t.account, t.subject), now=now)


def _tasks(account: Account, job_id: str) -> Counts:
    job = Job.objects.find(account, job_id)
    if job is None:
        return Counts()
    return sync.pull_tasks(job, gateway_for(account), now=timezone.now())


@shared_task(name="jobs.keep")
def keep() -> None:
    """Make sure that everything is read, and that no cancelled submission is forgotten."""
    now = timezone.now()
    push.mend(now=now)
    for account in Account.objects.all():
        sync.keep_targets(account, now=now)
