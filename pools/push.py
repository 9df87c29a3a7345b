"""Carry out what was asked of pools: each verb may be repeated after a crash and still happens once."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from activity import ledger, steps, targets
from activity.gateways import gateway_for, reveal
from activity.models import Credential, Operation
from activity.revisions import bump
from cloud.batch import BatchGateway
from cloud.types import (
    AlreadyOurs,
    BlobMount,
    Elevation,
    PoolSnapshot,
    PoolSpec,
    RegistryRef,
    StartTaskSpec,
    Taken,
    UserIdentity,
    VmImageRef,
)
from pools.kinds import NODES, POOLS
from pools.models import ImageName, Pool, Registry, StorageMount

Verb = Callable[[Operation, Pool, BatchGateway], Mapping[str, Any]]


def carry_out(operation: Operation) -> Mapping[str, Any]:
    """Do in Azure what an operation asks of a pool; raises CloudError or ledger.Failed."""
    pool = Pool.objects.select_related("account", "size", "vm_image").get(pk=operation.argument("pool"))
    return VERBS[operation.verb](operation, pool, gateway_for(operation.account))


def settle(operation: Operation) -> None:
    """Note on the pool's row how an operation ended, in the transaction that settles it."""
    now = operation.finished_at or timezone.now()
    pool = Pool.objects.filter(pk=operation.argument("pool")).first()
    if pool is None:
        return
    is_done = operation.state == Operation.State.SUCCEEDED
    columns: dict[str, Any] = {}
    if operation.verb == "create":
        columns = _creation_columns(operation, pool, now)
    elif operation.verb == "delete" and not is_done:
        columns = {"deletion_asked_at": None}
    elif operation.verb == "delete" and not pool.was_seen:
        columns = {"deleted_at": now}
    if columns:
        Pool.objects.filter(pk=pool.pk).update(**columns)
    bump(operation.account, "pools", f"pool:{pool.batch_id}")
    targets.hurry(operation.account, POOLS, now=now)
    targets.hurry(operation.account, NODES, pool.batch_id, now=now)


def _creation_columns(operation: Operation, pool: Pool, now: datetime) -> dict[str, Any]:
    if operation.state == Operation.State.SUCCEEDED:
        return {"confirmed_at": now, "problem": ""}
    columns: dict[str, Any] = {"problem": operation.error or "The request was cancelled."}
    is_free = operation.error_code == "PoolExists" or operation.state == Operation.State.CANCELLED
    if is_free and not pool.was_seen:
        columns["deleted_at"] = now
    if operation.state == Operation.State.CANCELLED:
        _request_discard(operation, pool, now)
    return columns


def _request_discard(operation: Operation, pool: Pool, now: datetime) -> None:
    """Have a cancelled creation looked after: an answer may have been lost while Azure did it."""
    if operation.account.is_observe_only:
        return
    ledger.request(
        "discard",
        "pool",
        pool.batch_id,
        account=operation.account,
        actor=None,
        task_name=operation.task_name,
        payload={"pool": pool.pk, "mark": operation.mark},
        now=now,
        reason="Cleans up after the cancelled creation.",
    )


def mend(*, now: datetime) -> int:
    """Settle pools whose creation was cancelled or lost before any worker had it; return how many."""
    waiting = Pool.objects.alive().filter(
        Q(confirmed_at=None),
        is_ours=True,
        synced_hash="",
        problem="",
        created_at__lt=now - timedelta(minutes=1),
    )
    marks = {pool.operation for pool in waiting if pool.operation}
    ended = Operation.objects.filter(uuid__in=list(marks)).exclude(state__in=Operation.UNSETTLED)
    for operation in ended:
        settle(operation)
    return len(ended)


