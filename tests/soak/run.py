"""One run: ask, strike, wait until all is settled, and compare."""

import random
import time
from collections import Counter
from pathlib import Path

from django.conf import settings
from django.db.models import Sum

from activity.models import Operation
from dashboard.celery import app
from tests.crashes.processes import Processes, broker_url
from tests.emulator.batch import connect
from tests.emulator_fixture import TIME_SCALE, RunningEmulator
from tests.local import connect_account, stock_registry
from tests.soak.strikes import Strikes
from tests.soak.verdict import Verdict, judge
from tests.soak.wishes import Wishes

QUEUE_OF_ITS_OWN = "gw4"  # of the numbers that broker_url knows, one that no parallel test run takes
SAY_EVERY = 20


def soak(folder: Path, *, operations: int, pace: float, patience: float, chance: random.Random) -> bool:
    """Ask for so many operations while everything is killed; return whether nothing was lost or doubled."""
    emulator = RunningEmulator(
        folder / "emulator", f"--time-scale={TIME_SCALE}", "--container-runtime=process"
    )
    processes: Processes | None = None
    try:
        endpoints = emulator.start()
        account = connect_account(endpoints, settings)
        wishes = Wishes(account, stock_registry(account, endpoints), chance)
        app.conf.broker_url = broker_url(folder, QUEUE_OF_ITS_OWN)
        processes = Processes(folder, endpoints, app.conf.broker_url)
        strikes = Strikes(processes, emulator, chance)
        begun = time.monotonic()
        _ask_all(wishes, strikes, operations=operations, pace=pace)
        asked_for = time.monotonic() - begun
        is_settled = _wait(wishes, patience)
        print(f"asked within {asked_for:.0f} s, settled {time.monotonic() - begun - asked_for:.0f} s later")
        with connect(endpoints) as client:
            verdict = judge(account, client)
        _report(wishes, strikes, verdict)
        return is_settled and not verdict.lost and not verdict.doubled
    finally:
        if processes is not None:
            processes.stop()
        emulator.stop()


def _ask_all(wishes: Wishes, strikes: Strikes, *, operations: int, pace: float) -> None:
    for number in range(1, operations + 1):
        wishes.ask()
        if number % SAY_EVERY == 0:
            print(f"{number} of {operations} asked, {_unsettled(wishes)} in flight", flush=True)
        pause_until = time.monotonic() + wishes.chance.uniform(0, 2 * pace)
        while time.monotonic() < pause_until:
            strikes.strike_if_due()
            time.sleep(0.05)


def _unsettled(wishes: Wishes) -> int:
    return Operation.objects.filter(account=wishes.account).unsettled().count()


def _wait(wishes: Wishes, patience: float) -> bool:
    """Wait, now that nothing is killed any more, until nothing is in flight."""
    end = time.monotonic() + patience
    while _unsettled(wishes):
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _report(wishes: Wishes, strikes: Strikes, verdict: Verdict) -> None:
    mine = Operation.objects.filter(pk__in=wishes.operations)
    states = Counter(mine.values_list("state", flat=True))
    verbs = Counter(f"{verb} {kind}" for verb, kind in mine.values_list("verb", "kind"))
    attempts = mine.aggregate(sum=Sum("attempts"))["sum"] or 0
    rows = {
        "asked": f"{len(wishes.operations)} ({', '.join(f'{n} {verb}' for verb, n in sorted(verbs.items()))})",
        "succeeded": states["succeeded"],
        "failed": states["failed"],
        "unsettled": _unsettled(wishes),
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "attempts": f"{attempts} ({strikes.caught} operations were under way when something was killed)",
        "kills": ", ".join(f"{name} {times}" for name, times in sorted(strikes.counts.items())),
    }
    print()
    for name, value in rows.items():
        print(f"{name:<10} {value}")
    for operation in mine.filter(state=Operation.State.FAILED):
        print(f"  failed: {operation}: {operation.error_code} {operation.error}")
    for text in (*verdict.lost, *verdict.doubled):
        print(f"  {text}")
