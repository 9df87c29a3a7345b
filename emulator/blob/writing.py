"""Operations that write, change, copy or delete a blob."""

import base64
import os
import uuid
from collections.abc import Mapping
from dataclasses import replace

from emulator.blob import blocks, files, names, sas
from emulator.blob.access import READ, Need
from emulator.blob.errors import BlobError, bad_header
from emulator.blob.facts import DEFAULT_CONTENT, Facts
from emulator.blob.http import (
    Answer,
    Call,
    Received,
    check_change,
    document,
    failing,
    http_date,
    metadata,
    version_headers,
)
from emulator.blob.state import BlobState
from emulator.blob.storage import Blob, Check

MOST_BLOB_BYTES = 5000 * 1024 * 1024
MOST_BLOCK_BYTES = 4000 * 1024 * 1024
MOST_BLOCKS = 50_000
ENCRYPTED = {"x-ms-request-server-encrypted": "true"}
_PROPERTIES = {
    "Content-Type": "content-type",
    "Content-Encoding": "content-encoding",
    "Content-Language": "content-language",
    "Content-Disposition": "content-disposition",
    "Cache-Control": "cache-control",
    "Content-MD5": "content-md5",
}


def _properties(headers: Mapping[str, str], *, plain: bool = False) -> dict[str, str]:
    """Return the properties that a request sets; Put Blob also takes them from the plain headers."""
    found = {}
    for name, key in _PROPERTIES.items():
        value = headers.get(f"x-ms-blob-{key}") or (headers.get(key) if plain else None)
        if value:
            found[name] = value
    return found


def _overwriting(call: Call) -> Check:
    """Return the check of an operation that makes or replaces a blob."""

    def check(blob: Blob | None) -> None:
        if blob is not None:
            if call.headers.get("if-none-match", "").strip() == "*":
                raise BlobError("BlobAlreadyExists")
            call.access.check_overwrite()
        check_change(call.headers, blob)

    return check


def _existing(call: Call) -> Check:
    """Return the check of an operation on a blob that has to exist."""

    def check(blob: Blob | None) -> None:
        if blob is None:
            raise BlobError("BlobNotFound")
        check_change(call.headers, blob)

    return check


def _before(state: BlobState, call: Call, most: int) -> None:
    """Refuse, before the body is read, what can be refused by then."""
    if "content-length" not in call.headers:
        raise BlobError("MissingContentLengthHeader")
    if int(call.headers["content-length"]) > most:
        raise BlobError("RequestBodyTooLarge", MaxLimit=most)
    state.storage.folder(call.place.container)
    names.segments(call.place.blob)


def before_put(state: BlobState, call: Call) -> None:
    """Check Put Blob before its body is read."""
    kind = call.headers.get("x-ms-blob-type")
    if kind is None:
        raise BlobError("MissingRequiredHeader", HeaderName="x-ms-blob-type")
    if kind in ("AppendBlob", "PageBlob"):
        raise BlobError("NotImplemented")
    if kind != "BlockBlob":
        raise bad_header("x-ms-blob-type", kind)
    _before(state, call, MOST_BLOB_BYTES)
    _overwriting(call)(state.storage.find(call.place.container, call.place.blob))


def put(state: BlobState, call: Call) -> Answer:
    """Answer Put Blob."""
    received = call.file()
    expected = call.headers.get("x-ms-blob-content-md5") or call.headers.get("content-md5")
    _check_sums(received, expected, call.headers.get("x-ms-content-crc64"))
    content = {**DEFAULT_CONTENT, **_properties(call.headers, plain=True), "Content-MD5": received.md5}
    facts = Facts(content=content, metadata=metadata(call.headers))
    blob = state.storage.put(call.place.container, call.place.blob, received.path, facts, _overwriting(call))
    return Answer(201, {**version_headers(blob), "Content-MD5": received.md5, **ENCRYPTED})


def _check_sums(received: Received, md5: str | None, crc64: str | None) -> None:
    """Refuse a body whose checksum is not the one that was sent with it."""
    if md5 is not None:
        try:
            is_digest = len(base64.b64decode(md5, validate=True)) == 16
        except ValueError:
            is_digest = False
        if not is_digest:
            raise BlobError("InvalidMd5")
        if md5 != received.md5:
            raise BlobError("Md5Mismatch", UserSpecifiedMd5=md5, ServerCalculatedMd5=received.md5)
    if crc64 is not None and crc64 != received.crc64:
        raise BlobError("Crc64Mismatch", UserSpecifiedCrc=crc64, ServerCalculatedCrc=received.crc64)


def before_block(state: BlobState, call: Call) -> None:
    """Check Put Block before its body is read."""
    blocks.check_key(call.query.get("blockid", ""))
    _before(state, call, MOST_BLOCK_BYTES)


def put_block(state: BlobState, call: Call) -> Answer:
    """Answer Put Block."""
    received = call.file()
    _check_sums(received, call.headers.get("content-md5"), call.headers.get("x-ms-content-crc64"))
    state.storage.folder(call.place.container)
    state.storage.blocks.put(call.place.container, call.place.blob, call.query["blockid"], received.path)
    told = {"Content-MD5": received.md5} if "content-md5" in call.headers else {}
    return Answer(201, {**told, **ENCRYPTED})


