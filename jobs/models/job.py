"""Jobs: what was asked for, what Azure shows, and their preparation on each node."""

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower

from pools.models import (
    Badge,
    Lifecycle,
    LifecycleQuerySet,
    ObservedQuerySet,
    Pool,
    SeenModel,
    StorageAccount,
    WithImage,
    batch_id_validator,
)

from .definition import JobDefinitionRevision

MOST_MINUTES = 60 * 24 * 60  # sixty days
CHANGING = ("disabling", "enabling", "terminating", "deleting")
"""Job states that pass by themselves."""

PREFIX_CLASSES = ["int8_ops", "varchar_pattern_ops"]
"""Let PostgreSQL search prefixes by the index whatever its collation; SQLite ignores them."""


def new_job_id() -> str:
    """Choose a job's id before the call, so that a repeated call finds its own job."""
    return str(uuid.uuid4())


UNSETTLED = models.Q(deleted_at=None) & (
    models.Q(synced_hash="", problem="")
    | models.Q(deletion_asked_at__isnull=False)
    | models.Q(state__in=("active", *CHANGING))
)
BLOCKED = models.Q(state="active", tasks_running=0) & (
    models.Q(preparations_failed__gt=0, preparations_running=0) | models.Q(pool__deleted_at__isnull=False)
)
"""No task of it can start, whatever the nodes do."""
FAILED = models.Q(tasks_failed__gt=0) | models.Q(preparations_failed__gt=0) | ~models.Q(problem="")


class JobQuerySet(LifecycleQuerySet):
    """Jobs as pages ask for them."""

    def unfinished(self) -> Self:
        """Keep jobs whose tasks Azure may still change, or whose last look is still to be taken."""
        return self.alive().exclude(synced_hash="").filter(has_final_tasks=False)

    def waiting(self) -> Self:
        """Keep jobs that have tasks to run, run none yet, and only need nodes or Azure's answer."""
        is_done = models.Q(
            tasks_total__gt=0, tasks_total__lte=models.F("tasks_succeeded") + models.F("tasks_failed")
        )
        is_open = models.Q(state="active", tasks_running=0) | models.Q(synced_hash="", problem="")
        return self.alive().filter(is_open).exclude(is_done).exclude(BLOCKED)


