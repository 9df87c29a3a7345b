"""Job operations of the data plane."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emulator.batch import defaults, pools, wire
from emulator.batch.engine import jobs as engine
from emulator.batch.http import (
    Answer,
    Listing,
    Request,
    change_headers,
    check_conditions,
    created,
    list_docs,
    list_items,
    metadata,
    operation,
    predicate,
    required,
    show,
)
from emulator.batch.tables import Item, touch
from emulator.errors import BatchError, invalid, missing

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

MOST_PREFIX = 20
PROPERTIES = frozenset(
    [
        "id",
        "state",
        "stateTransitionTime",
        "creationTime",
        "lastModified",
        "executionInfo/startTime",
        "executionInfo/endTime",
        "executionInfo/poolId",
    ]
)
_EXECUTION = ("state", "startTime", "endTime", "exitCode", "result")
STATUS_PROPERTIES = frozenset(
    {"poolId", "nodeId"}
    | {f"jobPreparationTaskExecutionInfo/{name}" for name in _EXECUTION}
    | {f"jobReleaseTaskExecutionInfo/{name}" for name in _EXECUTION}
)
CHANGEABLE = {
    "priority": 0,
    "maxParallelTasks": -1,
    "allowTaskPreemption": False,
    "constraints": {},
    "metadata": None,
    "onAllTasksComplete": "noaction",
}
BUSY = {"terminating": "JobBeingTerminated", "deleting": "JobBeingDeleted", "completed": "JobCompleted"}


def url_of(request: Request, name: str) -> str:
    """Return the address of a job."""
    return f"{request.base_url}/jobs/{name}"


def render(request: Request, job: Item) -> dict[str, Any]:
    """Return the job as the client sees it."""
    return {"id": job.id, "url": url_of(request, job.id), **job.doc}


LISTING = Listing("job", "jobs", render, PROPERTIES)


def refuse_when(job: Item, *states: str) -> None:
    """Refuse a change that the job's state does not allow, with the state's own code."""
    if job.state in states:
        raise BatchError(BUSY.get(job.state, "OperationInvalidForCurrentState"))


def find(state: "BatchState", request: Request) -> Item:
    """Return the job that the path names."""
    job = state.tables.get("job", request.account, request.parameters["job"])
    if job is None:
        raise BatchError("JobNotFound")
    return job


def _create(state: "BatchState", request: Request) -> Answer:
    body = request.body("Job")
    required(body, "id", "poolInfo")
    name = wire.check_id(body["id"])
    filled = defaults.job(body)
    with state.store.transaction():
        if state.tables.get("job", request.account, name) is not None:
            raise BatchError("JobExists")
        public, secrets = defaults.hide(filled)
        now = state.clock.stamp()
        doc = {"id": name, **public, "creationTime": wire.instant(now)}
        job = Item("job", request.account, "", name.lower(), int(now.timestamp() * 1_000_000), "active", doc)
        job.private["secrets"] = secrets
        doc["executionInfo"] = {"startTime": wire.instant(now), "poolId": _pool_of(state, job, filled)}
        doc["state"], doc["stateTransitionTime"] = "active", wire.instant(now)
        touch(job, now)
        state.tables.put(job)
    state.engine.kick()
    return created(request, job, url_of(request, name))


def _pool_of(state: "BatchState", job: Item, body: Mapping[str, Any]) -> str:
    """Return the id of the pool that the job names (it need not exist), or make the job's own pool."""
    info = body["poolInfo"]
    automatic = info.get("autoPoolSpecification")
    if automatic is None:
        return wire.check_id(info.get("poolId"), "poolInfo.poolId")
    if "pool" not in automatic:
        raise missing("autoPoolSpecification.pool")
    prefix = automatic.get("autoPoolIdPrefix", "")
    if len(prefix) > MOST_PREFIX:
        raise invalid("autoPoolIdPrefix", prefix, f"The prefix has more than {MOST_PREFIX} characters")
    name = wire.check_id(f"{prefix}{str(uuid.uuid4()).upper()}", "autoPoolIdPrefix")
    wanted = {key: value for key, value in automatic["pool"].items() if key != "id"}
    pool = pools.make(state, job.account, name, wanted)
    public = {key: pool.doc[key] for key in defaults.pool(wanted) if not key.startswith("current")}
    job.doc["poolInfo"]["autoPoolSpecification"] = {"keepAlive": False, **automatic, "pool": public}
    if not automatic.get("keepAlive"):
        job.private["auto_pool"] = name
    return name


