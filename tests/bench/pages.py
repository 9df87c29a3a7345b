"""Pages as a signed-in person asks for them, and the queries behind them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.test import Client
from django.urls import reverse

from activity.models import Account
from jobs.models import Job
from tests.bench.rows import SHOWN_JOB
from tests.bench.tables import timed

WARM_UP = 3
PART = {"HX-Request": "true"}
LISTS = ("jobs", "jobs, last page", "jobs, search", "jobs, failed", "pools", "pools, search", "operations")


@dataclass(frozen=True)
class Query:
    """A statement as Django sent it."""

    sql: str
    params: Any


@dataclass(frozen=True)
class Measured:
    """How long each request took, in seconds, and the queries of one."""

    taken: list[float]
    queries: list[Query]


def addresses(account: Account) -> dict[str, str]:
    """Return the pages' addresses by the names that the tables print."""
    jobs, pools = reverse("job_list", args=[account.slug]), reverse("pool_list", args=[account.slug])
    early = Job.objects.filter(account=account).order_by("created_at", "pk")[60]
    return {
        "jobs": jobs,
        "jobs, last page": f"{jobs}?after={early.created_at:%Y-%m-%dT%H:%M:%S.%f%%2B00:00}~{early.pk}",
        "jobs, search": f"{jobs}?q={SHOWN_JOB}",
        "jobs, failed": f"{jobs}?state=failed",
        "pools": pools,
        "pools, search": f"{pools}?q=pool_000",
        "operations": reverse("operation_list", args=[account.slug]),
        "job detail": reverse("job_detail", args=[account.slug, SHOWN_JOB]),
    }


def measure(client: Client, address: str, rounds: int, headers: Mapping[str, str] | None = None) -> Measured:
    """Ask for a page so many times; it has to answer 200, or 304 where the poll's tag is sent along."""
    wanted = 304 if headers and "HX-PTag" in headers else 200

    def ask() -> None:
        answer = client.get(address, headers=headers)
        if answer.status_code != wanted:
            raise RuntimeError(f"{address} answered {answer.status_code} instead of {wanted}.")

    for _ in range(WARM_UP):
        ask()
    queries: list[Query] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        queries.append(Query(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        ask()
    return Measured(timed(ask, rounds), queries)


def poll_headers(client: Client, address: str) -> dict[str, str]:
    """Return what a browser polls with that shows the page as it is now."""
    answer = client.get(address, headers=PART)
    return {**PART, "HX-PTag": answer.headers["HX-PTag"]}
