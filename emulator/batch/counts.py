"""How many nodes each pool has, by state."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from emulator.batch.http import Answer, Request, list_docs, operation, predicate
from emulator.batch.tables import Item

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

NAMES = {
    "creating": "creating",
    "idle": "idle",
    "offline": "offline",
    "preempted": "preempted",
    "rebooting": "rebooting",
    "reimaging": "reimaging",
    "running": "running",
    "starting": "starting",
    "starttaskfailed": "startTaskFailed",
    "leavingpool": "leavingPool",
    "unknown": "unknown",
    "unusable": "unusable",
    "waitingforstarttask": "waitingForStartTask",
    "deallocated": "deallocated",
    "deallocating": "deallocating",
    "upgradingos": "upgradingOS",
}


def _list(state: "BatchState", request: Request) -> Answer:
    keep = predicate(request, frozenset({"poolId"}))
    docs = [_counts(state, pool) for pool in state.tables.all("pool", request.account)]
    return list_docs(request, "poolnodecounts", [doc for doc in docs if keep is None or keep(doc)])


def _counts(state: "BatchState", pool: Item) -> dict[str, Any]:
    nodes = state.tables.all("node", pool.account, pool.key)
    dedicated = Counter(node.state for node in nodes if node.doc["isDedicated"])
    low_priority = Counter(node.state for node in nodes if not node.doc["isDedicated"])
    return {"poolId": pool.id, "dedicated": _named(dedicated), "lowPriority": _named(low_priority)}


def _named(counter: Counter[str]) -> dict[str, int]:
    return {name: counter[state] for state, name in NAMES.items()} | {"total": counter.total()}


OPERATIONS = (operation("GET", "/nodecounts", _list),)
