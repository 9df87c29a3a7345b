"""One request and one answer of the Blob service, and what all operations do with them alike."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol
from xml.etree.ElementTree import Element

from emulator import dates
from emulator.blob import xml
from emulator.blob.access import Access, Need
from emulator.blob.errors import BlobError, bad_header, bad_query
from emulator.blob.names import Place

if TYPE_CHECKING:
    from emulator.blob.state import BlobState

MOST_PER_PAGE = 5000
MOST_METADATA_BYTES = 8 * 1024
META = "x-ms-meta-"
_METADATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RANGE = re.compile(r"bytes=(\d{1,20})-(\d{0,20})", re.ASCII)


@dataclass(frozen=True)
class Received:
    """A body that was written to a file as it came: its size, MD5 and (if the client sent one) CRC-64 in Base64."""

    path: Path
    size: int
    md5: str
    crc64: str


@dataclass(frozen=True)
class Call:
    """What a client asked: query and headers by lower-cased name, a small body or one received into a file."""

    method: str
    place: Place
    query: Mapping[str, str]
    headers: Mapping[str, str]
    access: Access
    now: datetime
    content: bytes = b""
    received: Received | None = None

    def file(self) -> Received:
        """Return the body of an operation that takes a file."""
        if self.received is None:
            raise BlobError("MissingContentLengthHeader")
        return self.received


@dataclass(frozen=True)
class Answer:
    """What is sent back; `stream`, with its length in the headers, takes the place of a body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Iterator[bytes] | None = None


Handler = Callable[["BlobState", Call], Answer]
Check = Callable[["BlobState", Call], None]
Body = Literal["none", "small", "file"]


@dataclass(frozen=True)
class Operation:
    """Who answers, what that needs, what becomes of the body, and what is checked before it is read."""

    handler: Handler
    need: Need
    body: Body = "none"
    before: Check | None = None


class NotModified(BlobError):
    """Answer a conditional read of something that the client has already."""

    def __init__(self) -> None:
        super().__init__("ConditionNotMet")
        self.status = 304


class Versioned(Protocol):
    """What conditional headers are compared with."""

    @property
    def etag(self) -> str:
        """The bare ETag."""

    @property
    def modified(self) -> datetime:
        """When it last changed."""


def http_date(value: datetime) -> str:
    """Write an instant as a header has it."""
    return format_datetime(value.astimezone(UTC), usegmt=True)


def version_headers(item: Versioned) -> dict[str, str]:
    """Return ETag and Last-Modified."""
    return {"ETag": f'"{item.etag}"', "Last-Modified": http_date(item.modified)}


def metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata that a request carries."""
    found = {name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)}
    if not all(_METADATA_NAME.fullmatch(name) for name in found):
        raise BlobError("InvalidMetadata")
    if sum(len(name) + len(value) for name, value in found.items()) > MOST_METADATA_BYTES:
        raise BlobError("MetadataTooLarge")
    return found


def metadata_headers(values: Mapping[str, str]) -> dict[str, str]:
    """Return metadata as headers carry it."""
    return {META + name: value for name, value in values.items()}


def check_read(headers: Mapping[str, str], item: Versioned) -> None:
    """Refuse a read whose condition does not hold: with 304 when the client has the present state already."""
    name = failing(headers, item)
    if name in ("if-none-match", "if-modified-since"):
        raise NotModified
    if name:
        raise BlobError("ConditionNotMet")


def check_change(headers: Mapping[str, str], item: Versioned | None) -> None:
    """Refuse a change whose condition does not hold."""
    if failing(headers, item):
        raise BlobError("ConditionNotMet")


def failing(headers: Mapping[str, str], item: Versioned | None, *, prefix: str = "") -> str:
    """Return the name of the first conditional header that does not hold, empty when all do."""
    match, none_match = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    since = _date(headers, f"{prefix}if-modified-since")
    until = _date(headers, f"{prefix}if-unmodified-since")
    if item is None:
        return "if-match" if match is not None else ""
    changed = item.modified.replace(microsecond=0)
    if match is not None and not _names(match, item.etag):
        return "if-match"
    if none_match is not None and _names(none_match, item.etag):
        return "if-none-match"
    if since is not None and none_match is None and changed <= since:
        return "if-modified-since"
    return "if-unmodified-since" if until is not None and changed > until else ""


def _names(header: str, etag: str) -> bool:
    """Clients send ETags bare, quoted, or as a list; `*` names every one."""
    wanted = [part.strip().removeprefix("W/").strip('"') for part in header.split(",")]
    return "*" in wanted or etag in wanted


def _date(headers: Mapping[str, str], name: str) -> datetime | None:
    if name not in headers:
        return None
    try:
        return dates.http_date(headers[name])
    except ValueError as error:
        raise bad_header(name, headers[name]) from error


def byte_range(headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return where the asked-for part begins and how long it is, None when all is asked for."""
    name = "x-ms-range" if "x-ms-range" in headers else "range"
    if name not in headers:
        return None
    found = _RANGE.fullmatch(headers[name].strip())
    if not found:
        raise bad_header(name, headers[name])
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        raise bad_header(name, headers[name])
    if first >= size:
        raise BlobError("InvalidRange")
    return first, min(last, size - 1) - first + 1


def page_size(call: Call) -> int:
    """Return `maxresults`, 5000 by default and at most."""
    text = call.query.get("maxresults")
    if text is None:
        return MOST_PER_PAGE
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise bad_query("maxresults", text, "MaxResults is not an integer")
    if int(text) < 1:
        raise BlobError(
            "OutOfRangeQueryParameterValue", QueryParameterName="maxresults", QueryParameterValue=text
        )
    return min(int(text), MOST_PER_PAGE)


def included(call: Call) -> set[str]:
    """Return what `include` asks a listing to show as well."""
    return {part.strip().lower() for part in call.query.get("include", "").split(",") if part.strip()}


def document(call: Call, name: str) -> Element:
    """Return the body as an XML document with this root."""
    try:
        root = xml.parse(call.content)
    except xml.BadDocument as error:
        raise BlobError("InvalidXmlDocument") from error
    if root.tag != name:
        raise BlobError("InvalidXmlDocument")
    return root


def metadata_element(values: Mapping[str, str]) -> str:
    """Write metadata as listings show it."""
    return f"<Metadata>{''.join(xml.element(name, value) for name, value in values.items())}</Metadata>"


def echoed(call: Call) -> str:
    """Write the parameters of a listing as its document repeats them."""
    names = {"prefix": "Prefix", "marker": "Marker", "maxresults": "MaxResults", "delimiter": "Delimiter"}
    return "".join(xml.element(tag, call.query[name]) for name, tag in names.items() if call.query.get(name))
