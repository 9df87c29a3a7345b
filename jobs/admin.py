"""Jobs, tasks and definitions in Django's admin; jobs change only through the actions, definitions by new revisions."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from activity.admin import AccountFilter, ListAdmin, ObservedAdmin, WordFilter
from jobs import operations, parameters, recipes
from jobs.models import Job, JobDefinition, JobDefinitionRevision, JobPreparation, Task
from pools.admin import GONE, status
from pools.models import validate_new_batch_id

_TRIAL = recipes.JobContext(
    job_id="trial", created_at=datetime(2026, 1, 1, tzinfo=UTC), image="example.azurecr.io/image:tag"
)


class SpecField(forms.JSONField):
    """A definition's data, laid out as people edit it."""

    def prepare_value(self, value: Any) -> Any:
        """Write it over several lines; what is not JSON is given back as it was typed."""
        if value is None or isinstance(value, InvalidJSONInput):
            return super().prepare_value(value)
        return json.dumps(value, indent=2, ensure_ascii=False)

    def validate(self, value: Any) -> None:
        """Accept only what jobs can be planned from."""
        super().validate(value)
        check_spec(value)


def check_spec(spec: Any) -> None:
    """Plan a job of a definition that is not in use yet; ValidationError says what is wrong with it."""
    if not isinstance(spec, dict):
        raise ValidationError("A definition is one JSON object.", code="spec")
    try:
        text = json.dumps(spec, allow_nan=False)
        for parameter in parameters.read(spec):
            re.compile(parameter.pattern)
        asked = [{**parameter, "is_required": False} for parameter in spec.get("parameters", ())]
        plan = recipes.render({**spec, "parameters": asked}, {}, _TRIAL)
        ids = [task.id for task in plan.tasks]
        for task_id in ids:
            validate_new_batch_id(task_id)
        # Shown only when two answers are the same, so the trial above has not asked for it.
        [rule["message"] for rule in spec.get("rules", ())]
    except KeyError as error:
        raise ValidationError(f"This is not a definition: {error} is missing.", code="spec") from error
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise ValidationError(f"This is not a definition: {error}.", code="spec") from error
    if "\\u0000" in text:
        raise ValidationError("It holds a character that no database keeps.", code="spec")
    if not ids or len(set(ids)) != len(ids):
        raise ValidationError(
            "A definition has at least one task, and each task an id of its own.", code="spec"
        )


