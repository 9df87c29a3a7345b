"""What the overview shows: key figures, what needs a person, and what runs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Q, Sum
from django.urls import reverse

from activity.models import Account, Operation
from jobs.models import Job
from jobs.models.job import JobQuerySet
from pools.models import Badge, Pool

RECENT = timedelta(hours=24)
SHOWN = 12


@dataclass(frozen=True)
class Concern:
    """Something that needs a person: what, why, and where to look."""

    badge: Badge
    title: str
    text: str
    url: str
    action: str


@dataclass(frozen=True)
class Figures:
    """The numbers at the top."""

    nodes: int
    nodes_asked: int
    node_counts: dict[str, int]
    tasks_running: int
    tasks_waiting: int
    jobs_running: int
    jobs_waiting: int
    jobs_failed: int
    operations_in_flight: int


def figures(account: Account, pools: Sequence[Pool], *, now: datetime) -> Figures:
    """Add up all of an account's pools and open jobs; failures are those of the last day."""
    counts: Counter[str] = Counter()
    for pool in pools:
        counts.update(pool.node_counts)
    jobs = Job.objects.for_account(account)
    found = jobs.unsettled().aggregate(
        running=Count("pk", filter=Q(tasks_running__gt=0)),
        tasks_running=Sum("tasks_running", default=0),
        tasks_waiting=Sum(F("tasks_active") + F("tasks_preparing"), default=0),
    )
    return Figures(
        nodes=sum(pool.current_nodes for pool in pools),
        nodes_asked=sum(pool.target_nodes for pool in pools),
        node_counts=dict(counts),
        tasks_running=found["tasks_running"],
        tasks_waiting=found["tasks_waiting"],
        jobs_running=found["running"],
        jobs_waiting=jobs.waiting().count(),
        jobs_failed=failed_jobs(account, now=now).count(),
        operations_in_flight=Operation.objects.filter(account=account).unsettled().count(),
    )


def failed_jobs(account: Account, *, now: datetime) -> JobQuerySet:
    """Return the jobs of the last day in which something failed."""
    recent = Q(created_at__gte=now - RECENT) | Q(end_time__gte=now - RECENT)
    failed = Q(tasks_failed__gt=0) | Q(preparations_failed__gt=0) | ~Q(problem="")
    return Job.objects.for_account(account).alive().filter(recent, failed)


def concerns(
    account: Account, pools: Sequence[Pool], active: Sequence[Job], *, now: datetime
) -> list[Concern]:
    """List what needs a person: pools in trouble, blocked and failed jobs, failed operations; worst first."""
    found = [
        *_pool_concerns(account, pools),
        *_job_concerns(account, active, now=now),
        *_refusals(account, now=now),
    ]
    return sorted(found, key=lambda concern: concern.badge.family != "bad")


def _pool_concerns(account: Account, pools: Sequence[Pool]) -> Iterator[Concern]:
    for pool in pools:
        url = reverse("pool_detail", args=[account.slug, pool.batch_id])
        if pool.badge.family == "bad":
            yield Concern(
                pool.badge,
                f"Pool {pool.batch_id}: {pool.badge.word.lower()}",
                pool.badge.reason,
                url,
                "Open pool",
            )
        elif pool.failed_nodes:
            text = f"{pool.failed_nodes} of its {pool.current_nodes} nodes failed and are billed."
            yield Concern(
                Badge("bad", "Nodes failed"), f"Pool {pool.batch_id} has failed nodes", text, url, "Open pool"
            )


def _job_concerns(account: Account, active: Sequence[Job], *, now: datetime) -> Iterator[Concern]:
    blocked = [job for job in active if job.badge.family == "bad"]
    ended = (
        failed_jobs(account, now=now)
        .exclude(pk__in=[job.pk for job in blocked])
        .select_related("pool")[:SHOWN]
    )
    for job in [*blocked, *ended]:
        url = reverse("job_detail", args=[account.slug, job.batch_id])
        word = job.badge.word if job.badge.family == "bad" else "Task failed"
        yield Concern(
            Badge("bad", word),
            f"{job.name}: {word.lower()}",
            job.badge.reason or job.problem,
            url,
            "Open job",
        )


def _refusals(account: Account, *, now: datetime) -> Iterator[Concern]:
    failed = Operation.objects.filter(
        account=account, state=Operation.State.FAILED, finished_at__gte=now - RECENT
    )
    for operation in failed.newest_first()[:SHOWN]:
        url = reverse("operation_detail", args=[account.slug, operation.uuid])
        yield Concern(
            Badge("bad", "Failed"), f"Could not {operation}", operation.error, url, "Open operation"
        )


def tasks_by_pool(account: Account) -> dict[int | None, dict[str, int]]:
    """Return running and waiting tasks of active jobs per pool."""
    rows = (
        Job.objects.for_account(account)
        .alive()
        .filter(state="active")
        .values("pool")
        .annotate(running=Sum("tasks_running"), waiting=Sum("tasks_active"))
    )
    return {row["pool"]: {"running": row["running"], "waiting": row["waiting"]} for row in rows}
