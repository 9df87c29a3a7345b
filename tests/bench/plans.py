"""How the database goes about a page's queries: which indexes it uses, and whether it scans a whole table."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from activity.models import Operation
from jobs.models import Job, Task
from pools.models import Pool
from tests.bench.pages import Query
from tests.bench.tables import p50, timed

BIG = frozenset(model._meta.db_table for model in (Job, Task, Pool, Operation))
LABELS = {'SELECT %s AS "a"': "exists", 'SELECT 1 AS "a"': "exists", "SELECT COUNT(": "count"}


@dataclass(frozen=True)
class Plan:
    """The indexes of a query's plan, the big tables that it scans from end to end, and whether it sorts."""

    indexes: tuple[str, ...]
    scanned: tuple[str, ...]
    sorts: bool

    def __str__(self) -> str:
        notes = [*self.indexes, *(f"SCAN of {table}" for table in self.scanned)]
        return ", ".join(dict.fromkeys([*notes, *(["sort"] if self.sorts else [])])) or "no index"


def label(query: Query) -> str:
    """Say in two words what a query asks, such as `count jobs_job`; empty when it reads no big table."""
    table = next(iter(re.findall(r'FROM "(\w+)"', query.sql)), "")
    if table not in BIG or not query.sql.startswith("SELECT"):
        return ""
    kind = next((name for start, name in LABELS.items() if query.sql.startswith(start)), "rows")
    return f"{kind} {table}"


def duration(query: Query) -> float:
    """Return the median of the seconds that the query takes, all of its rows read."""

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute(query.sql, query.params)
            cursor.fetchall()

    return p50(timed(run, 5))


def explain(query: Query) -> Plan:
    """Ask the database for a query's plan."""
    return _sqlite(query) if connection.vendor == "sqlite" else _postgresql(query)


def _sqlite(query: Query) -> Plan:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query.sql}", query.params)
        steps = [row[3] for row in cursor.fetchall()]
    tables = {alias: table for table, alias in re.findall(r'"(\w+)" ([A-Z]\d+)\b', query.sql)}
    indexes, scanned = [], []
    for step in steps:
        indexes += re.findall(r"USING (?:COVERING )?INDEX (\w+)", step)
        indexes += re.findall(r"INTEGER PRIMARY KEY", step)
        if (found := re.match(r"SCAN (\w+)", step)) and tables.get(found[1], found[1]) in BIG:
            scanned.append(tables.get(found[1], found[1]))
    return Plan(tuple(indexes), tuple(scanned), any(step.startswith("USE TEMP B-TREE") for step in steps))


def _postgresql(query: Query) -> Plan:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.sql}", query.params)
        found = cursor.fetchone()[0]
    steps = list(_steps((json.loads(found) if isinstance(found, str) else found)[0]["Plan"]))
    indexes = tuple(step["Index Name"] for _, step in steps if "Index Name" in step)
    scanned = tuple(step["Relation Name"] for above, step in steps if _is_scan(above, step))
    return Plan(indexes, scanned, any("Sort" in step["Node Type"] for _, step in steps))


def _steps(step: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step of a plan with the kind of the one that it hands its rows to."""
    yield above, step
    for child in step.get("Plans", ()):
        yield from _steps(child, step["Node Type"])


def _is_scan(above: str, step: dict[str, Any]) -> bool:
    """Whether a big table was read from end to end for the few rows of it that were wanted.

    One that is read until a LIMIT is reached, nearly every row of it wanted, is as good as an index.
    """
    if not step["Node Type"].endswith("Seq Scan") or step["Relation Name"] not in BIG:
        return False
    return above != "Limit" or bool(step.get("Rows Removed by Filter", 0) > step["Actual Rows"])


def shortened(sql: str) -> str:
    """Return a statement without the names of the columns it reads."""
    return re.sub(r"^SELECT .*? FROM ", "SELECT … FROM ", sql)
