"""From a job's plan to what Azure is sent: the secrets are put in here, and nothing here is stored or logged."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from activity.gateways import reveal, storage_gateway
from activity.ledger import Failed
from activity.models import Account, Credential
from cloud.types import (
    ContainerSettings,
    EnvironmentSetting,
    JobSpec,
    OutputFile,
    PreparationTaskSpec,
    RegistryRef,
    TaskConstraints,
    TaskSpec,
    UserIdentity,
)
from jobs.models import Job
from jobs.parameters import read
from jobs.places import storage_for
from jobs.recipes import JobPlan, OutputPlan, PreparationPlan, TaskPlan, Variable
from pools.models import ImageName, Registry, StorageAccount

QUEUE_WAIT = timedelta(days=14)
"""For so long a task may wait before it starts and still upload its output."""

UPLOAD_MARGIN = timedelta(hours=2)

MOST_BY_IDENTITY = timedelta(days=7) - timedelta(minutes=10)
"""What Azure allows a signature that is made with an identity instead of the account's key, less clock differences."""

UPLOAD_PERMISSIONS = "rwl"


def job_spec(job: Job, plan: JobPlan, mark: str) -> JobSpec:
    """Build a job that stays open until it is told to end with its tasks."""
    if job.pool is None:
        raise Failed("The job's pool is gone.", "PoolNotFound")
    return JobSpec(
        id=job.batch_id,
        pool_id=job.pool.batch_id,
        operation=mark,
        display_name=job.title or None,
        priority=job.asked_priority,
        preparation_task=_preparation(plan.preparation) if plan.preparation else None,
        common_environment=tuple(environment(job.account, plan.common_environment)),
        on_all_tasks_complete="noaction",
    )


def _preparation(plan: PreparationPlan) -> PreparationTaskSpec:
    return PreparationTaskSpec(
        command_line=plan.command_line,
        user_identity=UserIdentity(scope=plan.scope, elevation_level=plan.elevation),
        constraints=TaskConstraints(max_task_retry_count=plan.max_task_retry_count),
        wait_for_success=plan.wait_for_success,
    )


def task_specs(job: Job, plan: JobPlan, mark: str, *, now: datetime) -> list[TaskSpec]:
    """Build a job's tasks; permissions to upload begin `now`."""
    return [_task(job, task, mark, now=now) for task in plan.tasks]


def _task(job: Job, plan: TaskPlan, mark: str, *, now: datetime) -> TaskSpec:
    limit = plan.max_wall_clock_minutes
    return TaskSpec(
        id=plan.id,
        command_line=plan.command_line,
        operation=mark,
        container=_container(job, plan) if plan.image else None,
        environment=tuple(environment(job.account, plan.environment)),
        output_files=tuple(_output(job, plan, output, now=now) for output in plan.output_files),
        user_identity=UserIdentity(scope=plan.scope, elevation_level=plan.elevation),
        constraints=TaskConstraints(
            max_wall_clock_time=timedelta(minutes=limit) if limit else None,
            max_task_retry_count=plan.max_task_retry_count,
        ),
    )


def _container(job: Job, plan: TaskPlan) -> ContainerSettings:
    return ContainerSettings(
        image_name=plan.image,
        run_options=plan.run_options,
        registry=_registry(job, plan.image),
        working_directory=plan.working_directory,
    )


def _registry(job: Job, image: str) -> RegistryRef | None:
    """Name the image's registry unless the pool knows it: then its nodes have the password already."""
    server = ImageName.parse(image).login_server.lower()
    if job.pool and server in _servers_of_pool(job):
        return None
    row = Registry.objects.filter(account=job.account, login_server__iexact=server).first()
    if row is None or row.credential is None:
        return None
    return RegistryRef(
        server=row.login_server, username=row.credential.username, password=reveal(row.credential)
    )


def _servers_of_pool(job: Job) -> set[str]:
    pool = job.pool
    if pool is None:
        return set()
    seen = {str(entry[0]).lower() for entry in pool.container_registries if entry}
    names = [name for name in (pool.asked_image, *pool.prefetched_images) if name]
    return seen | {ImageName.parse(name).login_server.lower() for name in names}


def environment(account: Account, variables: tuple[Variable, ...]) -> list[EnvironmentSetting]:
    """Turn planned variables into settings; a secret that the account does not have is left out."""
    settings = []
    for variable in variables:
        if not variable.secret:
            settings.append(EnvironmentSetting(name=variable.name, value=variable.value))
        elif credential := secret_of(account, variable.secret):
            settings.append(EnvironmentSetting(name=variable.name, value=reveal(credential), is_secret=True))
    return settings


def missing_secrets(account: Account, spec: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Return a message per answer that needs a credential which the account does not have."""
    needed = {p.name: p.needs_secret for p in read(spec) if p.needs_secret and values.get(p.name)}
    return {
        name: f"This needs the credential {secret}, which an admin can add."
        for name, secret in needed.items()
        if secret_of(account, secret) is None
    }


def secret_of(account: Account, name: str) -> Credential | None:
    """Find the credential of a secret's name: the account's own (`slug:NAME`) before the common one (`NAME`)."""
    found = {row.name: row for row in Credential.objects.filter(name__in=[f"{account.slug}:{name}", name])}
    return found.get(f"{account.slug}:{name}") or found.get(name)


def _output(job: Job, task: TaskPlan, plan: OutputPlan, *, now: datetime) -> OutputFile:
    storage = storage_for(job.pool, plan.container) if job.pool else None
    if storage is None:
        raise Failed(f"No storage account is known for container {plan.container}.", "StorageUnknown")
    life = upload_life(task, is_by_identity=storage.credential is None)
    return OutputFile(
        file_pattern=plan.pattern,
        container_url=_upload_address(storage, plan.container, expires_at=now + life),
        path=plan.path,
        upload_condition=plan.condition,
    )


def upload_life(task: TaskPlan, *, is_by_identity: bool = False) -> timedelta:
    """How long a task's permission to upload lasts: waiting, every try at its limit, and a margin.

    Signed by an identity it is shorter, and the waiting has to do with what is left.
    """
    if task.max_wall_clock_minutes is None:
        raise Failed(
            "The task has no time limit, so its permission to upload would have no safe end.", "NoLimit"
        )
    tries = max(task.max_task_retry_count, 0) + 1
    running = timedelta(minutes=task.max_wall_clock_minutes) * tries + UPLOAD_MARGIN
    return (
        max(running, min(QUEUE_WAIT + running, MOST_BY_IDENTITY)) if is_by_identity else QUEUE_WAIT + running
    )


def _upload_address(storage: StorageAccount, container: str, *, expires_at: datetime) -> str:
    gateway = storage_gateway(
        storage.account, name=storage.name, endpoint=storage.address, credential=storage.credential
    )
    gateway.ensure_container(container)
    return gateway.container_sas(container, permissions=UPLOAD_PERMISSIONS, expires_at=expires_at)
