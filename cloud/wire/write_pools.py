"""Request bodies about pools and nodes."""

from datetime import timedelta
from typing import Any, assert_never

from azure.batch import models

from cloud.types import (
    OPERATION_KEY,
    SECRET_NAMES_KEY,
    BlobMount,
    CifsMount,
    FileShareMount,
    MountSpec,
    NfsMount,
    PoolSpec,
    StartTaskSpec,
    VmImageRef,
)
from cloud.wire import write_parts as parts

Body = dict[str, Any]


def create_pool(spec: PoolSpec) -> Body:
    """Return the body of a pool's creation."""
    start_environment = spec.start_task.environment if spec.start_task else ()
    marks = {OPERATION_KEY: spec.operation, SECRET_NAMES_KEY: parts.secret_names(start_environment)}
    return models.BatchPoolCreateOptions(
        id=spec.id,
        display_name=spec.display_name,
        vm_size=spec.vm_size,
        virtual_machine_configuration=_virtual_machine(spec),
        resize_timeout=spec.resize_timeout,
        target_dedicated_nodes=spec.target_dedicated_nodes,
        target_low_priority_nodes=spec.target_low_priority_nodes,
        enable_auto_scale=True if spec.auto_scale_formula is not None else None,
        auto_scale_formula=spec.auto_scale_formula,
        auto_scale_evaluation_interval=spec.auto_scale_evaluation_interval,
        enable_inter_node_communication=spec.enable_inter_node_communication or None,
        network_configuration=_network(spec),
        start_task=_start_task(spec.start_task),
        application_package_references=parts.application_packages(spec.application_packages),
        task_slots_per_node=spec.task_slots_per_node,
        task_scheduling_policy=_scheduling(spec.node_fill_type),
        user_accounts=_user_accounts(spec),
        metadata=parts.metadata(spec.metadata, **marks),
        mount_configuration=[mount(m) for m in spec.mounts] or None,
    ).as_dict(exclude_readonly=True)


def _virtual_machine(spec: PoolSpec) -> models.VirtualMachineConfiguration:
    container = None
    if spec.container_image_names or spec.container_registries:
        container = models.BatchContainerConfiguration(
            type=spec.container_type,
            container_image_names=list(spec.container_image_names) or None,
            container_registries=[parts.registry(r) for r in spec.container_registries] or None,
        )
    disk = models.BatchOsDisk(disk_size_gb=spec.os_disk_size_gb) if spec.os_disk_size_gb else None
    return models.VirtualMachineConfiguration(
        image_reference=_image(spec.image_reference),
        node_agent_sku_id=spec.node_agent_sku_id,
        container_configuration=container,
        os_disk=disk,
    )


def _image(image: VmImageRef) -> models.BatchVmImageReference:
    if image.virtual_machine_image_id:
        return models.BatchVmImageReference(virtual_machine_image_id=image.virtual_machine_image_id)
    return models.BatchVmImageReference(
        publisher=image.publisher, offer=image.offer, sku=image.sku, version=image.version
    )


def _network(spec: PoolSpec) -> models.NetworkConfiguration | None:
    if not (spec.subnet_id or spec.public_ip_provisioning or spec.enable_accelerated_networking is not None):
        return None
    address = None
    if spec.public_ip_provisioning:
        address = models.BatchPublicIpAddressConfiguration(
            ip_address_provisioning_type=spec.public_ip_provisioning
        )
    return models.NetworkConfiguration(
        subnet_id=spec.subnet_id,
        public_ip_address_configuration=address,
        enable_accelerated_networking=spec.enable_accelerated_networking,
    )


def _scheduling(node_fill_type: str | None) -> models.BatchTaskSchedulingPolicy | None:
    return models.BatchTaskSchedulingPolicy(node_fill_type=node_fill_type) if node_fill_type else None


def _user_accounts(spec: PoolSpec) -> list[models.UserAccount] | None:
    return [
        models.UserAccount(name=u.name, password=u.password, elevation_level=u.elevation_level)
        for u in spec.user_accounts
    ] or None


def _start_task(task: StartTaskSpec | None) -> models.BatchStartTask | None:
    if task is None:
        return None
    return models.BatchStartTask(
        command_line=task.command_line,
        container_settings=parts.container(task.container),
        resource_files=parts.resource_files(task.resource_files),
        environment_settings=parts.environment(task.environment),
        user_identity=parts.user_identity(task.user_identity),
        max_task_retry_count=task.max_task_retry_count,
        wait_for_success=task.wait_for_success,
    )


def mount(spec: MountSpec) -> models.MountConfiguration:
    """Return one mount of a pool."""
    match spec:
        case BlobMount():
            return models.MountConfiguration(azure_blob_file_system_configuration=_blob_mount(spec))
        case FileShareMount():
            return models.MountConfiguration(
                azure_file_share_configuration=models.AzureFileShareConfiguration(
                    account_name=spec.account_name,
                    account_key=spec.account_key,
                    azure_file_url=spec.azure_file_url,
                    relative_mount_path=spec.relative_mount_path,
                    mount_options=spec.mount_options or None,
                )
            )
        case NfsMount():
            return models.MountConfiguration(
                nfs_mount_configuration=models.NfsMountConfiguration(
                    source=spec.source,
                    relative_mount_path=spec.relative_mount_path,
                    mount_options=spec.mount_options or None,
                )
            )
        case CifsMount():
            return models.MountConfiguration(
                cifs_mount_configuration=models.CifsMountConfiguration(
                    source=spec.source,
                    relative_mount_path=spec.relative_mount_path,
                    username=spec.username,
                    password=spec.password,
                    mount_options=spec.mount_options or None,
                )
            )
        case _:
            assert_never(spec)


def _blob_mount(spec: BlobMount) -> models.AzureBlobFileSystemConfiguration:
    return models.AzureBlobFileSystemConfiguration(
        account_name=spec.account_name,
        container_name=spec.container_name,
        relative_mount_path=spec.relative_mount_path,
        account_key=spec.account_key,
        sas_key=spec.sas_key,
        blobfuse_options=spec.blobfuse_options or None,
        identity_reference=parts.identity(spec.identity_id),
    )


def resize_pool(
    target_dedicated_nodes: int | None,
    target_low_priority_nodes: int | None,
    resize_timeout: timedelta | None,
    deallocation: str | None,
) -> Body:
    """Return the body of a resize; a target that is None keeps its value."""
    return models.BatchPoolResizeOptions(
        target_dedicated_nodes=target_dedicated_nodes,
        target_low_priority_nodes=target_low_priority_nodes,
        resize_timeout=resize_timeout,
        node_deallocation_option=deallocation,
    ).as_dict(exclude_readonly=True)


def enable_autoscale(formula: str | None, interval: timedelta | None) -> Body:
    """Return the body that switches autoscale on, or changes formula or interval."""
    return models.BatchPoolEnableAutoScaleOptions(
        auto_scale_formula=formula, auto_scale_evaluation_interval=interval
    ).as_dict(exclude_readonly=True)


def evaluate_autoscale(formula: str) -> Body:
    """Return the body that tries a formula."""
    return models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=formula).as_dict(exclude_readonly=True)


def reboot_node(option: str | None) -> Body:
    """Return the body of a reboot; Azure's default is requeue."""
    return {"nodeRebootOption": option} if option else {}


def reimage_node(option: str | None) -> Body:
    """Return the body of a reimage; Azure's default is requeue."""
    return {"nodeReimageOption": option} if option else {}
