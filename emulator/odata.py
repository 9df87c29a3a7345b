"""The subset of OData that the Batch service documents: `$filter`, and nothing that it does not.

Property names are compared exactly, string values without regard to case. A property that an object lacks matches
no comparison but `ne`.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emulator import dates

Predicate = Callable[[dict[str, Any]], bool]
Value = str | float | bool | datetime
# How deep the service's own parser goes.
_MOST_LEVELS = 100
_TOKEN = re.compile(
    r"\s*(?:(?P<when>[Dd]ate[Tt]ime'(?:[^']|'')*')|(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*(?:/[A-Za-z_][A-Za-z0-9_]*)*)|(?P<mark>[(),]))"
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}


class FilterError(ValueError):
    """A `$filter` that the service would refuse; the text is the reason."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def compile_filter(text: str, properties: Collection[str]) -> Predicate:
    """Turn a `$filter` into a predicate over wire objects; raise FilterError when it is not valid."""
    parser = _Parser(_tokens(text), frozenset(properties))
    predicate = parser.alternatives()
    if not parser.at_end:
        raise FilterError(f"Unexpected '{parser.next().text}'")
    return predicate


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise FilterError(f"Syntax error at position {position}")
        tokens.append(_Token(match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token], properties: frozenset[str]) -> None:
        self._tokens = tokens
        self._position = 0
        self._level = 0
        self._properties = properties

    @property
    def at_end(self) -> bool:
        return self._position >= len(self._tokens)

    def next(self) -> _Token:
        if self.at_end:
            raise FilterError("The expression ends too early")
        self._position += 1
        return self._tokens[self._position - 1]

    def _takes(self, text: str) -> bool:
        if not self.at_end and self._tokens[self._position].text == text:
            self._position += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        found = self.next()
        if found.text != text:
            raise FilterError(f"'{text}' expected, '{found.text}' found")

    def alternatives(self) -> Predicate:
        parts = [self._conjunction()]
        while self._takes("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else lambda item: any(part(item) for part in parts)

    def _conjunction(self) -> Predicate:
        parts = [self._unary()]
        while self._takes("and"):
            parts.append(self._unary())
        return parts[0] if len(parts) == 1 else lambda item: all(part(item) for part in parts)

    def _unary(self) -> Predicate:
        if self._takes("("):
            self._level += 1
            if self._level > _MOST_LEVELS:
                raise FilterError("Recursion depth exceeded allowed limit")
            inner = self.alternatives()
            self._expect(")")
            self._level -= 1
            return inner
        if self._takes("startswith"):
            return self._starts_with()
        return self._comparison()

    def _starts_with(self) -> Predicate:
        self._expect("(")
        path = self._path()
        self._expect(",")
        prefix = _value(self.next())
        self._expect(")")
        if not isinstance(prefix, str):
            raise FilterError("startswith compares with a string")
        return lambda item: str(_lookup(item, path) or "").lower().startswith(prefix)

    def _comparison(self) -> Predicate:
        path = self._path()
        operator = self.next().text
        compare = _COMPARISONS.get(operator)
        if compare is None:
            raise FilterError(f"The operator '{operator}' is not supported")
        wanted = _value(self.next())
        if operator not in ("eq", "ne") and isinstance(wanted, bool):
            raise FilterError(f"The operator '{operator}' does not compare booleans")
        return _comparing(path, operator, compare, wanted)

    def _path(self) -> tuple[str, ...]:
        token = self.next()
        if token.kind != "word" or token.text not in self._properties:
            raise FilterError(f"The property '{token.text}' cannot be filtered on")
        return tuple(token.text.split("/"))


def _comparing(
    path: tuple[str, ...], operator: str, compare: Callable[[Any, Any], bool], wanted: Value
) -> Predicate:
    def matches(item: dict[str, Any]) -> bool:
        found = _lookup(item, path)
        if found is None:
            return operator == "ne"
        try:
            return compare(_like(found, wanted), wanted)
        except (TypeError, ValueError):
            return operator == "ne"

    return matches


def _lookup(item: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def _like(found: Any, wanted: Value) -> Any:
    """Read the object's value the way the literal was meant."""
    if isinstance(wanted, datetime):
        return _instant(str(found))
    return found.lower() if isinstance(found, str) else found


def _value(token: _Token) -> Value:
    if token.kind == "text":
        return token.text[1:-1].replace("''", "'").lower()
    if token.kind == "number":
        return float(token.text)
    if token.kind == "when":
        try:
            return _instant(token.text[token.text.index("'") + 1 : -1])
        except ValueError as error:
            raise FilterError(f"{token.text} is not an instant") from error
    if token.text in ("true", "false"):
        return token.text == "true"
    raise FilterError(f"'{token.text}' is not a literal")


def _instant(text: str) -> datetime:
    try:
        return dates.iso_date(text)
    except ValueError:
        return dates.http_date(text)
