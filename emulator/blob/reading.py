"""Operations that read a blob."""

import base64
import hashlib
import os
from collections.abc import Iterator
from typing import IO

from emulator.blob import xml
from emulator.blob.errors import BlobError, bad_header, bad_query
from emulator.blob.http import (
    Answer,
    Call,
    byte_range,
    check_read,
    http_date,
    metadata_headers,
    version_headers,
)
from emulator.blob.state import BlobState
from emulator.blob.storage import Blob

CHUNK_BYTES = 256 * 1024
MOST_HASHED_BYTES = 4 * 1024 * 1024
_ALWAYS = {
    "Accept-Ranges": "bytes",
    "x-ms-blob-type": "BlockBlob",
    "x-ms-lease-status": "unlocked",
    "x-ms-lease-state": "available",
    "x-ms-server-encrypted": "true",
}


def _headers(blob: Blob, call: Call) -> dict[str, str]:
    """Return what is told of a blob with its content and without it."""
    found = {
        **version_headers(blob),
        "x-ms-creation-time": http_date(blob.created),
        **_ALWAYS,
        **{name: value for name, value in blob.facts.content.items() if value},
        **metadata_headers(blob.facts.metadata),
        **blob.facts.copied,
    }
    return {**found, **call.access.overrides}


def show(state: BlobState, call: Call) -> Answer:
    """Answer Get Blob Properties."""
    blob = _present(state, call)
    check_read(call.headers, blob)
    tier = {"x-ms-access-tier": "Hot", "x-ms-access-tier-inferred": "true"}
    return Answer(200, {**_headers(blob, call), **tier, "Content-Length": str(blob.size)})


def show_metadata(state: BlobState, call: Call) -> Answer:
    """Answer Get Blob Metadata."""
    blob = _present(state, call)
    check_read(call.headers, blob)
    return Answer(200, {**version_headers(blob), **metadata_headers(blob.facts.metadata)})


def _present(state: BlobState, call: Call) -> Blob:
    _check_base(call)
    blob = state.storage.find(call.place.container, call.place.blob)
    if blob is None:
        raise BlobError("BlobNotFound")
    return blob


def _check_base(call: Call) -> None:
    """There are no snapshots and no versions, so none that is asked for exists."""
    if call.query.get("snapshot") or call.query.get("versionid"):
        raise BlobError("BlobNotFound")


def content(state: BlobState, call: Call) -> Answer:
    """Answer Get Blob, the whole or a range of it."""
    _check_base(call)
    descriptor, blob = state.storage.open(call.place.container, call.place.blob)
    file = os.fdopen(descriptor, "rb", buffering=0)
    try:
        check_read(call.headers, blob)
        part = byte_range(call.headers, blob.size)
        headers = _headers(blob, call)
        if part is None:
            return Answer(200, {**headers, "Content-Length": str(blob.size)}, stream=_chunks(file, blob.size))
        first, length = part
        headers["Content-Length"] = str(length)
        headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{blob.size}"
        if whole := headers.pop("Content-MD5", ""):
            headers["x-ms-blob-content-md5"] = whole
        if call.headers.get("x-ms-range-get-content-md5", "").lower() == "true":
            headers["Content-MD5"] = _md5(file, first, length)
        file.seek(first)
        return Answer(206, headers, stream=_chunks(file, length))
    except BaseException:
        file.close()
        raise


def _md5(file: IO[bytes], first: int, length: int) -> str:
    if length > MOST_HASHED_BYTES:
        raise bad_header("x-ms-range-get-content-md5", "true")
    data = os.pread(file.fileno(), length, first)
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _chunks(file: IO[bytes], length: int) -> Iterator[bytes]:
    """Read the asked-for bytes; a file that a task cuts short meanwhile ends the answer early."""
    with file:
        while length > 0 and (data := file.read(min(CHUNK_BYTES, length))):
            length -= len(data)
            yield data


def block_list(state: BlobState, call: Call) -> Answer:
    """Answer Get Block List."""
    kind = call.query.get("blocklisttype", "committed").lower()
    if kind not in ("committed", "uncommitted", "all"):
        raise bad_query("blocklisttype", kind, "The value is not committed, uncommitted or all")
    container, name = call.place.container, call.place.blob
    blob = state.storage.find(container, name)
    staged = state.storage.blocks.staged(container, name)
    if blob is None and not staged:
        raise BlobError("BlobNotFound")
    headers, shown = {"x-ms-blob-content-length": str(blob.size if blob else 0)}, ""
    if blob is not None:
        headers |= version_headers(blob)
    if kind != "uncommitted":
        shown += _blocks("CommittedBlocks", state.storage.committed(container, blob) if blob else [])
    if kind != "committed":
        shown += _blocks("UncommittedBlocks", [(key, block.size) for key, block in staged.items()])
    return Answer(200, headers, xml.document("BlockList", shown))


def _blocks(name: str, blocks: list[tuple[str, int]]) -> str:
    inner = "".join(
        f"<Block>{xml.element('Name', key)}{xml.element('Size', size)}</Block>" for key, size in blocks
    )
    return f"<{name}>{inner}</{name}>"
