"""Pools: what was asked for, what Azure shows, and the nodes they are made of."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower

from .badge import Badge
from .catalog import StorageAccount, VmImage, VmSize
from .node import FAILED_NODE_STATES
from .reference import WithImage
from .seen import BATCH_ID_LENGTH, Lifecycle, LifecycleQuerySet, batch_id_validator

MOUNT_OPTIONS = "-o attr_timeout=240 -o entry_timeout=240 -o negative_timeout=120 -o allow_other"
"""Options of the shared containers in Zooniverse's pools."""

PREFIX_CLASSES = ["int8_ops", "varchar_pattern_ops"]
"""Let PostgreSQL search prefixes by the index whatever its collation; SQLite ignores them."""

CHANGING = ("resizing", "stopping")
"""Allocation states that pass by themselves."""


UNSETTLED = models.Q(deleted_at=None) & (
    models.Q(synced_hash="", problem="")
    | models.Q(deletion_asked_at__isnull=False)
    | models.Q(state="deleting")
    | models.Q(allocation_state__in=CHANGING)
    | models.Q(nodes_changing__gt=0)
)


class Pool(WithImage, Lifecycle):
    """A pool of nodes; columns after `state` are Azure's own, written by sync alone."""

    account = models.ForeignKey("activity.Account", models.CASCADE, related_name="pools")
    batch_id = models.CharField(
        "pool id",
        max_length=BATCH_ID_LENGTH,
        validators=[batch_id_validator],
        help_text="Up to 64 letters, digits, hyphens and underscores. It cannot be changed later.",
    )
    batch_id_lower = models.GeneratedField(
        expression=Lower("batch_id"),
        output_field=models.CharField(max_length=BATCH_ID_LENGTH),
        db_persist=True,
    )

    # What was asked for: written by operations alone.
    title = models.CharField("display name", max_length=1024, blank=True)
    size = models.ForeignKey(
        VmSize, models.PROTECT, null=True, blank=True, related_name="pools", verbose_name="VM size"
    )
    vm_image = models.ForeignKey(
        VmImage, models.PROTECT, null=True, blank=True, related_name="pools", verbose_name="node image"
    )
    prefetched_images = models.JSONField(default=list, blank=True, editable=False)  # more references
    is_autoscaled = models.BooleanField("autoscale", default=False)
    dedicated_nodes = models.IntegerField(
        default=0, validators=[MinValueValidator(0), MaxValueValidator(100_000)]
    )
    low_priority_nodes = models.IntegerField(
        "low-priority nodes", default=0, validators=[MinValueValidator(0), MaxValueValidator(100_000)]
    )
    formula = models.TextField("autoscale formula", blank=True)
    evaluation_minutes = models.PositiveSmallIntegerField(
        "evaluate every (minutes)", default=5, validators=[MinValueValidator(5), MaxValueValidator(168 * 60)]
    )
    resize_minutes = models.PositiveSmallIntegerField(
        "resize time-out (minutes)",
        default=15,
        validators=[MinValueValidator(5), MaxValueValidator(168 * 60)],
    )
    slots = models.PositiveSmallIntegerField(
        "task slots per node", default=1, validators=[MinValueValidator(1), MaxValueValidator(256)]
    )
    fill_type = models.CharField(
        max_length=8, default="spread", choices=[("spread", "Spread"), ("pack", "Pack")]
    )
    start_command = models.TextField("start task command", blank=True)
    start_as_admin = models.BooleanField("start task runs as administrator", default=True)
    start_retries = models.PositiveSmallIntegerField(default=0)
    start_must_succeed = models.BooleanField("nodes wait for the start task's success", default=True)
    tags = models.JSONField("metadata", default=dict, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )
    revision = models.PositiveIntegerField(default=0, editable=False)

    # What Azure shows: written by sync alone, named and valued as there.
    display_name = models.CharField(max_length=1024, blank=True, editable=False)
    etag = models.CharField(max_length=80, blank=True, editable=False)
    creation_time = models.DateTimeField(null=True, editable=False)
    last_modified = models.DateTimeField(null=True, editable=False)
    state = models.CharField(max_length=32, blank=True, editable=False)
    state_transition_time = models.DateTimeField(null=True, editable=False)
    allocation_state = models.CharField(max_length=32, blank=True, editable=False)
    allocation_state_transition_time = models.DateTimeField(null=True, editable=False)
    vm_size = models.CharField(max_length=80, blank=True, editable=False)
    current_dedicated_nodes = models.PositiveIntegerField(default=0, editable=False)
    current_low_priority_nodes = models.PositiveIntegerField(default=0, editable=False)
    target_dedicated_nodes = models.PositiveIntegerField(null=True, editable=False)
    target_low_priority_nodes = models.PositiveIntegerField(null=True, editable=False)
    enable_auto_scale = models.BooleanField(default=False, editable=False)
    auto_scale_formula = models.TextField(blank=True, editable=False)
    auto_scale_evaluation_interval = models.DurationField(null=True, editable=False)
    auto_scale_run = models.JSONField(null=True, editable=False)
    resize_timeout = models.DurationField(null=True, editable=False)
    resize_errors = models.JSONField(default=list, editable=False)
    task_slots_per_node = models.PositiveIntegerField(default=1, editable=False)
    node_fill_type = models.CharField(max_length=16, blank=True, editable=False)
    enable_inter_node_communication = models.BooleanField(default=False, editable=False)
    image_reference = models.JSONField(null=True, editable=False)
    node_agent_sku_id = models.CharField(max_length=80, blank=True, editable=False)
    container_image_names = models.JSONField(default=list, editable=False)
    container_registries = models.JSONField(default=list, editable=False)
    mount_configuration = models.JSONField(default=list, editable=False)
    start_task_command_line = models.TextField(blank=True, editable=False)
    metadata = models.JSONField(default=list, editable=False)
    node_counts = models.JSONField(default=dict, editable=False)  # nodes by state
    nodes_changing = models.PositiveIntegerField(default=0, editable=False)
    running_tasks_count = models.PositiveIntegerField(default=0, editable=False)
    # Worked out by the database, so that pages ask an index and not every pool whether anything is going on.
    is_unsettled = models.GeneratedField(
        expression=models.Case(models.When(UNSETTLED, then=True), default=False),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    objects = LifecycleQuerySet.as_manager()

    class Meta:
        ordering = ["batch_id"]
        constraints = [
            models.UniqueConstraint(
                "account",
                Lower("batch_id"),
                condition=models.Q(deleted_at=None),
                name="pool_id_once_per_account",
                violation_error_message="A pool with this id exists already.",
            ),
            models.CheckConstraint(
                condition=models.Q(dedicated_nodes__gte=0, low_priority_nodes__gte=0),
                name="pool_nodes_not_negative",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "batch_id_lower"], name="pool_prefix", opclasses=PREFIX_CLASSES),
            models.Index(
                fields=["account", "batch_id_lower", "id"],
                condition=models.Q(deleted_at=None),
                name="pool_order",
            ),
            models.Index(fields=["account", "deleted_at", "allocation_state"], name="pool_state"),
            models.Index(fields=["account", "is_unsettled"], name="pool_unsettled"),
            models.Index(fields=["account", "-created_at"], name="pool_newest"),
        ]

    def __str__(self) -> str:
        return self.batch_id

    def clean(self) -> None:
        """Check what one field alone cannot tell; messages sit at the field to mend."""
        errors: dict[str, str] = {}
        if taken := self._taken():
            errors["batch_id"] = taken
        if self.is_autoscaled and not self.formula.strip():
            errors["formula"] = "Give the formula that sets the number of nodes, or choose a fixed number."
        if not isinstance(self.tags, dict) or not all(
            isinstance(key, str) and isinstance(value, str) for key, value in self.tags.items()
        ):
            errors["tags"] = "Metadata are pairs of text: a name and a value each."
        if self.container_image and self.vm_image and not self.vm_image.is_container_capable:
            errors["vm_image"] = "This node image cannot run containers; choose one that can."
        if errors:
            raise ValidationError(errors)

    def _taken(self) -> str:
        """Say who has its id already; empty when it is free."""
        others = Pool.objects.alive().filter(account=self.account_id, batch_id__iexact=self.batch_id)
        other = others.exclude(pk=self.pk).first()
        if other is None:
            return ""
        where = "here" if other.is_ours else "in Azure (made elsewhere)"
        return f"Pool {other.batch_id} exists already {where}; choose another id."

    @property
    def name(self) -> str:
        """What people call it."""
        return self.title or self.display_name or self.batch_id

    @property
    def size_name(self) -> str:
        """The VM size, as Azure shows it once it does; reads `size` before."""
        return self.vm_size or (self.size.name if self.size else "")

    @property
    def image_name(self) -> str:
        """The container image that its nodes pull and its jobs use by default."""
        if self.container_image:
            return self.asked_image
        return str(self.container_image_names[0]) if self.container_image_names else ""

    @property
    def current_nodes(self) -> int:
        """Nodes of both kinds that it has now."""
        return self.current_dedicated_nodes + self.current_low_priority_nodes

    @property
    def target_nodes(self) -> int:
        """Nodes of both kinds that it is to have."""
        if not self.was_seen:
            return self.dedicated_nodes + self.low_priority_nodes
        return (self.target_dedicated_nodes or 0) + (self.target_low_priority_nodes or 0)

    @property
    def failed_nodes(self) -> int:
        """Nodes that need a person."""
        return sum(self.node_counts.get(state, 0) for state in FAILED_NODE_STATES)

    @property
    def usable_nodes(self) -> int:
        """Nodes that run or could run a task now."""
        return int(self.node_counts.get("idle", 0)) + int(self.node_counts.get("running", 0))

    @property
    def autoscale_error(self) -> dict[str, Any] | None:
        """Why the last evaluation of its formula failed, as Azure said it."""
        return (self.auto_scale_run or {}).get("error")

    @property
    def evaluation_interval(self) -> timedelta:
        """How often Azure is to evaluate the formula."""
        return timedelta(minutes=self.evaluation_minutes)

    @property
    def is_settled(self) -> bool:
        """Whether nothing about it will change by itself; the same rule as `unsettled()`."""
        if self.is_deleted:
            return True
        if self.is_pending or self.deletion_asked_at or self.state == "deleting":
            return False
        return self.allocation_state not in CHANGING and not self.nodes_changing

    @property
    def badge(self) -> Badge:
        """Its state in one word: allocation state, errors and nodes together."""
        return self._ending_badge() or self._error_badge() or self._allocation_badge()

    def _ending_badge(self) -> Badge | None:
        if self.is_deleted:
            return (
                Badge("off", "Deleted", self.problem)
                if self.was_seen
                else Badge("bad", "Not created", self.problem)
            )
        if self.deletion_asked_at or self.state == "deleting":
            return Badge("trans", "Deleting")
        if not self.was_seen:
            return Badge("bad", "Not created", self.problem) if self.problem else Badge("trans", "Creating")
        return None

    def _error_badge(self) -> Badge | None:
        if self.resize_errors:
            first = self.resize_errors[0]
            return Badge("bad", "Resize error", f"{first.get('code', '')}: {first.get('message', '')}")
        if self.autoscale_error:
            error = self.autoscale_error
            return Badge("bad", "Resize error", f"{error.get('code', '')}: {error.get('message', '')}")
        return None

    def _allocation_badge(self) -> Badge:
        if self.allocation_state in CHANGING:
            return Badge("trans", self.allocation_state.capitalize())
        if self.failed_nodes and self.failed_nodes >= sum(self.node_counts.values()):
            return Badge("bad", "Steady, no usable node", f"{self.failed_nodes} of its nodes failed")
        if not self.current_nodes:
            return Badge("off", "Steady, 0 nodes")
        return Badge("ok", "Steady")


