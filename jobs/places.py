"""Where a job's data live: what its pool mounts, and which storage account holds a container."""

from pools.models import Pool, StorageAccount


def mount_paths(pool: Pool) -> set[str]:
    """Paths under which a pool's nodes see storage, as asked for or as Azure shows them."""
    asked = set(pool.mounts.values_list("relative_mount_path", flat=True)) if pool.pk else set()
    return asked | {mount.get("relative_mount_path", "") for mount in pool.mount_configuration}


def storage_for(pool: Pool, container: str) -> StorageAccount | None:
    """Find the storage account of a container: the one the pool mounts it from, else the account's default."""
    mounts = pool.mounts.filter(container_name=container) if pool.pk else pool.mounts.none()
    if (mount := mounts.select_related("storage__account", "storage__credential").first()) is not None:
        return mount.storage
    known = StorageAccount.objects.for_account(pool.account).select_related("account", "credential")
    for seen in pool.mount_configuration:
        name, _, mounted = str(seen.get("source", "")).partition("/")
        if mounted == container and (found := known.filter(name=name).first()):
            return found
    return known.filter(is_default=True).first()
