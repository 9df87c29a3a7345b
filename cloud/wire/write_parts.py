"""Request bodies of the parts that pools, jobs and tasks share, built from Azure's own models."""

from collections.abc import Iterable
from datetime import timedelta

from azure.batch import models

from cloud.types import (
    ApplicationPackage,
    ContainerSettings,
    EnvironmentSetting,
    Metadata,
    OutputFile,
    RegistryRef,
    ResourceFile,
    TaskConstraints,
    UserIdentity,
)


def metadata(items: Metadata, **marks: str) -> list[models.BatchMetadataItem]:
    """Return metadata with our marks behind the caller's own items; empty marks are left out."""
    pairs = [*items, *((name, value) for name, value in marks.items() if value)]
    return [models.BatchMetadataItem(name=name, value=value) for name, value in pairs]


def environment(settings: Iterable[EnvironmentSetting]) -> list[models.EnvironmentSetting] | None:
    """Return environment settings, None when there are none."""
    return [models.EnvironmentSetting(name=s.name, value=s.value) for s in settings] or None


def secret_names(*groups: Iterable[EnvironmentSetting]) -> str:
    """Return the names of the secret settings, in order and joined by commas."""
    return ",".join(sorted({setting.name for group in groups for setting in group if setting.is_secret}))


def identity(identity_id: str | None) -> models.BatchNodeIdentityReference | None:
    """Return the reference to an identity of the pool."""
    return models.BatchNodeIdentityReference(resource_id=identity_id) if identity_id else None


def registry(ref: RegistryRef) -> models.ContainerRegistryReference:
    """Return a registry with its credential: an identity goes before user and password."""
    if ref.identity_id:
        return models.ContainerRegistryReference(
            registry_server=ref.server, identity_reference=identity(ref.identity_id)
        )
    return models.ContainerRegistryReference(
        registry_server=ref.server, username=ref.username, password=ref.password
    )


def container(settings: ContainerSettings | None) -> models.BatchTaskContainerSettings | None:
    """Return a task's container settings."""
    if settings is None:
        return None
    mounts = None
    if settings.bind_mounts is not None:
        mounts = [
            models.ContainerHostBatchBindMountEntry(source=m.source, is_read_only=m.is_read_only)
            for m in settings.bind_mounts
        ]
    return models.BatchTaskContainerSettings(
        image_name=settings.image_name,
        container_run_options=settings.run_options or None,
        registry=registry(settings.registry) if settings.registry else None,
        working_directory=settings.working_directory,
        container_host_batch_bind_mounts=mounts,
    )


def user_identity(user: UserIdentity | None) -> models.UserIdentity | None:
    """Return who a task runs as; a named account and an automatic user exclude each other."""
    if user is None:
        return None
    if user.username:
        return models.UserIdentity(username=user.username)
    return models.UserIdentity(
        auto_user=models.AutoUserSpecification(scope=user.scope, elevation_level=user.elevation_level)
    )


def resource_files(files: Iterable[ResourceFile]) -> list[models.ResourceFile] | None:
    """Return input files, None when there are none."""
    return [
        models.ResourceFile(
            http_url=f.http_url,
            storage_container_url=f.storage_container_url,
            auto_storage_container_name=f.auto_storage_container_name,
            blob_prefix=f.blob_prefix,
            file_path=f.file_path,
            file_mode=f.file_mode,
            identity_reference=identity(f.identity_id),
        )
        for f in files
    ] or None


def output_files(files: Iterable[OutputFile]) -> list[models.OutputFile] | None:
    """Return output files, None when there are none."""
    return [
        models.OutputFile(
            file_pattern=f.file_pattern,
            destination=models.OutputFileDestination(
                container=models.OutputFileBlobContainerDestination(
                    container_url=f.container_url, path=f.path, identity_reference=identity(f.identity_id)
                )
            ),
            upload_options=models.OutputFileUploadConfiguration(upload_condition=f.upload_condition),
        )
        for f in files
    ] or None


def application_packages(
    packages: Iterable[ApplicationPackage],
) -> list[models.BatchApplicationPackageReference] | None:
    """Return application packages, None when there are none."""
    return [
        models.BatchApplicationPackageReference(application_id=p.application_id, version=p.version)
        for p in packages
    ] or None


def constraints(limits: TaskConstraints | None) -> models.BatchTaskConstraints | None:
    """Return a task's limits; what is None keeps Azure's default."""
    if limits is None or limits == TaskConstraints():
        return None
    return models.BatchTaskConstraints(
        max_wall_clock_time=limits.max_wall_clock_time,
        retention_time=limits.retention_time,
        max_task_retry_count=limits.max_task_retry_count,
    )


def job_constraints(
    max_wall_clock_time: timedelta | None, max_task_retry_count: int | None
) -> models.BatchJobConstraints | None:
    """Return a job's limits, None when it has none."""
    if max_wall_clock_time is None and max_task_retry_count is None:
        return None
    return models.BatchJobConstraints(
        max_wall_clock_time=max_wall_clock_time, max_task_retry_count=max_task_retry_count
    )