def _create(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    spec = pool_spec(pool, operation.mark)
    steps.reached("pool.create.ready")
    made = gateway.create_pool(spec)
    steps.reached("pool.create.done")
    if isinstance(made, Taken):
        raise ledger.Failed(
            f"Azure Batch has a pool {made.id} already, made elsewhere. Nothing was changed; choose another id.",
            "PoolExists",
        )
    return {"was_there": isinstance(made, AlreadyOurs)}


def _resize(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    _postpone_unless_steady(pool, gateway)
    steps.reached("pool.resize.ready")
    gateway.resize_pool(
        pool.batch_id,
        target_dedicated_nodes=operation.argument("dedicated"),
        target_low_priority_nodes=operation.argument("low_priority"),
        resize_timeout=timedelta(minutes=pool.resize_minutes),
        deallocation=operation.argument("deallocation", "requeue"),
    )
    steps.reached("pool.resize.done")
    return {}


def _find(pool: Pool, gateway: BatchGateway) -> PoolSnapshot | None:
    """Look a pool up; None when it is gone, and when its id has become somebody else's."""
    seen = gateway.get_pool(pool.batch_id)
    return seen if seen and pool.stands_for(seen.operation, seen.creation_time) else None


def _needed(pool: Pool, gateway: BatchGateway) -> PoolSnapshot:
    seen = _find(pool, gateway)
    if seen is None or seen.state == "deleting":
        raise ledger.Failed(f"Pool {pool.batch_id} no longer exists in Azure Batch.", "PoolNotFound")
    return seen


def _postpone_unless_steady(pool: Pool, gateway: BatchGateway) -> None:
    """Azure refuses a resize while another is going on; waiting for it is no fault."""
    seen = _needed(pool, gateway)
    if seen.allocation_state != "steady":
        raise ledger.Postponed(f"The pool is still {seen.allocation_state}.", seconds=5)


def _stop_resize(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    _needed(pool, gateway)
    gateway.stop_resize(pool.batch_id)
    return {}


def _set_autoscale(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    _postpone_unless_steady(pool, gateway)
    # From the row, not from the operation: that one is kept masked, and a formula may look like a secret.
    interval = timedelta(minutes=pool.evaluation_minutes)
    gateway.enable_autoscale(pool.batch_id, formula=pool.formula, interval=interval)
    return {}


def _disable_autoscale(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    _needed(pool, gateway)
    gateway.disable_autoscale(pool.batch_id)
    return {}


def _delete(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    steps.reached("pool.delete.ready")
    was_there = _find(pool, gateway) is not None and gateway.delete_pool(pool.batch_id)
    steps.reached("pool.delete.done")
    return {"was_there": was_there}


def _discard(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    seen = gateway.get_pool(pool.batch_id)
    if seen is None or seen.operation != operation.argument("mark"):
        return {"was_there": False}
    return {"was_there": gateway.delete_pool(pool.batch_id)}


def _reboot_node(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    gateway.reboot_node(pool.batch_id, operation.argument("node"), option=operation.argument("option"))
    return {}


def _reimage_node(operation: Operation, pool: Pool, gateway: BatchGateway) -> Mapping[str, Any]:
    gateway.reimage_node(pool.batch_id, operation.argument("node"), option=operation.argument("option"))
    return {}


VERBS: Mapping[str, Verb] = {
    "create": _create,
    "resize": _resize,
    "stop_resize": _stop_resize,
    "set_autoscale": _set_autoscale,
    "disable_autoscale": _disable_autoscale,
    "delete": _delete,
    "discard": _discard,
    "reboot_node": _reboot_node,
    "reimage_node": _reimage_node,
}


def pool_spec(
    pool: Pool,
    mark: str,
    *,
    mounts: Sequence[StorageMount] | None = None,
    secret: Callable[[Credential], str] = reveal,
) -> PoolSpec:
    """Build what Azure is sent for a pool, secrets included: it is never stored or logged.

    A preview gives the unsaved mounts and a `secret` that reveals nothing.
    """
    if pool.size is None or pool.vm_image is None:
        raise ledger.Failed("The pool has no VM size or node image.", "Incomplete")
    node_image = pool.vm_image
    images = [name for name in [pool.image_name, *pool.prefetched_images] if name]
    is_fixed = not pool.is_autoscaled
    return PoolSpec(
        id=pool.batch_id,
        vm_size=pool.size.name,
        image_reference=VmImageRef(
            publisher=node_image.publisher,
            offer=node_image.offer,
            sku=node_image.sku,
            version=node_image.version,
        ),
        node_agent_sku_id=node_image.node_agent_sku_id,
        operation=mark,
        display_name=pool.title or None,
        container_image_names=tuple(images),
        container_registries=tuple(registry_refs(pool.account_id, images, secret)),
        target_dedicated_nodes=pool.dedicated_nodes if is_fixed else None,
        target_low_priority_nodes=pool.low_priority_nodes if is_fixed else None,
        resize_timeout=timedelta(minutes=pool.resize_minutes) if is_fixed else None,
        auto_scale_formula=None if is_fixed else pool.formula,
        auto_scale_evaluation_interval=None if is_fixed else pool.evaluation_interval,
        task_slots_per_node=pool.slots,
        node_fill_type="pack" if pool.fill_type == "pack" else "spread",
        start_task=_start_task(pool),
        mounts=tuple(_mount(row, secret) for row in (_mounts_of(pool) if mounts is None else mounts)),
        metadata=tuple(sorted(pool.tags.items())),
    )


def registry_refs(
    account_id: int, images: list[str], secret: Callable[[Credential], str] = reveal
) -> list[RegistryRef]:
    """Name the registries that images come from, with the user and password nodes pull with."""
    servers = {ImageName.parse(name).login_server.lower() for name in images}
    rows = Registry.objects.filter(account=account_id).select_related("credential")
    return [
        RegistryRef(
            server=row.login_server, username=row.credential.username, password=secret(row.credential)
        )
        for row in rows
        if row.login_server.lower() in servers and row.credential is not None
    ]


def _start_task(pool: Pool) -> StartTaskSpec | None:
    if not pool.start_command.strip():
        return None
    elevation: Elevation = "admin" if pool.start_as_admin else "nonadmin"
    return StartTaskSpec(
        command_line=pool.start_command.strip(),
        user_identity=UserIdentity(scope="pool", elevation_level=elevation),
        max_task_retry_count=pool.start_retries,
        wait_for_success=pool.start_must_succeed,
    )


def _mounts_of(pool: Pool) -> list[StorageMount]:
    return list(pool.mounts.select_related("storage__credential"))


def _mount(row: StorageMount, secret: Callable[[Credential], str]) -> BlobMount:
    return BlobMount(
        account_name=row.storage.name,
        container_name=row.container_name,
        relative_mount_path=row.relative_mount_path,
        blobfuse_options=row.options,
        account_key=secret(row.storage.credential) if row.storage.credential else None,
    )
