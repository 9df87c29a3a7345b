"""Uploads of blobs over HTTP: bodies are written piece by piece as they come, never held as a whole."""

import re
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from emulator.registry import names
from emulator.registry.access import needs, on_repository
from emulator.registry.errors import RegistryError
from emulator.registry.http import Operation, Request
from emulator.registry.uploads import Upload

if TYPE_CHECKING:
    from emulator.registry.state import RegistryState

BUFFER_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,20})-\d+(?:/.*)?", re.ASCII)


async def _begin(state: "RegistryState", request: Request, http: HttpRequest) -> Response:
    """Mount a blob of another repository, take a whole blob in one request, or begin an upload."""
    digest = request.query.get("digest", "")
    if digest:
        names.digest(digest)
    if await run_in_threadpool(_mount, state, request):
        return _created(request, request.query["mount"])
    await run_in_threadpool(state.images.check_writable, request.name)
    upload = await run_in_threadpool(state.uploads.begin, request.name)
    if not digest:
        return _accepted(upload)
    with state.uploads.claim(upload.id):
        upload = await _append(state, upload, http)
        await run_in_threadpool(state.uploads.finish, upload, digest)
    return _created(request, digest)


def _mount(state: "RegistryState", request: Request) -> bool:
    """Tell whether the blob is taken over; if it cannot be, the client uploads it."""
    digest, source = request.query.get("mount", ""), request.query.get("from", "")
    if not (names.is_digest(digest) and names.is_repository(source)):
        return False
    if not request.access.allows(on_repository(source, "pull")):
        return False
    state.images.check_writable(request.name)
    return state.blobs.mount(request.name, digest, source)


async def _continue(state: "RegistryState", request: Request, http: HttpRequest) -> Response:
    with state.uploads.claim(request.parts["upload"]):
        upload = await run_in_threadpool(_current, state, request)
        return _accepted(await _append(state, upload, http))


async def _finish(state: "RegistryState", request: Request, http: HttpRequest) -> Response:
    digest = names.digest(request.query.get("digest", ""))
    with state.uploads.claim(request.parts["upload"]):
        upload = await run_in_threadpool(_current, state, request)
        await run_in_threadpool(state.images.check_writable, request.name)
        upload = await _append(state, upload, http)
        await run_in_threadpool(state.uploads.finish, upload, digest)
    return _created(request, digest)


def _show(state: "RegistryState", request: Request) -> Response:
    response = _accepted(state.uploads.get(request.name, request.parts["upload"]))
    response.status_code = 204
    return response


def _cancel(state: "RegistryState", request: Request) -> Response:
    with state.uploads.claim(request.parts["upload"]):
        state.uploads.cancel(state.uploads.get(request.name, request.parts["upload"]))
    return Response(status_code=204)


def _current(state: "RegistryState", request: Request) -> Upload:
    """Return the upload if the request carries on where it ends; a request sent twice does not."""
    upload = state.uploads.get(request.name, request.parts["upload"])
    if request.query.get("_state", str(upload.size)) != str(upload.size):
        raise RegistryError("BLOB_UPLOAD_INVALID")
    match = _CONTENT_RANGE.fullmatch(request.headers.get("content-range", ""))
    if match is not None and int(match[1]) != upload.size:
        raise RegistryError("BLOB_UPLOAD_INVALID", status=416, headers=_headers(upload))
    return upload


async def _append(state: "RegistryState", upload: Upload, http: HttpRequest) -> Upload:
    with closing(await run_in_threadpool(state.uploads.writer, upload)) as writer:
        buffer = bytearray()
        async for piece in http.stream():
            buffer += piece
            if len(buffer) >= BUFFER_BYTES:
                await run_in_threadpool(writer.write, bytes(buffer))
                buffer.clear()
        await run_in_threadpool(writer.write, bytes(buffer))
        return await run_in_threadpool(writer.commit)


def _headers(upload: Upload) -> dict[str, str]:
    # The state makes each address good for one request: one that was applied and is sent again must not append
    # its bytes a second time.
    location = f"/v2/{upload.repository}/blobs/uploads/{upload.id}?_nouploadcache=false&_state={upload.size}"
    return {
        "Location": location,
        "Range": f"0-{max(upload.size - 1, 0)}",
        "Docker-Upload-UUID": upload.id,
    }


def _accepted(upload: Upload) -> Response:
    return Response(status_code=202, headers=_headers(upload))


def _created(request: Request, digest: str) -> Response:
    location = f"/v2/{request.name}/blobs/{digest}"
    return Response(status_code=201, headers={"Docker-Content-Digest": digest, "Location": location})


_PUSH = needs("pull", "push")
_UPLOAD = "/v2/{name}/blobs/uploads/{upload}"
OPERATIONS: Sequence[Operation] = (
    Operation(("POST",), "/v2/{name}/blobs/uploads/", _PUSH, receiver=_begin),
    Operation(("PATCH",), _UPLOAD, _PUSH, receiver=_continue),
    Operation(("PUT",), _UPLOAD, _PUSH, receiver=_finish),
    Operation(("GET",), _UPLOAD, _PUSH, _show),
    Operation(("DELETE",), _UPLOAD, _PUSH, _cancel),
)
