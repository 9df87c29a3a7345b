"""Azure Container Registry: repositories, tags, digests and what an image says about itself."""

import base64
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar, cast

import orjson
from azure.containerregistry import ContainerRegistryClient
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from cloud.config import RegistryConnection, UserPassword
from cloud.credentials import token_credential
from cloud.errors import CloudError
from cloud.redaction import mask_structure
from cloud.transport import Caller, client_options
from cloud.types import (
    ImageConfigSnapshot,
    ManifestSnapshot,
    RepositorySnapshot,
    ResolvedImage,
    TagSnapshot,
)
from cloud.wire import scalars

Item = TypeVar("Item")

_CLIENT_LIFE = 900.0  # seconds; see RegistryGateway
_PAGE = 100
_LARGEST_CONFIG = 8 * 1024 * 1024
_CUDA = re.compile(r"cuda>=(\d+\.\d+)")


class BasicPolicy(SansIOHTTPPolicy):
    """Send user name and password with each request: the SDK itself knows only Entra and anonymous."""

    def __init__(self, credential: UserPassword) -> None:
        pair = f"{credential.username}:{credential.password}".encode()
        self._header = "Basic " + base64.b64encode(pair).decode()

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Set the header, also after the SDK's own challenge handling has put another one there."""
        request.http_request.headers["Authorization"] = self._header


class RegistryGateway:
    """One registry, in typed plain values; every failure is a CloudError. Safe between threads.

    The SDK keeps using its refresh token once that has expired, and asks for a new one while it has
    not (its condition is the wrong way round): so its client is rebuilt long before a token ends.
    """

    def __init__(self, connection: RegistryConnection) -> None:
        self._connection = connection
        self._caller = Caller("registry", connection.endpoint, connection.limits)
        self._lock = threading.Lock()
        self._made_at = 0.0
        self._client: ContainerRegistryClient | None = None

    def list_repositories(self) -> Iterator[list[str]]:
        """List the repositories' names, page by page."""
        yield from self._pages(self._current().list_repository_names(results_per_page=_PAGE).by_page())

    def repository(self, name: str) -> RepositorySnapshot:
        """Read a repository's times and counts."""
        with self._caller.calling():
            found = self._current().get_repository_properties(name)
        return RepositorySnapshot(
            name=found.name,
            created_on=found.created_on,
            last_updated_on=found.last_updated_on,
            manifest_count=found.manifest_count,
            tag_count=found.tag_count,
        )

    def list_tags(self, repository: str) -> Iterator[list[TagSnapshot]]:
        """List a repository's tags with the digest each points at, page by page."""
        pages = self._current().list_tag_properties(repository, results_per_page=_PAGE).by_page()
        for page in self._pages(pages):
            yield [
                TagSnapshot(
                    repository=repository,
                    name=tag.name,
                    digest=tag.digest,
                    created_on=tag.created_on,
                    last_updated_on=tag.last_updated_on,
                )
                for tag in page
            ]

    def list_manifests(self, repository: str) -> Iterator[list[ManifestSnapshot]]:
        """List a repository's manifests by digest, page by page."""
        pages = self._current().list_manifest_properties(repository, results_per_page=_PAGE).by_page()
        for page in self._pages(pages):
            yield [_manifest(repository, found) for found in page]

    def resolve(self, repository: str, reference: str) -> ResolvedImage:
        """Resolve a tag, or confirm a digest; raises a CloudError of kind not_found."""
        is_digest = reference.startswith("sha256:")
        with self._caller.calling():
            if is_digest:
                digest = self._current().get_manifest_properties(repository, reference).digest
            else:
                digest = self._current().get_tag_properties(repository, reference).digest
        return ResolvedImage(
            login_server=self._connection.login_server,
            repository=repository,
            tag=None if is_digest else reference,
            digest=digest,
        )

    def image_config(self, repository: str, reference: str) -> ImageConfigSnapshot:
        """Read an image's config and sizes; of a multi-platform image the one for linux/amd64."""
        with self._caller.calling():
            client = self._current()
            top = found = client.get_manifest(repository, reference)
            manifest = cast(Mapping[str, Any], top.manifest)
            if "manifests" in manifest:
                found = client.get_manifest(repository, _linux_amd64(manifest["manifests"]))
                manifest = cast(Mapping[str, Any], found.manifest)
            config = orjson.loads(_joined(client.download_blob(repository, manifest["config"]["digest"])))
        return ImageConfigSnapshot(
            repository=repository,
            digest=str(top.digest),
            platform_digest=str(found.digest),
            media_type=str(found.media_type),
            **_facts(manifest, config),
        )

    def check(self) -> None:
        """Make the cheapest call that needs a valid credential."""
        next(self._pages(self._current().list_repository_names(results_per_page=1).by_page()), None)

    def close(self) -> None:
        """Close the connections that are kept open."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _pages(self, pages: Iterator[Iterable[Item]]) -> Iterator[list[Item]]:
        while True:
            with self._caller.calling():
                page = next(pages, None)
                items = None if page is None else list(page)
            if items is None:
                return
            yield items

    def _current(self) -> ContainerRegistryClient:
        """Return the client, rebuilt when it is old; an older one may still be in use and stays open."""
        with self._lock:
            if self._client is None or time.monotonic() - self._made_at > _CLIENT_LIFE:
                self._client = self._build()
                self._made_at = time.monotonic()
            return self._client

    def _build(self) -> ContainerRegistryClient:
        connection = self._connection
        options = client_options(connection.limits, connection.trust)
        if isinstance(connection.credential, UserPassword):
            policies = [BasicPolicy(connection.credential)]
            return ContainerRegistryClient(connection.endpoint, None, per_retry_policies=policies, **options)
        credential = token_credential(connection.credential, connection.trust)
        return ContainerRegistryClient(
            connection.endpoint, credential, audience=connection.audience, **options
        )


def _manifest(repository: str, found: Any) -> ManifestSnapshot:
    return ManifestSnapshot(
        repository=repository,
        digest=found.digest,
        size_in_bytes=found.size_in_bytes,
        architecture=_text(found.architecture),
        operating_system=_text(found.operating_system),
        created_on=found.created_on,
        last_updated_on=found.last_updated_on,
        tags=tuple(found.tags or ()),
    )


def _text(value: Any) -> str | None:
    """Return an enum's or a plain value's text; unknown platforms arrive as plain text."""
    return None if value is None else str(getattr(value, "value", value))


def _linux_amd64(entries: list[Mapping[str, Any]]) -> str:
    """Choose an index's entry for the nodes; attestations have an unknown platform."""
    for entry in entries:
        platform = entry.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == "amd64":
            return str(entry["digest"])
    raise CloudError(
        code="PlatformMissing", kind="invalid", message="The image has no manifest for linux/amd64."
    )


