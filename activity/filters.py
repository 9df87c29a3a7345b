"""How the list of operations is narrowed down."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from activity.forms import PageForm
from activity.models import Operation

STATES = [("unsettled", "in flight"), *Operation.State.choices]


class OperationFilter(django_filters.FilterSet):
    """By the beginning of its subject, by kind, and by how it went."""

    q = django_filters.CharFilter(field_name="subject", lookup_expr="startswith", label="Subject begins with")
    kind = django_filters.ChoiceFilter(choices=[("pool", "pool"), ("job", "job")], empty_label="any kind")
    state = django_filters.ChoiceFilter(choices=STATES, method="in_state", empty_label="any state")

    class Meta:
        model = Operation
        fields: list[str] = []

    def get_form_class(self) -> type[Any]:
        """Style the form as pages do."""
        return type("OperationFilterForm", (PageForm, super().get_form_class()), {})

    def in_state(self, queryset: QuerySet[Operation], name: str, value: str) -> QuerySet[Operation]:
        """Keep operations in a state; `unsettled` stands for all that still have something to do."""
        return (
            queryset.filter(state__in=Operation.UNSETTLED)
            if value == "unsettled"
            else queryset.filter(state=value)
        )
