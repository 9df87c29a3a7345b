"""Docker's protocol, under /v2: manifests, blobs, and the lists that Docker's clients ask for."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from starlette.responses import Response, StreamingResponse

from emulator.registry import manifests, names
from emulator.registry.access import ANY_CREDENTIAL, CATALOG, always, needs
from emulator.registry.blobs import Blob
from emulator.registry.errors import RegistryError
from emulator.registry.http import Operation, Request, json_response, link, page_of
from emulator.registry.properties import list_repositories

if TYPE_CHECKING:
    from emulator.registry.state import RegistryState

CHUNK = 1 << 18
BINARY = "application/octet-stream"
_RANGE = re.compile(r"bytes=(\d{0,20})-(\d{0,20})", re.ASCII)


def _ping(_state: "RegistryState", _request: Request) -> Response:
    return json_response({})


def _list_tags(state: "RegistryState", request: Request) -> Response:
    listed = state.catalog.list_tags(request.name, page_of(request))
    body = {"name": request.name, "tags": [row["name"] for row in listed.rows]}
    return json_response(body, headers=link(request.parts["path"], listed.next))


def _get_manifest(state: "RegistryState", request: Request) -> Response:
    manifest = state.images.pull(request.name, names.reference(request.parts["reference"]))
    headers = {
        "Content-Length": str(len(manifest.content)),
        "Docker-Content-Digest": manifest.digest,
        "ETag": f'"{manifest.digest}"',
        # Not by media_type: that would add a character set to some types.
        "Content-Type": manifest.media_type,
    }
    return Response(b"" if request.method == "HEAD" else manifest.content, headers=headers)


def _put_manifest(state: "RegistryState", request: Request) -> Response:
    reference = names.reference(request.parts["reference"])
    content_type = request.headers.get("content-type", "")
    digest = state.images.push(request.name, reference, request.content, content_type)
    location = f"/v2/{request.name}/manifests/{digest}"
    return Response(status_code=201, headers={"Docker-Content-Digest": digest, "Location": location})


def _delete_manifest(state: "RegistryState", request: Request) -> Response:
    reference = names.reference(request.parts["reference"])
    if not names.is_digest(reference):
        raise RegistryError("UNSUPPORTED", "a manifest is deleted by its digest")
    state.images.delete_manifest(request.name, reference)
    return Response(status_code=202)


def _get_blob(state: "RegistryState", request: Request) -> Response:
    state.images.check_readable(request.name)
    blob = state.blobs.get(request.name, request.parts["digest"])
    headers = {"Accept-Ranges": "bytes", "Docker-Content-Digest": blob.digest, "ETag": f'"{blob.digest}"'}
    asked = None if request.method == "HEAD" else _range(request.headers.get("range", ""), blob.size)
    first, last = asked or (0, blob.size - 1)
    headers["Content-Length"] = str(last - first + 1)
    if asked is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
    if request.method == "HEAD":
        return Response(b"", 200, headers, media_type=BINARY)
    pieces = _pieces(_open(blob), first, last - first + 1)
    return StreamingResponse(pieces, 206 if asked else 200, headers, media_type=BINARY)


def _range(text: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte that are asked for, None for everything; a list of ranges is not obeyed."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or match.groups() == ("", ""):
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2]) if match[2] else size, size - 1)
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first > last:
        raise RegistryError("RANGE_INVALID", headers={"Content-Range": f"bytes */{size}"})
    return first, last


def _open(blob: Blob) -> BinaryIO:
    try:
        return blob.path.open("rb")
    except FileNotFoundError as error:
        raise RegistryError("BLOB_UNKNOWN", detail={"digest": blob.digest}) from error


def _pieces(file: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while length > 0 and (piece := file.read(min(CHUNK, length))):
            length -= len(piece)
            yield piece


def _delete_blob(state: "RegistryState", request: Request) -> Response:
    state.images.delete_blob(request.name, names.digest(request.parts["digest"]))
    return Response(status_code=202)


_MANIFEST, _BLOB = "/v2/{name}/manifests/{reference}", "/v2/{name}/blobs/{digest}"
OPERATIONS: Sequence[Operation] = (
    Operation(("GET", "HEAD"), "/v2/", always(ANY_CREDENTIAL), _ping),
    Operation(("GET",), "/v2/_catalog", always(CATALOG), list_repositories),
    Operation(("GET",), "/v2/{name}/tags/list", needs("pull"), _list_tags),
    Operation(("GET", "HEAD"), _MANIFEST, needs("pull"), _get_manifest),
    # One byte more than a manifest may have, so that a larger one is refused as a manifest.
    Operation(("PUT",), _MANIFEST, needs("pull", "push"), _put_manifest, most_bytes=manifests.MOST_BYTES + 1),
    Operation(("DELETE",), _MANIFEST, needs("delete"), _delete_manifest),
    Operation(("GET", "HEAD"), _BLOB, needs("pull"), _get_blob),
    Operation(("DELETE",), _BLOB, needs("delete"), _delete_blob),
)
