"""What the service adds to a body that leaves members out, and the values that it refuses."""

import copy
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from emulator.batch import shapes, wire
from emulator.errors import invalid, missing

SECRET_MEMBERS = frozenset({"password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings"})
MOST_NAME = 1024
MOST_SLOTS = 256
MOST_MOUNTS = 10
MOST_NODES = 100_000
MOUNT_KINDS = frozenset(
    {
        "azureBlobFileSystemConfiguration",
        "nfsMountConfiguration",
        "cifsMountConfiguration",
        "azureFileShareConfiguration",
    }
)
SHORTEST_RESIZE = timedelta(minutes=5)
SHORTEST_INTERVAL = timedelta(minutes=5)
LONGEST_INTERVAL = timedelta(hours=168)
# The subscription of the emulated account, in which its networks would have to be.
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
_SUBNET = re.compile(
    rf"/subscriptions/{SUBSCRIPTION}/resourceGroups/[^/]+/providers/Microsoft\.(Classic)?Network"
    r"/virtualNetworks/[^/]+/subnets/[^/]+",
    re.IGNORECASE,
)
_IMAGE = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/(images|galleries)/.+",
    re.IGNORECASE,
)
USER = {"autoUser": {"scope": "pool", "elevationLevel": "nonadmin"}}


def whole(body: Mapping[str, Any], name: str, lowest: int, highest: int) -> None:
    """Refuse a member, a number, that is there but not within the bounds."""
    value = body.get(name)
    if value is not None and not lowest <= value <= highest:
        raise invalid(name, value, f"The value must be between {lowest} and {highest}")


def one_of(body: Mapping[str, Any], name: str, *allowed: str) -> None:
    """Refuse a member, a text, that is there but is none of the words, whatever their case."""
    value = body.get(name)
    if value is not None and value.lower() not in allowed:
        raise invalid(name, value, f"The value must be one of {', '.join(allowed)}")


