"""Jobs, tasks, their counts and their files."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from .base import DETAIL, OPERATION_KEY, Metadata, Snapshot, metadata_value
from .parts import (
    ApplicationPackage,
    ContainerSettings,
    EnvironmentSetting,
    OutputFile,
    ResourceFile,
    UserIdentity,
)
from .pools import AzureError

AllTasksComplete = Literal["noaction", "terminatejob"]
JobAction = Literal["none", "disable", "terminate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConstraints:
    """Limits of one task; None leaves Azure's default (unlimited, seven days, the job's retries)."""

    max_wall_clock_time: timedelta | None = None
    retention_time: timedelta | None = None
    max_task_retry_count: int | None = None  # -1 is unlimited


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationTaskSpec:
    """What each node runs before the job's first task there."""

    command_line: str
    id: str = "jobpreparation"
    container: ContainerSettings | None = None
    environment: tuple[EnvironmentSetting, ...] = ()
    resource_files: tuple[ResourceFile, ...] = ()
    user_identity: UserIdentity | None = None
    constraints: TaskConstraints | None = None
    wait_for_success: bool = True
    rerun_on_node_reboot_after_success: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTaskSpec:
    """What each node that was prepared runs when the job ends (15 minutes at most)."""

    command_line: str
    id: str = "jobrelease"
    container: ContainerSettings | None = None
    environment: tuple[EnvironmentSetting, ...] = ()
    resource_files: tuple[ResourceFile, ...] = ()
    user_identity: UserIdentity | None = None
    max_wall_clock_time: timedelta | None = None
    retention_time: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A job to create; it stays open until `update_job` asks for terminatejob."""

    id: str
    pool_id: str
    operation: str  # id of the operation that asks, becomes metadata
    display_name: str | None = None
    priority: int = 0  # -1000 to 1000
    max_parallel_tasks: int | None = None
    allow_task_preemption: bool | None = None
    uses_task_dependencies: bool = False
    max_wall_clock_time: timedelta | None = None
    max_task_retry_count: int | None = None
    preparation_task: PreparationTaskSpec | None = None
    release_task: ReleaseTaskSpec | None = None
    common_environment: tuple[EnvironmentSetting, ...] = ()
    on_all_tasks_complete: AllTasksComplete = "noaction"
    on_task_failure: Literal["noaction", "performexitoptionsjobaction"] = "noaction"
    metadata: Metadata = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task to add to a job."""

    id: str
    command_line: str
    operation: str  # id of the operation that asks, becomes an environment setting
    display_name: str | None = None
    container: ContainerSettings | None = None
    environment: tuple[EnvironmentSetting, ...] = ()
    resource_files: tuple[ResourceFile, ...] = ()
    output_files: tuple[OutputFile, ...] = ()
    user_identity: UserIdentity | None = None
    constraints: TaskConstraints | None = None
    required_slots: int = 1
    depends_on: tuple[str, ...] = ()
    job_action_on_failure: JobAction | None = None  # needs performexitoptionsjobaction on the job
    application_packages: tuple[ApplicationPackage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSnapshot(Snapshot):
    """A job as Azure shows it."""

    id: str
    display_name: str | None
    etag: str
    creation_time: datetime | None
    last_modified: datetime | None
    state: str
    state_transition_time: datetime | None
    previous_state: str | None
    priority: int
    max_parallel_tasks: int
    max_wall_clock_time: timedelta | None  # None: unlimited
    max_task_retry_count: int
    on_all_tasks_complete: str | None
    on_task_failure: str | None
    uses_task_dependencies: bool
    pool_id: str | None
    start_time: datetime | None
    end_time: datetime | None
    terminate_reason: str | None
    scheduling_error: AzureError | None
    metadata: Metadata
    raw: dict[str, Any] | None = field(
        default=None, compare=False, repr=False, metadata=DETAIL
    )  # whole object, masked; get_job only

    @property
    def operation(self) -> str | None:
        """The operation that created it, None when it was made elsewhere."""
        return metadata_value(self.metadata, OPERATION_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSnapshot(Snapshot):
    """A task as Azure shows it."""

    id: str
    job_id: str
    display_name: str | None
    etag: str
    creation_time: datetime | None
    last_modified: datetime | None
    state: str
    state_transition_time: datetime | None
    previous_state: str | None
    command_line: str
    image_name: str | None
    required_slots: int
    max_wall_clock_time: timedelta | None  # None: unlimited
    retention_time: timedelta | None
    max_task_retry_count: int
    start_time: datetime | None
    end_time: datetime | None
    exit_code: int | None
    result: str | None
    failure_info: AzureError | None
    retry_count: int
    last_retry_time: datetime | None
    requeue_count: int
    last_requeue_time: datetime | None
    container_id: str | None
    container_state: str | None
    container_error: str | None
    pool_id: str | None
    node_id: str | None
    task_root_directory: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTaskRun:
    """One run of a preparation or release task on one node."""

    state: str
    start_time: datetime | None
    end_time: datetime | None
    exit_code: int | None
    result: str | None
    failure_info: AzureError | None
    retry_count: int
    task_root_directory: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationSnapshot(Snapshot):
    """How a job's preparation and release tasks went on one node."""

    pool_id: str
    node_id: str
    preparation: NodeTaskRun | None
    release: NodeTaskRun | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCounts(Snapshot):
    """How many tasks of a job are in which state; Azure's counts lag by seconds."""

    active: int
    running: int  # preparing ones included
    completed: int
    succeeded: int
    failed: int
    active_slots: int
    running_slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSnapshot(Snapshot):
    """One file or folder of a task or node, named relative to its root."""

    name: str
    is_directory: bool
    content_length: int | None
    last_modified: datetime | None
    content_type: str | None = None
    file_mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChunk:
    """Bytes of a file from `offset` on; empty when nothing new is there."""

    data: bytes
    offset: int

    @property
    def next_offset(self) -> int:
        """Where the next read continues."""
        return self.offset + len(self.data)
