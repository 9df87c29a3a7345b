"""Who is asking: signatures with the account's key, tokens of Entra, and shared access signatures."""

import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from emulator import dates
from emulator.blob import sas
from emulator.blob.access import Access
from emulator.blob.errors import BlobError, bad_header, refused

AUDIENCE = "https://storage.azure.com"
MOST_SKEW = timedelta(minutes=15)
# From this version on the service asks anonymous clients for a token instead of denying that there is anything.
CHALLENGE_VERSION = "2019-12-12"
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
_SIGNED_HEADERS = (
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
Headers = Mapping[str, str]


class Verifier(Protocol):
    """What the token service offers here."""

    @property
    def tenant(self) -> str:
        """The id of the tenant."""

    @property
    def base_url(self) -> str:
        """The address of the token service."""

    def verify(self, token: str, *, audience: list[str]) -> Any:
        """Return the claims of a token for one of the audiences, or raise with the reason."""


def authenticate(
    keys: sas.Keys, identity: Verifier, asked: sas.Asked, *, method: str, raw_path: str
) -> Access:
    """Return what the request's credential may do, or refuse it as the service does."""
    headers = asked.headers
    version = headers.get("x-ms-version", "")
    if version and not _VERSION.fullmatch(version):
        raise bad_header("x-ms-version", version)
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    kind = scheme.lower()
    if asked.need.scheme and kind != asked.need.scheme.lower():
        raise refused(f"Only authentication scheme {asked.need.scheme} is supported")
    if kind == "sharedkey":
        _check_shared_key(keys, credential, asked, _text(method, keys.account, raw_path, asked))
        return Access()
    if kind == "bearer":
        return Access(object_id=_bearer(keys, identity, credential.strip()))
    if kind:
        raise BlobError(
            "InvalidAuthenticationInfo", AuthenticationErrorDetail=f"Scheme {scheme} is not supported"
        )
    if sas.is_present(asked.query):
        return sas.check(keys, asked)
    # Nothing in the account is public.
    if version >= CHALLENGE_VERSION:
        raise BlobError("NoAuthenticationInformation")
    raise BlobError("ResourceNotFound")


def challenge(identity: Verifier) -> str:
    """Return the header that tells a client where to get a token and for what."""
    authority = f"{identity.base_url}/{identity.tenant}/oauth2/authorize"
    return f"Bearer authorization_uri={authority} resource_id={AUDIENCE}"


def _bearer(keys: sas.Keys, identity: Verifier, token: str) -> str:
    try:
        claims = identity.verify(token, audience=[AUDIENCE, f"https://{keys.account}.blob.core.windows.net"])
    except Exception as error:  # each implementation of the token service has its own exception
        raise BlobError("InvalidAuthenticationInfo", AuthenticationErrorDetail=str(error)) from error
    return str(claims.object_id)


def _check_shared_key(keys: sas.Keys, credential: str, asked: sas.Asked, text: str) -> None:
    headers = asked.headers
    if "x-ms-version" not in headers:
        raise BlobError("MissingRequiredHeader", HeaderName="x-ms-version")
    account, _, signature = credential.strip().partition(":")
    _check_date(headers.get("x-ms-date") or headers.get("date", ""), asked.now)
    expected = sas.sign(keys.key, text)
    if account != keys.account or not hmac.compare_digest(expected.encode(), signature.encode()):
        raise refused(
            f"The MAC signature found in the HTTP request is not the same as any computed signature. Server used "
            f"following string to sign: '{text}'."
        )


def _check_date(text: str, now: datetime) -> None:
    try:
        sent = dates.http_date(text)
    except ValueError as error:
        raise refused("The request has no readable x-ms-date or Date header") from error
    if abs(now - sent) > MOST_SKEW:
        raise refused(f"Request date header too old: '{text}'")


def _text(method: str, account: str, raw_path: str, asked: sas.Asked) -> str:
    """Return the text that a SharedKey client signs; the path is taken as sent, still percent-encoded."""
    headers = asked.headers
    lines = [method, *(headers.get(name, "") for name in _SIGNED_HEADERS)]
    if headers.get("content-length") == "0":
        lines[1 + _SIGNED_HEADERS.index("content-length")] = ""
    if "x-ms-date" in headers:
        lines[1 + _SIGNED_HEADERS.index("date")] = ""
    names = sorted((name for name in headers if name.startswith("x-ms-")), key=header_order)
    lines += [f"{name}:{headers[name]}" for name in names]
    lines.append(f"/{account}{raw_path}")
    lines += [f"{name}:{value}" for name, value in sorted(asked.query.items())]
    return "\n".join(lines)


def header_order(name: str) -> tuple[list[tuple[bool, str]], list[bool]]:
    """Sort headers as the service does: hyphens count only between equal names, underscores come before digits."""
    letters = [(letter != "_", letter) for letter in name if letter != "-"]
    return letters, [letter == "-" for letter in name]
