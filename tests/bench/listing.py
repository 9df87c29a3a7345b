"""Listing tasks through our gateway against Microsoft's iteration, and syncing them into rows."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from azure.batch import BatchClient
from django.conf import settings
from django.utils import timezone

from activity.gateways import gateway_for
from activity.models import Account
from activity.targets import Counts
from cloud.batch import BatchGateway
from cloud.types import TaskSpec
from jobs.models import Job
from jobs.sync import pull_tasks
from tests.bench.tables import p50, ratio, show
from tests.emulator.batch import connect, make_job, make_pool
from tests.emulator_fixture import RunningEmulator
from tests.live import make_live_account
from tests.make import make_job as make_job_row

ROUNDS = 3


@dataclass(frozen=True)
class Cost:
    """What one way of reading the tasks takes: seconds by the clock, and seconds of this process's CPU."""

    clock: float
    cpu: float


def report_listing(folder: Path, *, count: int) -> None:
    """Put tasks into an emulator, read them in each way, and print the table."""
    running = RunningEmulator(folder / "emulator", "--container-runtime=process")
    try:
        endpoints = running.start()
        settings.ZOOBATCH_CA_BUNDLE = endpoints["ca"]
        account = make_live_account(endpoints)
        with connect(endpoints) as client:
            gateway = gateway_for(account)
            job = _fill(client, gateway, count)
            costs = _costs(account, client, gateway, job, count)
    finally:
        running.stop()
    sdk = costs["Microsoft's list_tasks"].clock
    rows = [
        [name, f"{cost.clock:.2f}", f"{count / cost.clock:,.0f}", f"{cost.cpu:.2f}", ratio(cost.clock, sdk)]
        for name, cost in costs.items()
    ]
    head = ["way", "s", "tasks/s", "CPU s here", "of Microsoft's time"]
    show(f"{count:,} tasks of the emulator over HTTPS", head, rows)
    first, again = costs["sync, first load"].clock, costs["sync, unchanged"].clock
    print(f"Unchanged sync takes {ratio(again, first)} of the first load's time.")


def _fill(client: BatchClient, gateway: BatchGateway, count: int) -> str:
    """Make a job whose tasks wait for nodes that never come; return its id."""
    job = make_job(client, make_pool(client, nodes=0, waits=False))
    specs = [
        TaskSpec(id=f"task_{number:06}", command_line="/bin/sh -c 'echo hello'", operation="bench")
        for number in range(count)
    ]
    _expect(sum(result.is_there for result in gateway.add_tasks(job, specs)), count)
    return job


def _costs(
    account: Account, client: BatchClient, gateway: BatchGateway, job: str, count: int
) -> dict[str, Cost]:
    row = make_job_row(account, batch_id=job, tasks_total=None, tasks_active=0)
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _ in range(ROUNDS):  # in turn, so that whatever else the machine does falls on both
        ours.append(_cost(lambda: _expect(sum(len(page) for page in gateway.list_tasks(job)), count)))
        theirs.append(_cost(lambda: _expect(sum(1 for _ in client.list_tasks(job)), count)))
    first = _cost(lambda: _expect(_sync(row, gateway).created, count))
    again = [_cost(lambda: _expect(_sync(row, gateway).changed, 0)) for _ in range(ROUNDS)]
    return {
        "Microsoft's list_tasks": _middle(theirs),
        "our gateway": _middle(ours),
        "sync, first load": first,
        "sync, unchanged": _middle(again),
    }


def _sync(row: Job, gateway: BatchGateway) -> Counts:
    return pull_tasks(Job.objects.select_related("account").get(pk=row.pk), gateway, now=timezone.now())


def _cost(call: Callable[[], object]) -> Cost:
    clock, cpu = time.perf_counter(), time.process_time()
    call()
    return Cost(time.perf_counter() - clock, time.process_time() - cpu)


def _middle(costs: Iterable[Cost]) -> Cost:
    found = list(costs)
    return Cost(p50([cost.clock for cost in found]), p50([cost.cpu for cost in found]))


def _expect(found: int, wanted: int) -> None:
    if found != wanted:
        raise RuntimeError(f"{found} tasks instead of {wanted}")