def _list(state: "BatchState", request: Request) -> Answer:
    return list_items(state, request, LISTING)


def _get(state: "BatchState", request: Request) -> Answer:
    return show(request, find(state, request), render, "jobs")


def _update(state: "BatchState", request: Request) -> Answer:
    """PATCH: each top-level member that is given is replaced whole."""
    body = request.body("Job")
    with state.store.transaction():
        job = find(state, request)
        check_conditions(request, job)
        _change(state, job, body)
    state.engine.kick()
    return Answer(200, headers=change_headers(request, job))


def _replace(state: "BatchState", request: Request) -> Answer:
    """PUT: members left out go back to their defaults."""
    body = request.body("Job")
    required(body, "poolInfo")
    with state.store.transaction():
        job = find(state, request)
        check_conditions(request, job)
        reset = {name: value for name, value in CHANGEABLE.items() if name not in body}
        _change(state, job, {**reset, **body})
    state.engine.kick()
    return Answer(200, headers=change_headers(request, job))


def _change(state: "BatchState", job: Item, body: Mapping[str, Any]) -> None:
    refuse_when(job, "completed", "terminating", "deleting")
    given = {name: body[name] for name in CHANGEABLE if name in body and body[name] is not None}
    if (
        job.doc["onAllTasksComplete"] == "terminatejob"
        and given.get("onAllTasksComplete", "terminatejob") != "terminatejob"
    ):
        raise invalid("onAllTasksComplete", given["onAllTasksComplete"], "terminatejob cannot be taken back")
    filled = defaults.job({"poolInfo": {}, **given})
    job.doc |= {name: filled[name] for name in given}
    if "metadata" in body and body["metadata"] is None:
        job.doc.pop("metadata", None)
    _change_pool(job, body)
    touch(job, state.clock.stamp())
    state.tables.put(job)


def _change_pool(job: Item, body: Mapping[str, Any]) -> None:
    """Move a disabled job to another pool; repeating what the job has is always allowed."""
    info = body.get("poolInfo")
    if info is None or "autoPoolSpecification" in job.doc["poolInfo"]:
        return
    name = info.get("poolId")
    if name is None or name.lower() == job.doc["executionInfo"]["poolId"].lower():
        return
    if job.state != "disabled":
        raise BatchError("OperationInvalidForCurrentState", Reason="Only a disabled job can change its pool")
    job.doc["poolInfo"] = {"poolId": wire.check_id(name, "poolInfo.poolId")}
    job.doc["executionInfo"]["poolId"] = name


def _delete(state: "BatchState", request: Request) -> Answer:
    is_forced = request.flag("force")
    with state.store.transaction():
        job = find(state, request)
        check_conditions(request, job)
        refuse_when(job, "deleting")
        job.private["is_forced"] = is_forced
        engine.begin_deletion(state.engine, job, request.now)
    state.engine.kick()
    return Answer(202)


def _terminate(state: "BatchState", request: Request) -> Answer:
    body = request.body("JobTerminate", required=False)
    is_forced = request.flag("force")
    with state.store.transaction():
        job = find(state, request)
        check_conditions(request, job)
        refuse_when(job, "completed", "terminating", "deleting")
        job.private["is_forced"] = is_forced
        reason: str = body.get("terminateReason") or "UserTerminate"
        engine.begin_termination(state.engine, job, reason, request.now)
    state.engine.kick()
    return Answer(202, headers=change_headers(request, job))


