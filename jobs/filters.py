"""How the list of jobs is narrowed down."""

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from activity.forms import PageForm
from jobs.models import Job, JobDefinition
from jobs.models.job import FAILED, JobQuerySet

STATES = [
    ("running", "running"),
    ("waiting", "waiting"),
    ("completed", "completed"),
    ("failed", "with failures"),
    ("deleted", "deleted"),
]


class JobFilter(django_filters.FilterSet):
    """By the beginning of its id, by how it is, by definition and by pool."""

    q = django_filters.CharFilter(method="id_begins_with", label="Job id begins with")
    state = django_filters.ChoiceFilter(choices=STATES, method="in_state", empty_label="any state")
    definition = django_filters.ModelChoiceFilter(
        queryset=JobDefinition.objects.all(),
        field_name="revision__definition",
        to_field_name="slug",
        empty_label="any definition",
    )
    pool = django_filters.CharFilter(field_name="pool__batch_id_lower", lookup_expr="exact", label="Pool id")

    class Meta:
        model = Job
        fields: list[str] = []

    def get_form_class(self) -> type[Any]:
        """Style the form as pages do."""
        return type("JobFilterForm", (PageForm, super().get_form_class()), {})

    def filter_queryset(self, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """Leave deleted jobs out unless they are asked for."""
        if self.form.cleaned_data.get("state") != "deleted":
            queryset = queryset.filter(deleted_at=None)
        found: QuerySet[Job] = super().filter_queryset(queryset)
        return found

    def id_begins_with(self, queryset: QuerySet[Job], name: str, value: str) -> QuerySet[Job]:
        """Keep jobs whose id begins so, whatever the case."""
        return queryset.filter(batch_id_lower__startswith=value.lower())

    def in_state(self, queryset: JobQuerySet, name: str, value: str) -> QuerySet[Job]:
        """Keep jobs in a state as the page names it."""
        if value == "waiting":
            return queryset.waiting()
        conditions = {
            "running": Q(state="active", tasks_running__gt=0),
            "completed": Q(state="completed"),
            "failed": FAILED,
            "deleted": Q(deleted_at__isnull=False),
        }
        return queryset.filter(conditions[value])
