"""Snapshots of jobs, tasks and files from Azure's JSON (already masked)."""

from collections.abc import Mapping
from typing import Any

from cloud.types import FileSnapshot, JobSnapshot, NodeTaskRun, PreparationSnapshot, TaskCounts, TaskSnapshot
from cloud.wire import scalars

Data = Mapping[str, Any]

JOB_MEMBERS = (
    "id,displayName,eTag,creationTime,lastModified,state,stateTransitionTime,previousState,priority,"
    "maxParallelTasks,constraints,onAllTasksComplete,onTaskFailure,usesTaskDependencies,poolInfo,"
    "executionInfo,metadata"
)
TASK_MEMBERS = (
    "id,displayName,eTag,creationTime,lastModified,state,stateTransitionTime,previousState,commandLine,"
    "containerSettings,requiredSlots,constraints,executionInfo,nodeInfo"
)


def job(data: Data, *, raw: bool = False) -> JobSnapshot:
    """Read a job; `raw` keeps the whole object beside the synced fields."""
    execution: Data = data.get("executionInfo") or {}
    constraints: Data = data.get("constraints") or {}
    return JobSnapshot(
        id=data["id"],
        display_name=data.get("displayName"),
        etag=data.get("eTag", ""),
        creation_time=scalars.time(data.get("creationTime")),
        last_modified=scalars.time(data.get("lastModified")),
        state=data["state"],
        state_transition_time=scalars.time(data.get("stateTransitionTime")),
        previous_state=data.get("previousState"),
        priority=data.get("priority", 0),
        max_parallel_tasks=data.get("maxParallelTasks", -1),
        max_wall_clock_time=scalars.duration(constraints.get("maxWallClockTime")),
        max_task_retry_count=constraints.get("maxTaskRetryCount", 0),
        on_all_tasks_complete=data.get("onAllTasksComplete"),
        on_task_failure=data.get("onTaskFailure"),
        uses_task_dependencies=data.get("usesTaskDependencies", False),
        pool_id=execution.get("poolId") or (data.get("poolInfo") or {}).get("poolId"),
        start_time=scalars.time(execution.get("startTime")),
        end_time=scalars.time(execution.get("endTime")),
        terminate_reason=execution.get("terminateReason"),
        scheduling_error=scalars.error(execution.get("schedulingError"), "details"),
        metadata=scalars.pairs(data.get("metadata")),
        raw=dict(data) if raw else None,
    )


def task(data: Data, job_id: str) -> TaskSnapshot:
    """Read a task of a job."""
    execution: Data = data.get("executionInfo") or {}
    constraints: Data = data.get("constraints") or {}
    node: Data = data.get("nodeInfo") or {}
    container: Data = execution.get("containerInfo") or {}
    return TaskSnapshot(
        id=data["id"],
        job_id=job_id,
        display_name=data.get("displayName"),
        etag=data.get("eTag", ""),
        creation_time=scalars.time(data.get("creationTime")),
        last_modified=scalars.time(data.get("lastModified")),
        state=data["state"],
        state_transition_time=scalars.time(data.get("stateTransitionTime")),
        previous_state=data.get("previousState"),
        command_line=data.get("commandLine", ""),
        image_name=(data.get("containerSettings") or {}).get("imageName"),
        required_slots=data.get("requiredSlots", 1),
        max_wall_clock_time=scalars.duration(constraints.get("maxWallClockTime")),
        retention_time=scalars.duration(constraints.get("retentionTime")),
        max_task_retry_count=constraints.get("maxTaskRetryCount", 0),
        start_time=scalars.time(execution.get("startTime")),
        end_time=scalars.time(execution.get("endTime")),
        exit_code=execution.get("exitCode"),
        result=execution.get("result"),
        failure_info=scalars.error(execution.get("failureInfo"), "details"),
        retry_count=execution.get("retryCount", 0),
        last_retry_time=scalars.time(execution.get("lastRetryTime")),
        requeue_count=execution.get("requeueCount", 0),
        last_requeue_time=scalars.time(execution.get("lastRequeueTime")),
        container_id=container.get("containerId"),
        container_state=container.get("state"),
        container_error=container.get("error"),
        pool_id=node.get("poolId"),
        node_id=node.get("nodeId"),
        task_root_directory=node.get("taskRootDirectory"),
    )


def preparation(data: Data) -> PreparationSnapshot:
    """Read how preparation and release went on one node."""
    return PreparationSnapshot(
        pool_id=data.get("poolId", ""),
        node_id=data.get("nodeId", ""),
        preparation=_run(data.get("jobPreparationTaskExecutionInfo")),
        release=_run(data.get("jobReleaseTaskExecutionInfo")),
    )


def _run(data: Data | None) -> NodeTaskRun | None:
    if not data:
        return None
    return NodeTaskRun(
        state=data.get("state", ""),
        start_time=scalars.time(data.get("startTime")),
        end_time=scalars.time(data.get("endTime")),
        exit_code=data.get("exitCode"),
        result=data.get("result"),
        failure_info=scalars.error(data.get("failureInfo"), "details"),
        retry_count=data.get("retryCount", 0),
        task_root_directory=data.get("taskRootDirectory"),
    )


def task_counts(data: Data) -> TaskCounts:
    """Read a job's task counts."""
    counts: Data = data.get("taskCounts") or {}
    slots: Data = data.get("taskSlotCounts") or {}
    return TaskCounts(
        active=counts.get("active", 0),
        running=counts.get("running", 0),
        completed=counts.get("completed", 0),
        succeeded=counts.get("succeeded", 0),
        failed=counts.get("failed", 0),
        active_slots=slots.get("active", 0),
        running_slots=slots.get("running", 0),
    )


def file(data: Data) -> FileSnapshot:
    """Read one entry of a file listing; 64-bit numbers arrive as text."""
    properties: Data = data.get("properties") or {}
    length = properties.get("contentLength")
    return FileSnapshot(
        name=data.get("name", ""),
        is_directory=bool(data.get("isDirectory", False)),
        content_length=int(length) if length is not None else None,
        last_modified=scalars.time(properties.get("lastModified")),
        content_type=properties.get("contentType"),
        file_mode=properties.get("fileMode"),
    )


def file_headers(name: str, headers: Mapping[str, str]) -> FileSnapshot:
    """Read a file's facts from the headers of a HEAD answer."""
    length = headers.get("Content-Length")
    return FileSnapshot(
        name=name,
        is_directory=headers.get("ocp-batch-file-isdirectory", "False").lower() == "true",
        content_length=int(length) if length is not None else None,
        last_modified=scalars.header_time(headers.get("Last-Modified")),
        content_type=headers.get("Content-Type"),
        file_mode=headers.get("ocp-batch-file-mode"),
    )
