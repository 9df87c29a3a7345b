"""Nodes: from creating to idle, through reboots, and out of the pool."""

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from emulator.batch import wire
from emulator.batch.engine import tasks
from emulator.batch.engine.runs import Run, stop
from emulator.batch.run.work import Outcome, Work
from emulator.batch.runner import NodeSetupError
from emulator.batch.tables import Item, enter

if TYPE_CHECKING:
    from emulator.batch.engine.loop import Engine

logger = logging.getLogger(__name__)
AGENT_VERSION = "1.13.3"
LOOK_AGAIN = timedelta(seconds=0.2)
UP = ("idle", "running", "offline")


def advance(engine: "Engine", now: datetime) -> None:
    """Move on each node that is due."""
    for node in engine.tables.due("node", now):
        if "leaving" in node.private and node.state != "leavingpool":
            _leave_when_free(engine, node, now)
        elif node.state == "creating":
            _start(engine, node, now)
        elif node.state == "starting":
            _boot(engine, node)
        elif node.state in ("rebooting", "reimaging", "leavingpool"):
            _once_quiet(engine, node, now)
        else:
            node.due = None
        if node.state != "gone":
            engine.tables.put(node)


def settle(engine: "Engine", account: str, pool: str, node_id: str) -> None:
    """Let the node's state and counters say what runs on it."""
    node = engine.tables.get("node", account, node_id, pool)
    if node is None:
        return
    runs = [run for run in engine.runs.of_node(account, pool, node_id) if run.kind != "boot"]
    node.doc["runningTasksCount"] = sum(run.kind == "task" for run in runs)
    node.doc["runningTaskSlotsCount"] = sum(run.slots for run in runs)
    if node.state in UP:
        rest = "idle" if node.doc["schedulingState"] == "enabled" else "offline"
        enter(node, "running" if runs else rest, engine.clock.now())
    engine.tables.put(node)


def restart(engine: "Engine", node: Item, state: str, option: str, now: datetime) -> None:
    """Begin a reboot or reimage: `state` is `rebooting` or `reimaging`."""
    release(engine, node, option, now)
    enter(node, state, now)
    delay = engine.delays.reboot if state == "rebooting" else engine.delays.reimage
    node.due = engine.clock.after(delay)


def release(engine: "Engine", node: Item, option: str, now: datetime) -> None:
    """Do with the node's tasks what the option says; the others are left to finish."""
    for run in engine.runs.of_node(node.account, node.parent, node.key):
        if run.kind == "boot":
            stop([run])
        if run.kind != "task" or option not in ("requeue", "terminate"):
            continue
        task = engine.tables.get("task", run.account, run.task, run.job)
        if task is None or task.private.get("run") != run.id:
            stop([run])
        elif option == "requeue":
            tasks.requeue(engine, task, now)
        else:
            tasks.end(engine, task, now)


def leave(engine: "Engine", node: Item, option: str, now: datetime) -> None:
    """Take the node out of its pool, at once or when its tasks have finished."""
    if option in ("taskcompletion", "retaineddata") and node.state in UP:
        node.private["leaving"] = option
        node.due = now
    else:
        release(engine, node, option, now)
        stop(engine.runs.of_node(node.account, node.parent, node.key))
        enter(node, "leavingpool", now)
        node.due = engine.clock.after(engine.delays.leaving)
    engine.tables.put(node)


def _leave_when_free(engine: "Engine", node: Item, now: datetime) -> None:
    is_busy = bool(engine.runs.of_node(node.account, node.parent, node.key))
    if node.private["leaving"] == "retaineddata":
        is_busy = is_busy or tasks.has_retained_data(engine, node)
    if is_busy:
        node.due = now + LOOK_AGAIN
    else:
        enter(node, "leavingpool", now)
        node.due = engine.clock.after(engine.delays.leaving)


def _start(engine: "Engine", node: Item, now: datetime) -> None:
    enter(node, "starting", now)
    node.due = engine.clock.after(engine.delays.boot)


def _once_quiet(engine: "Engine", node: Item, now: datetime) -> None:
    """Go on with a reboot, reimage or removal when the last process on the node has ended."""
    if engine.runs.of_node(node.account, node.parent, node.key):
        node.due = now + LOOK_AGAIN
        return
    if node.state == "leavingpool":
        _remove(engine, node)
        return
    wipes = node.state == "reimaging"
    for preparation in engine.tables.preparations_on(node.account, node.key):
        job = engine.tables.get("job", node.account, preparation.parent)
        body = job.doc.get("jobPreparationTask", {}) if job else {}
        if wipes or body.get("rerunOnNodeRebootAfterSuccess", True):
            preparation.state = "stale"
            engine.tables.put(preparation)
    if wipes:
        engine.runner.wipe_node(node.account, node.parent, node.id)
        tasks.forget_files(engine, node)
    _start(engine, node, now)


