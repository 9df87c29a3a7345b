"""Definitions: the controlled list of what can be submitted, as data with revisions."""

from typing import Any, Self

from django.conf import settings
from django.db import models


class JobDefinitionQuerySet(models.QuerySet):
    """Definitions to choose from."""

    def offered(self) -> Self:
        """Keep the definitions that may be submitted."""
        return self.filter(is_active=True)


class JobDefinition(models.Model):
    """A named recipe of jobs; what it does is in its revisions' `spec`, read by `jobs.recipes`."""

    slug = models.SlugField(max_length=60, unique=True)
    title = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=20, db_index=True)  # training, prediction, check …
    is_active = models.BooleanField(default=True)
    is_shipped = models.BooleanField(default=False, editable=False)  # comes with the product
    current = models.ForeignKey(
        "JobDefinitionRevision", models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )

    objects = JobDefinitionQuerySet.as_manager()

    class Meta:
        ordering = ["kind", "slug"]

    def __str__(self) -> str:
        return self.slug

    @property
    def spec(self) -> dict[str, Any]:
        """The newest revision's data; reads `current`."""
        return dict(self.current.spec) if self.current else {}


class JobDefinitionRevision(models.Model):
    """A definition as it was at one time; jobs keep the revision they were made from."""

    definition = models.ForeignKey(JobDefinition, models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["definition", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["definition", "number"], name="definition_revision_once")
        ]

    def __str__(self) -> str:
        return f"{self.definition} v{self.number}"
