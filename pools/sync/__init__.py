"""Read Azure back into rows: the only code that writes observed columns."""

from .nodes import pull_nodes
from .pools import pull_pools
from .registries import pull_registry
from .schedule import keep_targets, pace_nodes
from .vm_images import pull_vm_images

__all__ = [
    "keep_targets",
    "pace_nodes",
    "pull_nodes",
    "pull_pools",
    "pull_registry",
    "pull_vm_images",
]
