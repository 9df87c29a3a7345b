"""The exact request that a form would lead to, without its secrets."""

from collections.abc import Sequence
from typing import Any

from activity.models import Credential
from cloud import preview
from pools import push
from pools.models import Pool, StorageMount

HIDDEN = "(secret)"


def pool_json(pool: Pool, mounts: Sequence[StorageMount]) -> dict[str, Any]:
    """Return the body that Azure Batch would get for a validated, unsaved pool."""
    if pool.image and pool.pins_digest:
        pool.image_digest = pool.image.digest
    return preview.pool_json(push.pool_spec(pool, "(set when it is created)", mounts=mounts, secret=hidden))


def hidden(credential: Credential) -> str:
    """Stand in for a secret."""
    return HIDDEN
