"""Push, pull and delete images: the rules between manifests, tags and blobs."""

import sqlite3
from typing import Any

import orjson

from emulator.clock import Clock
from emulator.registry import manifests
from emulator.registry.blobs import Blobs, read_small
from emulator.registry.catalog import Catalog, check_unlocked
from emulator.registry.errors import RegistryError, unknown_manifest
from emulator.registry.manifests import Manifest
from emulator.store import Store

MOST_CONFIG_BYTES = 4 * 1024 * 1024


class Images:
    """Change what the catalog lists; every change is one transaction."""

    def __init__(self, store: Store, clock: Clock, catalog: Catalog, blobs: Blobs) -> None:
        self._store = store
        self._clock = clock
        self._catalog = catalog
        self._blobs = blobs

    def check_writable(self, repository: str) -> None:
        """Refuse pushes to a locked repository; one that is not there yet is none."""
        row = self._repository(repository)
        if row is not None:
            check_unlocked(row, to="writeEnabled")

    def check_readable(self, repository: str) -> None:
        """Refuse pulls from a repository that is locked against reading."""
        row = self._repository(repository)
        if row is not None:
            check_unlocked(row, to="readEnabled")

    def pull(self, repository: str, reference: str) -> Manifest:
        """Return the manifest that a tag or digest means, or refuse."""
        locked = [self._catalog.repository(repository)]
        digest = reference
        if ":" not in reference:
            tag = self._tag(repository, reference)
            if tag is None:
                raise unknown_manifest(reference)
            locked.append(tag)
            digest = tag["digest"]
        row = self._catalog.manifest(repository, digest)
        check_unlocked(*locked, row, to="readEnabled")
        return manifests.read(row["content"], row["media_type"])

    def config(self, repository: str, manifest: Manifest) -> dict[str, Any]:
        """Return the configuration of an image, {} if it is no JSON object."""
        blob = self._blobs.find(repository, manifest.config.get("digest", ""))
        try:
            found = orjson.loads(read_small(blob, MOST_CONFIG_BYTES)) if blob else {}
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def push(self, repository: str, reference: str, content: bytes, content_type: str) -> str:
        """Keep a manifest under a tag or its digest and return the digest."""
        manifest = manifests.check(content, content_type)
        is_digest = ":" in reference
        if is_digest and reference != manifest.digest:
            detail = {"expected": reference, "found": manifest.digest}
            raise RegistryError("DIGEST_INVALID", detail=detail)
        with self._store.transaction():
            self.check_writable(repository)
            self._check_references(repository, manifest)
            tag = None if is_digest else self._tag(repository, reference)
            if tag is not None:
                check_unlocked(tag, to="writeEnabled")
            now = self._now()
            self._keep(repository, manifest, now)
            if not is_digest:
                self._store.execute(
                    "INSERT INTO registry_tags (repository, name, digest, created, updated) "
                    "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                    "SET digest = excluded.digest, updated = excluded.updated",
                    *(repository, reference, manifest.digest, now, now),
                )
        return manifest.digest

    def _tag(self, repository: str, name: str) -> sqlite3.Row | None:
        return self._store.row(
            "SELECT * FROM registry_tags WHERE repository = ? AND name = ?", repository, name
        )

    def _check_references(self, repository: str, manifest: Manifest) -> None:
        absent = [digest for digest in manifest.blobs() if self._blobs.find(repository, digest) is None]
        absent += [child for child in manifest.children() if self._image_size(repository, child) is None]
        if absent:
            raise RegistryError("MANIFEST_BLOB_UNKNOWN", detail=[{"digest": digest} for digest in absent])

    def _image_size(self, repository: str, digest: str) -> int | None:
        row = self._store.row(
            "SELECT image_size FROM registry_manifests WHERE repository = ? AND digest = ?",
            repository,
            digest,
        )
        return int(row["image_size"]) if row is not None else None

    def _keep(self, repository: str, manifest: Manifest, now: str) -> None:
        """Write the rows of the repository, of the manifest and of its references to blobs."""
        sizes = [self._image_size(repository, digest) or 0 for digest in manifest.children()]
        sizes += [self._blobs.get(repository, digest).size for digest in manifest.blobs()]
        config = self.config(repository, manifest)
        self._store.execute(
            "INSERT INTO registry_repositories (name, created, updated) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET updated = excluded.updated",
            *(repository, now, now),
        )
        self._store.execute(
            "INSERT INTO registry_manifests (repository, digest, media_type, content, image_size, architecture, "
            "os, config_media_type, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET media_type = excluded.media_type, updated = excluded.updated",
            *(repository, manifest.digest, manifest.media_type, manifest.content, sum(sizes)),
            *(_text(config.get("architecture")), _text(config.get("os"))),
            *(_text(manifest.config.get("mediaType")), now, now),
        )
        for blob in manifest.blobs():
            self._store.execute(
                "INSERT OR IGNORE INTO registry_references (repository, blob, digest) VALUES (?, ?, ?)",
                *(repository, blob, manifest.digest),
            )

    def delete_tag(self, repository: str, name: str) -> None:
        """Delete a tag; its manifest stays."""
        with self._store.transaction():
            tag = self._catalog.tag(repository, name)
            check_unlocked(self._catalog.repository(repository), tag, to="deleteEnabled")
            self._store.execute(
                "DELETE FROM registry_tags WHERE repository = ? AND name = ?", repository, name
            )
            self._touch(repository)

    def delete_manifest(self, repository: str, digest: str) -> None:
        """Delete a manifest with its tags and the blobs that no other manifest needs."""
        with self._store.transaction():
            manifest = self._catalog.manifest(repository, digest)
            tags = self._catalog.tags_of(repository, digest)
            check_unlocked(self._catalog.repository(repository), manifest, *tags, to="deleteEnabled")
            blobs = manifests.read(manifest["content"], manifest["media_type"]).blobs()
            self._store.execute(
                "DELETE FROM registry_manifests WHERE repository = ? AND digest = ?", repository, digest
            )
            self._touch(repository)
            unused = [blob for blob in blobs if not self._is_referenced(repository, blob)]
            self._blobs.unlink(repository, unused)
        self._blobs.sweep(unused)

    def delete_repository(self, repository: str) -> tuple[list[str], list[str]]:
        """Delete a repository with all that is in it; return the digests of its manifests and its tags."""
        with self._store.transaction():
            found = self._rows("registry_manifests", repository)
            tags = self._rows("registry_tags", repository)
            check_unlocked(self._catalog.repository(repository), *found, *tags, to="deleteEnabled")
            blobs = self._blobs.linked(repository)
            self._store.execute("DELETE FROM registry_repositories WHERE name = ?", repository)
            self._blobs.unlink(repository, blobs)
        self._blobs.sweep(blobs)
        return [row["digest"] for row in found], [row["name"] for row in tags]

    def delete_blob(self, repository: str, digest: str) -> None:
        """Take a blob from a repository."""
        with self._store.transaction():
            self._blobs.get(repository, digest)
            row = self._repository(repository)
            if row is not None:
                check_unlocked(row, to="deleteEnabled")
            self._blobs.unlink(repository, [digest])
        self._blobs.sweep([digest])

    def _repository(self, name: str) -> sqlite3.Row | None:
        return self._store.row("SELECT * FROM registry_repositories WHERE name = ?", name)

    def _rows(self, table: str, repository: str) -> list[sqlite3.Row]:
        return self._store.rows(f"SELECT * FROM {table} WHERE repository = ?", repository)

    def _is_referenced(self, repository: str, blob: str) -> bool:
        sql = "SELECT 1 FROM registry_references WHERE repository = ? AND blob = ?"
        return self._store.row(sql, repository, blob) is not None

    def _touch(self, repository: str) -> None:
        sql = "UPDATE registry_repositories SET updated = ? WHERE name = ?"
        self._store.execute(sql, self._now(), repository)

    def _now(self) -> str:
        return f"{self._clock.stamp():%Y-%m-%dT%H:%M:%S.%f}0Z"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
