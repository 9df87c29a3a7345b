"""Clients of the emulated registry, and small images to put into it."""

import hashlib
import io
import json
import uuid
from dataclasses import dataclass
from typing import Any

import requests
from azure.containerregistry import ContainerRegistryClient
from azure.identity import ClientSecretCredential

from emulator.registry.manifests import OCI_MANIFEST

AUDIENCE = "https://containerregistry.azure.net"


def fresh(prefix: str = "team/test") -> str:
    """Return a repository that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def digest_of(content: bytes) -> str:
    """Return the digest of some content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def credential(endpoints: dict[str, Any]) -> ClientSecretCredential:
    """Return the application's credential, which gets its tokens from the emulated Entra."""
    identity = endpoints["identity"]
    return ClientSecretCredential(
        identity["tenant"],
        identity["client_id"],
        identity["client_secret"],
        authority=identity["authority"],
        disable_instance_discovery=True,
        connection_verify=endpoints["ca"],
    )


def connect(
    endpoints: dict[str, Any], *, audience: str = AUDIENCE, is_anonymous: bool = False
) -> ContainerRegistryClient:
    """Return Microsoft's client."""
    return ContainerRegistryClient(
        endpoints["registry"]["url"],
        None if is_anonymous else credential(endpoints),
        audience=audience,
        connection_verify=endpoints["ca"],
        retry_total=0,
    )


class Raw:
    """Send what Microsoft's client never would; by default as the admin user, with Basic credentials."""

    def __init__(self, endpoints: dict[str, Any]) -> None:
        registry = endpoints["registry"]
        self.url: str = registry["url"]
        self.host = self.url.removeprefix("https://")
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = endpoints["ca"]
        self.admin = (registry["username"], registry["password"])

    def __call__(self, method: str, path: str, *, token: str | None = None, **more: Any) -> requests.Response:
        """Send one request; a token takes the place of the password, an empty one of all credentials."""
        if token:
            more["headers"] = {**more.get("headers", {}), "Authorization": f"Bearer {token}"}
        elif token is None:
            more.setdefault("auth", self.admin)
        more.setdefault("allow_redirects", False)
        return self.session.request(method, self.url + path, timeout=30, **more)

    def token(self, *scopes: str, service: str | None = None) -> str:
        """Return the admin's access token for the scopes, as Docker gets it."""
        query = {"service": service or self.host, "scope": list(scopes), "account": self.admin[0]}
        found: str = self("GET", "/oauth2/token", params=query).json()["access_token"]
        return found

    def put_blob(self, repository: str, content: bytes) -> str:
        """Upload a blob in one request and return its digest."""
        digest = digest_of(content)
        path = f"/v2/{repository}/blobs/uploads/"
        assert self("POST", path, params={"digest": digest}, data=content).status_code == 201
        return digest

    def put_manifest(
        self, repository: str, reference: str, manifest: dict[str, Any], media_type: str = OCI_MANIFEST
    ) -> requests.Response:
        """Push a manifest."""
        headers = {"Content-Type": media_type}
        path = f"/v2/{repository}/manifests/{reference}"
        return self("PUT", path, data=json.dumps(manifest), headers=headers)


@dataclass(frozen=True)
class Image:
    """A pushed image: its digest, and the content of its parts."""

    digest: str
    manifest: dict[str, Any]
    layer: bytes
    config: dict[str, Any]


def push_image(
    client: ContainerRegistryClient,
    repository: str,
    *tags: str,
    architecture: str = "amd64",
    layer: bytes | None = None,
) -> Image:
    """Push a small image with Microsoft's client, under several tags or none."""
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["run"]},
        "made": uuid.uuid4().hex,
    }
    layer = layer if layer is not None else uuid.uuid4().bytes
    config_digest, config_size = client.upload_blob(repository, io.BytesIO(json.dumps(config).encode()))
    layer_digest, layer_size = client.upload_blob(repository, io.BytesIO(layer))
    manifest = image_manifest((config_digest, config_size), (layer_digest, layer_size))
    digests = {client.set_manifest(repository, manifest, tag=tag) for tag in tags or (None,)}
    assert len(digests) == 1
    return Image(digests.pop(), manifest, layer, config)


def image_manifest(config: tuple[str, int], *layers: tuple[str, int]) -> dict[str, Any]:
    """Return an OCI manifest of blobs given as (digest, size)."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config[0],
            "size": config[1],
        },
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size}
            for digest, size in layers
        ],
    }


def push_raw(raw: Raw, repository: str, tag: str = "v1") -> tuple[str, dict[str, Any]]:
    """Push a small image request by request and return its digest and its manifest."""
    config, layer = json.dumps({"os": "linux"}).encode(), uuid.uuid4().bytes
    manifest = image_manifest(
        (raw.put_blob(repository, config), len(config)), (raw.put_blob(repository, layer), len(layer))
    )
    answer = raw.put_manifest(repository, tag, manifest)
    assert answer.status_code == 201
    return answer.headers["Docker-Content-Digest"], manifest


def codes(response: requests.Response) -> list[str]:
    """Return the codes of a refusal."""
    return [error["code"] for error in response.json()["errors"]]
