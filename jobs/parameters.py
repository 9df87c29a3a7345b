"""Typed parameters of a job definition: what may be asked, and what is wrong with an answer (pure)."""

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args
from urllib.parse import unquote, urlsplit

Kind = Literal[
    "text",
    "arguments",
    "integer",
    "number",
    "choice",
    "flag",
    "json",
    "image",
    "checkpoint",
    "manifest",
    "script",
]
"""`arguments` is free text split like a shell would; `image` a container image reference; the last three name a
file of a mounted container by its path there (checkpoint and manifest by http(s) address too)."""

KINDS = frozenset(get_args(Kind))
LONGEST_TEXT = 8192
"""Azure Batch names no limit of its own; Linux takes 128 KiB per variable, a form needs far less."""

BLANK: tuple[object, ...] = (None, "")

_IMAGE = re.compile(
    r"[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?", re.ASCII
)

LARGEST_NUMBER = 1e15
"""Beyond this no number in a form means anything."""


class Invalid(ValueError):
    """A value that cannot be taken; its text is the message at the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One question of a definition.

    `option` makes it an argument of the script (`--num-epochs 40`); one left blank is not passed, so that the
    script's own default holds. The definition's environment may name it too.
    """

    name: str
    label: str
    type: Kind
    is_required: bool = False
    is_advanced: bool = False
    default: Any = None
    help: str = ""
    option: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = LONGEST_TEXT
    numeric_keys: tuple[str, ...] = ()  # of a JSON object: exactly these, each a number
    container: str = ""  # the container a path is relative to
    allows_address: bool = False  # an http(s) address is good too, and is passed as it is
    suffixes: tuple[str, ...] = ()
    pattern: str = ""
    pattern_message: str = ""
    needs_secret: str = ""  # a credential without which the answer makes no sense


_NAMES = frozenset(f.name for f in fields(Parameter))
_TUPLES = frozenset({"numeric_keys", "suffixes"})


