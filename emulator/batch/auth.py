"""Who is asking: SharedKey signatures and Entra bearer tokens."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qsl

from emulator import dates
from emulator.errors import BatchError

AUDIENCE = "https://batch.core.windows.net/"
# The service's own limit is not documented; storage, its sibling, allows a quarter of an hour.
MOST_SKEW = timedelta(minutes=15)
SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


class Verifier(Protocol):
    """What the token service offers here."""

    def verify(self, token: str, *, audience: str) -> Any:
        """Return the claims of a token for the audience, or raise with the reason."""


def string_to_sign(method: str, account: str, raw_path: str, query: str, headers: Mapping[str, str]) -> str:
    """Return the text that a SharedKey client signs; the path is taken as sent, still percent-encoded."""
    lines = [method, *(headers.get(name, "") for name in SIGNED_HEADERS)]
    if method in ("GET", "HEAD") and headers.get("content-length") == "0":
        lines[1 + SIGNED_HEADERS.index("content-length")] = ""
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("ocp-")]
    text = "\n".join(lines) + f"\n/{account}{raw_path}"
    first: dict[str, str] = {}
    for name, value in parse_qsl(query):
        first.setdefault(name, value)
    return text + "".join(f"\n{name}:{first[name]}" for name in sorted(first))


def sign(key: str, text: str) -> str:
    """Return the Base64 HMAC-SHA256 of the text under a Base64 account key."""
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def check_shared_key(
    credential: str, *, account: str, key: str, text: str, headers: Mapping[str, str], now: datetime
) -> None:
    """Refuse a signature of another account, key or request, and one that is older than the allowed skew."""
    name, _, signature = credential.strip().partition(":")
    if not signature:
        raise BatchError("InvalidAuthenticationInfo")
    try:
        base64.b64decode(signature, validate=True)
    except ValueError as error:
        raise BatchError("InvalidAuthenticationInfo") from error
    _check_date(headers.get("ocp-date") or headers.get("date"), now)
    if name.lower() != account.lower():
        raise _refused("The account name does not match the endpoint")
    if not hmac.compare_digest(sign(key, text), signature):
        raise _refused("The signature does not match")


def _check_date(text: str | None, now: datetime) -> None:
    try:
        sent = dates.http_date(text or "")
    except ValueError as error:
        raise _refused("The request has no readable ocp-date header") from error
    if abs(now - sent) > MOST_SKEW:
        raise _refused("The request is too old or its clock is wrong")


def check_bearer(token: str, identity: Verifier) -> None:
    """Refuse a token that is not for Batch, not ours, or expired."""
    try:
        identity.verify(token.strip(), audience=AUDIENCE)
    except Exception as error:  # each implementation of the token service has its own exception
        raise BatchError("InvalidAuthenticationInfo", Reason=str(error)) from error


def _refused(reason: str) -> BatchError:
    return BatchError("AuthenticationFailed", AuthenticationErrorDetail=reason)
