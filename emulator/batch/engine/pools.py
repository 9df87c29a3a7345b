"""Pools: allocating and releasing nodes, and going away."""

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from emulator.batch import wire
from emulator.batch.engine import nodes
from emulator.batch.tables import Item, enter

if TYPE_CHECKING:
    from emulator.batch.engine.loop import Engine

# How often a pool that waits for its leaving nodes is looked at.
LOOK_AGAIN = timedelta(seconds=0.2)
FIRST_HOST = 4
TIMED_OUT = {
    "code": "AllocationTimedout",
    "message": "Desired number of dedicated nodes could not be allocated as the resize timeout was reached",
}
STOPPED = {"code": "ResizeStopped", "message": "Desired number of nodes not reached because of user request"}


def advance(engine: "Engine", now: datetime) -> None:
    """Move on each pool that is due."""
    for pool in engine.tables.due("pool", now):
        if pool.state == "deleting":
            _delete(engine, pool, now)
        elif pool.doc["allocationState"] == "resizing":
            _resize(engine, pool, now)
        else:
            set_allocation(pool, "steady", now)
            pool.due = None
            engine.tables.put(pool)


def set_allocation(pool: Item, state: str, now: datetime) -> None:
    """Change the allocation state and note when."""
    if pool.doc.get("allocationState") != state:
        pool.doc["allocationState"] = state
        pool.doc["allocationStateTransitionTime"] = wire.instant(now)


def begin_resize(engine: "Engine", pool: Item, now: datetime, option: str = "requeue") -> None:
    """Start moving the pool to its targets; a pool that is there already is steady at once."""
    pool.doc.pop("resizeErrors", None)
    if _counts(engine, pool) == _targets(pool):
        set_allocation(pool, "steady", now)
        pool.due = None
        return
    set_allocation(pool, "resizing", now)
    timeout = wire.duration(pool.doc.get("resizeTimeout", "PT15M"), "resizeTimeout")
    deadline = engine.clock.after(timeout.total_seconds()) if timeout else None
    pool.private["resize"] = {"option": option, "deadline": wire.instant(deadline) if deadline else None}
    pool.due = engine.clock.after(engine.delays.allocation)


def stop_resize(engine: "Engine", pool: Item, now: datetime) -> None:
    """Leave the pool with the nodes that it has."""
    if pool.doc["allocationState"] != "resizing":
        return
    for node in engine.tables.all("node", pool.account, pool.key):
        if node.private.pop("leaving", None):
            engine.tables.put(node)
    if _counts(engine, pool) != _targets(pool):
        pool.doc["resizeErrors"] = [STOPPED]
    set_allocation(pool, "stopping", now)
    pool.due = engine.clock.after(engine.delays.deletion)


def _resize(engine: "Engine", pool: Item, now: datetime) -> None:
    resize: dict[str, Any] = pool.private.get("resize", {})
    staying = [node for node in engine.tables.all("node", pool.account, pool.key) if not _is_leaving(node)]
    for is_dedicated, target in zip((True, False), _targets(pool), strict=True):
        some = [node for node in staying if node.doc["isDedicated"] is is_dedicated]
        for _ in range(target - len(some)):
            _add_node(engine, pool, now, is_dedicated=is_dedicated)
        for node in _victims(engine, some, len(some) - target):
            nodes.leave(engine, node, resize.get("option", "requeue"), now)
    update_counts(engine, pool)
    deadline = resize.get("deadline")
    if _counts(engine, pool) == _targets(pool):
        set_allocation(pool, "steady", now)
        pool.due = None
    elif deadline and now > wire.moment(deadline):
        stop_resize(engine, pool, now)
        pool.doc["resizeErrors"] = [TIMED_OUT]
    else:
        pool.due = now + LOOK_AGAIN
    engine.tables.put(pool)


def _is_leaving(node: Item) -> bool:
    return node.state == "leavingpool" or "leaving" in node.private


def _victims(engine: "Engine", some: list[Item], number: int) -> list[Item]:
    """Choose who leaves: the youngest of those with the least to do."""
    if number <= 0:
        return []

    def burden(node: Item) -> tuple[int, int]:
        return len(engine.runs.of_node(node.account, node.parent, node.key)), -node.seq

    return sorted(some, key=burden)[:number]


def _targets(pool: Item) -> tuple[int, int]:
    return pool.doc.get("targetDedicatedNodes", 0), pool.doc.get("targetLowPriorityNodes", 0)


def _counts(engine: "Engine", pool: Item) -> tuple[int, int]:
    everyone = engine.tables.all("node", pool.account, pool.key)
    dedicated = sum(1 for node in everyone if node.doc["isDedicated"])
    return dedicated, len(everyone) - dedicated


def update_counts(engine: "Engine", pool: Item) -> None:
    """Write the present number of nodes into the pool's document."""
    pool.doc["currentDedicatedNodes"], pool.doc["currentLowPriorityNodes"] = _counts(engine, pool)


def _add_node(engine: "Engine", pool: Item, now: datetime, *, is_dedicated: bool) -> None:
    index = pool.private["nodes_made"] = pool.private.get("nodes_made", -1) + 1
    name = f"tvmps_{secrets.token_hex(32)}_{'d' if is_dedicated else 'p'}"
    address = FIRST_HOST + index
    image = pool.doc.get("virtualMachineConfiguration", {}).get("imageReference", {})
    doc = {
        "id": name,
        "schedulingState": "enabled",
        "allocationTime": wire.instant(now),
        "ipAddress": f"10.0.{address // 256}.{address % 256}",
        "ipv6Address": f"fd00::{address:x}",
        "affinityId": f"TVM:{name}",
        "vmSize": pool.doc["vmSize"],
        "isDedicated": is_dedicated,
        "totalTasksRun": 0,
        "totalTasksSucceeded": 0,
        "runningTasksCount": 0,
        "runningTaskSlotsCount": 0,
        "virtualMachineInfo": {"imageReference": {**image, "exactVersion": image.get("version", "latest")}},
        "endpointConfiguration": {"inboundEndpoints": _endpoints(index)},
    }
    seq = int(engine.clock.stamp().timestamp() * 1_000_000)
    node = Item("node", pool.account, pool.key, name, seq, "creating", doc)
    enter(node, "creating", now)
    node.doc["state"] = "creating"
    node.doc["stateTransitionTime"] = wire.instant(now)
    node.due = engine.clock.after(engine.delays.creation)
    engine.tables.put(node)


def _endpoints(index: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"SSHRule.{index}",
            "protocol": "tcp",
            "publicIPAddress": "203.0.113.1",
            "publicFQDN": "batch-emulator.example",
            "frontendPort": 50000 + index,
            "backendPort": 22,
        }
    ]


def _delete(engine: "Engine", pool: Item, now: datetime) -> None:
    remaining = engine.tables.all("node", pool.account, pool.key)
    for node in remaining:
        if node.state != "leavingpool":
            nodes.leave(engine, node, "requeue", now)
    if remaining:
        update_counts(engine, pool)
        pool.due = now + LOOK_AGAIN
        engine.tables.put(pool)
        return
    engine.tables.delete(pool)
