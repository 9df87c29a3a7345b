"""How forms of the pages look: their widgets' classes, and which of them are wrong."""

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from activity.refusals import Refused

CLASS_BY_WIDGET: list[tuple[type[forms.Widget], str]] = [
    (forms.CheckboxInput, "z-check"),
    (forms.RadioSelect, "z-radio"),
    (forms.Select, "form-select"),
    (forms.Textarea, "form-control mono"),
    (forms.Widget, "form-control"),
]


class PageForm(forms.BaseForm):
    """Mix-in of forms on pages: styled widgets; a wrong field is marked and described by its message."""

    mono_fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            css = next(css for widget, css in CLASS_BY_WIDGET if isinstance(field.widget, widget))
            extra = " mono" if name in self.mono_fields else ""
            field.widget.attrs.setdefault("class", css + extra)
            if isinstance(field.widget, forms.TextInput):
                field.widget.attrs.setdefault("autocomplete", "off")
                field.widget.attrs.setdefault("spellcheck", "false")

    def full_clean(self) -> None:
        """Validate, and mark what is wrong."""
        super().full_clean()
        for name in self.errors:
            if name in self.fields:
                attrs = self.fields[name].widget.attrs
                attrs["class"] = f"{attrs.get('class', '').replace(' is-invalid', '')} is-invalid".strip()


def add_errors(form: forms.BaseForm, error: ValidationError | Refused) -> None:
    """Put what an operation objects to at the form's fields; what has no field there goes to the top."""
    if isinstance(error, Refused):
        form.add_error(None, error.message)
        return
    for name, messages in getattr(error, "message_dict", {NON_FIELD_ERRORS: error.messages}).items():
        for message in messages:
            form.add_error(name if name in form.fields else None, message)


class ReasonForm(PageForm, forms.Form):
    """Why something is done, for the record of operations."""

    reason = forms.CharField(label="Reason, for the record", max_length=500, required=False)


class ConfirmForm(ReasonForm):
    """A destructive action: its object's name, typed, and a reason."""

    mono_fields = ("name",)
    name = forms.CharField(max_length=128)
    field_order = ["name", "reason"]

    def __init__(self, *args: Any, expected: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected
        self.fields["name"].label = f"Type {expected} to confirm"
        self.fields["name"].widget.attrs.update({"data-confirm": expected, "autofocus": True})

    def clean_name(self) -> str:
        """Accept only the object's own name."""
        if self.cleaned_data["name"] != self.expected:
            raise forms.ValidationError(f"This is not {self.expected}.", code="other_name")
        return str(self.cleaned_data["name"])
