"""Pools, nodes and the systems they run on."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from .base import DETAIL, OPERATION_KEY, Metadata, Snapshot, metadata_value
from .parts import (
    ApplicationPackage,
    ContainerSettings,
    Elevation,
    EnvironmentSetting,
    RegistryRef,
    ResourceFile,
    UserIdentity,
)

DeallocationOption = Literal["requeue", "terminate", "taskcompletion", "retaineddata"]
SchedulingOption = Literal["requeue", "terminate", "taskcompletion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobMount:
    """A blob container mounted with blobfuse; exactly one of key, SAS and identity is given."""

    account_name: str
    container_name: str
    relative_mount_path: str
    blobfuse_options: str = ""
    account_key: str | None = field(default=None, repr=False)
    sas_key: str | None = field(default=None, repr=False)
    identity_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShareMount:
    """An Azure Files share; it knows no other credential than the account key."""

    account_name: str
    azure_file_url: str
    relative_mount_path: str
    account_key: str = field(repr=False)
    mount_options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NfsMount:
    """An NFS export."""

    source: str
    relative_mount_path: str
    mount_options: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CifsMount:
    """A CIFS share."""

    source: str
    relative_mount_path: str
    username: str
    password: str = field(repr=False)
    mount_options: str = ""


MountSpec = BlobMount | FileShareMount | NfsMount | CifsMount


@dataclass(frozen=True, slots=True, kw_only=True)
class VmImageRef:
    """A node's operating system: a marketplace image by its four names, or one image by its ARM id."""

    publisher: str = ""
    offer: str = ""
    sku: str = ""
    version: str = "latest"
    virtual_machine_image_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTaskSpec:
    """What each node runs when it joins the pool or restarts."""

    command_line: str
    container: ContainerSettings | None = None
    environment: tuple[EnvironmentSetting, ...] = ()
    resource_files: tuple[ResourceFile, ...] = ()
    user_identity: UserIdentity | None = None
    max_task_retry_count: int = 0
    wait_for_success: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAccountSpec:
    """A named account made on every node."""

    name: str
    password: str = field(repr=False)
    elevation_level: Elevation = "nonadmin"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """A pool to create; with `auto_scale_formula` set the two targets must be None."""

    id: str
    vm_size: str
    image_reference: VmImageRef
    node_agent_sku_id: str
    operation: str  # id of the operation that asks, becomes metadata
    display_name: str | None = None
    container_type: Literal["dockerCompatible", "criCompatible"] = "dockerCompatible"
    container_image_names: tuple[str, ...] = ()
    container_registries: tuple[RegistryRef, ...] = ()
    target_dedicated_nodes: int | None = None
    target_low_priority_nodes: int | None = None
    resize_timeout: timedelta | None = None  # at least 5 minutes, Azure's default is 15
    auto_scale_formula: str | None = None
    auto_scale_evaluation_interval: timedelta | None = None  # 5 minutes to 168 hours
    task_slots_per_node: int = 1
    node_fill_type: Literal["spread", "pack"] | None = None
    enable_inter_node_communication: bool = False
    start_task: StartTaskSpec | None = None
    mounts: tuple[MountSpec, ...] = ()  # 10 at most
    user_accounts: tuple[UserAccountSpec, ...] = ()
    application_packages: tuple[ApplicationPackage, ...] = ()
    subnet_id: str | None = None
    public_ip_provisioning: Literal["batchmanaged", "usermanaged", "nopublicipaddresses"] | None = None
    enable_accelerated_networking: bool | None = None
    os_disk_size_gb: int | None = None
    metadata: Metadata = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSnapshot:
    """A mount as Azure echoes it: never with its key."""

    kind: Literal["blob", "fileshare", "nfs", "cifs"]
    relative_mount_path: str
    source: str  # account/container for blobs, address else
    options: str = ""
    identity_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureError:
    """An error that Azure keeps inside an object (resize, start task, node, formula)."""

    code: str
    message: str
    details: Metadata = ()
    category: str | None = None  # usererror | servererror, where Azure says so


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoScaleRun(Snapshot):
    """What a formula came to; `results` are its variables, `error` why it failed."""

    timestamp: datetime
    results: Metadata = ()
    error: AzureError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot(Snapshot):
    """A pool as Azure shows it."""

    id: str
    display_name: str | None
    etag: str
    creation_time: datetime | None
    last_modified: datetime | None
    state: str
    state_transition_time: datetime | None
    allocation_state: str | None
    allocation_state_transition_time: datetime | None
    vm_size: str
    current_dedicated_nodes: int
    current_low_priority_nodes: int
    target_dedicated_nodes: int | None
    target_low_priority_nodes: int | None
    enable_auto_scale: bool
    auto_scale_formula: str | None
    auto_scale_evaluation_interval: timedelta | None
    auto_scale_run: AutoScaleRun | None
    resize_timeout: timedelta | None
    resize_errors: tuple[AzureError, ...]
    task_slots_per_node: int
    node_fill_type: str | None
    enable_inter_node_communication: bool
    image_reference: VmImageRef | None
    node_agent_sku_id: str | None
    container_image_names: tuple[str, ...]
    container_registries: Metadata  # (server, user name)
    mounts: tuple[MountSnapshot, ...]
    start_task_command_line: str | None
    metadata: Metadata
    raw: dict[str, Any] | None = field(
        default=None, compare=False, repr=False, metadata=DETAIL
    )  # whole object, masked; get_pool only

    @property
    def operation(self) -> str | None:
        """The operation that created it, None when it was made elsewhere."""
        return metadata_value(self.metadata, OPERATION_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTaskInfo:
    """How a node's start task went."""

    state: str
    start_time: datetime | None
    end_time: datetime | None
    exit_code: int | None
    result: str | None
    retry_count: int
    failure_info: AzureError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSnapshot(Snapshot):
    """A compute node as Azure shows it."""

    id: str
    pool_id: str
    state: str
    state_transition_time: datetime | None
    scheduling_state: str | None
    last_boot_time: datetime | None
    allocation_time: datetime | None
    ip_address: str | None
    vm_size: str | None
    is_dedicated: bool
    total_tasks_run: int
    total_tasks_succeeded: int
    running_tasks_count: int
    running_task_slots_count: int
    running_tasks: Metadata  # (job id, task id), taken from recentTasks
    start_task_info: StartTaskInfo | None
    errors: tuple[AzureError, ...]
    node_agent_version: str | None
    exact_image_version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VmImageSnapshot(Snapshot):
    """A node operating system that Batch offers, with the agent SKU it needs."""

    node_agent_sku_id: str
    publisher: str
    offer: str
    sku: str
    version: str
    os_type: str
    verification_type: str
    capabilities: tuple[str, ...]
    batch_support_end_of_life: datetime | None
