"""Container images as tasks and pools name them, and whether this node may pull them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

DOCKER_HUB = "docker.io"


class Found(Protocol):
    """An image that a registry holds."""

    @property
    def digest(self) -> str:
        """The digest of its manifest."""

    @property
    def config(self) -> dict[str, Any]:
        """Its config, as the OCI image specification has it."""


class Registry(Protocol):
    """What the registry offers here."""

    @property
    def username(self) -> str:
        """The name of its own user."""

    @property
    def password(self) -> str:
        """That user's password."""

    def is_own(self, server: str) -> bool:
        """Tell whether a login server means this registry."""

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether these open it."""

    def find(self, repository: str, reference: str) -> Found | None:
        """Return the image of a tag or digest."""


class ImageRefused(Exception):
    """An image that cannot be had; `code` is Batch's own for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Reference:
    """An image's name taken apart; `reference` is its digest if it has one, else its tag."""

    server: str
    repository: str
    reference: str

    @classmethod
    def parse(cls, name: str) -> "Reference":
        """Read a name as `docker pull` would."""
        rest, _, digest = name.strip().partition("@")
        server, slash, repository = rest.partition("/")
        if not slash or not ("." in server or ":" in server or server == "localhost"):
            server, repository = DOCKER_HUB, rest
        head, colon, tag = repository.rpartition(":")
        if not colon or "/" in tag:
            head, tag = repository, "latest"
        if not head:
            raise ImageRefused("ContainerInvalidImage", f"{name!r} is no image name")
        return cls(server, head, digest or tag)

    def at(self, server: str, reference: str) -> str:
        """Return the name of this repository's image on another server, by digest or tag."""
        mark = "@" if reference.startswith("sha256:") else ":"
        return f"{server}/{self.repository}{mark}{reference}"


@dataclass(frozen=True)
class Image:
    """An image that this node may have, its config, and what opens its registry."""

    name: str
    reference: Reference
    is_own: bool
    digest: str = ""
    config: Mapping[str, Any] | None = None
    username: str = ""
    password: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        return {name: value for name, _, value in (entry.partition("=") for entry in self._list("Env"))}

    @property
    def entrypoint(self) -> list[str]:
        """What runs before the command."""
        return self._list("Entrypoint")

    @property
    def command(self) -> list[str]:
        """What runs when the task says nothing."""
        return self._list("Cmd")

    def _list(self, name: str) -> list[str]:
        """Return one of the lists of the config, which its maker may have written in any other way."""
        settings = (self.config or {}).get("config")
        found = settings.get(name) if isinstance(settings, Mapping) else None
        return [entry for entry in found if isinstance(entry, str)] if isinstance(found, list) else []


def admit(registry: Registry, name: str, credentials: Sequence[Mapping[str, Any]]) -> Image:
    """Return the image if it exists and one of the credentials opens its registry; raise ImageRefused."""
    reference = Reference.parse(name)
    if not registry.is_own(reference.server):
        given = next((each for each in credentials if each.get("registryServer") == reference.server), {})
        return Image(
            name,
            reference,
            is_own=False,
            username=str(given.get("username") or ""),
            password=str(given.get("password") or ""),
        )
    username, password = _credential(registry, reference, credentials)
    if not registry.accepts(username, password):
        raise ImageRefused(
            "ContainerInvalidRegistry",
            f"{reference.server} refuses user name and password ({username or 'none'})",
        )
    found = registry.find(reference.repository, reference.reference)
    if found is None:
        raise ImageRefused("ContainerInvalidImage", f"manifest for {name} not found: manifest unknown")
    return Image(name, reference, True, found.digest, found.config, username, password)


def _credential(
    registry: Registry, reference: Reference, credentials: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """Choose what was given for the image's server; an identity of the pool opens our own registry."""
    for given in credentials:
        server = str(given.get("registryServer") or DOCKER_HUB)
        if server != reference.server and not registry.is_own(server):
            continue
        if "identityReference" in given:
            return registry.username, registry.password
        return str(given.get("username") or ""), str(given.get("password") or "")
    return "", ""
