"""Mask the secrets that Azure echoes back, before anything is made of an answer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cloud.redaction import MASK, is_secret_name, mask_structure, mask_text, may_hold_secret
from cloud.types import OPERATION_ENV, OPERATION_KEY, SECRET_NAMES_ENV, SECRET_NAMES_KEY


def needs_masking(page: bytes) -> bool:
    """Tell by one look at the bytes whether a listing could hold anything secret."""
    return may_hold_secret(page) or b"nvironmentSettings" in page


def masked(thing: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object of Azure's with every secret replaced.

    Environment values of objects made elsewhere are masked altogether; of ours, those that were
    declared secret when we sent them and those whose name says so.
    """
    ours, secret_names = _ownership(thing)
    settings = partial(_mask_settings, ours=ours, secret_names=secret_names)
    special: dict[str, Callable[[Any], Any]] = {
        "environmentSettings": settings,
        "commonEnvironmentSettings": settings,
        "protectedSettings": lambda value: MASK if value else value,
        # It cannot hold a secret, but a variable of it may be called like one.
        "autoScaleFormula": lambda formula: formula,
    }
    result: dict[str, Any] = mask_structure(thing, special)
    return result


def _ownership(thing: Mapping[str, Any]) -> tuple[bool, frozenset[str]]:
    marks = {str(item.get("name")): str(item.get("value")) for item in thing.get("metadata") or ()}
    settings = {
        str(item.get("name")): str(item.get("value")) for item in thing.get("environmentSettings") or ()
    }
    names = f"{marks.get(SECRET_NAMES_KEY, '')},{settings.get(SECRET_NAMES_ENV, '')}"
    return OPERATION_KEY in marks or OPERATION_ENV in settings, frozenset(filter(None, names.split(",")))


def _mask_settings(settings: Any, *, ours: bool, secret_names: frozenset[str]) -> Any:
    return [_mask_setting(setting, ours, secret_names) for setting in settings or ()]


def _mask_setting(setting: Mapping[str, Any], ours: bool, secret_names: frozenset[str]) -> dict[str, Any]:
    name, value = str(setting.get("name")), setting.get("value")
    if not isinstance(value, str):
        return dict(setting)
    is_shown = ours and name not in secret_names and not is_secret_name(name)
    is_mark = name in {OPERATION_ENV, SECRET_NAMES_ENV}
    return {**setting, "value": mask_text(value) if is_shown or is_mark else MASK}
