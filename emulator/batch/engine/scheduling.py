"""Which task goes to which node: priorities, dependencies, slots and fill type."""

from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from emulator.batch.engine import nodes, tasks
from emulator.batch.engine.runs import Run
from emulator.batch.tables import Item

if TYPE_CHECKING:
    from emulator.batch.engine.loop import Engine


@dataclass
class _Place:
    """A node that can take tasks, and how many slots of it are free."""

    node: Item
    free: int
    used: int


def assign(engine: "Engine", now: datetime) -> None:
    """Hand out waiting tasks to free slots, pool by pool, higher priorities first."""
    for account in engine.accounts:
        jobs = _jobs_by_pool(engine, account)
        for pool_key, waiting in jobs.items():
            pool = engine.tables.get("pool", account, pool_key)
            if pool is None or pool.state != "active":
                continue
            places = _places(engine, pool)
            for job in waiting:
                if not any(place.free > 0 for place in places):
                    break
                _assign_job(engine, pool, job, places, now)


def _jobs_by_pool(engine: "Engine", account: str) -> dict[str, list[Item]]:
    grouped: dict[str, list[Item]] = {}
    for job in engine.tables.in_state("job", account, "", "active"):
        pool = job.doc["executionInfo"].get("poolId", "").lower()
        grouped.setdefault(pool, []).append(job)
    for jobs in grouped.values():
        jobs.sort(key=lambda job: (-int(job.doc.get("priority", 0)), job.seq))
    return grouped


def _places(engine: "Engine", pool: Item) -> list[_Place]:
    slots = int(pool.doc.get("taskSlotsPerNode", 1))
    places = []
    for node in engine.tables.in_state("node", pool.account, pool.key, "idle", "running"):
        if node.doc["schedulingState"] != "enabled" or "leaving" in node.private:
            continue
        used = sum(run.slots for run in engine.runs.of_node(pool.account, pool.key, node.key))
        places.append(_Place(node, slots - used, used))
    return places


def _assign_job(engine: "Engine", pool: Item, job: Item, places: list[_Place], now: datetime) -> None:
    barred = {item.key for item in engine.tables.in_state("preparation", job.account, job.key, "failed")}
    usable = [place for place in places if place.node.key not in barred]
    most = int(job.doc.get("maxParallelTasks", -1))
    running = sum(run.kind == "task" for run in engine.runs.of_job(job.account, job.key))
    for task in engine.tables.stream("task", job.account, job.key, "active"):
        if (0 <= most <= running) or not any(place.free > 0 for place in usable):
            return
        if engine.runs.of_task(job.account, job.key, task.key) or not _is_ready(engine, job, task):
            continue
        place = _choose(pool, task, usable)
        if place is not None:
            _hand_out(engine, pool, job, task, place, now)
            running += 1


def _is_ready(engine: "Engine", job: Item, task: Item) -> bool:
    """Tell whether everything that the task depends on has ended as it should; unknown ids are waited for."""
    depends: dict[str, Any] | None = task.doc.get("dependsOn")
    if not depends:
        return True
    ranges = depends.get("taskIdRanges", [])
    # Not as a list: a range may name more tasks than there is memory for.
    numbers = (str(number) for each in ranges for number in range(each["start"], each["end"] + 1))
    for name in chain(depends.get("taskIds", []), numbers):
        other = engine.tables.get("task", job.account, name, job.key)
        if other is None or other.state != "completed" or not other.private.get("satisfies"):
            return False
    return True


def _choose(pool: Item, task: Item, places: list[_Place]) -> _Place | None:
    """Pick the wished-for node if it has room, else the emptiest (spread) or the fullest (pack)."""
    needed = int(task.doc.get("requiredSlots", 1))
    fitting = [place for place in places if place.free >= needed]
    if not fitting:
        return None
    wish = task.doc.get("affinityInfo", {}).get("affinityId")
    for place in fitting:
        if wish and place.node.doc["affinityId"] == wish:
            return place
    packs = pool.doc.get("taskSchedulingPolicy", {}).get("nodeFillType") == "pack"
    return (max if packs else min)(fitting, key=lambda place: place.used)


def _hand_out(engine: "Engine", pool: Item, job: Item, task: Item, place: _Place, now: datetime) -> None:
    slots = int(task.doc.get("requiredSlots", 1))
    node = place.node
    run = Run("task", task.account, pool.key, node.key, job=job.key, task=task.key, slots=slots)
    tasks.clear(task)
    task.private["run"] = run.id
    task.doc["nodeInfo"] = {
        "affinityId": node.doc["affinityId"],
        "poolId": pool.id,
        "nodeId": node.id,
        "taskRootDirectory": f"workitems/{job.id}/job-1/{task.id}",
    }
    tasks.move(engine, task, "preparing", now)
    engine.tables.put(task)
    place.free -= slots
    place.used += slots
    engine.begin(run)
    nodes.settle(engine, pool.account, pool.key, node.key)
