"""What is read back from Azure, when it is due, and how each reading went."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from activity.models.accounts import Account


class SyncTargetQuerySet(models.QuerySet["SyncTarget"]):
    """Sync targets, found the ways that the tick and the pages need them."""

    def due(self, now: datetime) -> "SyncTargetQuerySet":
        """Return those that should be read now and that nobody is reading."""
        free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
        return self.filter(free, is_active=True, next_due_at__lte=now)


class SyncTarget(models.Model):
    """One thing to keep reading, such as the pools of an account or the tasks of one job.

    Intervals are in seconds: short while something changes, growing to the maximum while nothing does.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="sync_targets")
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200, blank=True)
    task_name = models.CharField(max_length=100)
    is_active = models.BooleanField(default=True)
    min_interval = models.FloatField(default=5)
    max_interval = models.FloatField(default=60)
    interval = models.FloatField(default=5)
    next_due_at = models.DateTimeField(default=timezone.now)
    # When somebody last asked for a fresh reading; one that began before that does not count as fresh.
    hurried_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    last_started_at = models.DateTimeField(null=True, blank=True)
    last_succeeded_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    failures = models.PositiveIntegerField(default=0)

    objects = SyncTargetQuerySet.as_manager()

    class Meta:
        ordering = ["account", "kind", "subject"]
        indexes = [models.Index(fields=["next_due_at"], condition=Q(is_active=True), name="synctarget_due")]
        constraints = [
            models.UniqueConstraint(fields=["account", "kind", "subject"], name="one_target_per_subject"),
            models.CheckConstraint(
                name="synctarget_intervals_make_sense",
                condition=Q(min_interval__gt=0, max_interval__gte=models.F("min_interval")),
                violation_error_message="The shortest interval must be above zero and not above the longest.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()

    def is_stale(self, now: datetime) -> bool:
        """Return whether the last good reading is older than three of its longest intervals."""
        if self.last_succeeded_at is None:
            return True
        return now - self.last_succeeded_at > timedelta(seconds=3 * self.max_interval)


class SyncRun(models.Model):
    """One reading of a target: how long it took, how much it saw and changed, and what went wrong."""

    class State(models.TextChoices):
        """How it ended."""

        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"

    target = models.ForeignKey(SyncTarget, on_delete=models.CASCADE, related_name="runs")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="sync_runs")
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    seen = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    vanished = models.PositiveIntegerField(default=0)
    error_code = models.CharField(max_length=100, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["account", "-id"], name="syncrun_newest"),
            models.Index(fields=["target", "-id"], name="syncrun_of_target"),
            models.Index(fields=["started_at"], name="syncrun_started"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}".strip()
