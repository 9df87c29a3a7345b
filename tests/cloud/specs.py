"""Specifications that between them use every field the gateway can send."""

from datetime import timedelta
from typing import Any

from cloud.types import (
    ApplicationPackage,
    BindMount,
    BlobMount,
    CifsMount,
    ContainerSettings,
    EnvironmentSetting,
    FileShareMount,
    JobSpec,
    NfsMount,
    OutputFile,
    PoolSpec,
    PreparationTaskSpec,
    RegistryRef,
    ReleaseTaskSpec,
    ResourceFile,
    StartTaskSpec,
    TaskConstraints,
    TaskSpec,
    UserAccountSpec,
    UserIdentity,
    VmImageRef,
)

IDENTITY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
REGISTRY = RegistryRef(server="zoobot.azurecr.io", username="zoobot", password="registry-password")
ADMIN = UserIdentity(scope="task", elevation_level="admin")
UBUNTU_HPC = VmImageRef(publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2204")
FORMULA = (
    "$targetVMs=max(0,$PendingTasks.GetSample(1)); cappedPoolSize = 2; "
    "$TargetDedicatedNodes = min($targetVMs, cappedPoolSize); $TargetLowPriorityNodes = 0; "
    "$NodeDeallocationOption = taskcompletion;"
)


def blob_mount(container: str) -> BlobMount:
    """Return a mount as the Zooniverse's pools have it."""
    return BlobMount(
        account_name="kadeactivelearning",
        container_name=container,
        relative_mount_path=container,
        blobfuse_options="-o attr_timeout=240 -o entry_timeout=240 -o negative_timeout=120 -o allow_other",
        account_key="storage-account-key",
    )


def zoobot_pool(**changes: Any) -> PoolSpec:
    """Return the Zooniverse's training pool."""
    values: dict[str, Any] = {
        "id": "training_1",
        "display_name": "training_1",
        "vm_size": "STANDARD_NC4as_T4_V3",
        "image_reference": UBUNTU_HPC,
        "node_agent_sku_id": "batch.node.ubuntu 22.04",
        "operation": "op-1",
        "container_image_names": ("zoobot.azurecr.io/pytorch:1.10.1-gpu-py3",),
        "container_registries": (REGISTRY,),
        "auto_scale_formula": FORMULA,
        "auto_scale_evaluation_interval": timedelta(minutes=5),
        "mounts": (blob_mount("training"), blob_mount("models")),
    }
    return PoolSpec(**{**values, **changes})


def full_pool() -> PoolSpec:
    """Return a pool with every field filled (Azure itself would refuse some together)."""
    return zoobot_pool(
        auto_scale_formula=None,
        auto_scale_evaluation_interval=timedelta(hours=1),
        target_dedicated_nodes=2,
        target_low_priority_nodes=3,
        resize_timeout=timedelta(minutes=20),
        task_slots_per_node=4,
        node_fill_type="pack",
        enable_inter_node_communication=True,
        container_registries=(REGISTRY, RegistryRef(server="other.azurecr.io", identity_id=IDENTITY)),
        start_task=StartTaskSpec(
            command_line="/bin/bash -c 'nvidia-smi'",
            container=ContainerSettings(image_name="ubuntu", registry=REGISTRY),
            environment=(EnvironmentSetting(name="TOKEN", value="hush", is_secret=True),),
            resource_files=(ResourceFile(http_url="https://example.org/a", file_path="a", file_mode="0770"),),
            user_identity=UserIdentity(username="carl"),
            max_task_retry_count=2,
        ),
        mounts=(
            blob_mount("models"),
            BlobMount(account_name="a", container_name="c", relative_mount_path="p", identity_id=IDENTITY),
            BlobMount(account_name="a", container_name="c", relative_mount_path="q", sas_key="sv=1&sig=abc"),
            FileShareMount(
                account_name="a",
                azure_file_url="https://a.file.core.windows.net/s",
                relative_mount_path="f",
                account_key="key",
                mount_options="-o vers=3.0",
            ),
            NfsMount(source="host:/export", relative_mount_path="n", mount_options="-o ro"),
            CifsMount(source="//host/share", relative_mount_path="s", username="u", password="p"),
        ),
        user_accounts=(UserAccountSpec(name="carl", password="pass-word", elevation_level="admin"),),
        application_packages=(ApplicationPackage(application_id="app", version="1"),),
        subnet_id="/subscriptions/s/subnets/n",
        public_ip_provisioning="nopublicipaddresses",
        enable_accelerated_networking=True,
        os_disk_size_gb=200,
        metadata=(("team", "zoobot"),),
    )


def zoobot_task(**changes: Any) -> TaskSpec:
    """Return a task like the Zooniverse's training task."""
    values: dict[str, Any] = {
        "id": "1",
        "command_line": '/bin/bash -c "set -ex; python $AZ_BATCH_NODE_SHARED_DIR/train.py"',
        "operation": "op-1",
        "container": ContainerSettings(
            image_name="zoobot.azurecr.io/pytorch:1.10.1-gpu-py3",
            run_options="--ipc=host",
            working_directory="taskWorkingDirectory",
        ),
        "environment": (EnvironmentSetting(name="HF_HOME", value="/cache"),),
        "output_files": tuple(
            OutputFile(
                file_pattern=f"../{name}",
                container_url="https://a.blob.core.windows.net/training?sp=rwl&sr=c&sig=secret",
                path=f"jobs/1/task_logs/{name}",
            )
            for name in ("stderr.txt", "stdout.txt")
        ),
        "user_identity": ADMIN,
    }
    return TaskSpec(**{**values, **changes})


def full_task() -> TaskSpec:
    """Return a task with every field filled."""
    return zoobot_task(
        display_name="Training",
        container=ContainerSettings(
            image_name="ubuntu",
            run_options="--rm",
            registry=RegistryRef(server="r.azurecr.io", identity_id=IDENTITY),
            working_directory="containerImageDefault",
            bind_mounts=(BindMount(source="Task", is_read_only=True), BindMount(source="VfsMounts")),
        ),
        environment=(
            EnvironmentSetting(name="HF_HOME", value="/cache"),
            EnvironmentSetting(name="WANDB", value="hush", is_secret=True),
        ),
        resource_files=(
            ResourceFile(storage_container_url="https://a.blob.core.windows.net/c", blob_prefix="x"),
            ResourceFile(auto_storage_container_name="c", file_path="data", identity_id=IDENTITY),
        ),
        output_files=(
            OutputFile(
                file_pattern="**/*.ckpt",
                container_url="https://a.blob.core.windows.net/c",
                upload_condition="tasksuccess",
                identity_id=IDENTITY,
            ),
        ),
        constraints=TaskConstraints(
            max_wall_clock_time=timedelta(hours=30),
            retention_time=timedelta(days=2),
            max_task_retry_count=-1,
        ),
        required_slots=2,
        depends_on=("0",),
        job_action_on_failure="terminate",
        application_packages=(ApplicationPackage(application_id="app"),),
    )


def zoobot_job(**changes: Any) -> JobSpec:
    """Return a job like the Zooniverse's training job."""
    values: dict[str, Any] = {
        "id": "0b9a4f0e-27a1-4ed1-8b3f-7d8a4f6f3c11",
        "pool_id": "training_1",
        "operation": "op-1",
        "common_environment": (
            EnvironmentSetting(name="CODE_DIR_PATH", value="code"),
            EnvironmentSetting(name="WANDB_API_KEY", value="hush-hush", is_secret=True),
        ),
        "preparation_task": PreparationTaskSpec(
            command_line='/bin/bash -c "set -ex; cp -Rf $AZ_BATCH_NODE_MOUNTS_DIR/code/* ."',
            user_identity=ADMIN,
            constraints=TaskConstraints(max_task_retry_count=3),
        ),
    }
    return JobSpec(**{**values, **changes})


def full_job() -> JobSpec:
    """Return a job with every field filled."""
    return zoobot_job(
        display_name="Training",
        priority=100,
        max_parallel_tasks=3,
        allow_task_preemption=True,
        uses_task_dependencies=True,
        max_wall_clock_time=timedelta(days=2, hours=3),
        max_task_retry_count=-1,
        preparation_task=PreparationTaskSpec(
            command_line="prepare",
            id="prep",
            container=ContainerSettings(image_name="ubuntu", bind_mounts=()),
            environment=(EnvironmentSetting(name="A", value="b", is_secret=True),),
            resource_files=(ResourceFile(http_url="https://example.org/a", file_path="a"),),
            user_identity=ADMIN,
            constraints=TaskConstraints(retention_time=timedelta(hours=1)),
            wait_for_success=False,
            rerun_on_node_reboot_after_success=False,
        ),
        release_task=ReleaseTaskSpec(
            command_line="release",
            container=ContainerSettings(image_name="ubuntu"),
            environment=(EnvironmentSetting(name="C", value="d"),),
            resource_files=(ResourceFile(http_url="https://example.org/a", file_path="a"),),
            user_identity=ADMIN,
            max_wall_clock_time=timedelta(minutes=5),
            retention_time=timedelta(hours=1),
        ),
        on_all_tasks_complete="terminatejob",
        on_task_failure="performexitoptionsjobaction",
        metadata=(("team", "zoobot"),),
    )
