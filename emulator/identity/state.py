"""Who exists in the tenant, and the tokens that they get: issued, and verified for the other services."""

import hmac
import secrets
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from emulator.clock import Clock
from emulator.identity.jwt import BadToken, Signer
from emulator.store import Store

LIFETIME = timedelta(seconds=3599)
# Clients hand a token over as long as it is valid by their clock; the service forgives this much.
MOST_SKEW = timedelta(seconds=60)
FEDERATION = "api://AzureADTokenExchange"
# Resources that tokens are given for, without the slash that some clients leave at the end.
RESOURCES = frozenset(
    {
        "https://batch.core.windows.net",
        "https://containerregistry.azure.net",
        "https://storage.azure.com",
        "https://management.azure.com",
        "https://management.core.windows.net",
        FEDERATION,
    }
)
STORAGE_SUFFIX = ".blob.core.windows.net"
# Any resource id of a user-assigned identity is taken: pools name them freely.
OBJECTS = uuid.UUID("6e2f4c1a-8f0b-4f43-9a37-0c8e8c1f5d52")


class TokenRefused(Exception):
    """A token that the service does not accept; the text says why."""


@dataclass(frozen=True)
class Claims:
    """What a verified token says of its bearer."""

    client_id: str
    object_id: str
    tenant: str
    audience: str
    issued_at: datetime
    expires_at: datetime


class IdentityState:
    """One tenant with one application; its ids, secret and signing key outlive restarts."""

    def __init__(self, data_dir: Path, store: Store, clock: Clock) -> None:
        self.clock = clock
        self.base_url = ""
        self.hosts: list[str] = []
        self.signer = Signer(store, "identity_signing_key")
        self._store = store

    @cached_property
    def tenant(self) -> str:
        """Return the id of the tenant."""
        return self._store.remember("identity_tenant", _new_id)

    @cached_property
    def client_id(self) -> str:
        """Return the id of the application that may do everything."""
        return self._store.remember("identity_client_id", _new_id)

    @cached_property
    def client_secret(self) -> str:
        """Return the application's secret."""
        return self._store.remember("identity_client_secret", lambda: secrets.token_urlsafe(30))

    @cached_property
    def managed_client_id(self) -> str:
        """Return the client id of the machine's own (system-assigned) identity."""
        return self._store.remember("identity_managed_client_id", _new_id)

    @cached_property
    def endpoint_secret(self) -> str:
        """Return what the App Service endpoint for managed identities wants in `X-IDENTITY-HEADER`."""
        return self._store.remember("identity_endpoint_secret", lambda: secrets.token_hex(16))

    @property
    def issuer(self) -> str:
        """Return the issuer that tokens and the discovery document name."""
        return f"{self.base_url}/{self.tenant}/v2.0"

    def is_secret(self, text: str) -> bool:
        """Tell whether this is the application's secret, in constant time."""
        return hmac.compare_digest(text.encode(), self.client_secret.encode())

    def knows_tenant(self, name: str) -> bool:
        """Tell whether a path names our tenant."""
        return name.lower() == self.tenant

    def object_id(self, client_id: str) -> str:
        """Return the id of the service principal of an application or identity."""
        return str(uuid.uuid5(OBJECTS, f"{self.tenant}/{client_id}"))

    def issue(self, client_id: str, audience: str, *, lifetime: timedelta = LIFETIME) -> str:
        """Return a signed access token; the audience is kept as asked for, also with a slash at its end."""
        now = self.clock.now()
        principal = self.object_id(client_id)
        return self.signer.sign(
            {
                "aud": audience,
                "iss": self.issuer,
                "iat": int(now.timestamp()),
                "nbf": int(now.timestamp()),
                "exp": int((now + lifetime).timestamp()),
                "appid": client_id,
                "appidacr": "1",
                "idtyp": "app",
                "oid": principal,
                "sub": principal,
                "tid": self.tenant,
                "uti": secrets.token_hex(11),
                "ver": "1.0",
            }
        )

    def verify(self, token: str, *, audience: str | Collection[str]) -> Claims:
        """Return the claims of a valid token for (one of) the audience(s).

        Raise TokenRefused with the reason. A slash at the end of an audience makes no difference.
        """
        try:
            found = self.signer.read(token)
            claims = _claims(found)
        except BadToken as error:
            raise TokenRefused(str(error)) from error
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise TokenRefused("The token lacks a claim") from error
        wanted = {audience} if isinstance(audience, str) else set(audience)
        if claims.audience.rstrip("/") not in {name.rstrip("/") for name in wanted}:
            raise TokenRefused(f"The token is for {claims.audience}, not for {' or '.join(sorted(wanted))}")
        now = self.clock.now()
        if claims.expires_at + MOST_SKEW <= now:
            raise TokenRefused(f"The token expired at {claims.expires_at:%Y-%m-%d %H:%M:%S}Z")
        if claims.issued_at - MOST_SKEW > now:
            raise TokenRefused("The token is not valid yet")
        if claims.tenant != self.tenant:
            raise TokenRefused(f"The token is from another tenant, {claims.tenant}")
        return claims

    def is_resource(self, name: str) -> bool:
        """Tell whether tokens are given for this resource; any storage account's address is one."""
        plain = name.rstrip("/")
        return plain in RESOURCES or (plain.startswith("https://") and plain.endswith(STORAGE_SUFFIX))

    def managed_identity(self, *, client_id: str = "", resource_id: str = "", object_id: str = "") -> str:
        """Return the client id of the machine's identity, or of the user-assigned one that is named."""
        if client_id:
            return client_id
        if resource_id or object_id:
            return str(uuid.uuid5(OBJECTS, (resource_id or object_id).lower()))
        return self.managed_client_id


def _new_id() -> str:
    return str(uuid.uuid4())


def _claims(found: dict[str, Any]) -> Claims:
    return Claims(
        client_id=str(found["appid"]),
        object_id=str(found["oid"]),
        tenant=str(found["tid"]),
        audience=str(found["aud"]),
        issued_at=datetime.fromtimestamp(found["nbf"], UTC),
        expires_at=datetime.fromtimestamp(found["exp"], UTC),
    )
