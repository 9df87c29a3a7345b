"""Request bodies about jobs and tasks."""

from collections.abc import Iterable
from typing import Any

from azure.batch import models

from cloud.types import (
    OPERATION_ENV,
    OPERATION_KEY,
    SECRET_NAMES_ENV,
    SECRET_NAMES_KEY,
    EnvironmentSetting,
    JobSpec,
    PreparationTaskSpec,
    ReleaseTaskSpec,
    TaskSpec,
)
from cloud.wire import write_parts as parts

Body = dict[str, Any]


def create_job(spec: JobSpec) -> Body:
    """Return the body of a job's creation."""
    nested = [task.environment for task in (spec.preparation_task, spec.release_task) if task]
    names = parts.secret_names(spec.common_environment, *nested)
    marks = {OPERATION_KEY: spec.operation, SECRET_NAMES_KEY: names}
    return models.BatchJobCreateOptions(
        id=spec.id,
        display_name=spec.display_name,
        uses_task_dependencies=spec.uses_task_dependencies or None,
        priority=spec.priority,
        allow_task_preemption=spec.allow_task_preemption,
        max_parallel_tasks=spec.max_parallel_tasks,
        constraints=parts.job_constraints(spec.max_wall_clock_time, spec.max_task_retry_count),
        job_preparation_task=_preparation(spec.preparation_task),
        job_release_task=_release(spec.release_task),
        common_environment_settings=parts.environment(spec.common_environment),
        pool_info=models.BatchPoolInfo(pool_id=spec.pool_id),
        all_tasks_complete_mode=spec.on_all_tasks_complete,
        task_failure_mode=spec.on_task_failure,
        metadata=parts.metadata(spec.metadata, **marks),
    ).as_dict(exclude_readonly=True)


def _preparation(task: PreparationTaskSpec | None) -> models.BatchJobPreparationTask | None:
    if task is None:
        return None
    return models.BatchJobPreparationTask(
        id=task.id,
        command_line=task.command_line,
        container_settings=parts.container(task.container),
        resource_files=parts.resource_files(task.resource_files),
        environment_settings=parts.environment(task.environment),
        constraints=parts.constraints(task.constraints),
        wait_for_success=task.wait_for_success,
        user_identity=parts.user_identity(task.user_identity),
        rerun_on_node_reboot_after_success=task.rerun_on_node_reboot_after_success,
    )


def _release(task: ReleaseTaskSpec | None) -> models.BatchJobReleaseTask | None:
    if task is None:
        return None
    return models.BatchJobReleaseTask(
        id=task.id,
        command_line=task.command_line,
        container_settings=parts.container(task.container),
        resource_files=parts.resource_files(task.resource_files),
        environment_settings=parts.environment(task.environment),
        max_wall_clock_time=task.max_wall_clock_time,
        retention_time=task.retention_time,
        user_identity=parts.user_identity(task.user_identity),
    )


def update_job(on_all_tasks_complete: str | None, priority: int | None) -> Body:
    """Return the body of a patch; a member left out keeps its value."""
    return models.BatchJobUpdateOptions(
        all_tasks_complete_mode=on_all_tasks_complete, priority=priority
    ).as_dict(exclude_readonly=True)


def terminate_job(reason: str) -> Body:
    """Return the body of a termination."""
    return {"terminateReason": reason} if reason else {}


def task(spec: TaskSpec) -> Body:
    """Return one task of a collection; environment settings carry our marks."""
    return models.BatchTaskCreateOptions(
        id=spec.id,
        display_name=spec.display_name,
        command_line=spec.command_line,
        exit_conditions=_exit_conditions(spec),
        resource_files=parts.resource_files(spec.resource_files),
        output_files=parts.output_files(spec.output_files),
        environment_settings=parts.environment(_marked(spec)),
        constraints=parts.constraints(spec.constraints),
        required_slots=spec.required_slots,
        user_identity=parts.user_identity(spec.user_identity),
        depends_on=models.BatchTaskDependencies(task_ids=list(spec.depends_on)) if spec.depends_on else None,
        application_package_references=parts.application_packages(spec.application_packages),
        container_settings=parts.container(spec.container),
    ).as_dict(exclude_readonly=True)


def task_collection(bodies: Iterable[Body]) -> Body:
    """Return the body that adds several tasks, 100 at most."""
    return {"value": list(bodies)}


def _marked(spec: TaskSpec) -> list[EnvironmentSetting]:
    names = parts.secret_names(spec.environment)
    marks = [EnvironmentSetting(name=OPERATION_ENV, value=spec.operation)]
    if names:
        marks.append(EnvironmentSetting(name=SECRET_NAMES_ENV, value=names))
    return [*spec.environment, *marks]


def _exit_conditions(spec: TaskSpec) -> models.ExitConditions | None:
    """Act on any exit that is not 0; 0 is named because `default` would cover it too."""
    if spec.job_action_on_failure is None:
        return None
    failed = models.ExitOptions(job_action=spec.job_action_on_failure)
    succeeded = models.ExitCodeMapping(code=0, exit_options=models.ExitOptions(job_action="none"))
    return models.ExitConditions(
        exit_codes=[succeeded],
        pre_processing_error=failed,
        file_upload_error=failed,
        default=failed,
    )
