"""Tables of pools, nodes, and the catalogue they are chosen from."""

from .badge import Badge
from .catalog import Image, Registry, Repository, StorageAccount, VmImage, VmSize
from .node import Node
from .pool import Pool, PoolRevision, StorageMount
from .reference import ImageName, WithImage, find_image
from .seen import (
    Lifecycle,
    LifecycleQuerySet,
    ObservedQuerySet,
    SeenModel,
    batch_id_validator,
    validate_new_batch_id,
)

__all__ = [
    "Badge",
    "Image",
    "ImageName",
    "Lifecycle",
    "LifecycleQuerySet",
    "Node",
    "ObservedQuerySet",
    "Pool",
    "PoolRevision",
    "Registry",
    "Repository",
    "SeenModel",
    "StorageAccount",
    "StorageMount",
    "VmImage",
    "VmSize",
    "WithImage",
    "batch_id_validator",
    "find_image",
    "validate_new_batch_id",
]