def _joined(stream: Iterable[bytes]) -> bytes:
    content = b""
    for part in stream:
        content += part
        if len(content) > _LARGEST_CONFIG:
            raise CloudError(
                code="ConfigTooLarge", kind="invalid", message="The image's config is too large."
            )
    return content


def _facts(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what manifest and config say, secrets masked."""
    run = config.get("config") or {}
    environment = dict(entry.partition("=")[::2] for entry in run.get("Env") or ())
    layers = tuple(int(layer.get("size", 0)) for layer in manifest.get("layers") or ())
    required = environment.get("NVIDIA_REQUIRE_CUDA")
    minimum = _CUDA.search(required) if required else None
    return {
        "size_in_bytes": int(manifest["config"].get("size", 0)) + sum(layers),
        "operating_system": config.get("os"),
        "architecture": config.get("architecture"),
        "created_on": scalars.time(config.get("created")),
        "labels": tuple(sorted(mask_structure(run.get("Labels") or {}).items())),
        "environment": tuple(mask_structure(environment).items()),
        "entrypoint": tuple(mask_structure(run.get("Entrypoint") or ())),
        "cmd": tuple(mask_structure(run.get("Cmd") or ())),
        "working_dir": run.get("WorkingDir") or None,
        "user": run.get("User") or None,
        "layer_sizes": layers,
        "cuda_version": environment.get("CUDA_VERSION"),
        "nvidia_require_cuda": required,
        "minimum_cuda": minimum.group(1) if minimum else None,
    }
