"""The HTTP side of Batch: find the account and the operation, authenticate, and wrap the answer as the service does."""

import logging
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from emulator.batch import auth, counts, files, images, jobs, nodes, pools, tasks, versions
from emulator.batch.http import Answer, Handler, Operation, Request
from emulator.batch.state import Account, BatchState
from emulator.errors import BatchError

logger = logging.getLogger(__name__)
MOST_BYTES = 1_048_576
JSON_TYPE = "application/json;odata=minimalmetadata"
ALWAYS = {
    "DataServiceVersion": "3.0",
    "Server": "Microsoft-HTTPAPI/2.0",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
OPERATIONS: Sequence[Operation] = (
    *pools.OPERATIONS,
    *nodes.OPERATIONS,
    *jobs.OPERATIONS,
    *tasks.OPERATIONS,
    *files.OPERATIONS,
    *counts.OPERATIONS,
    *images.OPERATIONS,
)
# Operations of the service that are not emulated: they are refused as such, not as unknown addresses.
KNOWN_ROOTS = frozenset({"applications", "jobschedules", "poolusagemetrics", "certificates"})
KNOWN_NODE_PARTS = frozenset(
    {"users", "extensions", "remoteloginsettings", "rdp", "uploadbatchservicelogs", "start", "deallocate"}
)


def create_app(state: BatchState) -> Starlette:
    """Return the application that answers for all accounts of the emulator."""
    app = Starlette()
    # Not a route: the patterns of routes do not match paths with line breaks, nor an empty one.
    app.router.default = _Endpoint(state)
    return app


class _Endpoint:
    def __init__(self, state: BatchState) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        try:
            content = await _content(request)
        except ClientDisconnect:
            return
        response = await run_in_threadpool(self._respond, request, content)
        await response(scope, receive, send)

    def _respond(self, http: HttpRequest, content: bytes | None) -> Response:
        request_id, now = str(uuid.uuid4()), self._state.clock.now()
        base_url = f"https://{http.headers.get('host', 'localhost')}"
        headers = {**ALWAYS, "request-id": request_id}
        if http.headers.get("return-client-request-id", "").lower() == "true":
            headers["client-request-id"] = http.headers.get("client-request-id", "")
        try:
            answer = self._answer(http, content, request_id, base_url)
        except BatchError as error:
            return self._refusal(error, http.method, headers, base_url)
        except Exception:
            logger.exception("%s %s failed", http.method, http.url.path)
            return self._refusal(BatchError("InternalError"), http.method, headers, base_url)
        logger.debug("%s %s %s at %s", http.method, http.url.path, answer.status, now)
        return _response(answer, headers)

    def _answer(self, http: HttpRequest, content: bytes | None, request_id: str, base_url: str) -> Answer:
        raw_path = http.scope.get("raw_path", http.url.path.encode()).decode("latin-1")
        query = http.scope["query_string"].decode("latin-1")
        account = self._state.account_of(http.headers.get("host", ""))
        names = {name.lower(): value for name, value in http.headers.items()}
        self._authenticate(http.method, account, raw_path, query, names)
        if content is None:
            raise BatchError("RequestBodyTooLarge", MaxLimit=MOST_BYTES)
        handler, parameters = _find(http.method, raw_path)
        asked = _query(query)
        versions.check(asked)
        request = Request(
            account=account.name,
            base_url=base_url,
            path=raw_path,
            parameters=parameters,
            query=asked,
            headers={**names, ":method": http.method},
            content=content,
            request_id=request_id,
            now=self._state.clock.now(),
        )
        return handler(self._state, request)

    def _authenticate(
        self, method: str, account: Account, raw_path: str, query: str, headers: dict[str, str]
    ) -> None:
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and credential:
            auth.check_bearer(credential, self._state.identity)
        elif scheme.lower() == "sharedkey" and credential:
            text = auth.string_to_sign(method, account.name, raw_path, query, headers)
            now = self._state.clock.now()
            auth.check_shared_key(
                credential, account=account.name, key=account.key, text=text, headers=headers, now=now
            )
        else:
            raise BatchError("InvalidAuthenticationInfo")

    def _refusal(self, error: BatchError, method: str, headers: dict[str, str], base_url: str) -> Response:
        request_id = headers["request-id"]
        suffix = "Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element"
        body: dict[str, Any] = {"odata.metadata": f"{base_url}/$metadata#{suffix}"}
        body |= error.body(request_id=request_id, now=self._state.clock.now())
        if error.status == 401:
            authority = f"{self._state.authority}/{self._state.tenant}"
            headers["WWW-Authenticate"] = (
                f'Bearer authorization_uri="{authority}", error="invalid_token", '
                'error_description="The token or signature is missing or not valid"'
            )
        content = b"" if method == "HEAD" else orjson.dumps(body)
        return Response(content, error.status, headers, media_type=JSON_TYPE)


async def _content(request: HttpRequest) -> bytes | None:
    """Read the body, None when it is larger than the service takes; the rest is read and dropped."""
    chunks, length = list[bytes](), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length <= MOST_BYTES:
            chunks.append(chunk)
    return b"".join(chunks) if length <= MOST_BYTES else None


def _find(method: str, raw_path: str) -> tuple[Handler, dict[str, str]]:
    """Match on the raw path, so that names with an encoded slash stay one segment."""
    segments = _segments(raw_path)
    is_known_path = False
    for operation in OPERATIONS:
        parameters = _match(operation.path, segments)
        if parameters is None:
            continue
        if operation.method == method:
            return operation.handler, parameters
        is_known_path = True
    if is_known_path:
        raise BatchError("UnsupportedHttpVerb")
    if segments[0] in KNOWN_ROOTS or (
        len(segments) > 4 and segments[2] == "nodes" and segments[4] in KNOWN_NODE_PARTS
    ):
        raise BatchError("NotImplemented")
    raise BatchError("InvalidUri")


def _segments(raw_path: str) -> list[str]:
    """Return the decoded parts of a path; a slash at its end makes no difference."""
    try:
        segments = [unquote_to_bytes(part).decode() for part in raw_path[1:].removesuffix("/").split("/")]
    except UnicodeDecodeError as error:
        raise BatchError("InvalidUri") from error
    if any("\0" in segment for segment in segments):
        raise BatchError("InvalidUri")
    return segments


def _query(text: str) -> dict[str, str]:
    """Return the query by lower-cased name."""
    try:
        return {name.lower(): value for name, value in parse_qsl(text, errors="strict")}
    except UnicodeDecodeError as error:
        raise BatchError("InvalidUri") from error


def _match(path: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    if len(path) != len(segments):
        return None
    parameters = {}
    for part, segment in zip(path, segments, strict=True):
        if part.startswith("{") and segment:
            parameters[part[1:-1]] = segment
        elif part != segment.lower():
            return None
    return parameters


def _response(answer: Answer, headers: dict[str, str]) -> Response:
    headers = {**headers, **answer.headers}
    if answer.stream is not None:
        return StreamingResponse(answer.stream, answer.status, headers)
    if answer.body is None:
        response = Response(b"", answer.status, headers)
        if "Content-Length" in answer.headers:
            response.headers["content-length"] = answer.headers["Content-Length"]
        elif answer.status == 204:
            response.headers["content-length"] = "0"
        return response
    return Response(orjson.dumps(answer.body), answer.status, headers, media_type=JSON_TYPE)
