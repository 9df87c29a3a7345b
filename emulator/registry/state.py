"""The registry of the emulator: who may enter, what it holds, and how images are found in it."""

import hmac
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emulator.clock import Clock
from emulator.identity.jwt import BadToken
from emulator.identity.state import IdentityState
from emulator.registry import names
from emulator.registry.access import ANONYMOUS, Need, grant
from emulator.registry.blobs import Blobs
from emulator.registry.catalog import Catalog
from emulator.registry.errors import RegistryError
from emulator.registry.images import Images
from emulator.registry.tokens import Tokens
from emulator.registry.uploads import Uploads
from emulator.store import Store

# The user name that goes with a token in place of a password.
TOKEN_USER = "00000000-0000-0000-0000-000000000000"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
PLATFORM = ("linux", "amd64")


@dataclass(frozen=True)
class FoundImage:
    """An image as a node needs it; `config` is that of linux/amd64 when the reference means an index."""

    digest: str
    media_type: str
    config: dict[str, Any]


class RegistryState:
    """One registry with an admin user, known under its own address and the names in `hosts`."""

    def __init__(self, data_dir: Path, store: Store, clock: Clock, *, identity: IdentityState) -> None:
        self.base_url = ""
        self.hosts: list[str] = []
        self.allows_anonymous_pull = False
        self.username = "zoobatch"
        self.identity = identity
        self.tokens = Tokens(store, clock, self.is_own)
        self.blobs = Blobs(data_dir / "registry" / "blobs" / "sha256", store)
        self.uploads = Uploads(data_dir / "registry" / "uploads", store, clock, self.blobs)
        self.catalog = Catalog(store)
        self.images = Images(store, clock, self.catalog, self.blobs)
        self._store = store
        self.uploads.recover()
        self.blobs.recover()

    @cached_property
    def password(self) -> str:
        """Return the password of the admin user, made once."""
        return self._store.remember("registry_password", lambda: secrets.token_urlsafe(30))

    @property
    def address(self) -> str:
        """Return host and port of the registry's own address."""
        return urlsplit(self.base_url).netloc

    def is_own(self, server: str) -> bool:
        """Tell whether a login server means this registry."""
        name = server.strip().lower().removeprefix("https://").rstrip("/")
        own = self.address.lower()
        if not name:
            return False
        host, colon, port = name.rpartition(":")
        if not colon or not port.isdigit():
            host, port = name, ""
        own_port = own.rpartition(":")[2]
        if host in LOOPBACK or name == own:
            return name == own or port == own_port
        return port in ("", "443", own_port) and host in {alias.lower() for alias in self.hosts}

    def service_of(self, host: str) -> str:
        """Return the registry's name in tokens and answers for the host that a client asked."""
        return host.lower() if self.is_own(host) else self.address

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether a user name and password let one in."""
        return self.subject_of(username, password) is not None

    def subject_of(self, username: str, password: str) -> str | None:
        """Return who has this name and password: the admin, an application, or the bearer of a token."""
        if _is_same(username, self.username):
            return self.username if _is_same(password, self.password) else None
        if username == TOKEN_USER:
            try:
                return self.tokens.read_refresh(password)
            except BadToken:
                return None
        identity = self.identity
        if username.lower() == identity.client_id and identity.is_secret(password):
            return identity.object_id(identity.client_id)
        return None

    def access_token(self, subject: str, service: str, asked: list[Need]) -> str:
        """Return an access token for as much of the asked-for scopes as the subject may have."""
        is_anonymous = subject == ANONYMOUS
        if is_anonymous and not self.allows_anonymous_pull:
            asked = []
        return self.tokens.access(subject, service, grant(asked, reads_only=is_anonymous))

    def find(self, repository: str, reference: str) -> FoundImage | None:
        """Return the image that a tag or digest means, None if a node could not pull it."""
        if not names.is_repository(repository):
            return None
        if not (names.is_tag(reference) or names.is_digest(reference)):
            return None
        try:
            found = manifest = self.images.pull(repository, reference)
            if manifest.is_index:
                child = manifest.child_for(*PLATFORM)
                if child is None:
                    return None
                found = self.images.pull(repository, child)
        except RegistryError:
            return None
        return FoundImage(manifest.digest, manifest.media_type, self.images.config(repository, found))


def _is_same(text: str, wanted: str) -> bool:
    return hmac.compare_digest(text.encode(), wanted.encode())
