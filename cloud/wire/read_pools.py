"""Snapshots of pools, nodes and node images from Azure's JSON (already masked)."""

from collections.abc import Mapping
from typing import Any, Literal

from cloud.types import (
    AutoScaleRun,
    MountSnapshot,
    NodeSnapshot,
    PoolSnapshot,
    StartTaskInfo,
    VmImageRef,
    VmImageSnapshot,
)
from cloud.wire import scalars

Data = Mapping[str, Any]

POOL_MEMBERS = (
    "id,displayName,eTag,creationTime,lastModified,state,stateTransitionTime,allocationState,"
    "allocationStateTransitionTime,vmSize,currentDedicatedNodes,currentLowPriorityNodes,targetDedicatedNodes,"
    "targetLowPriorityNodes,enableAutoScale,autoScaleFormula,autoScaleEvaluationInterval,autoScaleRun,"
    "resizeTimeout,resizeErrors,taskSlotsPerNode,taskSchedulingPolicy,enableInterNodeCommunication,"
    "virtualMachineConfiguration,mountConfiguration,startTask,metadata"
)
NODE_MEMBERS = (
    "id,state,stateTransitionTime,schedulingState,lastBootTime,allocationTime,ipAddress,vmSize,isDedicated,"
    "totalTasksRun,totalTasksSucceeded,runningTasksCount,runningTaskSlotsCount,recentTasks,startTaskInfo,"
    "errors,nodeAgentInfo,virtualMachineInfo"
)
_RUNNING = frozenset({"running", "preparing"})


def pool(data: Data, *, raw: bool = False) -> PoolSnapshot:
    """Read a pool; `raw` keeps the whole object beside the synced fields."""
    machine: Data = data.get("virtualMachineConfiguration") or {}
    container: Data = machine.get("containerConfiguration") or {}
    return PoolSnapshot(
        id=data["id"],
        display_name=data.get("displayName"),
        etag=data.get("eTag", ""),
        creation_time=scalars.time(data.get("creationTime")),
        last_modified=scalars.time(data.get("lastModified")),
        state=data["state"],
        state_transition_time=scalars.time(data.get("stateTransitionTime")),
        allocation_state=data.get("allocationState"),
        allocation_state_transition_time=scalars.time(data.get("allocationStateTransitionTime")),
        vm_size=data.get("vmSize", ""),
        current_dedicated_nodes=data.get("currentDedicatedNodes", 0),
        current_low_priority_nodes=data.get("currentLowPriorityNodes", 0),
        target_dedicated_nodes=data.get("targetDedicatedNodes"),
        target_low_priority_nodes=data.get("targetLowPriorityNodes"),
        enable_auto_scale=data.get("enableAutoScale", False),
        auto_scale_formula=data.get("autoScaleFormula"),
        auto_scale_evaluation_interval=scalars.duration(data.get("autoScaleEvaluationInterval")),
        auto_scale_run=auto_scale_run(data.get("autoScaleRun")),
        resize_timeout=scalars.duration(data.get("resizeTimeout")),
        resize_errors=scalars.errors(data.get("resizeErrors")),
        task_slots_per_node=data.get("taskSlotsPerNode", 1),
        node_fill_type=(data.get("taskSchedulingPolicy") or {}).get("nodeFillType"),
        enable_inter_node_communication=data.get("enableInterNodeCommunication", False),
        image_reference=_image(machine.get("imageReference")),
        node_agent_sku_id=machine.get("nodeAgentSKUId"),
        container_image_names=tuple(container.get("containerImageNames") or ()),
        container_registries=tuple(
            (str(r.get("registryServer") or "docker.io"), str(r.get("username") or ""))
            for r in container.get("containerRegistries") or ()
        ),
        mounts=tuple(filter(None, map(_mount, data.get("mountConfiguration") or ()))),
        start_task_command_line=(data.get("startTask") or {}).get("commandLine"),
        metadata=scalars.pairs(data.get("metadata")),
        raw=dict(data) if raw else None,
    )


def _image(data: Data | None) -> VmImageRef | None:
    if not data:
        return None
    return VmImageRef(
        publisher=data.get("publisher") or "",
        offer=data.get("offer") or "",
        sku=data.get("sku") or "",
        version=data.get("version") or "latest",
        virtual_machine_image_id=data.get("virtualMachineImageId"),
    )


