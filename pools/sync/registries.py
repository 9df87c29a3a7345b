"""Repositories, tags and manifests of a registry, and what the images' configs say."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from activity.bulk import bulk_write
from activity.revisions import bump
from activity.targets import Counts
from cloud.errors import CloudError
from cloud.registry import RegistryGateway
from cloud.types import ImageConfigSnapshot, ManifestSnapshot, RepositorySnapshot, TagSnapshot
from pools.models import Image, Registry, Repository

from .mirror import Seen, batches, bury, fit, mirror, plain


def pull_registry(registry: Registry, gateway: RegistryGateway, *, now: datetime) -> Counts:
    """List a registry's repositories, tags and manifests and make its rows equal to them.

    The config of a digest never changes, so it is read once, when the digest is first seen.
    """
    names = [name for page in gateway.list_repositories() for name in page]
    counts = apply_repositories(registry, [gateway.repository(name) for name in names], now=now)
    for repository in Repository.objects.alive().filter(registry=registry, name__in=names):
        tags = [tag for page in gateway.list_tags(repository.name) for tag in page]
        manifests = [manifest for page in gateway.list_manifests(repository.name) for manifest in page]
        counts += apply_images(repository, tags, manifests, now=now)
        counts += _read_facts(repository, gateway)
    if not counts.is_quiet:
        bump(registry.account, "images")
    return counts


def apply_repositories(registry: Registry, seen: Iterable[RepositorySnapshot], *, now: datetime) -> Counts:
    """Make the rows of a registry's repositories equal to a full listing."""
    page = [
        Seen(
            (repository.name,),
            repository.content_hash(),
            {
                "created_on": repository.created_on,
                "last_updated_on": repository.last_updated_on,
                "manifest_count": repository.manifest_count,
                "tag_count": repository.tag_count,
            },
        )
        for repository in seen
    ]
    rows = Repository.objects.filter(registry=registry)
    return mirror(rows, ["name"], [page], owner={"registry": registry}, now=now)


def apply_images(
    repository: Repository,
    tags: Sequence[TagSnapshot],
    manifests: Sequence[ManifestSnapshot],
    *,
    now: datetime,
) -> Counts:
    """Make a repository's images equal to its tags, and to the manifests that no tag points at."""
    by_digest = {manifest.digest: manifest for manifest in manifests}
    tagged = {tag.digest for tag in tags}
    wanted = {(tag.name, tag.digest): _image_values(by_digest.get(tag.digest), tag) for tag in tags}
    wanted |= {("", digest): _image_values(by_digest[digest], None) for digest in by_digest.keys() - tagged}
    known = {_image_key(row): row for row in Image.objects.filter(repository=repository)}
    fresh, changed, kept = [], [], set()
    for (tag_name, digest), (content, values) in wanted.items():
        row = known.get((tag_name, "" if tag_name else digest))
        kept.add(row.pk if row else None)
        if row is None:
            fresh.append(_new_image(repository, tag_name, digest, content, values))
        elif row.synced_hash != content or row.deleted_at:
            changed.append((row, digest, content, values))
    gone = [row.pk for row in known.values() if row.pk not in kept and row.deleted_at is None]
    _write_images(fresh, changed, now=now)
    bury(Image.objects.all(), gone, now=now)
    return Counts(len(wanted), len(fresh), len(changed), len(gone))


def _image_key(row: Image) -> tuple[str, str]:
    return (row.tag, "" if row.tag else row.digest)


def _new_image(
    repository: Repository, tag: str, digest: str, content: str, values: Mapping[str, Any]
) -> Image:
    return Image(repository=repository, tag=tag, digest=digest, synced_hash=content, **fit(Image, values))


def _image_values(manifest: ManifestSnapshot | None, tag: TagSnapshot | None) -> tuple[str, dict[str, Any]]:
    """The hash and the listed columns of an image."""
    content = ":".join(part.content_hash()[:16] for part in (manifest, tag) if part)[:32]
    newest = tag or manifest
    return content, {
        "size_in_bytes": manifest.size_in_bytes if manifest else None,
        "architecture": (manifest.architecture if manifest else "") or "",
        "operating_system": (manifest.operating_system if manifest else "") or "",
        "created_on": newest.created_on if newest else None,
        "last_updated_on": newest.last_updated_on if newest else None,
    }


def _write_images(
    fresh: list[Image], changed: Sequence[tuple[Image, str, str, Mapping[str, Any]]], *, now: datetime
) -> None:
    for batch in batches(fresh):
        with bulk_write():
            Image.objects.bulk_create(batch)
    for batch in batches(changed):
        with bulk_write():
            for row, digest, content, values in batch:
                moved = {"previous_digest": row.digest, "moved_at": now} if row.digest != digest else {}
                Image.objects.filter(pk=row.pk).update(
                    **fit(Image, values), **moved, digest=digest, synced_hash=content, deleted_at=None
                )


def _read_facts(repository: Repository, gateway: RegistryGateway) -> Counts:
    """Read the configs of tagged digests that have none yet; an unreadable one is tried again next time."""
    stale = Image.objects.alive().tagged().filter(repository=repository).order_by("pk")
    read: dict[str, ImageConfigSnapshot | None] = {}
    for image in stale:
        if image.facts_digest == image.digest:
            continue
        if image.digest not in read:
            read[image.digest] = _config(gateway, repository.name, image.digest)
        if config := read[image.digest]:
            apply_facts(image, config)
    return Counts(changed=sum(1 for config in read.values() if config))


def _config(gateway: RegistryGateway, repository: str, digest: str) -> ImageConfigSnapshot | None:
    try:
        return gateway.image_config(repository, digest)
    except CloudError as error:
        if error.is_passing or error.kind in ("authentication", "permission"):
            raise
        return None  # deleted meanwhile, or not an image (a signature, a chart): it has no facts


def apply_facts(image: Image, config: ImageConfigSnapshot) -> None:
    """Write what an image's config says about it."""
    facts = plain(config)
    values = {
        "facts": facts,
        "facts_digest": image.digest,
        "cuda_version": config.cuda_version or "",
        "minimum_cuda": config.minimum_cuda or "",
        "architecture": config.architecture or image.architecture,
        "operating_system": config.operating_system or image.operating_system,
        "size_in_bytes": config.size_in_bytes or image.size_in_bytes,
    }
    with bulk_write():
        Image.objects.filter(pk=image.pk).update(**fit(Image, values))