def _remove(engine: "Engine", node: Item) -> None:
    tasks.forget_files(engine, node)
    for preparation in engine.tables.preparations_on(node.account, node.key):
        preparation.private["is_gone"] = True
        engine.tables.put(preparation)
    engine.tables.delete(node)
    node.state = "gone"
    engine.later(partial(engine.runner.wipe_node, node.account, node.parent, node.id))


def _boot(engine: "Engine", node: Item) -> None:
    run = Run("boot", node.account, node.parent, node.key)
    node.private["boot"] = run.id
    node.due = None
    engine.begin(run)


def boot(engine: "Engine", run: Run) -> None:
    """Make the node ready: folders, mounts, images, then the pool's start task (in the run's own thread)."""
    pool = engine.tables.get("pool", run.account, run.pool)
    node = engine.tables.get("node", run.account, run.node, run.pool)
    if pool is None or node is None:
        return
    try:
        engine.runner.prepare_node(run.account, pool.full(), node.id)
    except NodeSetupError as error:
        details = [{"name": name, "value": value} for name, value in dict(error.details or {}).items()]
        fault = {"code": error.code, "message": error.message, "errorDetails": details}
        _finish_boot(engine, run, "unusable", fault=fault)
        return
    if "startTask" not in pool.doc:
        _finish_boot(engine, run, "idle")
        return
    _finish_boot(engine, run, _run_start_task(engine, run, pool, node))


def give_up(engine: "Engine", run: Run) -> None:
    """Call the node unusable: the emulator failed to boot it."""
    fault = {"code": "NodeSetupFailed", "message": "The emulator failed to set the node up; see its log"}
    _finish_boot(engine, run, "unusable", fault=fault)


def _run_start_task(engine: "Engine", run: Run, pool: Item, node: Item) -> str:
    """Run the start task with its retries and return the node's state after it."""
    body = pool.full()["startTask"]
    tries = body.get("maxTaskRetryCount", 0)
    attempt = 0
    while True:
        info: dict[str, Any] = {"state": "running", "startTime": wire.instant(engine.clock.now())}
        info["retryCount"] = attempt
        if attempt:
            info["lastRetryTime"] = info["startTime"]
        if not _note_start_task(engine, run, body, info):
            return "gone"
        work = Work(
            kind="starttask",
            account=run.account,
            pool_id=pool.id,
            node_id=node.id,
            job_id=None,
            task_id=None,
            body=body,
            pool=pool.full(),
            job=None,
            attempt=attempt,
        )
        outcome = engine.runner.run(work, stop=run.stop, on_started=lambda: None)
        if run.stop.is_set():
            return "gone"
        info |= ending(outcome)
        _note_start_task(engine, run, body, info)
        if outcome.failure is None:
            return "idle"
        if attempt >= tries >= 0 or outcome.exit_code is None:
            return "starttaskfailed" if body.get("waitForSuccess", True) else "idle"
        attempt += 1


def ending(outcome: Outcome) -> dict[str, Any]:
    """Return the members that a finished process adds to its execution information."""
    info: dict[str, Any] = {"state": "completed", "endTime": wire.instant(outcome.ended_at)}
    info["result"] = "success" if outcome.failure is None else "failure"
    if outcome.exit_code is not None:
        info["exitCode"] = outcome.exit_code
    if outcome.failure is not None:
        info["failureInfo"] = outcome.failure
    if outcome.container_info is not None:
        info["containerInfo"] = outcome.container_info
    return info


def _note_start_task(engine: "Engine", run: Run, body: dict[str, Any], info: dict[str, Any]) -> bool:
    """Show how the start task stands; tell whether this boot is still the node's present one."""
    with engine.tables.store.transaction():
        node = engine.tables.get("node", run.account, run.node, run.pool)
        if node is None or node.private.get("boot") != run.id or run.stop.is_set():
            return False
        if node.state == "starting":
            enter(node, "waitingforstarttask", engine.clock.now())
        node.doc["startTask"] = body
        node.doc["startTaskInfo"] = info
        engine.tables.put(node)
        return True


def _finish_boot(engine: "Engine", run: Run, state: str, *, fault: dict[str, Any] | None = None) -> None:
    now = engine.clock.now()
    with engine.tables.store.transaction():
        node = engine.tables.get("node", run.account, run.node, run.pool)
        if node is None or node.private.get("boot") != run.id or run.stop.is_set() or state == "gone":
            return
        if node.state not in ("starting", "waitingforstarttask"):
            return
        node.doc["lastBootTime"] = wire.instant(now)
        node.doc["nodeAgentInfo"] = {"version": AGENT_VERSION, "lastUpdateTime": wire.instant(now)}
        node.doc.pop("errors", None)
        if fault is not None:
            node.doc["errors"] = [fault]
        if state == "idle" and node.doc["schedulingState"] == "disabled":
            state = "offline"
        enter(node, state, now)
        engine.tables.put(node)
