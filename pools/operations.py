"""The one door to change pools: each verb validates, writes what was asked for, and requests an operation."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.forms.models import model_to_dict
from django.utils import timezone

from activity import ledger, roles, targets
from activity.models import Account, Operation
from activity.refusals import Refused
from activity.roles import Actor
from pools import tasks
from pools.kinds import NODES, POOLS, REGISTRY, VM_IMAGES
from pools.models import Node, Pool, PoolRevision, Registry, StorageMount, VmSize, validate_new_batch_id

MOST_MOUNTS = 10
DEALLOCATION = ("requeue", "terminate", "taskcompletion", "retaineddata")
NOT_REVISED = ("id", "account", "batch_id", "created_by", "image")


def create_pool(
    pool: Pool,
    *,
    mounts: Sequence[StorageMount] = (),
    actor: Actor,
    now: datetime | None = None,
    reason: str = "",
) -> Operation:
    """Ask for a new pool: an unsaved Pool with its account set, and unsaved mounts.

    Raises ValidationError with messages at the fields (mounts under `mounts`), Refused by role or mode.
    """
    now = now or timezone.now()
    roles.require_change(actor, pool.account)
    pool.is_ours, pool.created_at, pool.created_by = True, now, actor
    try:
        with transaction.atomic():
            check_pool(pool, mounts)
            _pin(pool)
            pool.save(force_insert=True)
            for mount in mounts:
                mount.pool = pool
                mount.save()
            _revise(pool, mounts, actor=actor, now=now, reason=reason)
            operation = _request("create", pool, actor=actor, now=now, reason=reason)
            pool.operation = operation.uuid
            pool.save(update_fields=["operation"])
    except IntegrityError:
        raise ValidationError(
            {"batch_id": f"Pool {pool.batch_id} was created a moment ago; choose another id."}
        ) from None
    return operation


def check_pool(pool: Pool, mounts: Sequence[StorageMount] = ()) -> None:
    """Validate a pool that is to be created, with its mounts; raises ValidationError, changes nothing."""
    errors: dict[str, Any] = {}
    try:
        pool.full_clean()
    except ValidationError as error:
        errors = dict(error.error_dict)
    for name in ("size", "vm_image"):
        if getattr(pool, f"{name}_id") is None:
            errors.setdefault(name, "Choose one.")
    if "batch_id" not in errors:
        try:
            validate_new_batch_id(pool.batch_id)
        except ValidationError as error:
            errors["batch_id"] = error
    if pool.image is not None and not _can_pull(pool.image.repository.registry):
        errors.setdefault(
            "container_image",
            f"Registry {pool.image.repository.registry} has no user and password that nodes could pull with.",
        )
    if problems := _mount_problems(mounts):
        errors["mounts"] = problems
    if errors:
        raise ValidationError(errors)


def _can_pull(registry: Registry) -> bool:
    return registry.credential is not None and bool(registry.credential.username)


def _mount_problems(mounts: Sequence[StorageMount]) -> list[str]:
    problems = []
    if len(mounts) > MOST_MOUNTS:
        problems.append(f"A pool can have {MOST_MOUNTS} mounts at most.")
    paths = [mount.relative_mount_path for mount in mounts]
    problems += [
        f"Two mounts have the path {path}." for path in sorted({p for p in paths if paths.count(p) > 1})
    ]
    for mount in mounts:
        try:
            mount.clean_fields(exclude=["pool"])
        except ValidationError as error:
            problems += [f"{mount.relative_mount_path or 'mount'}: {text}" for text in error.messages]
            continue
        if mount.storage.credential is None:
            problems.append(f"{mount.storage} has no account key, which nodes need to mount its containers.")
    return problems


def warnings(pool: Pool, *, now: datetime | None = None) -> list[str]:
    """Say what is allowed but probably not meant: shown beside the form, never blocking."""
    now = now or timezone.now()
    said = []
    size, vm_image, image = pool.size, pool.vm_image, pool.image
    if size is not None:
        said += _size_warnings(size, pool, now)
    if size is not None and image is not None and image.needs_gpu and not size.has_gpu:
        said.append(
            f"{image} is built for CUDA, but {size} has no GPU: its tasks will run on the CPU or fail."
        )
    if vm_image is not None and not vm_image.is_supported(now):
        said.append(f"Batch has ended its support of {vm_image}: creating or resizing the pool may fail.")
    elif vm_image is not None and vm_image.batch_support_end_of_life is not None:
        said.append(f"Batch supports {vm_image} until {vm_image.batch_support_end_of_life:%-d %B %Y} only.")
    if image is not None and image.platform and not image.platform.startswith("linux/amd64"):
        said.append(f"{image} is built for {image.platform}, while Batch's Linux nodes are linux/amd64.")
    return said


def _size_warnings(size: VmSize, pool: Pool, now: datetime) -> list[str]:
    said = []
    if size.is_retired(now.date()):
        said.append(f"Azure has retired {size} on {size.retirement_date:%-d %B %Y}.")
    elif size.retirement_date is not None:
        said.append(f"Azure will retire {size} on {size.retirement_date:%-d %B %Y}.")
    if size.driver == "grid" and pool.vm_image is not None:
        said.append(f"{size} needs NVIDIA's GRID driver, which the common node images do not carry.")
    if size.has_gpu and pool.slots > 1:
        said.append(f"{pool.slots} tasks at a time will share the GPU of each node.")
    return said


def resize_pool(
    pool: Pool,
    *,
    dedicated: int,
    low_priority: int,
    deallocation: str = "requeue",
    actor: Actor,
    now: datetime | None = None,
    reason: str = "",
) -> Operation:
    """Ask for other numbers of nodes; `deallocation` says what becomes of tasks on nodes that leave."""
    now = now or timezone.now()
    _require_living(pool, actor)
    if deallocation not in DEALLOCATION:
        raise ValidationError({"deallocation": f"Choose one of {', '.join(DEALLOCATION)}."})
    if pool.enable_auto_scale or (pool.is_pending and pool.is_autoscaled):
        raise Refused(f"Pool {pool} is sized by its autoscale formula; disable autoscale first.", "autoscale")
    pool.dedicated_nodes, pool.low_priority_nodes = dedicated, low_priority
    _check_fields(pool, "dedicated_nodes", "low_priority_nodes")
    payload = {"dedicated": dedicated, "low_priority": low_priority, "deallocation": deallocation}
    return _change(
        "resize",
        pool,
        ["dedicated_nodes", "low_priority_nodes"],
        payload,
        actor=actor,
        now=now,
        reason=reason,
    )


def stop_resize(pool: Pool, *, actor: Actor, now: datetime | None = None, reason: str = "") -> Operation:
    """Ask to stop a resize where it is."""
    _require_living(pool, actor)
    with transaction.atomic():
        return _request("stop_resize", pool, actor=actor, now=now or timezone.now(), reason=reason)


def set_autoscale(
    pool: Pool, *, formula: str, minutes: int = 5, actor: Actor, now: datetime | None = None, reason: str = ""
) -> Operation:
    """Ask that a formula sizes the pool, evaluated every so many minutes."""
    _require_living(pool, actor)
    pool.is_autoscaled, pool.formula, pool.evaluation_minutes = True, formula, minutes
    _check_fields(pool, "formula", "evaluation_minutes")
    if not formula.strip():
        raise ValidationError({"formula": "Give the formula that sets the number of nodes."})
    columns = ["is_autoscaled", "formula", "evaluation_minutes"]
    payload = {"formula": formula, "minutes": minutes}
    return _change(
        "set_autoscale", pool, columns, payload, actor=actor, now=now or timezone.now(), reason=reason
    )


def disable_autoscale(
    pool: Pool, *, actor: Actor, now: datetime | None = None, reason: str = ""
) -> Operation:
    """Ask that the pool keeps the number of nodes it has now."""
    _require_living(pool, actor)
    pool.is_autoscaled = False
    return _change(
        "disable_autoscale",
        pool,
        ["is_autoscaled"],
        {},
        actor=actor,
        now=now or timezone.now(),
        reason=reason,
    )


def delete_pool(pool: Pool, *, actor: Actor, now: datetime | None = None, reason: str = "") -> Operation:
    """Ask for a pool's end; its nodes are given back and its running tasks are requeued."""
    now = now or timezone.now()
    roles.require_change(actor, pool.account)
    if pool.is_deleted or pool.deletion_asked_at:
        raise Refused(f"Pool {pool} is deleted already or about to be.", "deleted")
    with transaction.atomic():
        pool.deletion_asked_at = now
        pool.save(update_fields=["deletion_asked_at"])
        return _request("delete", pool, actor=actor, now=now, reason=reason)


