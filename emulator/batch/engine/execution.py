"""One task on one node: the job's preparation there, the process, and what its outcome means."""

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from emulator.batch import wire
from emulator.batch.engine import jobs, preparation, tasks
from emulator.batch.engine.runs import Run
from emulator.batch.run.work import Outcome, Work
from emulator.batch.tables import Item

if TYPE_CHECKING:
    from emulator.batch.engine.loop import Engine

logger = logging.getLogger(__name__)
MOST_RECENT_TASKS = 10


def run_task(engine: "Engine", run: Run) -> None:
    """Prepare the job on the node if need be, run the task, and record how it ended (in the run's thread)."""
    items = _items(engine, run)
    if items is None:
        return
    pool, node, job, task = items
    if not preparation.ensure(engine, run, pool, node, job):
        _put_back(engine, run)
        return
    work = Work(
        kind="task",
        account=run.account,
        pool_id=pool.id,
        node_id=node.id,
        job_id=job.id,
        task_id=task.id,
        body=task.full(),
        pool=pool.full(),
        job=job.full(),
        attempt=_attempt(task),
    )
    if run.stop.is_set():
        return
    outcome = engine.runner.run(work, stop=run.stop, on_started=lambda: _note_start(engine, run))
    if engine.is_stopping:
        return
    with engine.tables.store.transaction():
        _count(engine, run, outcome)
        current = _current(engine, run)
        if current is not None:
            _record(engine, current, outcome)
            _count_recent(engine, run, current)


def give_up(engine: "Engine", run: Run) -> None:
    """End the task as the service's failure: the emulator could not run it."""
    failure = {"category": "servererror", "code": "Unknown", "message": "The emulator failed; see its log"}
    with engine.tables.store.transaction():
        task = _current(engine, run)
        if task is not None:
            tasks.end(engine, task, engine.clock.now(), failure)


def _items(engine: "Engine", run: Run) -> tuple[Item, Item, Item, Item] | None:
    pool = engine.tables.get("pool", run.account, run.pool)
    node = engine.tables.get("node", run.account, run.node, run.pool)
    job = engine.tables.get("job", run.account, run.job)
    task = _current(engine, run)
    if pool is None or node is None or job is None or task is None:
        return None
    return pool, node, job, task


def _current(engine: "Engine", run: Run) -> Item | None:
    """Return the task if this run is still the one that counts for it."""
    task = engine.tables.get("task", run.account, run.task, run.job)
    return task if task is not None and task.private.get("run") == run.id else None


def _attempt(task: Item) -> int:
    execution = task.doc["executionInfo"]
    return int(execution.get("retryCount", 0)) + int(execution.get("requeueCount", 0))


def _put_back(engine: "Engine", run: Run) -> None:
    """Return the task to the queue: its job could not be prepared on this node."""
    with engine.tables.store.transaction():
        task = _current(engine, run)
        if task is not None and not engine.is_stopping:
            tasks.requeue(engine, task, engine.clock.now(), counts=False)


def _note_start(engine: "Engine", run: Run) -> None:
    with engine.tables.store.transaction():
        task = _current(engine, run)
        if task is None or task.state != "preparing":
            return
        now = engine.clock.now()
        task.doc["executionInfo"]["startTime"] = wire.instant(now)
        tasks.move(engine, task, "running", now)
        engine.tables.put(task)


def _record(engine: "Engine", task: Item, outcome: Outcome) -> None:
    """Write the outcome into the task: completed, or back in the queue for another try."""
    now = engine.clock.now()
    task.private.pop("run", None)
    execution = task.doc["executionInfo"]
    if _tries_again(task, outcome):
        tasks.clear(task)
        execution["retryCount"] = execution.get("retryCount", 0) + 1
        execution["lastRetryTime"] = wire.instant(now)
        tasks.move(engine, task, "active", now)
        engine.tables.put(task)
        return
    execution["startTime"] = wire.instant(outcome.started_at)
    execution["endTime"] = wire.instant(outcome.ended_at)
    execution["result"] = "success" if outcome.failure is None else "failure"
    for name, value in (
        ("exitCode", outcome.exit_code),
        ("failureInfo", outcome.failure),
        ("containerInfo", outcome.container_info),
    ):
        if value is not None:
            execution[name] = value
    options = exit_options(task.doc, outcome)
    default = "satisfy" if outcome.failure is None else "block"
    tasks.complete(engine, task, now, satisfies=options.get("dependencyAction", default) == "satisfy")
    _act_on_job(engine, task, outcome, options, now)


def _tries_again(task: Item, outcome: Outcome) -> bool:
    """Only an exit code other than 0 is tried again: not a time limit, a missing file or a failed upload."""
    failure = outcome.failure or {}
    if outcome.exit_code in (None, 0) or failure.get("code") != "FailureExitCode":
        return False
    most = int(task.doc["constraints"].get("maxTaskRetryCount", 0))
    return most < 0 or int(task.doc["executionInfo"].get("retryCount", 0)) < most


def exit_options(task: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    """Return the exit options that apply to the outcome; the first match wins."""
    conditions = task.get("exitConditions", {})
    code = outcome.exit_code
    found: dict[str, Any] | None = None
    if code is not None:
        exact = [entry for entry in conditions.get("exitCodes", []) if entry["code"] == code]
        ranges = [
            entry for entry in conditions.get("exitCodeRanges", []) if entry["start"] <= code <= entry["end"]
        ]
        found = next((entry["exitOptions"] for entry in (*exact, *ranges)), None)
    elif outcome.failure is not None:
        found = conditions.get("preProcessingError")
    if found is None and outcome.failure is not None:
        if str(outcome.failure.get("code", "")).startswith("FileUpload"):
            found = conditions.get("fileUploadError")
        if found is None:
            found = conditions.get("default")
    return found or {}


def _act_on_job(
    engine: "Engine", task: Item, outcome: Outcome, options: dict[str, Any], now: datetime
) -> None:
    job = engine.tables.get("job", task.account, task.parent)
    if job is None or job.doc.get("onTaskFailure") != "performexitoptionsjobaction":
        return
    default = "none" if outcome.exit_code == 0 and outcome.failure is None else "terminate"
    action = options.get("jobAction", default)
    if action == "terminate" and job.state in ("active", "disabled"):
        jobs.begin_termination(engine, job, "TaskFailed", now)
    elif action == "disable" and job.state == "active":
        jobs.begin_disabling(engine, job, "requeue", now)


def _count(engine: "Engine", run: Run, outcome: Outcome) -> None:
    node = engine.tables.get("node", run.account, run.node, run.pool)
    if node is None:
        return
    node.doc["totalTasksRun"] += 1
    if outcome.failure is None:
        node.doc["totalTasksSucceeded"] += 1
    engine.tables.put(node)


def _count_recent(engine: "Engine", run: Run, task: Item) -> None:
    """Remember the task among the node's recent ones, newest first."""
    node = engine.tables.get("node", run.account, run.node, run.pool)
    job = engine.tables.get("job", run.account, run.job)
    if node is None or job is None or task.state != "completed":
        return
    entry = {
        "jobId": job.id,
        "taskId": task.id,
        "taskState": task.state,
        "executionInfo": task.doc["executionInfo"],
    }
    node.doc["recentTasks"] = [entry, *node.doc.get("recentTasks", [])][:MOST_RECENT_TASKS]
    engine.tables.put(node)