class Job(WithImage, Lifecycle):
    """A job of a Batch account; columns after `state` are Azure's own, written by sync alone."""

    account = models.ForeignKey("activity.Account", models.CASCADE, related_name="jobs")
    batch_id = models.CharField("job id", max_length=64, default=new_job_id, validators=[batch_id_validator])
    batch_id_lower = models.GeneratedField(
        expression=Lower("batch_id"), output_field=models.CharField(max_length=64), db_persist=True
    )

    # What was asked for: written by operations alone.
    title = models.CharField("display name", max_length=1024, blank=True)
    revision = models.ForeignKey(
        JobDefinitionRevision,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="jobs",
        verbose_name="definition",
    )
    parameters = models.JSONField(default=dict, blank=True)
    pool = models.ForeignKey(Pool, models.SET_NULL, null=True, blank=True, related_name="jobs")
    storage = models.ForeignKey(
        StorageAccount, models.PROTECT, null=True, blank=True, related_name="jobs", editable=False
    )
    results_container = models.CharField(max_length=63, blank=True, editable=False)
    results_path = models.CharField(max_length=500, blank=True, editable=False)  # folder in that container
    plan = models.JSONField(null=True, blank=True, editable=False)  # jobs.recipes' plan, without secrets
    tasks_asked = models.PositiveIntegerField(default=0, editable=False)
    asked_priority = models.SmallIntegerField(
        "priority", default=0, validators=[MinValueValidator(-1000), MaxValueValidator(1000)]
    )
    wall_clock_minutes = models.PositiveIntegerField(
        "time limit of a task (minutes)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_MINUTES)],
        help_text="Empty means the definition's own limit.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )
    termination_asked_at = models.DateTimeField(null=True, blank=True, editable=False)

    # What Azure shows: written by sync alone, named and valued as there.
    display_name = models.CharField(max_length=1024, blank=True, editable=False)
    etag = models.CharField(max_length=80, blank=True, editable=False)
    creation_time = models.DateTimeField(null=True, editable=False)
    last_modified = models.DateTimeField(null=True, editable=False)
    state = models.CharField(max_length=32, blank=True, editable=False)
    state_transition_time = models.DateTimeField(null=True, editable=False)
    previous_state = models.CharField(max_length=32, blank=True, editable=False)
    priority = models.IntegerField(default=0, editable=False)
    max_parallel_tasks = models.IntegerField(default=-1, editable=False)
    max_wall_clock_time = models.DurationField(null=True, editable=False)  # None: unlimited
    max_task_retry_count = models.IntegerField(default=0, editable=False)
    on_all_tasks_complete = models.CharField(max_length=16, blank=True, editable=False)
    on_task_failure = models.CharField(max_length=32, blank=True, editable=False)
    uses_task_dependencies = models.BooleanField(default=False, editable=False)
    pool_id_seen = models.CharField("pool id", max_length=64, blank=True, editable=False)
    start_time = models.DateTimeField(null=True, editable=False)
    end_time = models.DateTimeField(null=True, editable=False)
    terminate_reason = models.CharField(max_length=200, blank=True, editable=False)
    scheduling_error = models.JSONField(null=True, editable=False)
    metadata = models.JSONField(default=list, editable=False)
    # Counted by sync from what it saw of the job's tasks and preparation; None before the first look.
    tasks_total = models.PositiveIntegerField(null=True, editable=False)
    tasks_active = models.PositiveIntegerField(default=0, editable=False)
    tasks_preparing = models.PositiveIntegerField(default=0, editable=False)
    tasks_running = models.PositiveIntegerField(default=0, editable=False)
    tasks_succeeded = models.PositiveIntegerField(default=0, editable=False)
    tasks_failed = models.PositiveIntegerField(default=0, editable=False)
    preparations_running = models.PositiveIntegerField(default=0, editable=False)
    preparations_failed = models.PositiveIntegerField(default=0, editable=False)  # out of retries
    has_final_tasks = models.BooleanField(default=False, editable=False)  # nothing is left to look at
    # Worked out by the database, so that pages ask an index and not every job whether anything is going on.
    is_unsettled = models.GeneratedField(
        expression=models.Case(models.When(UNSETTLED, then=True), default=False),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                "account",
                Lower("batch_id"),
                condition=models.Q(deleted_at=None),
                name="job_id_once_per_account",
                violation_error_message="A job with this id exists already.",
            )
        ]
        indexes = [
            models.Index(fields=["account", "batch_id_lower"], name="job_prefix", opclasses=PREFIX_CLASSES),
            models.Index(
                fields=["account", "-created_at", "-id"],
                condition=models.Q(deleted_at=None),
                name="job_newest",
            ),
            models.Index(
                fields=["account", "-created_at", "-id"],
                condition=models.Q(deleted_at=None) & FAILED,
                name="job_failed",
            ),
            models.Index(fields=["account", "is_unsettled"], name="job_unsettled"),
            models.Index(fields=["account", "deleted_at", "state"], name="job_state"),
            models.Index(fields=["account", "deleted_at", "has_final_tasks"], name="job_unfinished"),
        ]

    def __str__(self) -> str:
        return self.batch_id

    def clean(self) -> None:
        """Check that the id is free, and that pool and job belong together."""
        others = Job.objects.alive().filter(account=self.account_id, batch_id__iexact=self.batch_id)
        if others.exclude(pk=self.pk).exists():
            raise ValidationError({"batch_id": f"Job {self.batch_id} exists already; choose another id."})
        if self.pool is not None and self.pool.account_id != self.account_id:
            raise ValidationError({"pool": "This pool belongs to another account."})

    @property
    def definition_slug(self) -> str:
        """Which definition it was made from; empty for jobs made elsewhere. Reads `revision`."""
        return self.revision.definition.slug if self.revision else ""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.title or self.display_name or self.batch_id

    @property
    def short_id(self) -> str:
        """The id's readable beginning."""
        return self.batch_id[:8]

    @property
    def pool_name(self) -> str:
        """Id of the pool it runs on; reads `pool` before Azure has shown it."""
        return self.pool_id_seen or (self.pool.batch_id if self.pool else "")

    @property
    def image_name(self) -> str:
        """The container image its tasks run in; reads `pool`, empty when it is not known."""
        if not self.container_image:
            return self.pool.image_name if self.pool else ""
        return self.asked_image

    @property
    def total(self) -> int:
        """How many tasks it has, or is to have."""
        return self.tasks_asked if self.tasks_total is None else max(self.tasks_total, self.tasks_asked)

    @property
    def done(self) -> int:
        """How many of its tasks are over."""
        return self.tasks_succeeded + self.tasks_failed

    @property
    def waits(self) -> bool:
        """Whether it has tasks left, or nobody knows yet."""
        return not self.tasks_total or self.done < self.tasks_total

    @property
    def is_finished(self) -> bool:
        """Whether Azure calls it completed."""
        return self.state == "completed"

    @property
    def is_settled(self) -> bool:
        """Whether nothing about it will change by itself; the same rule as `unsettled()`."""
        if self.is_deleted:
            return True
        if self.is_pending or self.deletion_asked_at:
            return False
        return self.state not in ("active", *CHANGING)

    def duration(self, now: datetime) -> timedelta | None:
        """How long it lasted (so far); None before it started."""
        return (self.end_time or now) - self.start_time if self.start_time else None

    @property
    def badge(self) -> Badge:
        """Its state in one word: Azure's `active` is taken apart. Reads `pool` while nothing runs."""
        return self._ending_badge() or (
            self._active_badge() if self.state == "active" else self._state_badge()
        )

    def _ending_badge(self) -> Badge | None:
        if self.is_deleted:
            failed = self.problem or not self.was_seen
            return Badge("bad", "Failed", self.problem) if failed else Badge("off", "Deleted")
        if self.deletion_asked_at or self.state == "deleting":
            return Badge("trans", "Deleting")
        if self.state == "completed":
            return self._completed_badge()
        if self.problem:
            return Badge("bad", "Failed", self.problem)
        if not self.was_seen:
            return Badge("wait", "Queued", "Being submitted to Azure Batch")
        return Badge("trans", "Terminating") if self.termination_asked_at else None

    def _state_badge(self) -> Badge:
        if self.state == "disabled":
            return Badge("off", "Disabled")
        return Badge("trans", self.state.capitalize())

    def _completed_badge(self) -> Badge:
        if self.scheduling_error:
            error = self.scheduling_error
            return Badge("bad", "Failed", f"{error.get('code', '')}: {error.get('message', '')}")
        if self.tasks_failed:
            word = "Partly failed" if self.tasks_succeeded else "Failed"
            return Badge("bad", word, f"{self.tasks_failed} of {self.total} tasks failed")
        if self.terminate_reason in ("TaskFailed", "MaxWallClockTimeExpiry"):
            return Badge("bad", "Failed", self.terminate_reason)
        if self.terminate_reason not in ("AllTasksComplete", "JMComplete") or self.tasks_total == 0:
            return Badge("off", "Terminated", self.terminate_reason)
        return Badge("ok", "Succeeded")

    def _active_badge(self) -> Badge:
        if self.tasks_running:
            return Badge("run", "Running")
        if self.preparations_failed and not self.preparations_running:
            return Badge(
                "bad", "Blocked", "The preparation task failed and is out of retries: no task can start."
            )
        if self.waits and self.pool is not None and self.pool.is_deleted:
            return Badge("bad", "Blocked", f"Pool {self.pool_name} no longer exists: no task can start.")
        if self.tasks_preparing or self.preparations_running:
            return Badge("trans", "Preparing")
        if not self.waits and self.on_all_tasks_complete == "noaction":
            return Badge("off", "Open", "All tasks are over; the job stays open until somebody ends it.")
        if not self.waits:
            return Badge("run", "Running", "All tasks are over; Azure has yet to close the job.")
        if self.pool is not None and not self.pool.usable_nodes:
            return Badge("wait", "Waiting for nodes", f"Pool {self.pool_name} has no usable node yet.")
        return Badge("wait", "Queued")


