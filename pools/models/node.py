"""Nodes of pools: every column is Azure's."""

from typing import Self

from django.db import models

from .badge import Badge, Family
from .seen import ObservedQuerySet, SeenModel

FAILED_NODE_STATES = frozenset({"starttaskfailed", "unusable"})
LOST_NODE_STATES = frozenset({"preempted", "unknown"})
OFF_NODE_STATES = frozenset({"offline", "deallocated"})
SETTLED_NODE_STATES = frozenset({"idle", "running"}) | FAILED_NODE_STATES | LOST_NODE_STATES | OFF_NODE_STATES
"""States that a node does not leave by itself (or, running, not soon)."""


class NodeQuerySet(ObservedQuerySet):
    """Nodes as pages ask for them."""

    def unsettled(self) -> Self:
        """Keep nodes between two states."""
        return self.alive().exclude(state__in=SETTLED_NODE_STATES)


class Node(SeenModel):
    """A node of a pool; every column is Azure's."""

    pool = models.ForeignKey("pools.Pool", models.CASCADE, related_name="nodes")
    batch_id = models.CharField("node id", max_length=128)
    state = models.CharField(max_length=32, blank=True)
    state_transition_time = models.DateTimeField(null=True)
    scheduling_state = models.CharField(max_length=32, blank=True)
    last_boot_time = models.DateTimeField(null=True)
    allocation_time = models.DateTimeField(null=True)
    ip_address = models.CharField(max_length=64, blank=True)
    vm_size = models.CharField(max_length=80, blank=True)
    is_dedicated = models.BooleanField(default=True)
    total_tasks_run = models.PositiveIntegerField(default=0)
    total_tasks_succeeded = models.PositiveIntegerField(default=0)
    running_tasks_count = models.PositiveIntegerField(default=0)
    running_task_slots_count = models.PositiveIntegerField(default=0)
    running_tasks = models.JSONField(default=list)  # pairs of job id and task id
    start_task_info = models.JSONField(null=True)
    errors = models.JSONField(default=list)
    node_agent_version = models.CharField(max_length=40, blank=True)
    exact_image_version = models.CharField(max_length=80, blank=True)

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ["batch_id"]
        constraints = [models.UniqueConstraint(fields=["pool", "batch_id"], name="node_once_per_pool")]
        indexes = [models.Index(fields=["pool", "deleted_at", "state"], name="node_state")]

    def __str__(self) -> str:
        return self.batch_id

    @property
    def short_id(self) -> str:
        """The id's readable beginning."""
        return self.batch_id[:12]

    @property
    def is_settled(self) -> bool:
        """Whether its state will not change by itself."""
        return self.is_deleted or self.state in SETTLED_NODE_STATES

    @property
    def badge(self) -> Badge:
        """Its state in one word."""
        if self.is_deleted:
            return Badge("off", "Gone")
        family: Family = "trans"
        if self.state in ("idle", "running"):
            family = "idle" if self.state == "idle" else "run"
        elif self.state in FAILED_NODE_STATES:
            family = "bad"
        elif self.state in LOST_NODE_STATES:
            family = "lost"
        elif self.state in OFF_NODE_STATES:
            family = "off"
        return Badge(family, self.state, self.problem)

    @property
    def problem(self) -> str:
        """Why it cannot work, in Azure's words; empty when it can."""
        if self.errors:
            return f"{self.errors[0].get('code', '')}: {self.errors[0].get('message', '')}"
        info = self.start_task_info or {}
        if info.get("result") == "failure":
            failure = info.get("failure_info") or {}
            exit_code = info.get("exit_code")
            said = f"exit code {exit_code}" if exit_code is not None else failure.get("code", "no exit code")
            return f"Start task failed: {said}. {failure.get('message', '')}".strip()
        return ""
