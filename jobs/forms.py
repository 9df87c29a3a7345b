"""The form of a job: what every job is asked, and what its definition asks."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.forms import BoundField
from django.forms.models import model_to_dict

from activity.forms import PageForm
from jobs import parameters, recipes
from jobs.models import Job
from jobs.parameters import Parameter
from jobs.specs import missing_secrets
from pools.models import Pool

PREFIX = "p_"
MONO = frozenset({"arguments", "image", "checkpoint", "manifest", "script", "json"})


def answers_of(job: Job) -> dict[str, Any]:
    """Return what JobForm would be given to ask for such a job again, under an id of its own."""
    answers = model_to_dict(job, fields=set(JobForm.Meta.fields) - {"batch_id"})
    spec = job.revision.spec if job.revision else {}
    types = {parameter.name: parameter.type for parameter in parameters.read(spec)}
    for name, value in job.parameters.items():
        answers[PREFIX + name] = parameters.text(value) if types.get(name) == "json" else value
    return answers


class JobForm(PageForm, forms.ModelForm):
    """A job to submit. The instance must have its account and its definition's revision."""

    mono_fields = ("batch_id", "container_image")

    class Meta:
        model = Job
        fields = [
            "batch_id",
            "title",
            "pool",
            "container_image",
            "pins_digest",
            "wall_clock_minutes",
            "asked_priority",
        ]
        labels = {"batch_id": "Job ID", "container_image": "Image"}
        help_texts = {
            "batch_id": "Chosen now, so that a repeated submission finds its own job.",
            "container_image": "Empty means the pool's own image, which its nodes have pulled already.",
        }
        widgets = {"title": forms.TextInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spec = self.instance.revision.spec
        self.parameters = parameters.read(self.spec)
        pools = Pool.objects.for_account(self.instance.account).usable()
        field = self.fields["pool"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset, field.empty_label, field.required = (
            pools.select_related("size", "image__repository"),
            None,
            True,
        )
        self.fields["asked_priority"].required = False
        for parameter in self.parameters:
            self.fields[PREFIX + parameter.name] = field_for(parameter)
        self._restyle()

    def _restyle(self) -> None:
        """Give the fields that were added late their classes."""
        for parameter in self.parameters:
            widget = self.fields[PREFIX + parameter.name].widget
            css = (
                "z-check"
                if parameter.type == "flag"
                else "form-select"
                if parameter.type == "choice"
                else "form-control"
            )
            widget.attrs["class"] = f"{css} mono" if parameter.type in MONO else css
            widget.attrs.setdefault("autocomplete", "off")

    def asked(self, *, is_advanced: bool) -> Iterator[BoundField]:
        """Yield the fields of the definition's ordinary (or advanced) parameters."""
        for parameter in self.parameters:
            if parameter.is_advanced == is_advanced:
                yield self[PREFIX + parameter.name]

    @property
    def ordinary(self) -> list[BoundField]:
        """What most people are asked."""
        return list(self.asked(is_advanced=False))

    @property
    def advanced(self) -> list[BoundField]:
        """What few people change."""
        return list(self.asked(is_advanced=True))

    @property
    def has_advanced_errors(self) -> bool:
        """Whether the folded part must be open."""
        return any(field.errors for field in [*self.advanced, self["batch_id"], self["asked_priority"]])

    def clean(self) -> dict[str, Any]:
        """Judge the parameters by the definition; each message goes to its field."""
        values = super().clean() or self.cleaned_data
        given = {
            parameter.name: values[PREFIX + parameter.name]
            for parameter in self.parameters
            if PREFIX + parameter.name in values
        }
        problems = recipes.validate(self.spec, given)
        if not problems:
            problems = missing_secrets(self.instance.account, self.spec, recipes.cleaned(self.spec, given))
        for name, message in problems.items():
            if PREFIX + name in self.errors:
                continue  # the field has said what it needs
            self.add_error(PREFIX + name if PREFIX + name in self.fields else None, message)
        self.instance.parameters = {} if problems else recipes.cleaned(self.spec, given)
        if values.get("asked_priority") is None and "asked_priority" not in self.errors:
            values["asked_priority"] = 0
        return values


def field_for(parameter: Parameter) -> forms.Field:
    """Return the form field of a parameter; what is a good value is the definition's to say, not the field's."""
    common: dict[str, Any] = {
        "label": parameter.label,
        "help_text": parameter.help,
        "required": parameter.is_required and parameter.type != "flag",
        "initial": parameters.text(parameter.default) if parameter.type == "json" else parameter.default,
    }
    if parameter.type == "flag":
        return forms.BooleanField(**common)
    if parameter.type == "choice":
        choices = [*parameter.choices] if parameter.is_required else [("", "not set"), *parameter.choices]
        return forms.ChoiceField(choices=choices, **common)
    if parameter.type in ("integer", "number"):
        bounds = {
            "min": parameter.minimum,
            "max": parameter.maximum,
            "step": 1 if parameter.type == "integer" else "any",
        }
        attrs = {name: value for name, value in bounds.items() if value is not None}
        return forms.CharField(widget=forms.NumberInput(attrs=attrs), **common)
    if parameter.type in ("json", "arguments"):
        return forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), strip=False, **common)
    return forms.CharField(**common)