def put_block_list(state: BlobState, call: Call) -> Answer:
    """Answer Put Block List: the blocks become the blob in one step."""
    root = document(call, "BlockList")
    wanted = [(entry.tag, (entry.text or "").strip()) for entry in root]
    if len(wanted) > MOST_BLOCKS:
        raise BlobError("BlockListTooLong")
    if any(kind not in ("Committed", "Uncommitted", "Latest") for kind, _ in wanted):
        raise BlobError("InvalidXmlDocument")
    storage, container, name = state.storage, call.place.container, call.place.blob
    before = storage.find(container, name)
    _overwriting(call)(before)
    committed = storage.committed(container, before) if before else []
    pieces = blocks.resolve(wanted, storage.blocks.staged(container, name), committed)
    facts = Facts(content={**DEFAULT_CONTENT, **_properties(call.headers)}, metadata=metadata(call.headers))

    def check(blob: Blob | None) -> None:
        _overwriting(call)(blob)
        if any(piece.path is None for piece in pieces) and (blob and blob.etag) != (before and before.etag):
            raise BlobError("InvalidBlockList")

    with storage.incoming() as path:
        target = storage.create_incoming(path)
        try:
            for piece in pieces:
                _append(state, call, piece, target)
        finally:
            os.close(target)
        kept = [(piece.key, piece.size) for piece in pieces]
        blob = storage.put(container, name, path, facts, check, kept)
    return Answer(201, {**version_headers(blob), **ENCRYPTED})


def _append(state: BlobState, call: Call, piece: blocks.Piece, target: int) -> None:
    """Add the bytes of one block to the file that becomes the blob."""
    if piece.path is None:
        source, _ = state.storage.open(call.place.container, call.place.blob)
    else:
        try:
            source = os.open(piece.path, os.O_RDONLY)
        except FileNotFoundError as error:  # committed or dropped by somebody else meanwhile
            raise BlobError("InvalidBlockList") from error
    try:
        files.copy_range(source, target, piece.offset, piece.size)
    finally:
        os.close(source)


def set_properties(state: BlobState, call: Call) -> Answer:
    """Answer Set Blob Properties: what is not sent is cleared."""
    blob = state.storage.revise(
        call.place.container, call.place.blob, _existing(call), content=_properties(call.headers)
    )
    return Answer(200, version_headers(blob))


def set_metadata(state: BlobState, call: Call) -> Answer:
    """Answer Set Blob Metadata."""
    blob = state.storage.revise(
        call.place.container, call.place.blob, _existing(call), metadata=metadata(call.headers)
    )
    return Answer(200, {**version_headers(blob), **ENCRYPTED})


def delete(state: BlobState, call: Call) -> Answer:
    """Answer Delete Blob."""
    if call.query.get("snapshot") or call.query.get("versionid"):
        raise BlobError("BlobNotFound")
    state.storage.delete(call.place.container, call.place.blob, _existing(call))
    return Answer(202, {"x-ms-delete-type-permanent": "true"})


def copy(state: BlobState, call: Call) -> Answer:
    """Answer Copy Blob and Copy Blob From URL within the account: the copy is complete when we answer."""
    if "x-ms-blob-type" in call.headers:
        raise BlobError("NotImplemented")
    url = call.headers["x-ms-copy-source"]
    source = _source(state, call, url)
    storage, container, name = state.storage, call.place.container, call.place.blob
    storage.folder(container)
    descriptor, original = storage.open(source.container, source.blob)
    copied = {
        "x-ms-copy-id": str(uuid.uuid4()),
        "x-ms-copy-status": "success",
        "x-ms-copy-source": url.partition("?")[0],
        "x-ms-copy-progress": f"{original.size}/{original.size}",
        "x-ms-copy-completion-time": http_date(call.now),
    }
    facts = replace(
        original.facts, modified=0, copied=copied, metadata=metadata(call.headers) or original.facts.metadata
    )
    try:
        if failing(call.headers, original, prefix="x-ms-source-"):
            raise BlobError("SourceConditionNotMet")
        with storage.incoming() as path:
            target = storage.create_incoming(path)
            try:
                files.copy_range(descriptor, target, 0, original.size)
            finally:
                os.close(target)
            kept = storage.committed(source.container, original)
            blob = storage.put(container, name, path, facts, _overwriting(call), kept)
    finally:
        os.close(descriptor)
    told = {key: copied[key] for key in ("x-ms-copy-id", "x-ms-copy-status")}
    return Answer(202, {**version_headers(blob), **told})


def _source(state: BlobState, call: Call, url: str) -> names.Place:
    """Return the source of a copy if the request, or a signature in its address, lets it be read."""
    place, query = names.address(url)
    if place.account != state.account or place.level != "blob":
        raise BlobError("CannotVerifyCopySource", Reason="Only blobs of the same account can be copied")
    if query.get("snapshot") or query.get("versionid"):
        raise BlobError("BlobNotFound")
    if sas.is_present(query):
        state.check_signature(place, query, Need("blob", READ))
    elif not call.access.is_whole:
        raise BlobError("CannotVerifyCopySource")
    return place
