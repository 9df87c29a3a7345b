"""Which sync targets the pools and registries of an account need, and how fast each is read."""

from datetime import datetime

from activity import targets
from activity.models import Account, SyncTarget
from pools.kinds import NODES, POOLS, REGISTRY, VM_IMAGES
from pools.models import Pool, Registry

SHORTEST = 4.0
"""Seconds between two readings of something that is changing."""

STEADY_NODES = 30.0


def keep_targets(account: Account, *, now: datetime) -> None:
    """Make sure that everything of an account is read; it mends itself after a restore."""
    targets.ensure(
        account, POOLS, task_name="pools.pull_pools", now=now, min_interval=SHORTEST, max_interval=20
    )
    targets.ensure(
        account, VM_IMAGES, task_name="pools.pull_vm_images", now=now, min_interval=3600, max_interval=86_400
    )
    registries = list(Registry.objects.for_account(account).values_list("login_server", flat=True))
    for login_server in registries:
        targets.ensure(
            account,
            REGISTRY,
            login_server,
            task_name="pools.pull_registry",
            now=now,
            min_interval=30,
            max_interval=600,
        )
    orphans = SyncTarget.objects.filter(account=account, kind=REGISTRY, is_active=True)
    orphans.exclude(subject__in=registries).update(is_active=False)
    pace_nodes(account, now=now)


def pace_nodes(account: Account, *, now: datetime) -> None:
    """Read each living pool's nodes, fast while something in it changes; stop for pools that are gone."""
    known = {target.subject: target for target in SyncTarget.objects.filter(account=account, kind=NODES)}
    living = Pool.objects.for_account(account).alive().exclude(synced_hash="")
    unsettled = set(Pool.objects.for_account(account).unsettled().values_list("pk", flat=True))
    for pool in living.only("pk", "batch_id"):
        pace = SHORTEST if pool.pk in unsettled else STEADY_NODES
        target = known.pop(pool.batch_id, None)
        if target is None or not target.is_active or target.max_interval != pace:
            targets.ensure(
                account,
                NODES,
                pool.batch_id,
                task_name="pools.pull_nodes",
                now=now,
                min_interval=SHORTEST,
                max_interval=pace,
            )
            if pace == SHORTEST:
                targets.hurry(account, NODES, pool.batch_id, now=now)
    for subject, target in known.items():
        if target.is_active:
            targets.rest(account, NODES, subject)
