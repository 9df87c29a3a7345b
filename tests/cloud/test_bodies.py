"""Every body the gateway can send, judged by the SDK's models and by Microsoft's published examples."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.batch import models
from azure.batch.models import _models

from cloud.types import (
    BindMount,
    BlobMount,
    CifsMount,
    ContainerSettings,
    EnvironmentSetting,
    FileShareMount,
    JobSpec,
    NfsMount,
    PoolSpec,
    TaskSpec,
    UserIdentity,
    VmImageRef,
)
from cloud.wire import scalars, write_jobs, write_pools
from tests.cloud import specs
from tests.cloud.sdk_schema import faults

PUBLISHED = json.loads((Path(__file__).parent / "published" / "requests.json").read_text())

BODIES = {
    "zoobot pool": (models.BatchPoolCreateOptions, write_pools.create_pool(specs.zoobot_pool())),
    "full pool": (models.BatchPoolCreateOptions, write_pools.create_pool(specs.full_pool())),
    "custom image": (
        models.BatchPoolCreateOptions,
        write_pools.create_pool(specs.zoobot_pool(image_reference=VmImageRef(virtual_machine_image_id="/i"))),
    ),
    "resize": (
        models.BatchPoolResizeOptions,
        write_pools.resize_pool(1, 2, timedelta(minutes=5), "taskcompletion"),
    ),
    "resize one kind": (models.BatchPoolResizeOptions, write_pools.resize_pool(None, 0, None, None)),
    "enable autoscale": (
        models.BatchPoolEnableAutoScaleOptions,
        write_pools.enable_autoscale("$TargetDedicated=0", timedelta(minutes=8)),
    ),
    "evaluate": (models.BatchPoolEvaluateAutoScaleOptions, write_pools.evaluate_autoscale("$a=1")),
    **{
        f"reboot {option}": (_models.BatchNodeRebootOptions, write_pools.reboot_node(option))
        for option in (None, "requeue", "terminate", "taskcompletion", "retaineddata")
    },
    **{
        f"reimage {option}": (_models.BatchNodeReimageOptions, write_pools.reimage_node(option))
        for option in (None, "requeue", "terminate", "taskcompletion", "retaineddata")
    },
    "zoobot job": (models.BatchJobCreateOptions, write_jobs.create_job(specs.zoobot_job())),
    "full job": (models.BatchJobCreateOptions, write_jobs.create_job(specs.full_job())),
    "close job": (models.BatchJobUpdateOptions, write_jobs.update_job("terminatejob", None)),
    "priority": (models.BatchJobUpdateOptions, write_jobs.update_job(None, -1000)),
    "terminate": (_models.BatchJobTerminateOptions, write_jobs.terminate_job("enough")),
    "terminate plainly": (_models.BatchJobTerminateOptions, write_jobs.terminate_job("")),
    "zoobot task": (models.BatchTaskCreateOptions, write_jobs.task(specs.zoobot_task())),
    "full task": (models.BatchTaskCreateOptions, write_jobs.task(specs.full_task())),
    "collection": (models.BatchTaskGroup, write_jobs.task_collection([write_jobs.task(specs.full_task())])),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_sdk_accepts_the_body(name: str) -> None:
    model, body = BODIES[name]
    assert faults(model, body) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"vmsize": "x"}, ".vmsize: unknown"),
        ({"state": "active"}, ".state: unknown"),
        ({"targetDedicatedNodes": "2"}, ".targetDedicatedNodes: '2' is no <class 'int'>"),
        ({"resizeTimeout": 60}, ".resizeTimeout: 60 is no <class 'datetime.timedelta'>"),
        (
            {"taskSchedulingPolicy": {"nodeFillType": "Pack"}},
            ".taskSchedulingPolicy.nodeFillType: 'Pack' is no",
        ),
    ],
)
def test_the_judge_notices_a_planted_fault(change: dict[str, Any], fault: str) -> None:
    body = {**write_pools.create_pool(specs.zoobot_pool()), **change}
    (found,) = faults(models.BatchPoolCreateOptions, body)
    assert found.startswith(fault)


def _pool(**changes: Any) -> PoolSpec:
    values: dict[str, Any] = {
        "id": "pool2",
        "vm_size": "Standard_D4d_v5",
        "image_reference": VmImageRef(publisher="Canonical", offer="ubuntu-24_04-lts", sku="server"),
        "node_agent_sku_id": "batch.node.ubuntu 20.04",
        "operation": "op",
        "resize_timeout": timedelta(minutes=15),
        "target_dedicated_nodes": 5,
        "target_low_priority_nodes": 0,
        "task_slots_per_node": 3,
        "node_fill_type": "spread",
    }
    return PoolSpec(**{**values, **changes})


def _task(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"id": "taskId", "command_line": "bash -c 'echo hello'", "operation": "op"}
    return write_jobs.task(TaskSpec(**{**values, **changes}))


ISOLATED = UserIdentity(scope="task", elevation_level="nonadmin")
OPTIONS = "mount options ver=1.0"
OURS = {
    "Pools_CreatePool_VirtualMachineConfigurationWithContainers": write_pools.create_pool(
        _pool(
            image_reference=VmImageRef(publisher="Canonical", offer="ubuntu-24_04-lts", sku="120_04-lts"),
            container_image_names=("busybox",),
        )
    ),
    "Pools_CreatePool_MountConfiguration": write_pools.create_pool(
        _pool(
            mounts=(
                BlobMount(
                    account_name="accountName",
                    container_name="blobContainerName",
                    account_key="accountKey",
                    relative_mount_path="bfusepath",
                ),
                FileShareMount(
                    account_name="accountName",
                    azure_file_url="https://myaccount.file.core.windows.net/fileshare",
                    account_key="accountKey",
                    relative_mount_path="filesharepath",
                    mount_options=OPTIONS,
                ),
                NfsMount(source="somesource nfs url", relative_mount_path="mountpath", mount_options=OPTIONS),
                CifsMount(
                    username="accountName",
                    password="password",
                    source="//myaccount.file.core.windows.net/file",
                    relative_mount_path="mountpath",
                    mount_options=OPTIONS,
                ),
            )
        )
    ),
    "Pools_CreatePool_AcceleratedNetworking": write_pools.create_pool(
        PoolSpec(
            id="mypool01",
            vm_size="Standard_D1_v2",
            image_reference=VmImageRef(
                publisher="MicrosoftWindowsServer", offer="WindowsServer", sku="2025-datacenter-smalldisk"
            ),
            node_agent_sku_id="batch.node.windows amd64",
            operation="op",
            target_dedicated_nodes=2,
            enable_accelerated_networking=True,
        )
    ),
    "Pools_ResizePool": write_pools.resize_pool(1, 0, None, None),
    "Pools_EnablePoolAutoscale": write_pools.enable_autoscale("$TargetDedicated=0", timedelta(minutes=8)),
    "Pools_EvaluatePoolAutoscale": write_pools.evaluate_autoscale("$TargetDedicated=1"),
    "Nodes_RebootNode": write_pools.reboot_node("terminate"),
    "Nodes_NodeReimage": write_pools.reimage_node("terminate"),
    "Jobs_CreateJob_Basic": write_jobs.create_job(JobSpec(id="jobId", pool_id="poolId", operation="op")),
    "Jobs_TerminateJob": write_jobs.terminate_job("User supplied termination reason"),
    "Tasks_CreateTask_Basic": _task(id="task1", command_line="cmd /c echo task1"),
    "Tasks_CreateTask_RequiredSlots": _task(id="task1", command_line="cmd /c echo task1", required_slots=2),
    "Tasks_CreateTask_ContainerSettings": _task(
        container=ContainerSettings(image_name="ubuntu", run_options="--rm"), user_identity=ISOLATED
    ),
    "Tasks_CreateTask_ContainerSettingsWithDataIsolation": _task(
        container=ContainerSettings(
            image_name="ubuntu", bind_mounts=(BindMount(source="Task", is_read_only=True),)
        ),
        user_identity=ISOLATED,
    ),
    "Tasks_CreateTask_ContainerSettingsWithDataIsolation_DuplicateSources": _task(
        container=ContainerSettings(
            image_name="ubuntu", bind_mounts=(BindMount(source="Task", is_read_only=True),) * 2
        ),
        user_identity=ISOLATED,
    ),
    "Tasks_CreateTaskCollection_Basic": write_jobs.task_collection(
        _task(id=name, command_line="cmd /c dir /s") for name in ("simple1", "simple2")
    ),
}

# What Azure assumes anyway when it is left out, and our own marks.
DEFAULTS: dict[str, Any] = {
    "version": "latest",
    "enableAutoScale": False,
    "priority": 0,
    "taskSlotsPerNode": 1,
    "requiredSlots": 1,
    "onAllTasksComplete": "noaction",
    "onTaskFailure": "noaction",
    "metadata": [{"name": "zoobatch_operation", "value": "op"}],
    "environmentSettings": [{"name": "ZOOBATCH_OPERATION", "value": "op"}],
}


def normal(value: Any) -> Any:
    """Return a body without defaults and marks, durations as numbers."""
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if DEFAULTS.get(name, ...) != item}
        return {name: normal(item) for name, item in kept.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, str) and value.startswith("P") and (found := scalars.duration(value)):
        return found.total_seconds()
    return value


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_body_equals_the_published_example(name: str) -> None:
    assert normal(OURS[name]) == normal(PUBLISHED[name])


def test_the_zooniverse_notebooks_pool_is_expressible() -> None:
    body = write_pools.create_pool(specs.zoobot_pool())
    assert body["virtualMachineConfiguration"] == {
        "imageReference": {
            "publisher": "microsoft-dsvm",
            "offer": "ubuntu-hpc",
            "sku": "2204",
            "version": "latest",
        },
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
        "containerConfiguration": {
            "type": "dockerCompatible",
            "containerImageNames": ["zoobot.azurecr.io/pytorch:1.10.1-gpu-py3"],
            "containerRegistries": [
                {"registryServer": "zoobot.azurecr.io", "username": "zoobot", "password": "registry-password"}
            ],
        },
    }
    assert body["enableAutoScale"] is True
    assert body["autoScaleFormula"] == specs.FORMULA
    assert "targetDedicatedNodes" not in body
    assert [
        m["azureBlobFileSystemConfiguration"]["relativeMountPath"] for m in body["mountConfiguration"]
    ] == [
        "training",
        "models",
    ]


def test_an_empty_list_of_bind_mounts_is_sent_for_it_means_no_mount() -> None:
    body = _task(container=ContainerSettings(image_name="ubuntu", bind_mounts=()))
    assert body["containerSettings"]["containerHostBatchBindMounts"] == []


def test_secret_names_travel_with_the_object_and_values_only_where_they_belong() -> None:
    job = write_jobs.create_job(specs.full_job())
    assert {"name": "zoobatch_secret_env", "value": "A,WANDB_API_KEY"} in job["metadata"]
    task = write_jobs.task(specs.full_task())
    assert {"name": "ZOOBATCH_SECRET_ENV", "value": "WANDB"} in task["environmentSettings"]


def test_no_secret_shows_in_a_specification() -> None:
    text = repr([specs.full_pool(), specs.full_job(), specs.full_task()])
    for secret in ("registry-password", "storage-account-key", "hush", "pass-word", "sig=", "password='p'"):
        assert secret not in text


def test_an_environment_value_may_be_empty() -> None:
    body = _task(environment=(EnvironmentSetting(name="EMPTY", value=""),))
    assert body["environmentSettings"][0] == {"name": "EMPTY", "value": ""}
