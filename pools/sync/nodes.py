"""Nodes of a pool, as Azure lists them, and what they add up to."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from activity.bulk import bulk_write
from activity.revisions import bump
from activity.targets import Counts
from cloud.batch import BatchGateway
from cloud.errors import CloudError
from cloud.types import NodeSnapshot
from pools.models import Node, Pool
from pools.models.node import SETTLED_NODE_STATES

from .mirror import Seen, mirror, plain
from .schedule import pace_nodes


def pull_nodes(pool: Pool, gateway: BatchGateway, *, now: datetime) -> Counts:
    """List a pool's nodes and make its rows equal to them; a pool that is gone has none."""
    try:
        counts = apply_nodes(pool, gateway.list_nodes(pool.batch_id), now=now)
    except CloudError as error:
        if not error.is_missing:
            raise
        counts = apply_nodes(pool, (), now=now)
    pace_nodes(pool.account, now=now)
    return counts


def apply_nodes(
    pool: Pool, pages: Iterator[list[NodeSnapshot]] | Sequence[list[NodeSnapshot]], *, now: datetime
) -> Counts:
    """Make the rows of a pool's nodes equal to the pages of a full listing."""
    seen = ([Seen((node.id,), node.content_hash(), node_values(node)) for node in page] for page in pages)
    counts = mirror(Node.objects.filter(pool=pool), ["batch_id"], seen, owner={"pool": pool}, now=now)
    if not counts.is_quiet:
        _sum_up(pool)
    return counts


def _sum_up(pool: Pool) -> None:
    """Write what the living nodes add up to, so that lists need not count them."""
    rows = Node.objects.alive().filter(pool=pool).values_list("state", "running_tasks_count")
    states = Counter(state for state, _ in rows)
    with bulk_write():
        Pool.objects.filter(pk=pool.pk).update(
            node_counts=dict(states),
            nodes_changing=sum(n for state, n in states.items() if state not in SETTLED_NODE_STATES),
            running_tasks_count=sum(running for _, running in rows),
        )
        bump(pool.account, "pools", f"pool:{pool.batch_id}")


def node_values(seen: NodeSnapshot) -> dict[str, Any]:
    """The columns of a node."""
    return {
        "state": seen.state,
        "state_transition_time": seen.state_transition_time,
        "scheduling_state": seen.scheduling_state or "",
        "last_boot_time": seen.last_boot_time,
        "allocation_time": seen.allocation_time,
        "ip_address": seen.ip_address or "",
        "vm_size": seen.vm_size or "",
        "is_dedicated": seen.is_dedicated,
        "total_tasks_run": seen.total_tasks_run,
        "total_tasks_succeeded": seen.total_tasks_succeeded,
        "running_tasks_count": seen.running_tasks_count,
        "running_task_slots_count": seen.running_task_slots_count,
        "running_tasks": plain(seen.running_tasks),
        "start_task_info": plain(seen.start_task_info),
        "errors": plain(seen.errors),
        "node_agent_version": seen.node_agent_version or "",
        "exact_image_version": seen.exact_image_version or "",
    }