def reboot_node(
    node: Node, *, option: str = "requeue", actor: Actor, now: datetime | None = None, reason: str = ""
) -> Operation:
    """Ask to restart a node; `option` says what becomes of its tasks."""
    return _node_request("reboot_node", node, option, actor=actor, now=now, reason=reason)


def reimage_node(
    node: Node, *, option: str = "requeue", actor: Actor, now: datetime | None = None, reason: str = ""
) -> Operation:
    """Ask to install a node's system anew; `option` says what becomes of its tasks."""
    return _node_request("reimage_node", node, option, actor=actor, now=now, reason=reason)


def refresh_registry(registry: Registry, *, actor: Actor, now: datetime | None = None) -> None:
    """Ask that a registry is read now."""
    _refresh(registry.account, REGISTRY, registry.login_server, actor=actor, now=now)


def refresh_pools(account: Account, *, actor: Actor, now: datetime | None = None) -> None:
    """Ask that an account's pools and node images are read now."""
    _refresh(account, POOLS, "", actor=actor, now=now)
    _refresh(account, VM_IMAGES, "", actor=actor, now=now)


def refresh_nodes(pool: Pool, *, actor: Actor, now: datetime | None = None) -> None:
    """Ask that a pool's nodes are read now."""
    _refresh(pool.account, NODES, pool.batch_id, actor=actor, now=now)


