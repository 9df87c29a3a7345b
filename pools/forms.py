"""Forms of the pools' pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.forms.models import model_to_dict
from django.http import QueryDict
from django.utils import timezone

from activity.forms import PageForm, ReasonForm
from activity.models import Account
from pools.models import (
    Image,
    Pool,
    Registry,
    Repository,
    StorageAccount,
    StorageMount,
    VmImage,
    VmSize,
    find_image,
    validate_new_batch_id,
)
from pools.scaling import LONGEST_FORMULA, pending_tasks_formula

TAGS_SHOWN = 60
# Numbers that may be left empty; the default is then the model's.
NUMBERS = (
    "dedicated_nodes",
    "low_priority_nodes",
    "evaluation_minutes",
    "resize_minutes",
    "slots",
    "start_retries",
)
DEFAULT_CONTAINERS = ("training", "models", "predictions")
BLANK_MOUNTS = 1
MOST_MOUNTS = 10


@dataclass(frozen=True)
class ScalingChoice:
    """A way to say how many nodes there are to be."""

    value: str
    label: str
    text: str


SCALING_CHOICES = [
    ScalingChoice("fixed", "Fixed", "As many nodes as you say, until somebody resizes the pool."),
    ScalingChoice(
        "preset", "Autoscale, queue depth", "A node per waiting task up to a cap; none when nothing waits."
    ),
    ScalingChoice(
        "formula", "Autoscale, own formula", "A formula that Azure Batch evaluates every few minutes."
    ),
]


def answers_of(pool: Pool) -> dict[str, Any]:
    """Return what PoolForm would be given to ask for such a pool again; its mounts are asked in rows of their own."""
    answers = model_to_dict(pool, fields=PoolForm.Meta.fields)
    answers["scaling"] = "formula" if pool.is_autoscaled else "fixed"
    if not pool.formula:
        del answers["formula"]
    if pool.image is not None and pool.container_image == pool.image.reference:
        repository = pool.image.repository
        answers |= {"registry": repository.registry_id, "repository": repository.pk}
        answers |= {"picked": pool.container_image, "container_image": ""}
    return answers


def _is_small_number(text: str) -> bool:
    """Tell whether a text from an address is a whole number that any database can hold."""
    return text.isascii() and text.isdecimal() and len(text) < 16


class ImagePicker:
    """Registry, then repository, then tag: what can be chosen next, given what is chosen already."""

    def __init__(self, account: Account, data: Mapping[str, Any]) -> None:
        self.registries = Registry.objects.for_account(account)
        self.registry = self._chosen(self.registries, data.get("registry")) or self._default_registry()
        self.repositories = Repository.objects.alive().filter(registry=self.registry)
        self.repository = self._chosen(self.repositories, data.get("repository")) or self.repositories.first()
        self.typed = (data.get("container_image") or "").strip()
        self.picked = data.get("picked") or ""

    def _chosen(self, choices: QuerySet[Any], key: Any) -> Any:
        return choices.filter(pk=key).first() if _is_small_number(str(key or "")) else None

    def _default_registry(self) -> Registry | None:
        return self.registries.order_by("-is_default", "login_server").first()

    @property
    def images(self) -> list[Image]:
        """Return the repository's tags, newest first; those whose tag or digest has the typed text in it."""
        images = Image.objects.alive().tagged().filter(repository=self.repository)
        images = images.select_related("repository__registry").order_by("-last_updated_on", "tag")
        wanted = "" if "/" in self.typed else self.typed.removeprefix("sha256:")
        found = [image for image in images[:500] if wanted in image.tag or wanted in image.digest]
        return found[:TAGS_SHOWN]

    @property
    def reference(self) -> str:
        """Return the image's full name: the picked tag, unless another one was typed; empty for none."""
        picked_tag = self.picked.rpartition(":")[2]
        if self.picked and (not self.typed or self.typed in picked_tag or self.typed == self.picked):
            return self.picked
        if not self.typed or "/" in self.typed or self.repository is None:
            return self.typed
        joint = "@" if self.typed.startswith("sha256:") else ":"
        return f"{self.repository.registry.login_server}/{self.repository.name}{joint}{self.typed}"


