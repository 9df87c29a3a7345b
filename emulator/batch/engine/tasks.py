"""What can happen to a task, apart from running: being queued again, ended, and losing its files."""

import shutil
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from emulator.batch import wire
from emulator.batch.engine.runs import stop
from emulator.batch.tables import Item, enter, touch

if TYPE_CHECKING:
    from emulator.batch.engine.loop import Engine

ENDED = {"category": "usererror", "code": "TaskEnded", "message": "Task was ended by user request."}
RUN_MEMBERS = ("startTime", "endTime", "exitCode", "result", "failureInfo", "containerInfo")


def move(engine: "Engine", task: Item, state: str, now: datetime) -> None:
    """Change the task's state; its ETag changes with it."""
    enter(task, state, now, keeps_previous=True)
    touch(task, engine.clock.stamp())


def requeue(engine: "Engine", task: Item, now: datetime, *, counts: bool = True) -> None:
    """Stop the task's process and put the task back into the queue."""
    stop(engine.runs.of_task(task.account, task.parent, task.key))
    task.private.pop("run", None)
    execution = task.doc["executionInfo"]
    clear(task)
    if counts:
        execution["requeueCount"] = execution.get("requeueCount", 0) + 1
        execution["lastRequeueTime"] = wire.instant(now)
    move(engine, task, "active", now)
    engine.tables.put(task)


def clear(task: Item) -> None:
    """Forget what the last run left on the task."""
    for name in RUN_MEMBERS:
        task.doc["executionInfo"].pop(name, None)
    task.doc.pop("nodeInfo", None)
    task.private.pop("is_cleaned", None)
    task.private.pop("satisfies", None)
    task.due = None


def end(engine: "Engine", task: Item, now: datetime, failure: dict[str, Any] | None = None) -> None:
    """Complete the task at once as a failure (by the user's request, unless told otherwise)."""
    stop(engine.runs.of_task(task.account, task.parent, task.key))
    task.private.pop("run", None)
    execution = task.doc["executionInfo"]
    execution |= {"endTime": wire.instant(now), "result": "failure", "failureInfo": failure or ENDED}
    execution.setdefault("startTime", wire.instant(now))
    complete(engine, task, now, satisfies=False)


def complete(engine: "Engine", task: Item, now: datetime, *, satisfies: bool) -> None:
    """Enter the last state; files go when the retention time is over."""
    task.private["satisfies"] = satisfies
    retention = wire.duration(task.doc["constraints"]["retentionTime"], "retentionTime")
    task.due = now + retention if retention and "nodeInfo" in task.doc else None
    move(engine, task, "completed", now)
    engine.tables.put(task)


def clean(engine: "Engine", now: datetime) -> None:
    """Remove the files of the tasks whose retention time is over."""
    for task in engine.tables.due("task", now):
        task.due = None
        task.private["is_cleaned"] = True
        engine.tables.put(task)
        remove_files(engine, task)


def remove_files(engine: "Engine", item: Item) -> None:
    """Remove the task's folder from its node, after the transaction."""
    info = item.doc.get("nodeInfo")
    if info:
        root = engine.runner.node_root(item.account, info["poolId"], info["nodeId"])
        folder = root / info["taskRootDirectory"]
        engine.later(partial(shutil.rmtree, folder, ignore_errors=True))


def forget_files(engine: "Engine", node: Item) -> None:
    """Note that the files of the tasks that ran on this node are gone with it."""
    for job in engine.tables.all("job", node.account):
        if job.doc.get("executionInfo", {}).get("poolId", "").lower() != node.parent:
            continue
        for task in engine.tables.in_state("task", node.account, job.key, "completed"):
            if task.doc.get("nodeInfo", {}).get("nodeId") == node.id:
                task.due = None
                task.private["is_cleaned"] = True
                engine.tables.put(task)


def has_retained_data(engine: "Engine", node: Item) -> bool:
    """Tell whether a completed task on this node still has files within its retention time."""
    for job in engine.tables.all("job", node.account):
        for task in engine.tables.in_state("task", node.account, job.key, "completed"):
            if task.due is not None and task.doc.get("nodeInfo", {}).get("nodeId") == node.id:
                return True
    return False