def _refresh(account: Account, kind: str, subject: str, *, actor: Actor, now: datetime | None) -> None:
    roles.require(actor, account, roles.Role.VIEWER)
    target = account.sync_targets.filter(kind=kind, subject=subject).first()
    if target is not None:
        targets.pull_now(target, now=now or timezone.now())


def _node_request(
    verb: str, node: Node, option: str, *, actor: Actor, now: datetime | None, reason: str
) -> Operation:
    _require_living(node.pool, actor)
    if option not in DEALLOCATION:
        raise ValidationError({"option": f"Choose one of {', '.join(DEALLOCATION)}."})
    if node.is_deleted:
        raise Refused(f"Node {node} is gone.", "deleted")
    payload = {"node": node.batch_id, "option": option}
    with transaction.atomic():
        return _request(verb, node.pool, payload, actor=actor, now=now or timezone.now(), reason=reason)


def _require_living(pool: Pool, actor: Actor) -> None:
    roles.require_change(actor, pool.account)
    if pool.is_deleted or pool.deletion_asked_at:
        raise Refused(f"Pool {pool} is deleted already or about to be.", "deleted")
    if pool.was_never_made:
        raise Refused(f"Pool {pool} was never created: {pool.problem}", "never_made")


def _check_fields(pool: Pool, *names: str) -> None:
    pool.clean_fields(exclude={field.name for field in Pool._meta.fields} - set(names))


def _change(
    verb: str,
    pool: Pool,
    columns: list[str],
    payload: dict[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str,
) -> Operation:
    """Write changed columns, keep what they were in a revision, and request the operation."""
    with transaction.atomic():
        pool.save(update_fields=columns)
        _revise(pool, list(pool.mounts.all()), actor=actor, now=now, reason=reason)
        return _request(verb, pool, payload, actor=actor, now=now, reason=reason)


def _request(
    verb: str, pool: Pool, payload: dict[str, Any] | None = None, *, actor: Actor, now: datetime, reason: str
) -> Operation:
    return ledger.request(
        verb,
        "pool",
        pool.batch_id,
        account=pool.account,
        actor=actor,
        task_name=tasks.run_operation.name,
        payload={"pool": pool.pk, **(payload or {})},
        now=now,
        reason=reason,
    )


def _pin(pool: Pool) -> None:
    """Remember the digest that the chosen tag points at now."""
    pool.image_digest = pool.image.digest if pool.image and pool.pins_digest else ""


def _revise(pool: Pool, mounts: Sequence[StorageMount], *, actor: Actor, now: datetime, reason: str) -> None:
    """Keep what is asked of a pool as a numbered revision."""
    content = model_to_dict(pool, exclude=NOT_REVISED)
    content |= {
        "size": pool.size.name if pool.size else "",
        "vm_image": str(pool.vm_image or ""),
        "image_digest": pool.image_digest,
        "mounts": [
            {
                "storage": mount.storage.name,
                "container_name": mount.container_name,
                "relative_mount_path": mount.relative_mount_path,
                "options": mount.options,
            }
            for mount in mounts
        ],
    }
    pool.revision += 1
    PoolRevision.objects.create(
        pool=pool, number=pool.revision, content=content, reason=reason, made_at=now, made_by=actor
    )
    pool.save(update_fields=["revision"])
