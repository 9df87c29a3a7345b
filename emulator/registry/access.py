"""What a request needs, what its bearer may do, and the challenge between the two."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from emulator.registry.errors import RegistryError

ANONYMOUS = "acr_anon_pull"
READING = ("pull", "metadata_read")
REPOSITORY_ACTIONS = (*READING, "push", "delete", "metadata_write")
EVERY_ACTION = "*"


@dataclass(frozen=True)
class Need:
    """Actions on one resource; none at all means that any valid credential will do."""

    type: str = ""
    name: str = ""
    actions: tuple[str, ...] = ()

    @property
    def scope(self) -> str:
        """Return the need as challenges and token requests write it."""
        return f"{self.type}:{self.name}:{','.join(self.actions)}"

    def detail(self) -> list[dict[str, str]] | None:
        """Return the need as refusals write it."""
        if not self.actions:
            return None
        return [{"Type": self.type, "Name": self.name, "Action": action} for action in self.actions]


CATALOG = Need("registry", "catalog", (EVERY_ACTION,))


ANY_CREDENTIAL = Need()


def on_repository(name: str, *actions: str) -> Need:
    """Return the need for some actions on a repository."""
    return Need("repository", name, actions)


def needs(*actions: str) -> Callable[[str], Need]:
    """Return what gives the need for the actions on the repository that a path names."""
    return lambda name: on_repository(name, *actions)


def always(need: Need) -> Callable[[str], Need]:
    """Return what gives one need, whatever the path names."""
    return lambda _: need


@dataclass(frozen=True)
class Access:
    """Who sent a request and what they may do; `grants` is None for those who may do everything."""

    subject: str
    grants: tuple[Need, ...] | None = None

    def allows(self, need: Need) -> bool:
        """Tell whether every action of the need is granted."""
        if self.grants is None:
            return True
        allowed = {
            action
            for grant in self.grants
            if (grant.type, grant.name) == (need.type, need.name)
            for action in grant.actions
        }
        return allowed.issuperset(need.actions)


def parse_scopes(texts: Iterable[str]) -> list[Need]:
    """Read the scopes of a token request: several parameters, each with several scopes; others are ignored."""
    found = []
    for scope in " ".join(texts).split():
        kind, _, rest = scope.partition(":")
        name, colon, actions = rest.rpartition(":")
        if colon and name and actions:
            found.append(Need(kind, name, tuple(dict.fromkeys(actions.split(",")))))
    return found


def grant(asked: Iterable[Need], *, reads_only: bool) -> tuple[Need, ...]:
    """Return what is granted of the asked-for scopes: everything there is, or what only reads."""
    granted = []
    for need in asked:
        if need.type == "repository":
            known = READING if reads_only else REPOSITORY_ACTIONS
            actions = known if EVERY_ACTION in need.actions else _among(known, need.actions)
        else:
            actions = need.actions if need == CATALOG else ()
        if actions:
            granted.append(Need(need.type, need.name, actions))
    return tuple(granted)


def _among(known: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(action for action in asked if action in known)


def refusal(need: Need, *, host: str, service: str, error: str = "") -> RegistryError:
    """Ask for credentials: where to get a token, for which registry and with which scope."""
    # Without spaces after the commas: Microsoft's client does not find the parameters otherwise.
    challenge = f'Bearer realm="https://{host}/oauth2/token",service="{service}"'
    if need.actions:
        challenge += f',scope="{need.scope}"'
    if error:
        challenge += f',error="{error}"'
    return RegistryError("UNAUTHORIZED", detail=need.detail(), headers={"WWW-Authenticate": challenge})
