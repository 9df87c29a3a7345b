"""Judge request bodies by the models of Microsoft's own SDK: names, types, enum values, read-only."""

import re
import types
import typing
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from azure.batch import models as public
from azure.batch._utils.model_base import Model
from azure.batch.models import _enums, _models

_NAMES = {
    **vars(typing),
    **vars(_enums),
    **vars(_models),
    "_models": public,
    "datetime": __import__("datetime"),
}
_DURATION = re.compile(r"P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$")


def faults(model: type[Model], body: Any, path: str = "") -> list[str]:
    """Return what an SDK model would not accept in a body."""
    if not isinstance(body, dict):
        return [f"{path}: not an object"]
    model({})  # rest names are set when a model is first made
    fields = {field._rest_name: (name, field) for name, field in model._attr_to_rest_field.items()}
    hints = typing.get_type_hints(model, _NAMES)
    found = [f"{path}.{name}: unknown" for name in body.keys() - fields.keys()]
    for name, (attribute, field) in fields.items():
        here = f"{path}.{name}"
        is_optional = type(None) in typing.get_args(hints[attribute])
        if name not in body:
            found += [] if is_optional else [f"{here}: missing"]
        elif field._visibility == ["read"]:
            found.append(f"{here}: read-only")
        else:
            found += _value_faults(hints[attribute], body[name], here)
    return found


def _value_faults(hint: Any, value: Any, path: str) -> list[str]:
    options = typing.get_args(hint) if typing.get_origin(hint) in {typing.Union, types.UnionType} else (hint,)
    options = tuple(option for option in options if option is not type(None))
    enums = [option for option in options if isinstance(option, type) and issubclass(option, Enum)]
    if enums:
        return (
            []
            if value in [member.value for member in enums[0]]
            else [f"{path}: {value!r} is no {enums[0].__name__}"]
        )
    (only,) = options
    if typing.get_origin(only) is list:
        (inner,) = typing.get_args(only)
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [
            fault
            for index, item in enumerate(value)
            for fault in _value_faults(inner, item, f"{path}[{index}]")
        ]
    if isinstance(only, type) and issubclass(only, Model):
        return faults(only, value, path)
    return [] if _is_plain(only, value) else [f"{path}: {value!r} is no {only}"]


def _is_plain(kind: Any, value: Any) -> bool:
    if kind is timedelta:
        return isinstance(value, str) and len(value) > 2 and _DURATION.match(value) is not None
    if kind is datetime:
        return isinstance(value, str)
    return type(value) is kind
