"""Manifests as documents: their media types, their shape, and what they refer to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from emulator.registry import names
from emulator.registry.errors import RegistryError

MOST_BYTES = 4 * 1024 * 1024
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
DOCKER = frozenset({DOCKER_MANIFEST, DOCKER_LIST})


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read: its digest, its bytes and what they say."""

    digest: str
    media_type: str
    content: bytes
    document: Mapping[str, Any]

    @property
    def is_index(self) -> bool:
        """Tell whether it lists the manifests of several platforms."""
        return self.media_type in INDEXES

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the descriptor of the image's configuration, {} for an index."""
        found: Mapping[str, Any] = {} if self.is_index else self.document["config"]
        return found

    def blobs(self) -> list[str]:
        """Return the digests of the blobs that must be here: the configuration and all layers kept here."""
        if self.is_index:
            return []
        layers = [layer for layer in self.document.get("layers") or [] if not layer.get("urls")]
        return list(dict.fromkeys(entry["digest"] for entry in (self.config, *layers)))

    def children(self) -> list[str]:
        """Return the digests of the manifests that an index lists."""
        return [entry["digest"] for entry in self.document["manifests"]] if self.is_index else []

    def child_for(self, system: str, architecture: str) -> str | None:
        """Return the digest of the manifest that an index has for a platform."""
        for entry in self.document["manifests"] if self.is_index else []:
            platform = entry.get("platform") or {}
            if (platform.get("os"), platform.get("architecture")) == (system, architecture):
                return str(entry["digest"])
        return None


def read(content: bytes, media_type: str) -> Manifest:
    """Return a manifest that was accepted before."""
    return Manifest(names.digest_of(content), media_type, content, orjson.loads(content))


def check(content: bytes, content_type: str) -> Manifest:
    """Return a pushed manifest; refuse what is none, or is none of the kind that its content type says."""
    if len(content) > MOST_BYTES:
        raise _invalid(f"the manifest is larger than {MOST_BYTES} bytes")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _invalid(str(error)) from error
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        raise _invalid("the manifest is no JSON object of schema version 2")
    named = document.get("mediaType")
    if not isinstance(named, str | None):
        raise _invalid("the manifest's media type is no text")
    media_type = content_type.partition(";")[0].strip() or named
    if media_type not in IMAGES | INDEXES:
        raise _invalid(f"the media type {media_type} is not supported")
    if named != media_type and (named is not None or media_type in DOCKER):
        raise _invalid(f"the manifest's media type {named} is not that of the request, {media_type}")
    _check_shape(document, is_index=media_type in INDEXES)
    return Manifest(names.digest_of(content), media_type, content, document)


def _check_shape(document: Mapping[str, Any], *, is_index: bool) -> None:
    if is_index:
        if not isinstance(document.get("manifests"), list):
            raise _invalid("the index has no list of manifests")
        entries = document["manifests"]
    else:
        layers = [] if document.get("layers") is None else document["layers"]
        if not isinstance(layers, list):
            raise _invalid("the layers are no list")
        entries = [document.get("config"), *layers]
    for entry in entries:
        digest = entry.get("digest") if isinstance(entry, dict) else None
        if not isinstance(digest, str) or not names.is_digest(digest):
            raise _invalid("a descriptor has no valid digest")
        if not isinstance(entry.get("platform") or {}, dict):
            raise _invalid("a descriptor's platform is no object")


def _invalid(reason: str) -> RegistryError:
    return RegistryError("MANIFEST_INVALID", detail={"reason": reason})
