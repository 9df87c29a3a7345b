"""How the list of pools is narrowed down."""

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from activity.forms import PageForm
from pools.models import Pool

STATES = [
    ("steady", "steady"),
    ("resizing", "resizing"),
    ("error", "in trouble"),
    ("empty", "without nodes"),
    ("deleted", "deleted"),
]


class PoolFilter(django_filters.FilterSet):
    """By the beginning of its id, and by how it is."""

    q = django_filters.CharFilter(method="id_begins_with", label="Pool id begins with")
    state = django_filters.ChoiceFilter(choices=STATES, method="in_state", empty_label="any state")

    class Meta:
        model = Pool
        fields: list[str] = []

    def get_form_class(self) -> type[Any]:
        """Style the form as pages do."""
        return type("PoolFilterForm", (PageForm, super().get_form_class()), {})

    def filter_queryset(self, queryset: QuerySet[Pool]) -> QuerySet[Pool]:
        """Leave deleted pools out unless they are asked for."""
        if self.form.cleaned_data.get("state") != "deleted":
            queryset = queryset.filter(deleted_at=None)
        found: QuerySet[Pool] = super().filter_queryset(queryset)
        return found

    def id_begins_with(self, queryset: QuerySet[Pool], name: str, value: str) -> QuerySet[Pool]:
        """Keep pools whose id begins so, whatever the case."""
        return queryset.filter(batch_id_lower__startswith=value.lower())

    def in_state(self, queryset: QuerySet[Pool], name: str, value: str) -> QuerySet[Pool]:
        """Keep pools in a state as the page names it."""
        changing = Q(allocation_state__in=("resizing", "stopping")) | Q(synced_hash="", problem="")
        conditions = {
            "steady": Q(allocation_state="steady"),
            "resizing": changing,
            "error": (Q(synced_hash="") & ~Q(problem=""))
            | ~Q(resize_errors=[])
            | Q(auto_scale_run__error__isnull=False),
            "empty": Q(current_dedicated_nodes=0, current_low_priority_nodes=0),
            "deleted": Q(deleted_at__isnull=False),
        }
        return queryset.filter(conditions[value])
