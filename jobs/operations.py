"""The one door to change jobs: each verb validates, writes what was asked for, and requests an operation."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from activity import ledger, roles, targets
from activity.models import Account, Operation
from activity.refusals import Refused
from activity.roles import Actor, Role
from jobs import definitions, recipes, tasks
from jobs.kinds import ACTIVE, ALL, TASKS
from jobs.models import Job, JobDefinition, JobDefinitionRevision
from jobs.places import mount_paths, storage_for
from jobs.specs import missing_secrets
from pools.models import validate_new_batch_id


def create_job(job: Job, *, actor: Actor, now: datetime | None = None, reason: str = "") -> Operation:
    """Ask for a new job: an unsaved Job with account, pool, revision and parameters set.

    Raises ValidationError with messages at the fields (those of the definition under `parameters`),
    Refused by role or mode.
    """
    now = now or timezone.now()
    roles.require_change(actor, job.account, Role.SUBMITTER)
    job.is_ours, job.created_at, job.created_by = True, now, actor
    try:
        with transaction.atomic():
            plan = plan_job(job, now=now)
            _remember_plan(job, plan)
            job.save(force_insert=True)
            operation = _request("create", job, actor=actor, now=now, reason=reason)
            job.operation = operation.uuid
            job.save(update_fields=["operation"])
    except IntegrityError:
        raise ValidationError(
            {"batch_id": f"Job {job.batch_id} was created a moment ago; choose another id."}
        ) from None
    return operation


def plan_job(job: Job, *, now: datetime | None = None) -> recipes.JobPlan:
    """Validate an unsaved job and render what would be sent, without secrets; changes nothing."""
    job.created_at = job.created_at or now or timezone.now()
    errors = _field_errors(job)
    spec = job.revision.spec if job.revision else {}
    problems = recipes.validate(spec, job.parameters) if job.revision else {}
    if not problems:
        problems = missing_secrets(job.account, spec, recipes.cleaned(spec, job.parameters))
    if problems:
        errors["parameters"] = [f"{name}: {text}" for name, text in problems.items()]
    if errors:
        raise ValidationError(errors)
    if job.image and job.pins_digest:
        job.image_digest = job.image.digest
    pool_image = job.pool.image_name if job.pool else ""
    context = recipes.JobContext(
        job_id=job.batch_id,
        created_at=job.created_at,
        image=job.asked_image,
        pool_image=pool_image,
        wall_clock_minutes=job.wall_clock_minutes,
    )
    try:
        plan = recipes.render(spec, job.parameters, context)
    except ValueError as error:
        raise ValidationError({"container_image": str(error)}) from error
    _check_plan(job, plan)
    return plan


def _field_errors(job: Job) -> dict[str, Any]:
    errors: dict[str, Any] = {}
    try:
        job.full_clean()
    except ValidationError as error:
        errors = dict(error.error_dict)
    if job.revision_id is None:
        errors.setdefault("revision", "Choose a definition.")
    elif job.revision is not None and not job.revision.definition.is_active:
        errors.setdefault("revision", f"{job.revision.definition} is not offered any more.")
    if job.pool is None:
        errors.setdefault("pool", "Choose a pool.")
    elif job.pool.is_deleted or job.pool.deletion_asked_at:
        errors.setdefault("pool", f"Pool {job.pool} is deleted or about to be.")
    elif job.pool.was_never_made:
        errors.setdefault("pool", f"Pool {job.pool} was never created: {job.pool.problem}")
    if "batch_id" not in errors:
        try:
            validate_new_batch_id(job.batch_id)
        except ValidationError as error:
            errors["batch_id"] = error
    return errors


def _check_plan(job: Job, plan: recipes.JobPlan) -> None:
    """Check what only the whole plan shows: mounts, where output goes, and time limits."""
    if job.pool is None:
        return
    mounted = mount_paths(job.pool)
    if missing := [path for path in plan.mounts if path not in mounted]:
        raise ValidationError(
            {"pool": f"Pool {job.pool} does not mount {', '.join(missing)}, which this job needs."}
        )
    for task in plan.tasks:
        if task.output_files and task.max_wall_clock_minutes is None:
            raise ValidationError(
                {
                    "wall_clock_minutes": "Give a time limit: the permission to upload the task's output ends some "
                    "time after it, and without a limit it could end before the task does."
                }
            )
        for output in task.output_files:
            if storage_for(job.pool, output.container) is None:
                raise ValidationError(
                    {
                        "pool": f"No storage account is known for container {output.container}, where output goes."
                    }
                )


def _remember_plan(job: Job, plan: recipes.JobPlan) -> None:
    """Put onto the row what will be sent, so that a repeated submission sends the same."""
    job.plan = plan.as_dict()
    job.tasks_asked = len(plan.tasks)
    job.title = job.title or plan.display_name
    job.results_container, job.results_path = plan.results_container, plan.results_dir
    container = plan.results_container or next((o.container for t in plan.tasks for o in t.output_files), "")
    job.storage = storage_for(job.pool, container) if job.pool and container else None


def terminate_job(job: Job, *, actor: Actor, now: datetime | None = None, reason: str = "") -> Operation:
    """Ask for a job's end: its running tasks are stopped, its files stay."""
    now = now or timezone.now()
    _require_own(job, actor)
    if job.is_finished or job.termination_asked_at:
        raise Refused(f"Job {job} has ended already or is about to.", "ended")
    with transaction.atomic():
        job.termination_asked_at = now
        job.save(update_fields=["termination_asked_at"])
        return _request("terminate", job, {"reason": reason}, actor=actor, now=now, reason=reason)


