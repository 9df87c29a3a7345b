"""Mask the secrets that Azure echoes back, before anything is made of an answer."""

import re
from collections.abc import Mapping
from typing import Any

from cloud.types import OPERATION_ENV, OPERATION_KEY, SECRET_NAMES_ENV, SECRET_NAMES_KEY

MASK = "***"

_SECRET_MEMBERS = frozenset(
    {"password", "accountKey", "sasKey", "sshPrivateKey", "protectedSettings", "accessToken"}
)
_ENVIRONMENTS = frozenset({"environmentSettings", "commonEnvironmentSettings"})
_WORDS = r"(?:api_?key|\w*key|\w*token|\w*secret|passw(?:or)?d|pwd|credentials?|sas|signature|\w*auth|conn(?:ection)?_?str(?:ing)?)"
_SECRET_NAME = re.compile(rf"(?:^|[_\-.]){_WORDS}(?:$|[_\-.])", re.IGNORECASE)
_IN_TEXT = (
    (re.compile(r"(\bsig=)[^&\s\"'<>;,]+", re.IGNORECASE), rf"\1{MASK}"),
    (
        re.compile(r"((?:Account|SharedAccess|Access)(?:Key|Signature)=)[^;\s\"']+", re.IGNORECASE),
        rf"\1{MASK}",
    ),
    (re.compile(r"(://[^/\s:@]+:)[^/\s@]+(@)"), rf"\1{MASK}\2"),
    (
        re.compile(
            r"\b(\w*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)=)(?![\s$\"']|\*\*\*)[^\s\"';&|]+", re.IGNORECASE
        ),
        rf"\1{MASK}",
    ),
    (
        re.compile(
            r"(--?[\w-]*(?:password|passwd|token|secret|api-?key)[= ]\s*)(?![$\-\s])[^\s\"';&|]+",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)
_TRIGGERS = re.compile(
    rb"sig=|signature=|environmentsettings|key|token|secret|passw|://[^/\"\s:@]+:[^/\"\s@]+@", re.IGNORECASE
)


def needs_masking(page: bytes) -> bool:
    """Tell by one look at the bytes whether a listing could hold anything secret."""
    return _TRIGGERS.search(page) is not None


def mask_text(text: str) -> str:
    """Mask signatures, keys and passwords inside a command line, an address or a message."""
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


def looks_secret(name: str) -> bool:
    """Tell whether a setting's name says that its value is secret."""
    return _SECRET_NAME.search(name) is not None


def masked(thing: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object of Azure's with every secret replaced.

    Environment values of objects made elsewhere are masked altogether; of ours, those that were
    declared secret when we sent them and those whose name says so.
    """
    ours, secret_names = _ownership(thing)
    return {name: _mask_member(name, value, ours, secret_names) for name, value in thing.items()}


def _ownership(thing: Mapping[str, Any]) -> tuple[bool, frozenset[str]]:
    marks = {str(item.get("name")): str(item.get("value")) for item in thing.get("metadata") or ()}
    settings = {
        str(item.get("name")): str(item.get("value")) for item in thing.get("environmentSettings") or ()
    }
    names = f"{marks.get(SECRET_NAMES_KEY, '')},{settings.get(SECRET_NAMES_ENV, '')}"
    return OPERATION_KEY in marks or OPERATION_ENV in settings, frozenset(filter(None, names.split(",")))


def _mask_member(name: str, value: Any, ours: bool, secret_names: frozenset[str]) -> Any:
    if name in _SECRET_MEMBERS and value:
        return MASK
    if name in _ENVIRONMENTS and isinstance(value, list):
        return [_mask_setting(setting, ours, secret_names) for setting in value]
    return _mask_value(value, ours, secret_names)


def _mask_value(value: Any, ours: bool, secret_names: frozenset[str]) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, list):
        return [_mask_value(item, ours, secret_names) for item in value]
    if isinstance(value, Mapping):
        return {name: _mask_member(name, item, ours, secret_names) for name, item in value.items()}
    return value


def _mask_setting(setting: Mapping[str, Any], ours: bool, secret_names: frozenset[str]) -> dict[str, Any]:
    name, value = str(setting.get("name")), setting.get("value")
    if not isinstance(value, str):
        return dict(setting)
    is_shown = ours and name not in secret_names and not looks_secret(name)
    is_mark = name in {OPERATION_ENV, SECRET_NAMES_ENV}
    return {**setting, "value": mask_text(value) if is_shown or is_mark else MASK}
