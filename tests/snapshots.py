"""Plain functions that make snapshots for tests: what Azure would have shown of a thing."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cloud.types import (
    OPERATION_KEY,
    AzureError,
    JobSnapshot,
    NodeSnapshot,
    NodeTaskRun,
    PoolSnapshot,
    PreparationSnapshot,
    TaskSnapshot,
)

BORN = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""When everything came to be unless a test says otherwise."""


def mark_of(operation: UUID | None) -> tuple[tuple[str, str], ...]:
    """Return the metadata by which an operation's own things are recognised."""
    return ((OPERATION_KEY, str(operation)),) if operation else ()


def pool_seen(id: str = "gpu_1", *, operation: UUID | None = None, **overrides: Any) -> PoolSnapshot:
    """Show a steady pool without nodes; `operation` makes it ours."""
    snapshot = PoolSnapshot(
        id=id,
        display_name=None,
        etag="0x1",
        creation_time=BORN,
        last_modified=BORN,
        state="active",
        state_transition_time=BORN,
        allocation_state="steady",
        allocation_state_transition_time=BORN,
        vm_size="standard_nc4as_t4_v3",
        current_dedicated_nodes=0,
        current_low_priority_nodes=0,
        target_dedicated_nodes=0,
        target_low_priority_nodes=0,
        enable_auto_scale=False,
        auto_scale_formula=None,
        auto_scale_evaluation_interval=None,
        auto_scale_run=None,
        resize_timeout=None,
        resize_errors=(),
        task_slots_per_node=1,
        node_fill_type="spread",
        enable_inter_node_communication=False,
        image_reference=None,
        node_agent_sku_id="batch.node.ubuntu 22.04",
        container_image_names=(),
        container_registries=(),
        mounts=(),
        start_task_command_line=None,
        metadata=mark_of(operation),
    )
    return replace(snapshot, **overrides)


def node_seen(id: str = "tvmps_1_d", **overrides: Any) -> NodeSnapshot:
    """Show an idle node."""
    snapshot = NodeSnapshot(
        id=id,
        pool_id="gpu_1",
        state="idle",
        state_transition_time=BORN,
        scheduling_state="enabled",
        last_boot_time=BORN,
        allocation_time=BORN,
        ip_address="10.0.0.4",
        vm_size="standard_nc4as_t4_v3",
        is_dedicated=True,
        total_tasks_run=0,
        total_tasks_succeeded=0,
        running_tasks_count=0,
        running_task_slots_count=0,
        running_tasks=(),
        start_task_info=None,
        errors=(),
        node_agent_version="1.11",
        exact_image_version="22.04.1",
    )
    return replace(snapshot, **overrides)


def job_seen(id: str = "job_1", *, operation: UUID | None = None, **overrides: Any) -> JobSnapshot:
    """Show an active job that ends with its tasks; `operation` makes it ours."""
    snapshot = JobSnapshot(
        id=id,
        display_name=None,
        etag="0x1",
        creation_time=BORN,
        last_modified=BORN,
        state="active",
        state_transition_time=BORN,
        previous_state=None,
        priority=0,
        max_parallel_tasks=-1,
        max_wall_clock_time=None,
        max_task_retry_count=0,
        on_all_tasks_complete="terminatejob",
        on_task_failure="noaction",
        uses_task_dependencies=False,
        pool_id="gpu_1",
        start_time=BORN,
        end_time=None,
        terminate_reason=None,
        scheduling_error=None,
        metadata=mark_of(operation),
    )
    return replace(snapshot, **overrides)


def ended(seen: JobSnapshot, *, at: datetime = BORN) -> JobSnapshot:
    """Show a job after all its tasks came to an end."""
    return replace(
        seen,
        etag="0x2",
        state="completed",
        previous_state="active",
        state_transition_time=at,
        end_time=at,
        terminate_reason="AllTasksComplete",
    )


def task_seen(id: str = "1", state: str = "active", **overrides: Any) -> TaskSnapshot:
    """Show a task that waits, or that is in another state."""
    snapshot = TaskSnapshot(
        id=id,
        job_id="job_1",
        display_name=None,
        etag="0x1",
        creation_time=BORN,
        last_modified=BORN,
        state=state,
        state_transition_time=BORN,
        previous_state=None,
        command_line="/bin/bash -c 'true'",
        image_name=None,
        required_slots=1,
        max_wall_clock_time=None,
        retention_time=None,
        max_task_retry_count=0,
        start_time=None,
        end_time=None,
        exit_code=None,
        result=None,
        failure_info=None,
        retry_count=0,
        last_retry_time=None,
        requeue_count=0,
        last_requeue_time=None,
        container_id=None,
        container_state=None,
        container_error=None,
        pool_id=None,
        node_id=None,
        task_root_directory=None,
    )
    return replace(snapshot, **overrides)


def preparation_seen(
    node: str = "tvmps_1_d", state: str = "completed", result: str | None = "success"
) -> PreparationSnapshot:
    """Show how a job's preparation went on a node."""
    failure = AzureError(code="FailureExitCode", message="The task exited with 3.", category="usererror")
    failed = result == "failure"
    run = NodeTaskRun(
        state=state,
        start_time=BORN,
        end_time=BORN if state == "completed" else None,
        exit_code=(3 if failed else 0) if state == "completed" else None,
        result=result if state == "completed" else None,
        failure_info=failure if failed else None,
        retry_count=0,
        task_root_directory=None,
    )
    return PreparationSnapshot(pool_id="gpu_1", node_id=node, preparation=run, release=None)
