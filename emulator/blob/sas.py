"""Shared access signatures: of the account, of a container or blob, and of a key delegated to an identity."""

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

from emulator.blob.access import Access, Need
from emulator.blob.errors import BlobError, bad_query, refused
from emulator.blob.names import Place

# Signatures of older versions are laid out in other ways still; no client of today makes them.
OLDEST_VERSION = "2018-11-09"
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
_LEVEL_LETTERS = {"service": "s", "container": "c", "blob": "o"}
_OVERRIDES = {
    "rscc": "Cache-Control",
    "rscd": "Content-Disposition",
    "rsce": "Content-Encoding",
    "rscl": "Content-Language",
    "rsct": "Content-Type",
}
Query = Mapping[str, str]


@dataclass(frozen=True)
class Keys:
    """What signatures of the account are made with."""

    account: str
    key: str
    delegation_secret: str
    tenant: str

    def delegated(self, object_id: str, tenant: str, start: str, expiry: str, version: str) -> str:
        """Return the key delegated to an identity for a time: derived from these, so it need not be kept."""
        text = "\n".join((object_id, tenant, start, expiry, "b", version))
        secret = base64.b64decode(self.delegation_secret)
        return base64.b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode()


@dataclass(frozen=True)
class Asked:
    """The request that a signature is to allow."""

    place: Place
    need: Need
    query: Query
    now: datetime
    headers: Mapping[str, str]
    ip: str = "127.0.0.1"
    is_https: bool = True


def sign(key: str, text: str) -> str:
    """Return the Base64 HMAC-SHA256 of the text under a Base64 key."""
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def is_present(query: Query) -> bool:
    """Tell whether an address carries a signature."""
    return "sig" in query


def check(keys: Keys, asked: Asked) -> Access:
    """Return what a signature lets its bearer do, refuse it when it does not hold for this request."""
    query = asked.query
    version = query.get("sv", "")
    if not _VERSION.fullmatch(version) or version < OLDEST_VERSION:
        raise refused(f"sv has to be {OLDEST_VERSION} or later")
    if "srt" in query or "ss" in query:
        _check_signature(query, keys.key, [_account_text(keys, query)])
        _check_account(asked)
    elif "skoid" in query:
        _check_delegated(keys, asked)
    else:
        _check_signature(query, keys.key, [_service_text(asked)])
        if query.get("si"):
            raise refused("The container has no such stored access policy")
    _check_times(asked)
    _check_origin(asked)
    access = Access(letters=frozenset(query.get("sp", "")), overrides=_overrides(query))
    access.check(asked.need)
    if "srt" not in query and not asked.need.by_service_sas:
        raise BlobError("AuthorizationFailure")
    return access


def _check_signature(query: Query, key: str, texts: list[str]) -> None:
    """Refuse a signature of none of the texts."""
    given = query.get("sig", "").encode()
    if not any(hmac.compare_digest(sign(key, text).encode(), given) for text in texts):
        raise refused(f"Signature did not match. String to sign used was {texts[0]}")


def _account_text(keys: Keys, query: Query) -> str:
    names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    if query["sv"] >= "2020-12-06":
        names.append("ses")
    return "\n".join((keys.account, *(query.get(name, "") for name in names), ""))


def _service_text(asked: Asked) -> str:
    query = asked.query
    names = ["si", "sip", "spr", "sv", "sr", "snapshot"]
    if query["sv"] >= "2020-12-06":
        names.append("ses")
    names += _OVERRIDES
    return "\n".join((*_head(asked), *(query.get(name, "") for name in names)))


def _head(asked: Asked) -> list[str]:
    """Return the lines that signatures of containers and blobs begin with."""
    place, query = asked.place, asked.query
    if query.get("sr") == "c":
        place = Place(place.account, place.container)
    elif query.get("sr") != "b":
        raise refused("sr has to be b or c: snapshots, versions and directories are not emulated")
    return [query.get(name, "") for name in ("sp", "st", "se")] + [place.signed]