def read(definition: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """Return a definition's parameters in the order to ask them; ValueError where the data is not a definition."""
    found = tuple(_read_one(entry) for entry in definition.get("parameters", ()))
    names = [parameter.name for parameter in found]
    if len(set(names)) != len(names):
        raise ValueError("two parameters have the same name")
    return found


def _read_one(entry: Mapping[str, Any]) -> Parameter:
    unknown = set(entry) - _NAMES
    if unknown:
        raise ValueError(f"parameter {entry.get('name')!r}: unknown {', '.join(sorted(unknown))}")
    if entry.get("type") not in KINDS:
        raise ValueError(f"parameter {entry.get('name')!r}: unknown type {entry.get('type')!r}")
    values: dict[str, Any] = {
        name: tuple(value) if name in _TUPLES else value for name, value in entry.items()
    }
    if "choices" in values:
        values["choices"] = tuple((str(value), str(label)) for value, label in values["choices"])
    return Parameter(**values)


def clean(parameter: Parameter, raw: object) -> Any:
    """Return the typed value of a form's text or a program's value; None when blank. Raises Invalid."""
    value = raw.strip() if isinstance(raw, str) and parameter.type != "arguments" else raw
    if parameter.type == "flag":
        return _flag(value)
    if value in BLANK or (isinstance(value, str) and not value.strip()):
        if parameter.is_required:
            raise Invalid("This is needed.")
        return None
    return _CLEANERS[parameter.type](parameter, value)


def arguments(parameter: Parameter, value: Any) -> list[str]:
    """Return what a clean value adds to the script's arguments."""
    if value is None or value is False:
        return []
    if parameter.type == "arguments":
        return shlex.split(value)
    if not parameter.option:
        return []
    if parameter.type == "flag":
        return [parameter.option]
    return [parameter.option, text(value)]


def text(value: Any) -> str:
    """Write a clean value as a script reads it: JSON compact, flags as 1, nothing as an empty text."""
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"))
    return repr(value) if isinstance(value, float) else str(value)


def _flag(value: object) -> bool:
    if isinstance(value, str):
        lowered = value.lower()
        if lowered in ("true", "on", "1", "yes"):
            return True
        if lowered in ("", "false", "off", "0", "no"):
            return False
    elif value is None or isinstance(value, bool):
        return bool(value)
    raise Invalid("Say yes or no.")


def _text(parameter: Parameter, value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("This has to be text.")
    if len(value) > parameter.max_length:
        raise Invalid(f"At most {parameter.max_length} characters; these are {len(value)}.")
    if "\0" in value or any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise Invalid("It holds a character that cannot be passed to a program.")
    if parameter.pattern and not re.fullmatch(parameter.pattern, value):
        raise Invalid(parameter.pattern_message or f"This has to match {parameter.pattern}.")
    return value


def _arguments(parameter: Parameter, value: object) -> str:
    cleaned = _text(parameter, value)
    try:
        shlex.split(cleaned)
    except ValueError as error:
        raise Invalid(f"These options cannot be split into arguments: {str(error).lower()}.") from error
    return cleaned


def _integer(parameter: Parameter, value: object) -> int:
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str):
        number = int(value) if re.fullmatch(r"[+-]?[0-9]{1,15}", value, re.ASCII) else None
    if number is None:
        raise Invalid("This has to be a whole number.")
    _check_range(parameter, number)
    return number


def _number(parameter: Parameter, value: object) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(value)
        number = float(value)
    except ValueError as error:
        raise Invalid("This has to be a number.") from error
    if not math.isfinite(number):
        raise Invalid("This has to be a finite number.")
    _check_range(parameter, number)
    return number


def _check_range(parameter: Parameter, number: float) -> None:
    if parameter.minimum is not None and number < parameter.minimum:
        raise Invalid(f"This has to be {parameter.minimum:g} or more.")
    if parameter.maximum is not None and number > parameter.maximum:
        raise Invalid(f"This has to be {parameter.maximum:g} or less.")


def _choice(parameter: Parameter, value: object) -> str:
    allowed = [choice for choice, _ in parameter.choices]
    if value not in allowed:
        raise Invalid(f"Choose one of {', '.join(allowed)}.")
    return str(value)


def _json(parameter: Parameter, value: object) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(_text(parameter, value), parse_constant=_refuse_constant)
        except (json.JSONDecodeError, RecursionError) as error:
            raise Invalid(f"This is not JSON: {error}.") from error
        except ValueError as error:  # Python reads no number of thousands of digits
            raise Invalid("A number in it is too large.") from error
    if parameter.numeric_keys:
        _check_numeric_keys(parameter.numeric_keys, value)
    return value


def _refuse_constant(name: str) -> None:
    raise Invalid(f"{name} is not JSON.")


def _check_numeric_keys(keys: tuple[str, ...], value: object) -> None:
    if not isinstance(value, dict) or set(value) != set(keys):
        raise Invalid(f"This has to be an object with exactly {', '.join(keys)}.")
    for key, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Invalid(f"{key} has to be a number.")
        if not abs(number) < LARGEST_NUMBER:  # not a number is not smaller either
            raise Invalid(f"{key} is too large.")


def _image(parameter: Parameter, value: object) -> str:
    cleaned = _text(parameter, value)
    if any(character.isspace() for character in cleaned):
        raise Invalid("An image name has no spaces.")
    if not _IMAGE.fullmatch(cleaned):
        raise Invalid("This is not an image name such as zoobot.azurecr.io/pytorch:latest.")
    return cleaned


def _path(parameter: Parameter, value: object) -> str:
    """Return a path relative to its container; an address of that container becomes one, unless it may stay."""
    cleaned = _text(parameter, value)
    if "://" in cleaned:
        cleaned = _from_address(parameter, cleaned)
        if parameter.allows_address:
            return cleaned
    cleaned = cleaned.lstrip("/")
    parts = cleaned.split("/")
    if not cleaned or ".." in parts or "." in parts or "" in parts[:-1] or not parts[-1]:
        raise Invalid("This has to be the path of a file, without '.', '..' or empty parts.")
    if "\\" in cleaned or any(ord(character) < 32 or ord(character) == 127 for character in cleaned):
        raise Invalid("A path has no backslashes and no control characters.")
    if parameter.suffixes and not cleaned.endswith(parameter.suffixes):
        raise Invalid(f"This has to end in {' or '.join(parameter.suffixes)}.")
    return cleaned


def _from_address(parameter: Parameter, address: str) -> str:
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError as error:
        raise Invalid("This is not a web address.") from error
    if parts.scheme not in ("http", "https") or not host or parts.path in ("", "/"):
        raise Invalid("An address has to be http or https, with a host and a path.")
    if parameter.allows_address:
        return address
    segments = unquote(parts.path).strip("/").split("/")
    # An emulated or private endpoint names the account before the container.
    for position in (0, 1):
        if segments[position : position + 1] == [parameter.container] and len(segments) > position + 1:
            return "/".join(segments[position + 1 :])
    raise Invalid(f"Only addresses in the container {parameter.container!r} can be reached from the nodes.")


_CLEANERS: dict[str, Callable[[Parameter, object], Any]] = {
    "text": _text,
    "arguments": _arguments,
    "integer": _integer,
    "number": _number,
    "choice": _choice,
    "json": _json,
    "image": _image,
    "checkpoint": _path,
    "manifest": _path,
    "script": _path,
}
