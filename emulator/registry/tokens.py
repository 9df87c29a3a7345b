"""The registry's own tokens: a refresh token says who somebody is, an access token what they may do."""

import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cached_property
from typing import Any

from emulator.clock import Clock
from emulator.identity.jwt import BadToken, Signer
from emulator.registry.access import Access, Need
from emulator.store import Store

ISSUER = "Azure Container Registry"
ACCESS_LIFETIME = timedelta(minutes=20)
REFRESH_LIFETIME = timedelta(hours=3)
MOST_SKEW = timedelta(seconds=60)
ACCESS, REFRESH = "access_token", "refresh_token"


class Tokens:
    """Issue and read tokens; `is_own` tells whether an audience is this registry.

    Claims stay within ASCII and without `~`, `>` and `?`: Microsoft's client reads refresh tokens with the plain
    Base64 alphabet and stumbles over the two characters in which the URL alphabet differs.
    """

    def __init__(self, store: Store, clock: Clock, is_own: Callable[[str], bool]) -> None:
        self._store = store
        self._clock = clock
        self._is_own = is_own
        self._signer = Signer(store, "registry_signing_key")

    @cached_property
    def registry_id(self) -> str:
        """Return the id of the registry, which tokens carry."""
        return self._store.remember("registry_id", lambda: uuid.uuid4().hex)

    def refresh(self, subject: str, service: str) -> str:
        """Return a refresh token."""
        return self._sign(REFRESH, subject, service, REFRESH_LIFETIME)

    def access(self, subject: str, service: str, grants: Iterable[Need]) -> str:
        """Return an access token for what is granted."""
        entries = [{"Type": one.type, "Name": one.name, "Actions": list(one.actions)} for one in grants]
        return self._sign(ACCESS, subject, service, ACCESS_LIFETIME, access=entries, roles=[])

    def read_refresh(self, token: str) -> str:
        """Return the subject of a valid refresh token, or raise BadToken."""
        return str(self._read(REFRESH, token)["sub"])

    def read_access(self, token: str) -> Access:
        """Return what a valid access token allows, or raise BadToken."""
        claims = self._read(ACCESS, token)
        grants = tuple(
            Need(entry["Type"], entry["Name"], tuple(entry["Actions"])) for entry in claims["access"]
        )
        return Access(str(claims["sub"]), grants)

    def _sign(self, kind: str, subject: str, service: str, lifetime: timedelta, **more: Any) -> str:
        now = self._clock.now()
        begin = int(now.timestamp())
        return self._signer.sign(
            {
                "jti": str(uuid.uuid4()),
                "sub": subject,
                "nbf": begin,
                "exp": int((now + lifetime).timestamp()),
                "iat": begin,
                "iss": ISSUER,
                "aud": service,
                "version": "1.0",
                "rid": self.registry_id,
                "grant_type": kind,
                **more,
            }
        )

    def _read(self, kind: str, token: str) -> dict[str, Any]:
        claims = self._signer.read(token)
        if claims.get("grant_type") != kind or claims.get("iss") != ISSUER:
            raise BadToken("The token is of another kind")
        if not self._is_own(str(claims.get("aud"))):
            raise BadToken("The token is for another registry")
        now, skew = self._clock.now().timestamp(), MOST_SKEW.total_seconds()
        if not claims["nbf"] - skew <= now < claims["exp"] + skew:
            raise BadToken("The token is expired or not valid yet")
        return claims
