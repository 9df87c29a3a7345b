"""What every row that mirrors an Azure object shares: its hash, its end, and where it came from."""

from datetime import datetime
from typing import Self

from django.core.validators import RegexValidator
from django.db import models

BATCH_ID_LENGTH = 64

batch_id_validator = RegexValidator(
    r"\A[A-Za-z0-9_:-]+\Z",
    "Use letters, digits, hyphens and underscores only: no spaces, dots or slashes.",
    code="batch_id",
)
"""Ids as Azure Batch shows them; only jobs of a schedule carry a colon."""

new_batch_id_validator = RegexValidator(
    r"\A[A-Za-z0-9_-]+\Z",
    "Use letters, digits, hyphens and underscores only: no spaces, dots or slashes.",
    code="batch_id",
)
"""Ids that may be given to a new object."""


class ObservedQuerySet(models.QuerySet):
    """Rows of things that may vanish in Azure."""

    def alive(self) -> Self:
        """Leave out what is deleted."""
        return self.filter(deleted_at=None)


class SeenModel(models.Model):
    """A row that sync keeps equal to an Azure object."""

    synced_hash = models.CharField(max_length=32, blank=True, editable=False, default="")
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def is_deleted(self) -> bool:
        """Whether Azure no longer has it, or it was given up."""
        return self.deleted_at is not None

    @property
    def was_seen(self) -> bool:
        """Whether Azure ever showed it to us."""
        return bool(self.synced_hash)


class Lifecycle(SeenModel):
    """A pool or job: asked for by us, or found in Azure.

    `problem`, `confirmed_at` and `operation` say how our own request went; they are neither asked for
    nor observed, and push writes them.
    """

    is_ours = models.BooleanField(default=False, editable=False)
    operation = models.UUIDField(null=True, blank=True, editable=False)  # that created it, also in Azure
    created_at = models.DateTimeField(editable=False)  # when asked for; Azure's creation time for others
    confirmed_at = models.DateTimeField(null=True, blank=True, editable=False)  # Azure accepted all of it
    deletion_asked_at = models.DateTimeField(null=True, blank=True, editable=False)
    problem = models.TextField(blank=True, editable=False, default="")

    class Meta:
        abstract = True

    @property
    def is_pending(self) -> bool:
        """Whether we asked for it and Azure has not shown it yet."""
        return not self.was_seen and not self.is_deleted and not self.problem

    def owns(self, operation: str | None) -> bool:
        """Whether an object bearing this mark in Azure is the one this row asked for."""
        return self.operation is not None and operation == str(self.operation)

    def stands_for(self, operation: str | None, creation_time: datetime | None) -> bool:
        """Whether an object in Azure is what this row is about, and not another one of the same id."""
        known = getattr(self, "creation_time", None)
        if self.was_seen and known and creation_time:
            return bool(known == creation_time)
        return self.was_seen or self.owns(operation)

    def mark_deleted(self, now: datetime) -> None:
        """Set the end on this instance; saving is the caller's."""
        self.deleted_at = self.deleted_at or now
