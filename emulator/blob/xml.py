"""Reading and writing the small XML documents of the service."""

import re
from collections.abc import Mapping
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

_IMPOSSIBLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A carriage return is possible, but parsers turn it into a newline.
_UNSAFE_IN_NAMES = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class BadDocument(Exception):
    """The text is no XML document that the service reads."""


def element(name: str, value: object = "") -> str:
    """Write an element with text; characters that XML cannot carry become question marks."""
    text = str(value)
    return f"<{name}>{escape(_IMPOSSIBLE.sub('?', text))}</{name}>" if text else f"<{name} />"


def name_element(name: str) -> str:
    """Write the name of a blob, percent-encoded and marked as such when XML could not carry it."""
    if _UNSAFE_IN_NAMES.search(name):
        return f'<Name Encoded="true">{quote(name)}</Name>'
    return f"<Name>{escape(name)}</Name>"


def document(name: str, content: str, attributes: Mapping[str, str] | None = None) -> bytes:
    """Write a document around elements that are written already."""
    marks = "".join(f" {key}={quoteattr(value)}" for key, value in (attributes or {}).items())
    return f'<?xml version="1.0" encoding="utf-8"?><{name}{marks}>{content}</{name}>'.encode()


def parse(content: bytes) -> ElementTree.Element:
    """Read a document; one that declares entities is refused, since these can grow without limit."""
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise BadDocument("Declarations are not read")
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadDocument(str(error)) from error
