"""Rows by the ten thousand: everything settled, as in an account that has been used for years."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.utils import timezone

from activity.models import Account, Operation
from dashboard.watching import watch
from jobs.models import Job, JobDefinition, Task
from jobs.operations import install_definitions
from jobs.views import TASKS_SHOWN
from pools.models import Pool
from tests.make import gpu_size

Row = TypeVar("Row", bound=models.Model)
CHUNK = 2_000
SMALLEST = 100
"""So many rows fill a page of any list."""

SHOWN_JOB = "shown"
BORN = timezone.now() - timedelta(days=700)
PLAN = {"tasks": [{"id": "1", "command_line": "python train.py " * 40}], "display_name": "Round 7"}
MARKS = [{"name": "zoobatch-operation", "value": "0" * 36}]


@dataclass(frozen=True)
class Sizes:
    """How many rows there are: of jobs, pools and operations each, and of tasks."""

    jobs: int
    tasks: int

    def hundredth(self) -> "Sizes":
        """Return a hundredth of it, but enough to fill a page of each list."""
        return Sizes(max(SMALLEST, self.jobs // 100), max(TASKS_SHOWN, self.tasks // 100))


def make_account() -> tuple[Account, User]:
    """Make an account that has been read a moment ago and holds nothing, and its administrator."""
    install_definitions()
    account = Account.objects.create(
        slug="bench", name="Bench", batch_account="bench", batch_endpoint="https://127.0.0.1:9"
    )
    watch(account, now=timezone.now())
    account.sync_targets.update(last_succeeded_at=timezone.now())
    return account, User.objects.create_superuser("ada", password="correct horse battery staple")


def grow(account: Account, user: User, sizes: Sizes) -> None:
    """Add rows until there are as many as wanted; the job that is shown has as many tasks as its page shows."""
    have = Job.objects.count()
    numbers = range(have, sizes.jobs)
    _insert(Pool, (_pool(account, number) for number in numbers))
    _insert(Job, _jobs(account, user, numbers))
    _insert(Operation, (_operation(account, user, number) for number in numbers))
    shown = Job.objects.get(batch_id=SHOWN_JOB)
    if not have:
        _insert(Task, (_task(shown.pk, number) for number in range(TASKS_SHOWN)))
    others = itertools.cycle(Job.objects.exclude(pk=shown.pk).values_list("pk", flat=True))
    _insert(Task, (_task(next(others), number) for number in range(Task.objects.count(), sizes.tasks)))
    if connection.vendor == "postgresql":  # as autovacuum does by itself after a while
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def _insert(model: type[Row], rows: Iterable[Row]) -> None:
    while chunk := list(itertools.islice(rows := iter(rows), CHUNK)):
        with transaction.atomic():
            model._default_manager.bulk_create(chunk)


def _pool(account: Account, number: int) -> Pool:
    born = BORN + timedelta(minutes=number)
    return Pool(
        account=account,
        batch_id=f"pool_{number:06}",
        size=gpu_size() if number == 0 else None,
        vm_size="standard_nc4as_t4_v3",
        is_ours=True,
        created_at=born,
        creation_time=born,
        synced_hash="seen",
        state="active",
        allocation_state="steady",
        container_image_names=["zoobatch.azurecr.io/pytorch:1.10.1"],
        metadata=MARKS,
    )


def _jobs(account: Account, user: User, numbers: range) -> Iterator[Job]:
    revision = JobDefinition.objects.get(slug="gpu-check").current
    pools = list(Pool.objects.filter(account=account).order_by("pk")[:50])
    for number in numbers:
        born = BORN + timedelta(minutes=number)
        names: dict[str, Any] = {"batch_id": SHOWN_JOB} if number == 0 else {}
        failed = 1 if number % 50 == 0 else 0
        yield Job(
            account=account,
            **names,
            title=f"Round {number}",
            revision=revision,
            pool=pools[number % len(pools)],
            plan=PLAN,
            created_by=user,
            is_ours=True,
            created_at=born,
            creation_time=born,
            start_time=born,
            end_time=born + timedelta(minutes=30),
            synced_hash="seen",
            state="completed",
            terminate_reason="AllTasksComplete",
            tasks_total=1,
            tasks_asked=1,
            tasks_succeeded=1 - failed,
            tasks_failed=failed,
            has_final_tasks=True,
            metadata=MARKS,
        )


def _operation(account: Account, user: User, number: int) -> Operation:
    asked = BORN + timedelta(minutes=number)
    return Operation(
        account=account,
        verb="create",
        kind="job",
        subject=SHOWN_JOB if number == 0 else f"job_{number:06}",
        actor=user,
        actor_name=user.username,
        task_name="jobs.run_operation",
        payload={"job": number},
        state=Operation.State.SUCCEEDED,
        requested_at=asked,
        started_at=asked,
        finished_at=asked + timedelta(seconds=2),
        attempts=1,
    )


def _task(job: int, number: int) -> Task:
    born = BORN + timedelta(seconds=number)
    return Task(
        job_id=job,
        batch_id=f"task_{number:07}",
        synced_hash="seen",
        state="completed",
        result="success",
        exit_code=0,
        creation_time=born,
        start_time=born,
        end_time=born + timedelta(minutes=20),
        command_line="/bin/sh -c 'python train.py --experiment-dir results'",
        node_id="tvmps_0123456789abcdef_d",
    )
