"""Parts that pools, jobs and tasks have in common, as we ask for them."""

from dataclasses import dataclass, field
from typing import Literal

Elevation = Literal["admin", "nonadmin"]
BindSource = Literal["Shared", "Startup", "VfsMounts", "Task", "JobPrep", "Applications"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSetting:
    """One environment variable of a task; a secret value is never shown, logged or read back."""

    name: str
    value: str = field(repr=False)
    is_secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryRef:
    """A registry the node pulls from: with user and password, or with an identity of the pool."""

    server: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    identity_id: str | None = None  # ARM id of a user-assigned identity attached to the pool


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """One folder of the node shown inside a container."""

    source: BindSource
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """The container a task runs in; `bind_mounts` None means the whole node root, () means nothing."""

    image_name: str
    run_options: str = ""  # passed verbatim to `docker create`
    registry: RegistryRef | None = None
    working_directory: Literal["taskWorkingDirectory", "containerImageDefault"] | None = None
    bind_mounts: tuple[BindMount, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserIdentity:
    """Who a task runs as: a named account of the pool, or an automatic user."""

    username: str | None = None
    scope: Literal["task", "pool"] = "pool"
    elevation_level: Elevation = "nonadmin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFile:
    """Input fetched before a task starts; exactly one of the three sources is given."""

    http_url: str | None = field(default=None, repr=False)
    storage_container_url: str | None = field(default=None, repr=False)
    auto_storage_container_name: str | None = None
    blob_prefix: str | None = None
    file_path: str | None = None
    file_mode: str | None = None  # octal text, Linux nodes only
    identity_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """Output uploaded when a task ends; the pattern is relative to the working directory."""

    file_pattern: str
    container_url: str = field(repr=False)  # with its SAS unless an identity is given
    path: str | None = None  # blob name without a wildcard in the pattern, prefix with one
    upload_condition: Literal["tasksuccess", "taskfailure", "taskcompletion"] = "taskcompletion"
    identity_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationPackage:
    """An application package of the Batch account to unpack on the node."""

    application_id: str
    version: str | None = None