def _mount(data: Data) -> MountSnapshot | None:
    if blob := data.get("azureBlobFileSystemConfiguration"):
        return MountSnapshot(
            kind="blob",
            relative_mount_path=blob.get("relativeMountPath", ""),
            source=f"{blob.get('accountName', '')}/{blob.get('containerName', '')}",
            options=blob.get("blobfuseOptions") or "",
            identity_id=(blob.get("identityReference") or {}).get("resourceId"),
        )
    kinds: tuple[tuple[str, Literal["fileshare", "nfs", "cifs"], str], ...] = (
        ("azureFileShareConfiguration", "fileshare", "azureFileUrl"),
        ("nfsMountConfiguration", "nfs", "source"),
        ("cifsMountConfiguration", "cifs", "source"),
    )
    for member, kind, address in kinds:
        if share := data.get(member):
            return MountSnapshot(
                kind=kind,
                relative_mount_path=share.get("relativeMountPath", ""),
                source=share.get(address, ""),
                options=share.get("mountOptions") or "",
            )
    return None


def auto_scale_run(data: Data | None) -> AutoScaleRun | None:
    """Read an evaluation; `results` arrives as `$Name=value;$Other=value`."""
    if not data or not data.get("timestamp"):
        return None
    timestamp = scalars.time(data["timestamp"])
    assert timestamp is not None
    assignments = (part.partition("=") for part in (data.get("results") or "").split(";"))
    return AutoScaleRun(
        timestamp=timestamp,
        results=tuple((name.strip(), value.strip()) for name, _, value in assignments if name.strip()),
        error=scalars.error(data.get("error")),
    )


def node(data: Data, pool_id: str) -> NodeSnapshot:
    """Read a node of a pool."""
    image: Data = (data.get("virtualMachineInfo") or {}).get("imageReference") or {}
    return NodeSnapshot(
        id=data["id"],
        pool_id=pool_id,
        state=data["state"],
        state_transition_time=scalars.time(data.get("stateTransitionTime")),
        scheduling_state=data.get("schedulingState"),
        last_boot_time=scalars.time(data.get("lastBootTime")),
        allocation_time=scalars.time(data.get("allocationTime")),
        ip_address=data.get("ipAddress"),
        vm_size=data.get("vmSize"),
        is_dedicated=data.get("isDedicated", True),
        total_tasks_run=data.get("totalTasksRun", 0),
        total_tasks_succeeded=data.get("totalTasksSucceeded", 0),
        running_tasks_count=data.get("runningTasksCount", 0),
        running_task_slots_count=data.get("runningTaskSlotsCount", 0),
        running_tasks=tuple(
            (str(task.get("jobId") or ""), str(task.get("taskId") or ""))
            for task in data.get("recentTasks") or ()
            if task.get("taskState") in _RUNNING
        ),
        start_task_info=_start_task_info(data.get("startTaskInfo")),
        errors=scalars.errors(data.get("errors"), "errorDetails"),
        node_agent_version=(data.get("nodeAgentInfo") or {}).get("version"),
        exact_image_version=image.get("exactVersion"),
    )


def _start_task_info(data: Data | None) -> StartTaskInfo | None:
    if not data:
        return None
    return StartTaskInfo(
        state=data.get("state", ""),
        start_time=scalars.time(data.get("startTime")),
        end_time=scalars.time(data.get("endTime")),
        exit_code=data.get("exitCode"),
        result=data.get("result"),
        retry_count=data.get("retryCount", 0),
        failure_info=scalars.error(data.get("failureInfo"), "details"),
    )


def vm_image(data: Data) -> VmImageSnapshot:
    """Read a node operating system that Batch offers."""
    image: Data = data.get("imageReference") or {}
    return VmImageSnapshot(
        node_agent_sku_id=data.get("nodeAgentSKUId", ""),
        publisher=image.get("publisher", ""),
        offer=image.get("offer", ""),
        sku=image.get("sku", ""),
        version=image.get("version") or "latest",
        os_type=data.get("osType", ""),
        verification_type=data.get("verificationType", ""),
        capabilities=tuple(data.get("capabilities") or ()),
        batch_support_end_of_life=scalars.time(data.get("batchSupportEndOfLife")),
    )