def hide(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a body into what clients may read, and the members that hold secrets, whole."""
    public = {name: _without_secrets(value) for name, value in body.items()}
    secrets = {name: copy.deepcopy(value) for name, value in body.items() if public[name] != value}
    return public, secrets


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(each) for name, each in value.items() if name not in SECRET_MEMBERS}
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    return value


def named(body: Mapping[str, Any]) -> None:
    """Check the members that pools, jobs and tasks have in common."""
    name = body.get("displayName")
    if name is not None and len(name) > MOST_NAME:
        raise invalid("displayName", name, f"The name has more than {MOST_NAME} characters")


def pool(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a pool, checked and filled as the service does; its types are right already."""
    body = shapes.without_written(body)
    named(body)
    for name in ("vmSize", "virtualMachineConfiguration"):
        if name not in body:
            raise missing(name)
    shapes.check_complete(body, "Pool")
    whole(body, "targetDedicatedNodes", 0, MOST_NODES)
    whole(body, "targetLowPriorityNodes", 0, MOST_NODES)
    whole(body, "taskSlotsPerNode", 1, MOST_SLOTS)
    filled = {
        "enableAutoScale": False,
        "enableInterNodeCommunication": False,
        "taskSlotsPerNode": 1,
        "targetDedicatedNodes": 0,
        "targetLowPriorityNodes": 0,
        "currentDedicatedNodes": 0,
        "currentLowPriorityNodes": 0,
        **copy.deepcopy(dict(body)),
        "vmSize": body["vmSize"].lower(),
        "virtualMachineConfiguration": _machine(body),
    }
    filled["taskSchedulingPolicy"] = _policy(body.get("taskSchedulingPolicy", {}))
    _scale(body, filled)
    _network(filled)
    if "startTask" in filled:
        filled["startTask"] = start_task(filled["startTask"])
    _check_mounts(filled.get("mountConfiguration", []))
    for user in filled.get("userAccounts", []):
        user.setdefault("elevationLevel", "nonadmin")
    return filled


def _check_mounts(mounts: Sequence[Mapping[str, Any]]) -> None:
    if len(mounts) > MOST_MOUNTS:
        raise invalid("mountConfiguration", len(mounts), "Too many mounts")
    for mount in mounts:
        if len(mount) != 1 or not MOUNT_KINDS.issuperset(mount):
            raise invalid(
                "mountConfiguration", ", ".join(mount), "A mount is of exactly one of the known kinds"
            )


def _policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    one_of(policy, "nodeFillType", "spread", "pack")
    filled = {"nodeFillType": str(policy.get("nodeFillType", "spread")).lower()}
    if "jobDefaultOrder" in policy:
        one_of(policy, "jobDefaultOrder", "none", "creationtime")
        filled["jobDefaultOrder"] = str(policy["jobDefaultOrder"]).lower()
    return filled


def _machine(body: Mapping[str, Any]) -> dict[str, Any]:
    machine: dict[str, Any] = copy.deepcopy(body["virtualMachineConfiguration"])
    image = machine["imageReference"]
    own_image = image.get("virtualMachineImageId")
    if own_image is None:
        image.setdefault("version", "latest")
    elif not _IMAGE.fullmatch(own_image):
        raise invalid("virtualMachineImageId", own_image, "The value is not the resource id of an image")
    for disk in machine.get("dataDisks", []):
        disk.setdefault("caching", "none")
        disk.setdefault("managedDisk", {}).setdefault("storageAccountType", "standard_lrs")
    return machine


def _scale(body: Mapping[str, Any], filled: dict[str, Any]) -> None:
    if not filled["enableAutoScale"]:
        if "autoScaleFormula" in body:
            raise invalid("autoScaleFormula", body["autoScaleFormula"], "Automatic scaling is not enabled")
        filled["resizeTimeout"] = resize_timeout(body.get("resizeTimeout", "PT15M"))
        return
    for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
        if name in body:
            raise invalid(name, body[name], "A pool that scales automatically must not have targets")
    if "autoScaleFormula" not in body:
        raise missing("autoScaleFormula")
    filled["autoScaleEvaluationInterval"] = interval(body.get("autoScaleEvaluationInterval", "PT15M"))


def resize_timeout(value: object) -> str:
    """Return a resize timeout in normal form; it is at least 5 minutes."""
    read = wire.duration(value, "resizeTimeout")
    if read is not None and read < SHORTEST_RESIZE:
        raise invalid("resizeTimeout", value, "The value is less than 5 minutes")
    return wire.duration_text(read)


def interval(value: object) -> str:
    """Return an evaluation interval in normal form; it is 5 minutes to 168 hours."""
    read = wire.duration(value, "autoScaleEvaluationInterval")
    if read is None or not SHORTEST_INTERVAL <= read <= LONGEST_INTERVAL:
        raise invalid("autoScaleEvaluationInterval", value, "The value is not within 5 minutes and 168 hours")
    return wire.duration_text(read)


def _network(filled: dict[str, Any]) -> None:
    network = filled.get("networkConfiguration")
    if network is None:
        return
    subnet = network.get("subnetId")
    if subnet is not None and not _SUBNET.fullmatch(subnet):
        raise invalid("subnetId", subnet, "The subnet is not in the subscription of the account")
    network.setdefault("dynamicVNetAssignmentScope", "none")
    network.setdefault("enableAcceleratedNetworking", False)


def start_task(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a start task with the service's defaults."""
    _command(body, "startTask")
    return {"maxTaskRetryCount": 0, "waitForSuccess": True, **_settings(body)}


def _command(body: Mapping[str, Any], owner: str) -> None:
    if "commandLine" not in body:
        raise missing(f"{owner}.commandLine" if owner != "task" else "commandLine")
    if not body["commandLine"].strip() and "containerSettings" not in body:
        raise invalid("commandLine", body["commandLine"], "The command line is empty")


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Fill what all kinds of task have: user, container, conditions of output files."""
    filled: dict[str, Any] = {"userIdentity": copy.deepcopy(USER), **copy.deepcopy(dict(body))}
    user = filled["userIdentity"].get("autoUser")
    if user is not None:
        filled["userIdentity"]["autoUser"] = {**USER["autoUser"], **user}
    container = filled.get("containerSettings")
    if container is not None:
        if not container.get("imageName"):
            raise missing("containerSettings.imageName")
        container.setdefault("workingDirectory", "taskWorkingDirectory")
    for output in filled.get("outputFiles", []):
        options = output.get("uploadOptions", {})
        if "uploadCondition" in options:
            options["uploadCondition"] = options["uploadCondition"].lower()
    return filled


def constraints(
    body: Mapping[str, Any],
    *,
    retries: int = 0,
    retention: str | None = "P7D",
    wall_clock: str = wire.UNLIMITED,
) -> dict[str, Any]:
    """Return task constraints with their defaults, durations in normal form."""
    given = dict(body)
    whole(given, "maxTaskRetryCount", -1, 2**31 - 1)
    filled: dict[str, Any] = {
        "maxWallClockTime": wire.normal_duration(
            given.get("maxWallClockTime", wall_clock), "maxWallClockTime"
        ),
        "maxTaskRetryCount": given.get("maxTaskRetryCount", retries),
    }
    if retention is not None:
        text = given.get("retentionTime", retention)
        filled["retentionTime"] = wire.normal_duration(text, "retentionTime")
    return filled


def task(body: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a task, checked and filled; `job` is the document of its job."""
    body = shapes.without_written(body)
    named(body)
    _command(body, "task")
    shapes.check_complete(body, "Task")
    whole(body, "requiredSlots", 1, MOST_SLOTS)
    filled = {"requiredSlots": 1, **_settings(body)}
    retries = int(job.get("constraints", {}).get("maxTaskRetryCount", 0))
    filled["constraints"] = constraints(body.get("constraints", {}), retries=retries)
    return filled


def job(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a job, checked and filled."""
    body = shapes.without_written(body)
    named(body)
    shapes.check_complete(body, "Job")
    whole(body, "priority", -1000, 1000)
    whole(body, "maxParallelTasks", -1, 2**31 - 1)
    one_of(body, "onAllTasksComplete", "noaction", "terminatejob")
    one_of(body, "onTaskFailure", "noaction", "performexitoptionsjobaction")
    filled = {
        "priority": 0,
        "maxParallelTasks": -1,
        "allowTaskPreemption": False,
        "usesTaskDependencies": False,
        "onAllTasksComplete": "noaction",
        "onTaskFailure": "noaction",
        **copy.deepcopy(dict(body)),
    }
    for name in ("onAllTasksComplete", "onTaskFailure"):
        filled[name] = filled[name].lower()
    filled["constraints"] = constraints(body.get("constraints", {}), retention=None)
    if "jobPreparationTask" in filled:
        filled["jobPreparationTask"] = preparation_task(filled["jobPreparationTask"])
    if "jobReleaseTask" in filled:
        if "jobPreparationTask" not in filled:
            raise invalid("jobReleaseTask", "", "A job release task needs a job preparation task")
        filled["jobReleaseTask"] = _release_task(filled["jobReleaseTask"])
    return filled


def preparation_task(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job preparation task with the service's defaults."""
    _command(body, "jobPreparationTask")
    filled = {
        "id": "jobpreparation",
        "waitForSuccess": True,
        "rerunOnNodeRebootAfterSuccess": True,
        **_settings(body),
    }
    wire.check_id(filled["id"], "jobPreparationTask.id")
    filled["constraints"] = constraints(body.get("constraints", {}))
    return filled


def _release_task(body: Mapping[str, Any]) -> dict[str, Any]:
    _command(body, "jobReleaseTask")
    filled = {"id": "jobrelease", "maxWallClockTime": "PT15M", "retentionTime": "P7D", **_settings(body)}
    wire.check_id(filled["id"], "jobReleaseTask.id")
    for name in ("maxWallClockTime", "retentionTime"):
        filled[name] = wire.normal_duration(filled[name], name)
    return filled