class DefinitionForm(forms.ModelForm):
    """A definition with its data: changed data become a new revision, an older revision can be chosen again."""

    revision = forms.ModelChoiceField(
        queryset=JobDefinitionRevision.objects.none(),
        label="current revision",
        help_text="What new jobs are made from. Jobs keep the revision they were made from.",
    )
    spec = SpecField(
        label="data",
        widget=forms.Textarea(attrs={"class": "vLargeTextField", "rows": 40, "spellcheck": "false"}),
        help_text="Parameters, environment, tasks and results as JSON. A change is kept as a new revision.",
    )

    class Meta:
        model = JobDefinition
        fields = ("slug", "title", "description", "kind", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current = self.instance.current
        if current is None:
            del self.fields["revision"]
            return
        self.fields["revision"].queryset = self.instance.revisions.select_related("definition")  # type: ignore[attr-defined]
        self.fields["revision"].initial = current.pk
        self.fields["spec"].initial = current.spec

    def clean(self) -> dict[str, Any]:
        """Keep data and definition together, and take one change of revision at a time."""
        found = super().clean() or self.cleaned_data
        slug = found.get("slug", self.instance.slug)
        if slug and "spec" in found and found["spec"].get("name") != slug:
            raise ValidationError({"spec": f"Its “name” has to be {slug}, as the slug is."})
        if {"revision", "spec"} <= set(self.changed_data):
            raise ValidationError(
                {
                    "spec": "Change the data or choose another revision, not both; or somebody else has changed "
                    "the definition since you opened this page: open it again."
                }
            )
        return found


@admin.register(JobDefinition)
class JobDefinitionAdmin(ListAdmin):
    """What can be submitted. Definitions are taken out of offer, never deleted: jobs refer to them."""

    form = DefinitionForm
    list_display = ("slug", "title", "kind", "is_active", "is_shipped", "current")
    list_filter = ("is_active", "is_shipped", "kind")
    # A revision names its definition.
    list_select_related = ("current__definition",)
    search_fields = ("slug", "title", "description")
    ordering = ("kind", "slug")

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody deletes definitions."""
        return False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Ask for a revision only where there are some."""
        texts = ("slug", "title", "description", "kind", "is_active")
        if obj is None or obj.current_id is None:
            return (*texts, "spec")
        return (*texts, "revision" if self.has_change_permission(request, obj) else "current", "spec")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Keep the slug, which addresses hold, and the texts that each start takes from the shipped data."""
        if obj is None:
            return ()
        return ("slug", "title", "description", "kind") if obj.is_shipped else ("slug",)

    def save_model(self, request: HttpRequest, obj: JobDefinition, form: Any, change: bool) -> None:
        """Keep changed data as a new revision with its author, and make it (or the chosen one) current."""
        super().save_model(request, obj, form, change)
        if "spec" in form.changed_data:
            assert isinstance(request.user, User)
            newest = obj.revisions.aggregate(newest=models.Max("number"))["newest"] or 0
            obj.current = obj.revisions.create(
                number=newest + 1,
                spec=form.cleaned_data["spec"],
                made_at=timezone.now(),
                made_by=request.user,
            )
        elif "revision" in form.changed_data:
            obj.current = form.cleaned_data["revision"]
        obj.save(update_fields=["current"])


@admin.register(JobDefinitionRevision)
class JobDefinitionRevisionAdmin(ObservedAdmin):
    """Definitions as they were at one time."""

    account_path = ""
    unmasked = ("spec",)
    list_display = ("definition", "number", "made_at", "made_by")
    list_filter = ("definition", "made_at")
    list_select_related = ("definition", "made_by")
    search_fields = ("definition__slug", "definition__title", "made_by__username")
    ordering = ("definition__slug", "-number")


class JobStateFilter(WordFilter):
    """Azure's states of jobs."""

    title = parameter_name = "state"
    words = ("active", "disabling", "disabled", "enabling", "terminating", "completed", "deleting")


@admin.register(Job)
class JobAdmin(ObservedAdmin):
    """Jobs: what was asked for and what Azure shows."""

    exclude = ("synced_hash", "batch_id_lower")
    unmasked = ("plan",)
    list_display = (
        "batch_id", "account", "name", status, "definition_slug", "pool_name", "done", "total", "is_ours",
        "created_at", "deleted_at",
    )  # fmt: skip
    list_filter = (GONE, JobStateFilter, "is_ours", "revision__definition", ("account", AccountFilter))
    list_select_related = ("account", "pool", "revision__definition")
    search_fields = ("batch_id", "title", "display_name", "pool_id_seen")
    ordering = ("-created_at", "-pk")
    actions = ("terminate", "delete_jobs", "read_now")

    def view_on_site(self, job: Job) -> str:
        """Return the address of its page."""
        return reverse("job_detail", args=[job.account.slug, job.batch_id])

    @admin.action(description="Terminate the selected jobs …", permissions=["view"])
    def terminate(self, request: HttpRequest, queryset: models.QuerySet[Job]) -> TemplateResponse | None:
        """Ask for each one's end, once that is confirmed."""
        return self.confirm(
            request,
            queryset,
            "Termination",
            operations.terminate_job,
            consequence="The running tasks of these jobs are stopped; their files stay.",
        )

    @admin.action(description="Delete the selected jobs …", permissions=["view"])
    def delete_jobs(self, request: HttpRequest, queryset: models.QuerySet[Job]) -> TemplateResponse | None:
        """Ask for each one's removal, once that is confirmed."""
        return self.confirm(
            request,
            queryset,
            "Deletion",
            operations.delete_job,
            consequence="These jobs are deleted in Azure, with their tasks and their files on the nodes.",
        )

    @admin.action(description="Read the selected jobs now", permissions=["view"])
    def read_now(self, request: HttpRequest, queryset: models.QuerySet[Job]) -> None:
        """Ask for a fresh reading of each one's tasks."""
        self.ask_each(request, queryset, "Reading", operations.refresh_job)


class TaskStateFilter(WordFilter):
    """Azure's states of tasks."""

    title = parameter_name = "state"
    words = ("active", "preparing", "running", "completed")


class PreparationStateFilter(WordFilter):
    """Azure's states of preparation tasks."""

    title = parameter_name = "state"
    words = ("running", "completed")


class ResultFilter(WordFilter):
    """Azure's results of tasks that are over."""

    title = parameter_name = "result"
    words = ("success", "failure")


@admin.register(JobPreparation)
class JobPreparationAdmin(ObservedAdmin):
    """Preparation of jobs on nodes, as Azure shows it."""

    account_path = "job__account"
    exclude = ("synced_hash",)
    list_display = (
        "job", "node_id", "pool_id", status, "exit_code", "retry_count", "start_time", "end_time", "deleted_at",
    )  # fmt: skip
    list_filter = (GONE, PreparationStateFilter, ResultFilter, ("job__account", AccountFilter))
    list_select_related = ("job",)
    search_fields = ("^job__batch_id", "^node_id", "^pool_id")
    ordering = ("-pk",)


@admin.register(Task)
class TaskAdmin(ObservedAdmin):
    """Tasks as Azure shows them."""

    account_path = "job__account"
    exclude = ("synced_hash",)
    list_display = (
        "batch_id", "job", status, "exit_code", "retry_count", "node_id", "start_time", "end_time", "deleted_at",
    )  # fmt: skip
    list_filter = (GONE, TaskStateFilter, ResultFilter, ("job__account", AccountFilter))
    list_select_related = ("job",)
    search_fields = ("^batch_id", "^job__batch_id", "^node_id")
    # The newest first by key, which needs no sorting of millions.
    ordering = ("-pk",)
