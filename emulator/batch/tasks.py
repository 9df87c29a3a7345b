"""Task operations of the data plane."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from emulator.batch import defaults, jobs, wire
from emulator.batch.engine import tasks as engine
from emulator.batch.http import (
    Answer,
    Listing,
    Request,
    change_headers,
    check_conditions,
    created,
    list_items,
    metadata,
    operation,
    required,
    show,
)
from emulator.batch.tables import Item, touch
from emulator.errors import BatchError, invalid

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

MOST_TOGETHER = 100
MOST_RESOURCE_TEXT = 32_768
PROPERTIES = frozenset(
    [
        "id",
        "state",
        "stateTransitionTime",
        "creationTime",
        "lastModified",
        "lastModifiedTime",
        "executionInfo/startTime",
        "executionInfo/endTime",
        "executionInfo/exitCode",
        "executionInfo/result",
    ]
)


def url_of(request: Request, job: str, name: str) -> str:
    """Return the address of a task."""
    return f"{request.base_url}/jobs/{job}/tasks/{name}"


def _renderer(job: Item) -> Any:
    def render(request: Request, task: Item) -> dict[str, Any]:
        doc = {"id": task.id, "url": url_of(request, job.id, task.id), **task.doc}
        if "nodeInfo" in doc:
            info = doc["nodeInfo"]
            node_url = f"{request.base_url}/pools/{info['poolId']}/nodes/{info['nodeId']}"
            root = f"{node_url}/files/{info['taskRootDirectory']}"
            doc["nodeInfo"] = {**info, "nodeUrl": node_url, "taskRootDirectoryUrl": root}
        return doc

    return render


def find(state: "BatchState", request: Request, job: Item) -> Item:
    """Return the task that the path names."""
    task = state.tables.get("task", request.account, request.parameters["task"], job.key)
    if task is None:
        raise BatchError("TaskNotFound")
    return task


def _add(state: "BatchState", job: Item, body: Mapping[str, Any]) -> Item:
    """Add one task; the caller holds the transaction and has checked the job's state."""
    required(body, "id")
    name = wire.check_id(body["id"])
    for kind, code in (
        ("jobPreparationTask", "TaskIdSameAsJobPreparationTask"),
        ("jobReleaseTask", "TaskIdSameAsJobReleaseTask"),
    ):
        if job.doc.get(kind, {}).get("id", "").lower() == name.lower():
            raise BatchError(code)
    if state.tables.get("task", job.account, name, job.key) is not None:
        raise BatchError("TaskExists")
    _check(job, body)
    public, secrets = defaults.hide(defaults.task(body, job.doc))
    now = state.clock.stamp()
    doc = {
        "id": name,
        **public,
        "creationTime": wire.instant(now),
        "state": "active",
        "stateTransitionTime": wire.instant(now),
        "executionInfo": {"retryCount": 0, "requeueCount": 0},
    }
    task = Item("task", job.account, job.key, name.lower(), int(now.timestamp() * 1_000_000), "active", doc)
    if secrets:
        task.private["secrets"] = secrets
    touch(task, now)
    state.tables.put(task)
    return task


def _check(job: Item, body: Mapping[str, Any]) -> None:
    if body.get("dependsOn") and not job.doc.get("usesTaskDependencies"):
        raise BatchError("TaskDependenciesNotSpecifiedOnJob")
    if len(orjson.dumps(body.get("resourceFiles", []))) > MOST_RESOURCE_TEXT:
        reason = f"The resource files of a task must not exceed {MOST_RESOURCE_TEXT} characters"
        raise BatchError("RequestBodyTooLarge", PropertyName="resourceFiles", Reason=reason)
    if job.doc.get("onTaskFailure") != "performexitoptionsjobaction" and _has_job_action(body):
        reason = "The job does not act on its tasks' exit conditions (onTaskFailure)"
        raise invalid("exitConditions", "jobAction", reason)


def _has_job_action(body: Mapping[str, Any]) -> bool:
    conditions = body.get("exitConditions", {})
    mappings = [*conditions.get("exitCodes", []), *conditions.get("exitCodeRanges", [])]
    options = [entry.get("exitOptions", {}) for entry in mappings]
    options += [conditions.get(name, {}) for name in ("preProcessingError", "fileUploadError", "default")]
    return any(option.get("jobAction", "none") != "none" for option in options)


def _job_for_tasks(state: "BatchState", request: Request) -> Item:
    job = jobs.find(state, request)
    jobs.refuse_when(job, "completed", "terminating", "deleting")
    return job


def _create(state: "BatchState", request: Request) -> Answer:
    body = request.body("Task")
    with state.store.transaction():
        job = _job_for_tasks(state, request)
        task = _add(state, job, body)
    state.engine.kick()
    return created(request, task, url_of(request, job.id, task.id))


