"""Container images in a registry, and blobs in a storage account."""

from dataclasses import dataclass
from datetime import datetime

from .base import Metadata, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySnapshot(Snapshot):
    """A repository of a registry."""

    name: str
    created_on: datetime | None
    last_updated_on: datetime | None
    manifest_count: int | None
    tag_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSnapshot(Snapshot):
    """A tag and the digest it points at now (`sha256:` kept)."""

    repository: str
    name: str
    digest: str
    created_on: datetime | None
    last_updated_on: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSnapshot(Snapshot):
    """A manifest of a repository by digest."""

    repository: str
    digest: str
    size_in_bytes: int | None
    architecture: str | None
    operating_system: str | None
    created_on: datetime | None
    last_updated_on: datetime | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfigSnapshot(Snapshot):
    """What an image's config says about it, secrets masked."""

    repository: str
    digest: str  # of the reference asked for (index or manifest)
    platform_digest: str  # of the linux/amd64 manifest the facts are read from
    media_type: str
    size_in_bytes: int  # config and compressed layers
    operating_system: str | None
    architecture: str | None
    created_on: datetime | None
    labels: Metadata
    environment: Metadata
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    working_dir: str | None
    user: str | None
    layer_sizes: tuple[int, ...]
    cuda_version: str | None  # CUDA_VERSION, such as 12.4.1
    nvidia_require_cuda: str | None  # NVIDIA_REQUIRE_CUDA verbatim
    minimum_cuda: str | None  # the X.Y of its cuda>=X.Y


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedImage(Snapshot):
    """An image reference resolved to its digest now."""

    login_server: str
    repository: str
    tag: str | None
    digest: str

    @property
    def pinned(self) -> str:
        """The reference by digest, as Batch takes it."""
        return f"{self.login_server}/{self.repository}@{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobSnapshot(Snapshot):
    """A blob of a container."""

    name: str
    size: int
    content_type: str | None
    last_modified: datetime | None
    etag: str | None
