"""Pools of an account, as Azure lists them."""

from datetime import datetime
from typing import Any

from activity.models import Account
from activity.targets import Counts
from cloud.batch import BatchGateway
from cloud.types import PoolSnapshot
from pools.models import Node, Pool

from .lifecycle import Found, apply_page, bury_missing, shown
from .mirror import plain
from .schedule import pace_nodes


def pull_pools(account: Account, gateway: BatchGateway, *, now: datetime) -> Counts:
    """List an account's pools and make its rows equal to them."""
    counts, listed = Counts(), set[str]()
    before = shown(Pool.objects.for_account(account), now=now)
    for page in gateway.list_pools():
        listed.update(seen.id.lower() for seen in page)
        counts += apply_pools(account, page, now=now)
    counts += bury_missing(Pool, account, before, listed, topic="pool", now=now)
    if not counts.is_quiet:
        Node.objects.alive().filter(pool__account=account).exclude(pool__deleted_at=None).update(
            deleted_at=now
        )
    pace_nodes(account, now=now)
    return counts


def apply_pools(account: Account, page: list[PoolSnapshot], *, now: datetime) -> Counts:
    """Make the rows of one page of pools equal to it."""
    found = [
        Found(seen.id, seen.operation, seen.creation_time, seen.content_hash(), pool_values(seen))
        for seen in page
    ]
    return apply_page(Pool, account, found, topic="pool", now=now)


def pool_values(seen: PoolSnapshot) -> dict[str, Any]:
    """The observed columns of a pool."""
    return {
        "display_name": seen.display_name or "",
        "etag": seen.etag or "",
        "creation_time": seen.creation_time,
        "last_modified": seen.last_modified,
        "state": seen.state,
        "state_transition_time": seen.state_transition_time,
        "allocation_state": seen.allocation_state or "",
        "allocation_state_transition_time": seen.allocation_state_transition_time,
        "vm_size": seen.vm_size,
        "current_dedicated_nodes": seen.current_dedicated_nodes,
        "current_low_priority_nodes": seen.current_low_priority_nodes,
        "target_dedicated_nodes": seen.target_dedicated_nodes,
        "target_low_priority_nodes": seen.target_low_priority_nodes,
        "enable_auto_scale": seen.enable_auto_scale,
        "auto_scale_formula": seen.auto_scale_formula or "",
        "auto_scale_evaluation_interval": seen.auto_scale_evaluation_interval,
        "auto_scale_run": plain(seen.auto_scale_run),
        "resize_timeout": seen.resize_timeout,
        "resize_errors": plain(seen.resize_errors),
        "task_slots_per_node": seen.task_slots_per_node,
        "node_fill_type": seen.node_fill_type or "",
        "enable_inter_node_communication": seen.enable_inter_node_communication,
        "image_reference": plain(seen.image_reference),
        "node_agent_sku_id": seen.node_agent_sku_id or "",
        "container_image_names": list(seen.container_image_names),
        "container_registries": plain(seen.container_registries),
        "mount_configuration": plain(seen.mounts),
        "start_task_command_line": seen.start_task_command_line or "",
        "metadata": plain(seen.metadata),
    }
