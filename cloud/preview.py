"""What Azure would be sent, as plain JSON: for people to read before anything is sent."""

from typing import Any

from cloud.types import PoolSpec
from cloud.wire import write_pools


def pool_json(spec: PoolSpec) -> dict[str, Any]:
    """Return the body of a pool's creation; the caller leaves secrets out of the spec."""
    return write_pools.create_pool(spec)