def _create_many(state: "BatchState", request: Request) -> Answer:
    """Add up to 100 tasks; each is accepted or refused for itself, and the answer is 200 in any case."""
    body = request.body("TaskCollection")
    required(body, "value")
    bodies = body["value"]
    if not 1 <= len(bodies) <= MOST_TOGETHER:
        raise invalid("value", "", f"A collection has 1 to {MOST_TOGETHER} tasks")
    with state.store.transaction():
        job = _job_for_tasks(state, request)
        results = [_result(state, request, job, each) for each in bodies]
    state.engine.kick()
    return Answer(200, {"odata.metadata": metadata(request, "taskaddresult"), "value": results})


def _result(state: "BatchState", request: Request, job: Item, body: Mapping[str, Any]) -> dict[str, Any]:
    try:
        task = _add(state, job, body)
    except BatchError as error:
        if error.code == "RequestBodyTooLarge":
            raise
        refusal = error.body(request_id=request.request_id, now=request.now)
        return {"status": "clienterror", "taskId": str(body.get("id", "")), "error": refusal}
    return {
        "status": "success",
        "taskId": task.id,
        "eTag": task.doc["eTag"],
        "lastModified": task.doc["lastModified"],
        "location": url_of(request, job.id, task.id),
    }


def _list(state: "BatchState", request: Request) -> Answer:
    job = jobs.find(state, request)
    return list_items(state, request, Listing("task", "tasks", _renderer(job), PROPERTIES), job.key)


def _get(state: "BatchState", request: Request) -> Answer:
    job = jobs.find(state, request)
    return show(request, find(state, request, job), _renderer(job), "tasks")


def _replace(state: "BatchState", request: Request) -> Answer:
    """PUT: only the constraints can change."""
    body = request.body("Task", required=False)
    with state.store.transaction():
        job = jobs.find(state, request)
        task = find(state, request, job)
        check_conditions(request, task)
        if task.state == "completed":
            raise BatchError("TaskCompleted")
        retries = int(job.doc["constraints"]["maxTaskRetryCount"])
        task.doc["constraints"] = defaults.constraints(body.get("constraints", {}), retries=retries)
        touch(task, state.clock.stamp())
        state.tables.put(task)
    return Answer(200, headers=change_headers(request, task))


def _delete(state: "BatchState", request: Request) -> Answer:
    with state.store.transaction():
        job = jobs.find(state, request)
        task = find(state, request, job)
        check_conditions(request, task)
        if task.state != "completed":
            engine.end(state.engine, task, request.now)
        engine.remove_files(state.engine, task)
        state.tables.delete(task)
    state.engine.kick()
    return Answer(200)


def _terminate(state: "BatchState", request: Request) -> Answer:
    with state.store.transaction():
        job = jobs.find(state, request)
        task = find(state, request, job)
        check_conditions(request, task)
        if task.state == "completed":
            raise BatchError("TaskCompleted")
        engine.end(state.engine, task, request.now)
    state.engine.kick()
    return Answer(204, headers=change_headers(request, task))


def _reactivate(state: "BatchState", request: Request) -> Answer:
    with state.store.transaction():
        job = jobs.find(state, request)
        task = find(state, request, job)
        check_conditions(request, task)
        jobs.refuse_when(job, "completed", "terminating", "deleting")
        if task.state != "completed":
            raise BatchError("TaskNotCompleted")
        if task.doc["executionInfo"].get("result") == "success":
            raise BatchError("TaskSucceeded")
        task.doc["executionInfo"] |= {"retryCount": 0}
        task.doc["executionInfo"].pop("lastRetryTime", None)
        engine.requeue(state.engine, task, request.now, counts=False)
    state.engine.kick()
    headers = change_headers(request, task)
    del headers["DataServiceId"]
    return Answer(204, headers=headers)


def _subtasks(state: "BatchState", request: Request) -> Answer:
    """Ordinary tasks have no subtasks."""
    find(state, request, jobs.find(state, request))
    return Answer(200, {"odata.metadata": metadata(request, "subtasks"), "value": []})


OPERATIONS = (
    operation("POST", "/jobs/{job}/tasks", _create),
    operation("POST", "/jobs/{job}/addtaskcollection", _create_many),
    operation("GET", "/jobs/{job}/tasks", _list),
    operation("GET", "/jobs/{job}/tasks/{task}", _get),
    operation("PUT", "/jobs/{job}/tasks/{task}", _replace),
    operation("DELETE", "/jobs/{job}/tasks/{task}", _delete),
    operation("POST", "/jobs/{job}/tasks/{task}/terminate", _terminate),
    operation("POST", "/jobs/{job}/tasks/{task}/reactivate", _reactivate),
    operation("GET", "/jobs/{job}/tasks/{task}/subtasksinfo", _subtasks),
)
