"""The tables about pages: at a hundredth of the rows and at all of them, polled without a change, and their queries."""

from django.db import connection
from django.test import Client

from activity.models import Account
from tests.bench import plans
from tests.bench.pages import LISTS, PART, WARM_UP, Measured, addresses, measure, poll_headers
from tests.bench.rows import Sizes, grow, make_account
from tests.bench.tables import milliseconds, p50, p95, ratio, show

Durations = dict[tuple[str, int], float]


def report_pages(*, jobs: int, tasks: int, rounds: int) -> bool:
    """Measure every page at both sizes and print the tables; return whether no list scans a whole big table."""
    account, user = make_account()
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user)
    large = Sizes(jobs, tasks)
    small = large.hundredth()
    grow(account, user, small)
    _measure_all(client, account, WARM_UP)
    before = _measure_all(client, account, rounds)
    durations = _durations(before)
    grow(account, user, large)
    after = _measure_all(client, account, rounds)
    _show_pages(before, after, small, large)
    _show_polls(client, account, rounds)
    return _show_plans(after, durations)


def _measure_all(client: Client, account: Account, rounds: int) -> dict[str, Measured]:
    return {name: measure(client, address, rounds) for name, address in addresses(account).items()}


def _durations(measured: dict[str, Measured]) -> Durations:
    return {
        (name, number): plans.duration(query)
        for name in LISTS
        for number, query in enumerate(measured[name].queries)
        if plans.label(query)
    }


def _show_pages(before: dict[str, Measured], after: dict[str, Measured], small: Sizes, large: Sizes) -> None:
    rows = [
        [
            name,
            milliseconds(p50(old.taken)),
            milliseconds(p50(new.taken)),
            ratio(p50(new.taken), p50(old.taken)),
            milliseconds(p95(old.taken)),
            milliseconds(p95(new.taken)),
            ratio(p95(new.taken), p95(old.taken)),
            str(len(old.queries)),
            str(len(new.queries)),
        ]
        for name, old, new in ((name, before[name], after[name]) for name in before)
    ]
    title = (
        f"Pages on {connection.vendor}, server time in ms: with {small.jobs:,} jobs, pools and operations each and "
        f"{small.tasks:,} tasks (few), with {large.jobs:,} and {large.tasks:,} (many)"
    )
    head = ["page", "p50 few", "p50 many", "ratio", "p95 few", "p95 many", "ratio", "queries few", "many"]
    show(title, head, rows)


def _show_polls(client: Client, account: Account, rounds: int) -> None:
    rows = []
    for name, address in addresses(account).items():
        full = measure(client, address, rounds, PART)
        same = measure(client, address, rounds, poll_headers(client, address))
        rows.append(
            [
                name,
                milliseconds(p50(full.taken)),
                milliseconds(p50(same.taken)),
                ratio(p50(same.taken), p50(full.taken)),
                str(len(full.queries)),
                str(len(same.queries)),
            ]
        )
    head = ["page", "p50 changed", "p50 unchanged", "ratio", "queries changed", "unchanged"]
    show("Polls of an open page, in ms: the refreshed part, and 304 when nothing has changed", head, rows)


def _show_plans(after: dict[str, Measured], durations: Durations) -> bool:
    rows, scans, known = [], [], set[str]()
    for name in LISTS:
        for number, query in enumerate(after[name].queries):
            text = plans.label(query)
            if not text or query.sql in known:
                continue
            known.add(query.sql)
            plan, took = plans.explain(query), plans.duration(query)
            few = durations.get((name, number), 0.0)
            rows.append([name, text, milliseconds(few), milliseconds(took), ratio(took, few), str(plan)])
            if plan.scanned:
                scans.append(f"{name}: {plan}\n    {plans.shortened(query.sql)}\n    {query.params}")
    head = ["list", "query", "ms few", "ms many", "ratio", "indexes of its plan"]
    show("Queries of the lists: times, and how the database goes about them", head, rows)
    if scans:
        print("\nFAILED: these queries read a whole big table:\n  " + "\n  ".join(scans))
    return not scans