class JobPreparation(SeenModel):
    """How a job's preparation and release tasks went on one node; every column is Azure's."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="preparations")
    pool_id = models.CharField("pool id", max_length=64)
    node_id = models.CharField("node id", max_length=128)
    state = models.CharField(max_length=32, blank=True)
    start_time = models.DateTimeField(null=True)
    end_time = models.DateTimeField(null=True)
    exit_code = models.IntegerField(null=True)
    result = models.CharField(max_length=16, blank=True)
    failure_info = models.JSONField(null=True)
    retry_count = models.PositiveIntegerField(default=0)
    task_root_directory = models.CharField(max_length=500, blank=True)
    release = models.JSONField(null=True)  # the release task's run there, once there is one

    objects = ObservedQuerySet.as_manager()

    class Meta:
        ordering = ["node_id"]
        constraints = [models.UniqueConstraint(fields=["job", "node_id"], name="preparation_once_per_node")]

    def __str__(self) -> str:
        return f"{self.job_id} on {self.node_id}"

    @property
    def badge(self) -> Badge:
        """Its state in one word."""
        if self.state == "completed":
            failed = self.result == "failure"
            return Badge("bad", "Failed", self.problem) if failed else Badge("ok", "Succeeded")
        return Badge("run", "Running")

    @property
    def problem(self) -> str:
        """Why it failed, in Azure's words; empty when it did not."""
        if self.result != "failure":
            return ""
        info = self.failure_info or {}
        said = f"exit code {self.exit_code}" if self.exit_code is not None else info.get("code", "failed")
        return f"{said}. {info.get('message', '')}".strip()
