"""Addresses: which account, container and blob a path names, and which names are allowed."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from emulator.blob.errors import BlobError, bad_query

Level = Literal["service", "container", "blob"]
MOST_LETTERS = 1024
MOST_SEGMENTS = 254
MOST_SEGMENT_BYTES = 255  # what a file system takes
_HOST = re.compile(r"([a-z0-9]{3,24})\.blob\.[a-z0-9.-]+")
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")


@dataclass(frozen=True)
class Place:
    """What an address names; container and blob are empty above their level."""

    account: str
    container: str = ""
    blob: str = ""

    @property
    def level(self) -> Level:
        """Return what kind of resource it is."""
        if self.blob:
            return "blob"
        return "container" if self.container else "service"

    @property
    def signed(self) -> str:
        """Return the resource as signatures name it: the account once, also for path-style addresses."""
        return "/".join(part for part in ("/blob", self.account, self.container, self.blob) if part)


def place(host: str, raw_path: str) -> Place:
    """Read an address whose account is in the host name, or else in the first segment of the path."""
    path = raw_path.removeprefix("/")
    found = _HOST.fullmatch(host.lower().partition(":")[0])
    if found:
        account = found[1]
    else:
        account, _, path = path.partition("/")
    container, _, blob = path.partition("/")
    return Place(decoded(account), decoded(container), decoded(blob))


def address(url: str) -> tuple[Place, dict[str, str]]:
    """Read a complete URL: the place and its query parameters."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BlobError("InvalidUri") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise BlobError("InvalidUri")
    return place(parts.netloc.rpartition("@")[2], parts.path), query(parts.query)


def query(text: str) -> dict[str, str]:
    """Read a query string; names are case-insensitive, of repeated ones the values are joined."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise bad_query("?", text, "The query is not UTF-8") from error
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return {name: ",".join(sorted(values)) for name, values in found.items()}


def decoded(text: str) -> str:
    """Decode a percent-encoded part of a path."""
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise BlobError("InvalidUri") from error


def check_container(name: str) -> str:
    """Return a valid name of a container, refuse another one."""
    if not 3 <= len(name) <= 63:
        raise BlobError("OutOfRangeInput")
    if not _CONTAINER.fullmatch(name):
        raise BlobError("InvalidResourceName")
    return name


def segments(name: str) -> tuple[str, ...]:
    """Return the folders and the file behind a blob's name; refuse names that a folder cannot hold as they are."""
    parts = tuple(name.split("/"))
    if len(name) > MOST_LETTERS or len(parts) > MOST_SEGMENTS:
        raise BlobError("OutOfRangeInput")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise BlobError("InvalidResourceName")
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError as error:
        raise BlobError("InvalidResourceName") from error
    if longest > MOST_SEGMENT_BYTES:
        raise BlobError("OutOfRangeInput")
    return parts