def _delegated_texts(asked: Asked) -> list[str]:
    """Return how a signature under a delegated key may be laid out in its version."""
    query = asked.query
    version = query["sv"]
    names = ["skoid", "sktid", "skt", "ske", "sks", "skv"]
    if version >= "2020-02-10":
        names += ["saoid", "suoid", "scid"]
    if version >= "2025-07-05":
        names += ["skdutid", "sduoid"]
    names += ["sip", "spr", "sv", "sr", "snapshot"]
    if version >= "2020-12-06":
        names.append("ses")
    lines = [*_head(asked), *(query.get(name, "") for name in names)]
    overrides = [query.get(name, "") for name in _OVERRIDES]
    plain = "\n".join((*lines, *overrides))
    bound = "\n".join((*lines, *_bound(asked), *overrides))
    if version >= "2026-10-06":
        return [bound]
    # Which of the versions in between began to sign parts of the request is not documented.
    return [plain, bound] if version >= "2025-07-05" else [plain]


def _bound(asked: Asked) -> tuple[str, str]:
    """Return the lines for the headers (srh) and query parameters (srq) that a signature binds a request to."""
    headers = [unquote(name) for name in asked.query.get("srh", "").split(",") if name]
    parameters = [unquote(name) for name in asked.query.get("srq", "").split(",") if name]
    return (
        "".join(f"{name}:{asked.headers.get(name.lower(), '')}\n" for name in headers),
        "".join(f"\n{name}:{asked.query.get(name.lower(), '')}" for name in parameters),
    )


def _check_delegated(keys: Keys, asked: Asked) -> None:
    query = asked.query
    if query.get("sduoid") or query.get("skdutid"):
        raise refused("Signatures that are bound to one more identity are not emulated")
    if query.get("sks") != "b" or query.get("sktid", "").lower() != keys.tenant:
        raise refused("The key was delegated by another tenant or for another service")
    parts = [query.get(name, "") for name in ("skoid", "sktid", "skt", "ske", "skv")]
    _check_signature(query, keys.delegated(*parts), _delegated_texts(asked))
    if not _moment(query, "skt") <= asked.now < _moment(query, "ske"):
        raise refused("The delegated key is not valid at this time")


def _check_account(asked: Asked) -> None:
    query = asked.query
    if "b" not in query.get("ss", ""):
        raise BlobError("AuthorizationServiceMismatch")
    if _LEVEL_LETTERS[asked.need.level] not in query.get("srt", ""):
        raise BlobError("AuthorizationResourceTypeMismatch")


def _check_times(asked: Asked) -> None:
    query, now = asked.query, asked.now
    if not query.get("se"):
        raise refused("se is mandatory. Cannot be empty")
    if not query.get("sp"):
        raise refused("sp is mandatory. Cannot be empty")
    expiry = _moment(query, "se")
    start = _moment(query, "st") if query.get("st") else datetime.min.replace(tzinfo=UTC)
    if not start <= now < expiry:
        frame = f"Start [{query.get('st', '')}] - Expiry [{query['se']}] - Current [{now:%Y-%m-%dT%H:%M:%SZ}]"
        raise refused(f"Signature not valid in the specified time frame: {frame}")


def _moment(query: Query, name: str) -> datetime:
    """Read an instant: with fractions, seconds, minutes, or a date only."""
    try:
        value = datetime.fromisoformat(query.get(name, ""))
    except ValueError as error:
        raise refused(f"{name} is not an instant of ISO 8601") from error
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _check_origin(asked: Asked) -> None:
    """Refuse another protocol or address than the signature was made for."""
    query = asked.query
    if query.get("spr", "") not in ("", "https", "https,http"):
        raise refused("spr has to be https or https,http")
    if query.get("spr") == "https" and not asked.is_https:
        raise BlobError("AuthorizationProtocolMismatch")
    if not query.get("sip"):
        return
    first, _, last = query["sip"].partition("-")
    try:
        inside = _number(first) <= _number(asked.ip) <= _number(last or first)
    except ValueError as error:
        raise refused("sip is not an address or a range of addresses") from error
    if not inside:
        raise BlobError("AuthorizationSourceIPMismatch", SourceIP=asked.ip)


def _number(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address.strip())
    return parsed.version, int(parsed)


def _overrides(query: Query) -> dict[str, str]:
    """Return the response headers that the signature prescribes."""
    found = {header: query[name] for name, header in _OVERRIDES.items() if query.get(name)}
    for header, value in found.items():
        if not value.isprintable():
            raise bad_query(header, value, "The value cannot stand in a header")
    return {header: value.encode().decode("latin-1") for header, value in found.items()}
