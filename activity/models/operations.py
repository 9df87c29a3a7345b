"""Operations: who asked what of which thing, when, and what came of it."""

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Lower
from django.utils import timezone

from activity.models.accounts import Account


class OperationQuerySet(models.QuerySet["Operation"]):
    """Operations, found the ways that pages and the ledger need them."""

    def unsettled(self) -> "OperationQuerySet":
        """Return those that still have something to do."""
        return self.filter(state__in=Operation.UNSETTLED)

    def of(self, kind: str, subject: str) -> "OperationQuerySet":
        """Return those about one thing, such as ("pool", "training_1"); Azure's ids know no case."""
        return self.filter(kind=kind, subject_lower=subject.lower())

    def newest_first(self) -> "OperationQuerySet":
        """Return them in the order that pages show."""
        return self.order_by("-pk")

    def claimable(self, now: datetime) -> "OperationQuerySet":
        """Return those that a worker may take: due or abandoned, and the oldest unsettled one of their subject."""
        elder = Operation.objects.unsettled().filter(
            account=OuterRef("account"),
            kind=OuterRef("kind"),
            subject_lower=OuterRef("subject_lower"),
            pk__lt=OuterRef("pk"),
        )
        due = Q(state=Operation.State.PENDING, due_at__lte=now)
        abandoned = Q(state=Operation.State.RUNNING, lease_until__lte=now)
        return self.filter(due | abandoned).exclude(Exists(elder))


class Operation(models.Model):
    """One wish: audit entry, durable queue entry, retry state and progress display at once."""

    class State(models.TextChoices):
        """How far it is."""

        PENDING = "pending", "pending"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    UNSETTLED = (State.PENDING, State.RUNNING)

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="operations")
    verb = models.CharField(max_length=40)
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    subject_lower = models.GeneratedField(
        expression=Lower("subject"), output_field=models.CharField(max_length=200), db_persist=True
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="operations"
    )
    # Outlives the user: an audit entry must say who it was after the account is gone.
    actor_name = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    payload = models.JSONField(default=dict, blank=True)

    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    requested_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    task_name = models.CharField(max_length=100)
    dispatched_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    attempt_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    result = models.JSONField(default=dict, blank=True)
    error_code = models.CharField(max_length=100, blank=True)
    error = models.TextField(blank=True)
    error_values = models.JSONField(default=dict, blank=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["account", "-id"], name="operation_newest"),
            models.Index(fields=["account", "state"], name="operation_state"),
            models.Index(fields=["account", "kind", "subject_lower", "-id"], name="operation_of_subject"),
            models.Index(fields=["due_at"], condition=Q(state="pending"), name="operation_due"),
            models.Index(fields=["lease_until"], condition=Q(state="running"), name="operation_leased"),
        ]
        constraints = [
            # The database itself keeps two workers from changing one thing at the same time.
            models.UniqueConstraint(
                fields=["account", "kind", "subject_lower"],
                condition=Q(state="running"),
                name="one_running_operation_per_subject",
            ),
            models.CheckConstraint(
                name="running_operation_has_a_lease",
                condition=~Q(state="running")
                | (Q(attempt_token__isnull=False) & Q(lease_until__isnull=False)),
            ),
            models.CheckConstraint(
                name="settled_operation_has_an_end",
                condition=Q(state__in=["pending", "running"]) | Q(finished_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.kind} {self.subject}"

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state not in self.UNSETTLED

    @property
    def is_retrying(self) -> bool:
        """Whether it waits for another try after a passing fault."""
        return self.state == self.State.PENDING and self.attempts > 0

    @property
    def is_cancel_requested(self) -> bool:
        """Whether somebody asked to stop it and it has not stopped yet."""
        return self.cancel_requested_at is not None and not self.is_settled

    @property
    def asked_by(self) -> str:
        """Name of who asked, `system` when nobody did."""
        return self.actor_name or "system"

    @property
    def mark(self) -> str:
        """What Azure's objects carry as metadata, so that we recognise what this operation made."""
        return str(self.uuid)

    def argument(self, name: str, default: Any = None) -> Any:
        """Return one value of the payload."""
        return self.payload.get(name, default)
