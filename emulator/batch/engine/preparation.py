"""Job preparation: once for each job on each node, before the job's first task there."""

from typing import TYPE_CHECKING, Any

from emulator.batch import wire
from emulator.batch.engine.nodes import ending
from emulator.batch.engine.runs import Run
from emulator.batch.run.work import Outcome, Work
from emulator.batch.tables import Item

if TYPE_CHECKING:
    from emulator.batch.engine.loop import Engine

PATIENCE = 0.2


def ensure(engine: "Engine", run: Run, pool: Item, node: Item, job: Item) -> bool:
    """Tell whether the job's tasks may run on the node, preparing it first if that has not been done."""
    if "jobPreparationTask" not in job.doc:
        return True
    lock = engine.runs.preparation_lock(run)
    while not lock.acquire(timeout=PATIENCE):
        if run.stop.is_set():
            return False
    try:
        found = engine.tables.get("preparation", run.account, run.node, run.job)
        if found is not None and found.state in ("ready", "failed"):
            return found.state == "ready"
        return _prepare(engine, run, pool, node, job)
    finally:
        lock.release()


def _prepare(engine: "Engine", run: Run, pool: Item, node: Item, job: Item) -> bool:
    body = job.full()["jobPreparationTask"]
    most = int(body.get("constraints", {}).get("maxTaskRetryCount", 0))
    attempt = 0
    while True:
        info: dict[str, Any] = {"startTime": wire.instant(engine.clock.now()), "state": "running"}
        info["taskRootDirectory"] = f"workitems/{job.id}/job-1/{body['id']}"
        info["retryCount"] = attempt
        if attempt:
            info["lastRetryTime"] = info["startTime"]
        _save(engine, run, pool, node, "running", info)
        outcome = engine.runner.run(
            _work(run, pool, node, job, body, attempt), stop=run.stop, on_started=lambda: None
        )
        if run.stop.is_set():
            if not engine.is_stopping:
                _save(engine, run, pool, node, "stale", info | ending(outcome))
            return False
        info |= ending(outcome)
        if outcome.failure is None or not _tries_again(outcome, attempt, most):
            break
        attempt += 1
    is_ready = outcome.failure is None or not body.get("waitForSuccess", True)
    _save(engine, run, pool, node, "ready" if is_ready else "failed", info)
    return is_ready


def _tries_again(outcome: Outcome, attempt: int, most: int) -> bool:
    return outcome.exit_code not in (None, 0) and (most < 0 or attempt < most)


def _work(run: Run, pool: Item, node: Item, job: Item, body: dict[str, Any], attempt: int) -> Work:
    return Work(
        kind="jobpreparation",
        account=run.account,
        pool_id=pool.id,
        node_id=node.id,
        job_id=job.id,
        task_id=body["id"],
        body=body,
        pool=pool.full(),
        job=job.full(),
        attempt=attempt,
    )


def _save(engine: "Engine", run: Run, pool: Item, node: Item, state: str, info: dict[str, Any]) -> None:
    with engine.tables.store.transaction():
        if engine.tables.get("job", run.account, run.job) is None:
            return
        item = engine.tables.get("preparation", run.account, run.node, run.job)
        if item is None:
            seq = int(engine.clock.stamp().timestamp() * 1_000_000)
            doc = {"poolId": pool.id, "nodeId": node.id}
            item = Item("preparation", run.account, run.job, run.node, seq, state, doc)
        item.state = state
        item.doc["jobPreparationTaskExecutionInfo"] = info
        engine.tables.put(item)
