"""Tasks of jobs; every column is Azure's."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models

from pools.models import Badge, ObservedQuerySet, SeenModel

UNFINISHED = ("active", "preparing", "running")


class TaskQuerySet(ObservedQuerySet):
    """Tasks as pages ask for them."""

    def unsettled(self) -> Self:
        """Keep tasks that are not over."""
        return self.alive().filter(state__in=UNFINISHED)

    def failed(self) -> Self:
        """Keep tasks that ended badly."""
        return self.alive().filter(state="completed", result="failure")


class Task(SeenModel):
    """A unit of a job, run on one node."""

    job = models.ForeignKey("jobs.Job", models.CASCADE, related_name="tasks")
    batch_id = models.CharField("task id", max_length=64)
    display_name = models.CharField(max_length=1024, blank=True)
    etag = models.CharField(max_length=80, blank=True)
    creation_time = models.DateTimeField(null=True)
    last_modified = models.DateTimeField(null=True)
    state = models.CharField(max_length=32, blank=True)
    state_transition_time = models.DateTimeField(null=True)
    previous_state = models.CharField(max_length=32, blank=True)
    command_line = models.TextField(blank=True)
    image_name = models.CharField(max_length=500, blank=True)
    required_slots = models.PositiveIntegerField(default=1)
    max_wall_clock_time = models.DurationField(null=True)  # None: unlimited
    retention_time = models.DurationField(null=True)
    max_task_retry_count = models.IntegerField(default=0)
    start_time = models.DateTimeField(null=True)
    end_time = models.DateTimeField(null=True)
    exit_code = models.IntegerField(null=True)
    result = models.CharField(max_length=16, blank=True)
    failure_info = models.JSONField(null=True)
    retry_count = models.PositiveIntegerField(default=0)
    last_retry_time = models.DateTimeField(null=True)
    requeue_count = models.PositiveIntegerField(default=0)
    last_requeue_time = models.DateTimeField(null=True)
    container_id = models.CharField(max_length=80, blank=True)
    container_state = models.CharField(max_length=32, blank=True)
    container_error = models.TextField(blank=True)
    pool_id = models.CharField("pool id", max_length=64, blank=True)
    node_id = models.CharField("node id", max_length=128, blank=True)
    task_root_directory = models.CharField(max_length=500, blank=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["creation_time", "batch_id"]
        constraints = [models.UniqueConstraint(fields=["job", "batch_id"], name="task_once_per_job")]
        indexes = [models.Index(fields=["job", "deleted_at", "state"], name="task_state")]

    def __str__(self) -> str:
        return self.batch_id

    @property
    def is_settled(self) -> bool:
        """Whether it will not change by itself."""
        return self.is_deleted or self.state == "completed"

    @property
    def has_files(self) -> bool:
        """Whether it ever ran, so that a node may hold its files."""
        return bool(self.node_id)

    @property
    def badge(self) -> Badge:
        """Its state in one word."""
        if self.is_deleted:
            return Badge("off", "Deleted")
        if self.state == "completed":
            return (
                Badge("bad", "Failed", self.problem) if self.result == "failure" else Badge("ok", "Succeeded")
            )
        if self.state == "running":
            return Badge("run", "Running")
        return Badge("trans", "Preparing") if self.state == "preparing" else Badge("wait", "Pending")

    @property
    def problem(self) -> str:
        """Why it failed, in Azure's words; empty when it did not."""
        info = self.failure_info or {}
        said = f"exit code {self.exit_code}" if self.exit_code else ""
        return "; ".join(
            part for part in (said, f"{info.get('code', '')}: {info.get('message', '')}") if part != ": "
        )

    def duration(self, now: datetime) -> timedelta | None:
        """How long it ran (so far); None before it started."""
        return (self.end_time or now) - self.start_time if self.start_time else None
