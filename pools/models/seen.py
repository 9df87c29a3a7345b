"""What every row that mirrors an Azure object shares: its hash, its end, and where it came from."""

from datetime import datetime, timedelta
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

BATCH_ID_LENGTH = 64
REMEMBERED = timedelta(days=1)
"""For so long a page reminds people of a request of theirs that came to nothing."""

batch_id_validator = RegexValidator(
    r"\A[A-Za-z0-9_:-]+\Z",
    "Use letters, digits, hyphens and underscores only: no spaces, dots or slashes.",
    code="batch_id",
)
"""Ids as Azure Batch shows them; only jobs of a schedule carry a colon."""


def validate_new_batch_id(batch_id: str) -> None:
    """Refuse ids that may not be given to a new object: a schedule's jobs alone have a colon, a page is `new`."""
    batch_id_validator(batch_id)
    if ":" in batch_id:
        raise ValidationError(batch_id_validator.message, code="batch_id")
    if batch_id.lower() == "new":
        raise ValidationError("“new” is the address of a page; choose another id.", code="reserved")


class ObservedQuerySet(models.QuerySet):
    """Rows of things that may vanish in Azure."""

    def alive(self) -> Self:
        """Leave out what is deleted."""
        return self.filter(deleted_at=None)


class LifecycleQuerySet(ObservedQuerySet):
    """Pools or jobs, as pages and sync ask for them; each has `account`, `batch_id_lower` and `is_unsettled`."""

    def for_account(self, account: models.Model) -> Self:
        """Keep one account's."""
        return self.filter(account=account)

    def unsettled(self) -> Self:
        """Keep those in which something is still going to change by itself."""
        return self.filter(is_unsettled=True)

    def starting_with(self, prefix: str) -> Self:
        """Keep those whose id starts so, whatever the case."""
        return self.filter(batch_id_lower__startswith=prefix.lower())

    def usable(self) -> Self:
        """Keep those that are there, or on their way, and are to stay."""
        return self.alive().filter(deletion_asked_at=None).exclude(~models.Q(problem=""), synced_hash="")

    def find(self, account: models.Model, batch_id: str) -> Any:
        """Return the living one of that id, else the one deleted last, else None."""
        named = self.filter(account=account, batch_id_lower=batch_id.lower())
        return named.filter(deleted_at=None).first() or named.order_by("-deleted_at").first()

    def made_by(self, account: models.Model, mark: Any) -> Any:
        """Return the row whose creation this operation's mark stands for, or None."""
        return self.filter(account=account, is_ours=True, operation=mark).first()

    def refused(self, shown: Any, *, asker: Any, now: datetime) -> Any:
        """Return the asker's latest request for this id that came to nothing, `shown` itself or a later one; or None."""
        named = self.filter(account=shown.account_id, batch_id_lower=shown.batch_id.lower(), created_by=asker)
        recent = named.filter(is_ours=True, created_at__gte=shown.created_at, created_at__gt=now - REMEMBERED)
        lost = models.Q(synced_hash="") | models.Q(deleted_at__isnull=False)
        return recent.filter(lost).exclude(problem="").order_by("-created_at").first()


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
    def mark(self) -> str:
        """The creating operation's UUID as text; empty for what was made elsewhere."""
        return str(self.operation or "")

    @property
    def is_pending(self) -> bool:
        """Whether we asked for it and Azure has not shown it yet."""
        return not self.was_seen and not self.is_deleted and not self.problem

    def owns(self, operation: str | None) -> bool:
        """Whether an object bearing this mark in Azure is the one this row asked for."""
        return self.operation is not None and operation == str(self.operation)

    @property
    def was_never_made(self) -> bool:
        """Whether we asked for it in vain: there is nothing of it in Azure to change."""
        return not self.was_seen and bool(self.problem)

    def stands_for(self, operation: str | None, creation_time: datetime | None) -> bool:
        """Whether an object in Azure is what this row is about, and not another one of the same id."""
        known = getattr(self, "creation_time", None)
        if self.was_seen and known and creation_time:
            return bool(known == creation_time)
        return self.was_seen or self.owns(operation)