def _disable(state: "BatchState", request: Request) -> Answer:
    body = request.body("JobDisable")
    required(body, "disableTasks")
    defaults.one_of(body, "disableTasks", "requeue", "terminate", "wait")
    with state.store.transaction():
        job = find(state, request)
        check_conditions(request, job)
        refuse_when(job, "completed", "terminating", "deleting", "enabling")
        if job.state == "active":
            engine.begin_disabling(state.engine, job, body["disableTasks"].lower(), request.now)
    state.engine.kick()
    return Answer(202, headers=change_headers(request, job))


def _enable(state: "BatchState", request: Request) -> Answer:
    with state.store.transaction():
        job = find(state, request)
        check_conditions(request, job)
        refuse_when(job, "active", "enabling", "completed", "terminating", "deleting")
        engine.begin_enabling(state.engine, job, request.now)
    state.engine.kick()
    return Answer(202, headers=change_headers(request, job))


def _preparation_status(state: "BatchState", request: Request) -> Answer:
    """List, for each node where the job ran, how its preparation and release tasks stand there."""
    job = find(state, request)
    if "jobPreparationTask" not in job.doc and "jobReleaseTask" not in job.doc:
        raise BatchError("JobPreparationTaskOrReleaseTaskNotSpecified")
    keep = predicate(request, STATUS_PROPERTIES)
    docs = [_status(request, item) for item in state.tables.all("preparation", job.account, job.key)]
    kept = [doc for doc in docs if keep is None or keep(doc)]
    return list_docs(request, "jobpreparationandreleasetaskstatuslist", kept)


def _status(request: Request, item: Item) -> dict[str, Any]:
    node_url = f"{request.base_url}/pools/{item.doc['poolId']}/nodes/{item.doc['nodeId']}"
    doc: dict[str, Any] = {**item.doc, "nodeUrl": node_url}
    for name in ("jobPreparationTaskExecutionInfo", "jobReleaseTaskExecutionInfo"):
        if name in doc:
            url = f"{node_url}/files/{doc[name]['taskRootDirectory']}"
            doc[name] = {**doc[name], "taskRootDirectoryUrl": url}
    return doc


def _task_counts(state: "BatchState", request: Request) -> Answer:
    job = find(state, request)
    rows = state.store.rows(
        "SELECT CASE WHEN state = 'preparing' THEN 'running' ELSE state END AS state, count(*) AS tasks,"
        " sum(coalesce(doc ->> '$.requiredSlots', 1)) AS slots,"
        " sum(doc ->> '$.executionInfo.result' = 'success') AS good,"
        " sum(CASE WHEN doc ->> '$.executionInfo.result' = 'success'"
        "     THEN coalesce(doc ->> '$.requiredSlots', 1) ELSE 0 END) AS good_slots"
        " FROM (SELECT state, CAST(doc AS TEXT) AS doc FROM batch_items"
        "       WHERE kind='task' AND account=? AND parent=?) GROUP BY 1",
        *(job.account, job.key),
    )
    found = {row["state"]: row for row in rows}

    def counts(number: str, good: str) -> dict[str, int]:
        each = {
            name: found[name][number] if name in found else 0 for name in ("active", "running", "completed")
        }
        succeeded = (found["completed"][good] or 0) if "completed" in found else 0
        return {**each, "succeeded": succeeded, "failed": each["completed"] - succeeded}

    body = {
        "odata.metadata": metadata(request, "taskcountsresult/@Element"),
        "taskCounts": counts("tasks", "good"),
        "taskSlotCounts": counts("slots", "good_slots"),
    }
    return Answer(200, body)


OPERATIONS = (
    operation("POST", "/jobs", _create),
    operation("GET", "/jobs", _list),
    operation("GET", "/jobs/{job}", _get),
    operation("PATCH", "/jobs/{job}", _update),
    operation("PUT", "/jobs/{job}", _replace),
    operation("DELETE", "/jobs/{job}", _delete),
    operation("POST", "/jobs/{job}/disable", _disable),
    operation("POST", "/jobs/{job}/enable", _enable),
    operation("POST", "/jobs/{job}/terminate", _terminate),
    operation("GET", "/jobs/{job}/taskcounts", _task_counts),
    operation("GET", "/jobs/{job}/jobpreparationandreleasetaskstatus", _preparation_status),
)
