"""What there really is, by Microsoft's client, beside what was asked for."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from azure.batch import BatchClient

from activity.models import Account, Operation
from cloud.types import OPERATION_ENV, OPERATION_KEY
from jobs.models import Job
from pools.models import Pool
from tests.emulator.batch import wait


@dataclass
class Verdict:
    """What was asked for and is not so, and what is there without having been asked for, or twice."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def judge(account: Account, client: BatchClient) -> Verdict:
    """Compare every pool and job of an account with its row."""
    wait(lambda: all(pool.state != "deleting" for pool in client.list_pools()))
    verdict = Verdict()
    pools = {pool.id: pool for pool in client.list_pools()}
    jobs = {job.id: job for job in client.list_jobs()}
    _judge_marks(verdict, account, [*pools.values(), *jobs.values()])
    for row in Pool.objects.filter(account=account, is_ours=True):
        _judge_pool(verdict, row, pools.get(row.batch_id))
    for asked in Job.objects.filter(account=account, is_ours=True):
        _judge_job(verdict, asked, jobs.get(asked.batch_id), client)
    return verdict


def _judge_marks(verdict: Verdict, account: Account, found: Iterable[Any]) -> None:
    """Each mark is there once, and each is one of ours."""
    marks = Counter(_mark(thing) for thing in found)
    asked = Operation.objects.filter(account=account, verb="create").values_list("uuid", flat=True)
    known = {str(mark) for mark in asked}
    verdict.doubled += [f"{mark} is there {times} times" for mark, times in marks.items() if times > 1]
    verdict.doubled += [f"{mark} was never asked for" for mark in marks if mark not in known]


def _judge_pool(verdict: Verdict, row: Pool, found: Any) -> None:
    if row.deletion_asked_at is not None:
        if found is not None:
            verdict.doubled.append(f"pool {row} is there in spite of its deletion")
    elif found is None or _mark(found) != str(row.operation):
        verdict.lost.append(f"pool {row} is not there: {row.problem}")
    elif found.target_dedicated_nodes != row.dedicated_nodes:
        verdict.lost.append(
            f"pool {row} is to have {row.dedicated_nodes} nodes, not {found.target_dedicated_nodes}"
        )


def _judge_job(verdict: Verdict, row: Job, found: Any, client: BatchClient) -> None:
    if found is None or _mark(found) != str(row.operation):
        verdict.lost.append(f"job {row} is not there: {row.problem}")
        return
    if found.all_tasks_complete_mode != "terminatejob" and found.state != "completed":
        verdict.lost.append(f"job {row} would never end")
    tasks = {task.id: task for task in client.list_tasks(row.batch_id)}
    wanted = {task["id"] for task in (row.plan or {})["tasks"]}
    verdict.lost += [f"task {name} of job {row} is not there" for name in wanted - tasks.keys()]
    verdict.doubled += [f"task {name} of job {row} was never asked for" for name in tasks.keys() - wanted]
    for task in tasks.values():
        marks = [item.value for item in task.environment_settings or () if item.name == OPERATION_ENV]
        if marks != [str(row.operation)]:
            verdict.doubled.append(f"task {task.id} of job {row} has the marks {marks}")


def _mark(thing: Any) -> str:
    return next((item.value for item in thing.metadata or () if item.name == OPERATION_KEY), "")