class PoolForm(PageForm, forms.ModelForm):
    """A pool to create. The instance must have its account before the form is validated."""

    mono_fields = ("batch_id", "container_image", "start_command", "formula")
    registry = forms.ModelChoiceField(Registry.objects.none(), required=False, empty_label=None)
    repository = forms.ModelChoiceField(Repository.objects.none(), required=False, empty_label=None)
    scaling = forms.ChoiceField(
        choices=[(choice.value, choice.label) for choice in SCALING_CHOICES], initial="fixed"
    )
    cap = forms.IntegerField(
        label="At most, nodes", min_value=1, max_value=100_000, initial=2, required=False
    )

    class Meta:
        model = Pool
        fields = [
            "batch_id",
            "title",
            "container_image",
            "pins_digest",
            "vm_image",
            "size",
            "dedicated_nodes",
            "low_priority_nodes",
            "formula",
            "evaluation_minutes",
            "resize_minutes",
            "slots",
            "fill_type",
            "start_command",
            "start_as_admin",
            "start_retries",
            "start_must_succeed",
        ]
        labels = {"batch_id": "Pool ID", "container_image": "Find or type a tag or digest"}
        help_texts = {
            "container_image": "A tag, a digest (sha256:…), or a whole name such as registry/repository:tag."
        }
        widgets = {
            "start_command": forms.Textarea(attrs={"rows": 2}),
            "formula": forms.Textarea(attrs={"rows": 9}),
            "title": forms.TextInput,
            "size": forms.RadioSelect,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        account = self.instance.account
        data: Mapping[str, Any] = self.data if self.is_bound else self.initial
        self.picker = ImagePicker(account, data)
        self._narrow("registry", self.picker.registries, self.picker.registry)
        self._narrow("repository", self.picker.repositories, self.picker.repository)
        offered = VmImage.objects.for_account(account).alive().for_containers()
        self._narrow("vm_image", offered, offered.first())
        self._narrow("size", VmSize.objects.offered(timezone.now().date()), None)
        self.fields["size"].required = self.fields["vm_image"].required = True
        self.fields["container_image"].required = False
        self.fields["formula"].initial = pending_tasks_formula(2)
        for name in NUMBERS:
            self.fields[name].required = False

    def _narrow(self, name: str, choices: QuerySet[Any], default: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = choices
        if default is not None and self.initial.get(name) is None:
            self.initial[name] = default.pk
        if name != "size":
            field.empty_label = None

    def clean_batch_id(self) -> str:
        """Refuse an id that a living pool of the account has; Azure compares ids without regard to case."""
        batch_id = str(self.cleaned_data["batch_id"])
        validate_new_batch_id(batch_id)
        if (
            Pool.objects.for_account(self.instance.account)
            .alive()
            .filter(batch_id_lower=batch_id.lower())
            .exists()
        ):
            raise forms.ValidationError(f"A pool {batch_id} exists already in this account.", code="taken")
        return batch_id

    def clean_formula(self) -> str:
        """Refuse a formula that is longer than Azure takes."""
        formula = str(self.cleaned_data["formula"])
        if len(formula) > LONGEST_FORMULA:
            raise forms.ValidationError(f"At most {LONGEST_FORMULA} characters; these are {len(formula)}.")
        return formula

    def clean_container_image(self) -> str:
        """Return the image's full name; it is looked up here, so that other faults do not hide an unknown tag."""
        if not self.picker.reference:
            raise forms.ValidationError("Choose a tag, or type an image's name.", code="required")
        self.instance.image = find_image(self.instance.account_id, self.picker.reference)
        return self.picker.reference

    def clean(self) -> dict[str, Any]:
        """Turn the kind of scaling into what a pool is asked for; empty numbers mean their default."""
        values = super().clean() or self.cleaned_data
        scaling = values.get("scaling")
        self.instance.is_autoscaled = scaling in ("preset", "formula")
        if scaling == "preset":
            if values.get("cap") is None and "cap" not in self.errors:
                self.add_error("cap", "Give the largest number of nodes.")
            values["formula"] = pending_tasks_formula(values.get("cap") or 1)
        if scaling == "fixed":
            values["formula"] = ""
        blank = Pool()
        for name in NUMBERS:
            if values.get(name) is None and name not in self.errors:
                values[name] = getattr(blank, name)
        if self.instance.is_autoscaled:
            values["dedicated_nodes"] = values["low_priority_nodes"] = 0
        return values


class MountForm(PageForm, forms.ModelForm):
    """A container that nodes mount; a blank row is left out."""

    mono_fields = ("container_name", "relative_mount_path")

    class Meta:
        model = StorageMount
        fields = ["storage", "container_name", "relative_mount_path"]
        labels = {
            "storage": "Storage account",
            "container_name": "Container",
            "relative_mount_path": "Mount path",
        }
        help_texts = {"relative_mount_path": ""}

    def __init__(self, *args: Any, account: Account, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["storage"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = StorageAccount.objects.for_account(account)
        field.empty_label = None
        self.empty_permitted, self.use_required_attribute = True, False

    def has_changed(self) -> bool:
        """Whether the row says anything: the storage account alone does not."""
        return any(
            str(self[name].value() or "").strip() for name in ("container_name", "relative_mount_path")
        )


def _usual_mounts(account: Account) -> list[dict[str, Any]]:
    if not StorageAccount.objects.for_account(account).exists():
        return []
    return [{"container_name": name, "relative_mount_path": name} for name in DEFAULT_CONTAINERS]


class MountRows:
    """The mounts of a pool's form: as many rows as were sent, else those of `like` or the usual ones, and a blank one."""

    def __init__(
        self,
        account: Account,
        data: QueryDict | None = None,
        *,
        extra: int = 0,
        like: Sequence[StorageMount] | None = None,
    ) -> None:
        self.error = ""
        if data is None:
            initial = _usual_mounts(account) if like is None else [model_to_dict(mount) for mount in like]
            initial += [{}] * BLANK_MOUNTS
            self.forms = [
                MountForm(account=account, prefix=f"mount-{index}", initial=values)
                for index, values in enumerate(initial)
            ]
            return
        sent = data.get("mounts", "")
        number = min(int(sent) if _is_small_number(sent) else 0, MOST_MOUNTS)
        self.forms = [MountForm(data, account=account, prefix=f"mount-{index}") for index in range(number)]
        self.forms += [
            MountForm(account=account, prefix=f"mount-{index}")
            for index in range(number, min(number + extra, MOST_MOUNTS))
        ]

    def is_valid(self) -> bool:
        """Validate each row, and that no two have the same path."""
        paths = [form["relative_mount_path"].value() for form in self.forms if form.has_changed()]
        twice = sorted({path for path in paths if path and paths.count(path) > 1})
        self.error = f"Two mounts have the path {', '.join(twice)}." if twice else ""
        are_valid = [form.is_valid() for form in self.forms]
        return all(are_valid) and not twice

    @property
    def mounts(self) -> list[StorageMount]:
        """Return the unsaved mounts; needs validated rows."""
        return [form.instance for form in self.forms if form.has_changed()]


class ResizeForm(ReasonForm):
    """How many nodes a pool is to have, and what becomes of tasks on nodes that leave."""

    dedicated = forms.IntegerField(label="Dedicated nodes", min_value=0, max_value=100_000)
    low_priority = forms.IntegerField(label="Low-priority nodes", min_value=0, max_value=100_000)
    deallocation = forms.ChoiceField(
        label="Nodes with tasks",
        choices=[
            ("taskcompletion", "Wait for their tasks"),
            ("requeue", "Stop tasks and queue them again"),
            ("terminate", "Stop tasks for good"),
            ("retaineddata", "Wait until kept files expire"),
        ],
    )
    field_order = ["dedicated", "low_priority", "deallocation", "reason"]


class AutoscaleForm(PageForm, forms.Form):
    """The formula that sets a pool's number of nodes."""

    mono_fields = ("formula",)
    formula = forms.CharField(
        label="Autoscale formula", max_length=LONGEST_FORMULA, widget=forms.Textarea(attrs={"rows": 9})
    )
    minutes = forms.IntegerField(label="Evaluate every, minutes", min_value=5, max_value=168 * 60, initial=5)
    reason = forms.CharField(label="Reason, for the record", max_length=500, required=False)
