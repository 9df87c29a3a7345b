"""Jobs: what makes them end, and the way there by stopping tasks and running release tasks."""

import shutil
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from emulator.batch import wire
from emulator.batch.engine import nodes, tasks
from emulator.batch.engine.runs import Run, stop
from emulator.batch.run.work import Work
from emulator.batch.tables import Item, enter, touch

if TYPE_CHECKING:
    from emulator.batch.engine.loop import Engine

UNFINISHED = ("active", "disabling", "disabled", "enabling", "terminating", "deleting")
IN_QUEUE = ("active", "preparing", "running")


def advance(engine: "Engine", now: datetime) -> None:
    """Move on every job that has not ended, and clean up after tasks whose retention is over."""
    for account in engine.accounts:
        for job in engine.tables.in_state("job", account, "", *UNFINISHED):
            if job.due is not None and job.due > now:
                continue
            if job.due is not None:
                job.due = None
                engine.tables.put(job)
            if job.state in ("active", "disabled"):
                _check_end(engine, job, now)
            elif job.state in ("disabling", "enabling"):
                _settle(engine, job, now)
            else:
                _wind_up(engine, job, now)
    tasks.clean(engine, now)


def move(engine: "Engine", job: Item, state: str, now: datetime) -> None:
    """Change the job's state; its ETag changes with it."""
    enter(job, state, now, keeps_previous=True)
    touch(job, engine.clock.stamp())
    engine.tables.put(job)


def begin_termination(engine: "Engine", job: Item, reason: str, now: datetime) -> None:
    """End the running tasks; those still waiting stay active for ever, as on the service."""
    job.doc["executionInfo"]["terminateReason"] = reason
    _end_tasks(engine, job, now)
    job.due = engine.clock.after(engine.delays.job_transition)
    move(engine, job, "terminating", now)


def begin_deletion(engine: "Engine", job: Item, now: datetime) -> None:
    """End the running tasks and let the job go when they have stopped."""
    _end_tasks(engine, job, now)
    job.due = engine.clock.after(engine.delays.deletion)
    move(engine, job, "deleting", now)


def begin_disabling(engine: "Engine", job: Item, option: str, now: datetime) -> None:
    """Stop handing out tasks, and do with the running ones what the option says."""
    for task in engine.tables.in_state("task", job.account, job.key, "preparing", "running"):
        if option == "requeue":
            tasks.requeue(engine, task, now)
        elif option == "terminate":
            tasks.end(engine, task, now)
    job.due = engine.clock.after(engine.delays.job_transition)
    move(engine, job, "disabling", now)


def begin_enabling(engine: "Engine", job: Item, now: datetime) -> None:
    """Let the job's tasks be handed out again."""
    job.due = engine.clock.after(engine.delays.job_transition)
    move(engine, job, "enabling", now)


def _end_tasks(engine: "Engine", job: Item, now: datetime) -> None:
    for task in engine.tables.in_state("task", job.account, job.key, "preparing", "running"):
        tasks.end(engine, task, now)
    stop(run for run in engine.runs.of_job(job.account, job.key) if run.kind == "task")


def _check_end(engine: "Engine", job: Item, now: datetime) -> None:
    created = wire.moment(job.doc["creationTime"])
    limit = wire.duration(job.doc["constraints"]["maxWallClockTime"], "maxWallClockTime")
    if limit is not None and now >= created + limit:
        begin_termination(engine, job, "MaxWallClockTimeExpiry", now)
    elif job.doc.get("onAllTasksComplete") == "terminatejob" and _all_complete(engine, job, created, now):
        begin_termination(engine, job, "AllTasksComplete", now)


def _all_complete(engine: "Engine", job: Item, created: datetime, now: datetime) -> bool:
    counts = engine.tables.count("task", job.account, job.key)
    if any(counts.get(state) for state in IN_QUEUE):
        return False
    grace = timedelta(seconds=engine.clock.scaled(engine.delays.empty_job))
    return bool(counts) or now >= created + grace


def _settle(engine: "Engine", job: Item, now: datetime) -> None:
    if job.state == "disabling" and engine.runs.of_job(job.account, job.key):
        return
    job.due = None
    move(engine, job, "disabled" if job.state == "disabling" else "active", now)