def delete_job(job: Job, *, actor: Actor, now: datetime | None = None, reason: str = "") -> Operation:
    """Ask for a job's removal, with its tasks and their files on the nodes."""
    now = now or timezone.now()
    _require_own(job, actor)
    with transaction.atomic():
        job.deletion_asked_at = now
        job.save(update_fields=["deletion_asked_at"])
        return _request("delete", job, actor=actor, now=now, reason=reason)


def _require_own(job: Job, actor: Actor) -> None:
    """Submitters may end their own jobs; operators everybody's, those made elsewhere too."""
    is_own = actor is not None and job.created_by_id == actor.pk
    roles.require_change(actor, job.account, Role.SUBMITTER if is_own else Role.OPERATOR)
    if job.is_deleted or job.deletion_asked_at:
        raise Refused(f"Job {job} is deleted already or about to be.", "deleted")


def refresh_jobs(account: Account, *, actor: Actor, now: datetime | None = None) -> None:
    """Ask that all of an account's jobs are read now."""
    roles.require(actor, account, Role.VIEWER)
    for kind in (ACTIVE, ALL):
        target = account.sync_targets.filter(kind=kind, subject="").first()
        if target is not None:
            targets.pull_now(target, now=now or timezone.now())


def refresh_job(job: Job, *, actor: Actor, now: datetime | None = None) -> None:
    """Ask that a job's tasks are read now, those of a job that ended long ago too."""
    now = now or timezone.now()
    roles.require(actor, job.account, Role.VIEWER)
    target = targets.ensure(
        job.account,
        TASKS,
        job.batch_id,
        task_name=tasks.pull_tasks.name,
        now=now,
        min_interval=4,
        max_interval=10,
    )
    targets.pull_now(target, now=now)


def install_definitions(*, now: datetime | None = None) -> int:
    """Bring the shipped definitions into the database; return how many got a new revision.

    What a person has edited since stays current; the shipped data are kept beside it as a revision.
    """
    now = now or timezone.now()
    renewed = 0
    for spec in definitions.load_all():
        with transaction.atomic():
            renewed += _install(spec, now)
    return renewed


def _install(spec: dict[str, Any], now: datetime) -> bool:
    texts = {"title": spec["title"], "description": spec.get("help", ""), "kind": spec["kind"]}
    definition, _ = JobDefinition.objects.update_or_create(
        slug=spec["name"], defaults={**texts, "is_shipped": True}
    )
    revisions = list(definition.revisions.order_by("-number"))
    if any(revision.spec == spec for revision in revisions):
        return False
    number = revisions[0].number + 1 if revisions else 1
    revision = JobDefinitionRevision.objects.create(
        definition=definition, number=number, spec=spec, made_at=now
    )
    if definition.current is None or definition.current.made_by_id is None:
        definition.current = revision
        definition.save(update_fields=["current"])
    return True


def _request(
    verb: str, job: Job, payload: dict[str, Any] | None = None, *, actor: Actor, now: datetime, reason: str
) -> Operation:
    return ledger.request(
        verb,
        "job",
        job.batch_id,
        account=job.account,
        actor=actor,
        task_name=tasks.run_operation.name,
        payload={"job": job.pk, **(payload or {})},
        now=now,
        reason=reason,
    )
