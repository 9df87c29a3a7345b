"""The HTTP side of Blob: find the operation, authenticate, receive the body, and answer as the service does."""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from emulator.blob import auth, names, sas
from emulator.blob.bodies import Body
from emulator.blob.errors import BlobError
from emulator.blob.http import Answer, Call, Operation
from emulator.blob.operations import find
from emulator.blob.state import BlobState

logger = logging.getLogger(__name__)
DEFAULT_VERSION = "2021-12-02"
SERVER = "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0"


def create_app(state: BlobState) -> Starlette:
    """Return the application that answers for the storage account."""
    app = Starlette()
    # Not a route: the patterns of routes do not match names with line breaks.
    app.router.default = _Endpoint(state)
    return app


@dataclass(frozen=True)
class _Asked:
    """A request before its operation is carried out."""

    call: Call
    operation: Operation


class _Endpoint:
    def __init__(self, state: BlobState) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        headers, body = _always(request), Body(request)
        try:
            asked = await run_in_threadpool(self._prepare, request)
            answer = await self._carry_out(body, asked)
        except ClientDisconnect:
            raise
        except Exception as error:
            if not isinstance(error, BlobError):
                logger.exception("%s %s failed", request.method, request.url.path)
                error = BlobError("InternalError")
            if not await body.drain():
                headers["Connection"] = "close"
            return self._refusal(request, error, headers)
        logger.debug("%s %s %s", request.method, request.url.path, answer.status)
        return _response(answer, headers)

    def _prepare(self, request: Request) -> _Asked:
        """Find out what is asked for and by whom, and check what can be checked before the body is read."""
        state = self._state
        raw_path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1")
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = names.query(request.scope["query_string"].decode("latin-1"))
        place = names.place(headers.get("host", ""), raw_path)
        if place.account != state.account:
            raise BlobError("ResourceNotFound", Reason=f"There is no storage account {place.account} here")
        operation = find(request.method, place, query, headers)
        ip = request.client.host if request.client else ""
        is_https = request.url.scheme == "https"
        asked = sas.Asked(place, operation.need, query, state.clock.now(), headers, ip=ip, is_https=is_https)
        access = auth.authenticate(
            state.keys, state.identity, asked, method=request.method, raw_path=raw_path
        )
        call = Call(request.method, place, query, headers, access, asked.now)
        _check_features(call)
        if operation.before is not None:
            operation.before(state, call)
        return _Asked(call, operation)

    async def _carry_out(self, body: Body, asked: _Asked) -> Answer:
        state, call, operation = self._state, asked.call, asked.operation
        if operation.body == "file":
            path = state.storage.new_incoming()
            try:
                call = replace(call, received=await body.to_file(state.storage, path))
                return await run_in_threadpool(operation.handler, state, call)
            finally:
                await run_in_threadpool(path.unlink, missing_ok=True)
        if operation.body == "small":
            call = replace(call, content=await body.to_memory())
        else:
            await body.drain()
        return await run_in_threadpool(operation.handler, state, call)

    def _refusal(self, request: Request, error: BlobError, headers: dict[str, str]) -> Response:
        headers["x-ms-error-code"] = error.code
        if error.status == 401:
            headers["WWW-Authenticate"] = auth.challenge(self._state.identity)
        if request.method == "HEAD" or error.status == 304:
            return Response(b"", error.status, headers)
        content = error.body(request_id=headers["x-ms-request-id"], now=self._state.clock.now())
        return Response(content, error.status, headers, media_type="application/xml")


def _always(request: Request) -> dict[str, str]:
    headers = {
        "Server": SERVER,
        "x-ms-request-id": str(uuid.uuid4()),
        "x-ms-version": request.headers.get("x-ms-version", DEFAULT_VERSION),
    }
    if client := request.headers.get("x-ms-client-request-id"):
        headers["x-ms-client-request-id"] = client
    return headers


# Headers that change what an operation does: ignoring them would keep something else than the client meant.
_UNSUPPORTED = (
    "x-ms-encryption-key",
    "x-ms-encryption-scope",
    "x-ms-if-tags",
    "x-ms-structured-body",
    "x-ms-tags",
)


def _check_features(call: Call) -> None:
    for name in _UNSUPPORTED:
        if name in call.headers:
            raise BlobError("UnsupportedHeader", HeaderName=name)
    # Nothing is ever leased, so every lease that a client names is lost.
    if "x-ms-lease-id" in call.headers:
        kind = "Blob" if call.place.level == "blob" else "Container"
        raise BlobError(f"LeaseNotPresentWith{kind}Operation")


def _response(answer: Answer, always: Mapping[str, str]) -> Response:
    headers = {**always, **answer.headers}
    if answer.stream is not None:
        return StreamingResponse(answer.stream, answer.status, headers)
    if answer.body:
        return Response(answer.body, answer.status, headers, media_type="application/xml")
    return Response(b"", answer.status, headers)