def _wind_up(engine: "Engine", job: Item, now: datetime) -> None:
    """Finish a terminating or deleting job: tasks stopped, then released, then over."""
    if engine.runs.of_job(job.account, job.key):
        return
    if not job.private.get("is_released"):
        job.private["is_released"] = True
        engine.tables.put(job)
        if _begin_release(engine, job, now):
            return
    job.due = None
    _delete_auto_pool(engine, job, now)
    if job.state == "terminating":
        job.doc["executionInfo"]["endTime"] = wire.instant(now)
        move(engine, job, "completed", now)
        return
    _remove(engine, job)


def _begin_release(engine: "Engine", job: Item, now: datetime) -> bool:
    """Start the release task on each node where the job ran; tell whether there is any to wait for."""
    if "jobReleaseTask" not in job.doc or job.private.get("is_forced"):
        return False
    started = False
    for item in engine.tables.all("preparation", job.account, job.key):
        pool = item.doc["poolId"].lower()
        node = engine.tables.get("node", job.account, item.key, pool)
        if node is None or node.state not in nodes.UP or "jobReleaseTaskExecutionInfo" in item.doc:
            continue
        run = Run("release", job.account, pool, node.key, job=job.key)
        info = {"startTime": wire.instant(now), "state": "running"}
        info["taskRootDirectory"] = f"workitems/{job.id}/job-1/{job.doc['jobReleaseTask']['id']}"
        item.doc["jobReleaseTaskExecutionInfo"] = info
        engine.tables.put(item)
        engine.begin(run)
        started = True
    return started


def run_release(engine: "Engine", run: Run) -> None:
    """Run the job's release task on a node; its failure changes nothing (in the run's thread)."""
    job = engine.tables.get("job", run.account, run.job)
    pool = engine.tables.get("pool", run.account, run.pool)
    node = engine.tables.get("node", run.account, run.node, run.pool)
    if job is None or pool is None or node is None:
        return
    body = job.full()["jobReleaseTask"]
    work = Work(
        kind="jobrelease",
        account=run.account,
        pool_id=pool.id,
        node_id=node.id,
        job_id=job.id,
        task_id=body["id"],
        body={**body, "constraints": {"maxWallClockTime": body["maxWallClockTime"]}},
        pool=pool.full(),
        job=job.full(),
        attempt=0,
    )
    outcome = engine.runner.run(work, stop=run.stop, on_started=lambda: None)
    if engine.is_stopping:
        return
    with engine.tables.store.transaction():
        item = engine.tables.get("preparation", run.account, run.node, run.job)
        if item is not None:
            item.doc["jobReleaseTaskExecutionInfo"] |= nodes.ending(outcome)
            engine.tables.put(item)


def give_up(engine: "Engine", run: Run) -> None:
    """Note that the release task has ended: its failure is ignored, whatever its cause."""
    with engine.tables.store.transaction():
        item = engine.tables.get("preparation", run.account, run.node, run.job)
        if item is not None:
            now = wire.instant(engine.clock.now())
            item.doc["jobReleaseTaskExecutionInfo"] |= {
                "state": "completed",
                "endTime": now,
                "result": "failure",
            }
            engine.tables.put(item)


def _delete_auto_pool(engine: "Engine", job: Item, now: datetime) -> None:
    name = job.private.get("auto_pool")
    pool = engine.tables.get("pool", job.account, name) if name else None
    if pool is not None and pool.state == "active":
        enter(pool, "deleting", now)
        pool.due = now
        engine.tables.put(pool)


def _remove(engine: "Engine", job: Item) -> None:
    for task in engine.tables.in_state("task", job.account, job.key, "completed"):
        tasks.remove_files(engine, task)
    for item in engine.tables.all("preparation", job.account, job.key):
        root = engine.runner.node_root(job.account, item.doc["poolId"], item.doc["nodeId"])
        engine.later(partial(shutil.rmtree, root / "workitems" / job.id, ignore_errors=True))
    engine.tables.delete_children("task", job.account, job.key)
    engine.tables.delete_children("preparation", job.account, job.key)
    engine.tables.delete(job)
