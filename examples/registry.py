"""Push a small image into a container registry over the OCI distribution API, with nothing but the standard library."""

import base64
import gzip
import hashlib
import io
import json
import ssl
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PATIENCE = 60


@dataclass(frozen=True)
class ImageSource:
    """What an image is to consist of: each layer is a tar archive, not yet compressed."""

    layers: Sequence[bytes]
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    created: str = "2026-01-01T00:00:00Z"

    def config(self) -> bytes:
        """Return the image's config."""
        run = {
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "Labels": dict(self.labels),
            "Entrypoint": list(self.entrypoint) or None,
            "Cmd": list(self.command) or None,
        }
        return json.dumps(
            {
                "created": self.created,
                "architecture": "amd64",
                "os": "linux",
                "config": {name: value for name, value in run.items() if value},
                "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in self.layers]},
                "history": [{"created": self.created} for _ in self.layers],
            }
        ).encode()


class RegistryClient:
    """A registry that is opened with user name and password; `ca_file` is what its certificate is checked with."""

    def __init__(self, endpoint: str, username: str, password: str, ca_file: str | None = None) -> None:
        self._endpoint = endpoint.rstrip("/")
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}"}
        self._context = ssl.create_default_context(cafile=ca_file)

    def push(self, repository: str, tag: str, source: ImageSource) -> str:
        """Push an image under a tag and return its digest; what is there already is not sent again."""
        layers = [gzip.compress(layer, mtime=0) for layer in source.layers]
        config = source.config()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor(CONFIG, config),
                "layers": [_descriptor(LAYER, layer) for layer in layers],
            }
        ).encode()
        for blob in (*layers, config):
            self._push_blob(repository, blob)
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest, MANIFEST)
        return digest_of(manifest)

    def _push_blob(self, repository: str, content: bytes) -> None:
        digest = digest_of(content)
        try:
            self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")
            return
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"")
        joint = "&" if "?" in place else "?"
        self._ask(
            "PUT", f"{place}{joint}digest={urllib.parse.quote(digest)}", content, "application/octet-stream"
        )

    def _ask(self, method: str, path: str, content: bytes | None = None, content_type: str = "") -> str:
        """Send a request and return where the answer points to; HTTPError for any refusal."""
        headers = self._headers | ({"Content-Type": content_type} if content_type else {})
        address = urllib.parse.urljoin(f"{self._endpoint}/", path)
        if not address.startswith("https://"):
            raise ValueError("a password is only sent over HTTPS")
        request = urllib.request.Request(address, content, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE, context=self._context) as answer:
            return str(answer.headers.get("Location") or "")


def digest_of(content: bytes) -> str:
    """Return the name that content goes by in a registry."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def layer_of(files: Mapping[str, bytes], *, mode: int = 0o644) -> bytes:
    """Return a tar archive of files by path; the same files give the same bytes."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
