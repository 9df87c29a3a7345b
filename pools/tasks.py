"""Celery tasks of pools: adapters between the broker and push or sync."""

from celery import shared_task
from django.utils import timezone

from activity import ledger, targets
from activity.gateways import gateway_for, registry_gateway
from activity.models import Account
from activity.targets import Counts
from pools import push, sync
from pools.models import Pool, Registry


@shared_task(name="pools.run_operation")
def run_operation(*, operation_id: int) -> None:
    """Carry out one operation on a pool."""
    ledger.run(operation_id, carry_out=push.carry_out, settle=push.settle, now=timezone.now())


@shared_task(name="pools.pull_pools")
def pull_pools(*, target_id: int) -> None:
    """Read an account's pools."""
    now = timezone.now()
    targets.pull(
        target_id, read=lambda t: sync.pull_pools(t.account, gateway_for(t.account), now=now), now=now
    )


@shared_task(name="pools.pull_nodes")
def pull_nodes(*, target_id: int) -> None:
    """Read one pool's nodes."""
    now = timezone.now()
    targets.pull(target_id, read=lambda t: _nodes(t.account, t.subject), now=now)


def _nodes(account: Account, pool_id: str) -> Counts:
    pool = Pool.objects.find(account, pool_id)
    if pool is None:
        return Counts()
    return sync.pull_nodes(pool, gateway_for(account), now=timezone.now())


@shared_task(name="pools.pull_registry")
def pull_registry(*, target_id: int) -> None:
    """Read one registry's repositories, tags and images."""
    targets.pull(target_id, read=lambda t: _registry(t.account, t.subject), now=timezone.now())


def _registry(account: Account, login_server: str) -> Counts:
    registry = Registry.objects.select_related("credential").get(account=account, login_server=login_server)
    gateway = registry_gateway(
        account, login_server=login_server, endpoint=registry.address, credential=registry.credential
    )
    return sync.pull_registry(registry, gateway, now=timezone.now())


@shared_task(name="pools.pull_vm_images")
def pull_vm_images(*, target_id: int) -> None:
    """Read the node images that Batch offers an account."""
    now = timezone.now()
    targets.pull(
        target_id, read=lambda t: sync.pull_vm_images(t.account, gateway_for(t.account), now=now), now=now
    )


@shared_task(name="pools.keep")
def keep() -> None:
    """Make sure that everything is read, and that no cancelled creation is forgotten."""
    now = timezone.now()
    push.mend(now=now)
    for account in Account.objects.all():
        sync.keep_targets(account, now=now)
