"""Which sync targets the jobs of an account need, and how fast each is read."""

from datetime import datetime

from activity import targets
from activity.models import Account, SyncTarget
from jobs.kinds import ACTIVE, ALL, TASKS
from jobs.models import Job

SHORTEST = 4.0
"""Seconds between two readings of something that is changing."""

MANY = 50
"""Above so many unfinished jobs their tasks are read at a slower pace, to keep the requests bounded."""


def keep_targets(account: Account, *, now: datetime) -> None:
    """Make sure that an account's jobs are read: unfinished ones often, all of them in a slow lane."""
    targets.ensure(
        account, ACTIVE, task_name="jobs.pull_active_jobs", now=now, min_interval=SHORTEST, max_interval=15
    )
    targets.ensure(
        account, ALL, task_name="jobs.pull_all_jobs", now=now, min_interval=600, max_interval=86_400
    )
    pace_tasks(account, now=now)


def pace_tasks(account: Account, *, now: datetime) -> None:
    """Read the tasks of each unfinished job; stop for jobs whose tasks are final."""
    awake = SyncTarget.objects.filter(account=account, kind=TASKS, is_active=True)
    known = dict(awake.values_list("subject", "max_interval"))
    unfinished = list(Job.objects.for_account(account).unfinished().values_list("batch_id", flat=True))
    pace = 10.0 if len(unfinished) <= MANY else 60.0
    for batch_id in unfinished:
        if known.pop(batch_id, None) != pace:
            targets.ensure(
                account,
                TASKS,
                batch_id,
                task_name="jobs.pull_tasks",
                now=now,
                min_interval=SHORTEST,
                max_interval=pace,
            )
    for batch_id in known:
        targets.rest(account, TASKS, batch_id)
