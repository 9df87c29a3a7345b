"""Where the services are, how their certificates are trusted, and how we prove who we are."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DefaultCredential:
    """Whatever identity the machine offers (environment, workload identity, managed identity, az)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """An Entra application with a client secret."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedIdentity:
    """A managed identity; without a client id the machine's system-assigned one."""

    client_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKey:
    """An account's name and key (Batch or storage)."""

    account: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPassword:
    """A user of a registry (admin user, token, or service principal) with a password."""

    username: str
    password: str = field(repr=False)


EntraCredential = DefaultCredential | ClientSecret | ManagedIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom to trust: `ca_bundle` None means the public roots, `authority` None the public Entra ID.

    `is_private_authority` is for an authority that Microsoft's instance discovery does not know
    (a sovereign or private installation): azure-identity has no environment variable for it.
    """

    ca_bundle: str | None = None
    authority: str | None = None
    is_private_authority: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time-outs in seconds, retries, and how many calls one account may have open at once."""

    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    retry_total: int = 3
    longest_pause: float = 10.0  # a longer Retry-After is handed to the caller instead of slept
    concurrent_calls: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConnection:
    """A Batch account: `endpoint` is its https address."""

    endpoint: str
    credential: EntraCredential | SharedKey
    trust: Trust = Trust()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConnection:
    """A registry: `login_server` is what image names say, `endpoint` where it is reached."""

    login_server: str
    endpoint: str
    credential: EntraCredential | UserPassword
    trust: Trust = Trust()
    limits: Limits = Limits()
    audience: str = "https://containerregistry.azure.net"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageConnection:
    """A storage account: `endpoint` is the blob service's address, with the account for path style."""

    account: str
    endpoint: str
    credential: EntraCredential | SharedKey
    trust: Trust = Trust()
    limits: Limits = Limits()
