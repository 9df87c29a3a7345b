"""The one place that decides what is a secret in text and in structures, and hides it."""

import re
from collections.abc import Iterable
from typing import Any

MASK = "••••••"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?\b|secret|(^|_)token(_|$)|credential|api_?key|(account|access|shared|private|storage|secret|encryption)_?key"
    r"|connection_?string|sas(_|$)|signature|authorization|_(key|pass|pwd|sas|auth)$|^(key|sas|sig|auth|pwd|pass)$",
    re.IGNORECASE,
)
_IN_TEXT = (
    # Azure's shared access signatures, storage connection strings, authorization headers.
    re.compile(r"(?P<keep>[?&]sig=)[^&\s\"'<>]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\b(?:AccountKey|SharedAccessSignature|SharedAccessKey)=)[^;\s\"']+", re.IGNORECASE),
    re.compile(r"(?P<keep>\bAuthorization:\s*\w+\s+)[^\s\"']+", re.IGNORECASE),
    re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)[A-Za-z0-9+/_.~=-]{12,}"),
    re.compile(r"(?P<keep>\bSharedKey\s+[\w-]+:)[A-Za-z0-9+/=]+"),
    # JSON web tokens, and user:password@ in addresses.
    re.compile(r"(?P<keep>)\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+"),
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^/\s:@]+:)[^/\s@]+(?=@)", re.IGNORECASE),
    # password=…, --token …, "secret": "…"
    re.compile(
        r"(?P<keep>\b[\w-]*(?:password|passwd|secret|token|api_?key)[\w-]*[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+",
        re.IGNORECASE,
    ),
)


def is_secret_name(name: str) -> bool:
    """Return whether a setting or column of this name holds a secret."""
    # camelCase becomes snake_case, so that accountKey and account_key are one name.
    return _SECRET_NAME.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)) is not None


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return text with the given secrets and everything that looks like one hidden."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, MASK)
    for pattern in _IN_TEXT:
        text = pattern.sub(lambda found: f"{found['keep']}{MASK}", text)
    return text


def mask_bytes(data: bytes, secrets: Iterable[str]) -> bytes:
    """Return a log's bytes with the given secrets hidden and every other byte as it was."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            data = data.replace(secret.encode(), MASK.encode())
    return data


def mask_structure(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return plain JSON values with secrets hidden: by key, by {name, value} pair, and inside texts."""
    known = tuple(secrets)
    if isinstance(value, dict):
        named = value.get("name")
        is_pair = isinstance(named, str) and "value" in value and is_secret_name(named)
        return {
            key: MASK
            if item not in (None, "", [], {})
            and not isinstance(item, bool)
            and ((is_secret_name(str(key)) and isinstance(item, str | int)) or (is_pair and key == "value"))
            else mask_structure(item, known)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_structure(item, known) for item in value]
    return mask_text(value, known) if isinstance(value, str) else value