class StorageMount(models.Model):
    """A blob container that a pool's nodes mount."""

    pool = models.ForeignKey(Pool, models.CASCADE, related_name="mounts")
    storage = models.ForeignKey(StorageAccount, models.PROTECT, related_name="mounts")
    container_name = models.CharField(
        max_length=63,
        validators=[
            RegexValidator(
                r"\A(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z",
                "A container's name has 3 to 63 lower-case letters, digits and single hyphens.",
            )
        ],
    )
    relative_mount_path = models.CharField(
        max_length=255,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9_][A-Za-z0-9_.-]*\Z", "Use one folder name without slashes, such as training."
            )
        ],
        help_text="Tasks see it as $AZ_BATCH_NODE_MOUNTS_DIR/<path>.",
    )
    options = models.CharField(max_length=500, blank=True, default=MOUNT_OPTIONS)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["pool", "relative_mount_path"],
                name="mount_path_once_per_pool",
                violation_error_message="Another mount of this pool has the same path.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.storage_id}/{self.container_name} at {self.relative_mount_path}"


class PoolRevision(models.Model):
    """What was asked of a pool at one time."""

    pool = models.ForeignKey(Pool, models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    content = models.JSONField()
    reason = models.TextField(blank=True)
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["pool", "number"], name="pool_revision_once")]

    def __str__(self) -> str:
        return f"{self.pool_id} revision {self.number}"
