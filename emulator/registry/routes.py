"""The HTTP side of the registry: find the operation, authenticate, and refuse as the service does."""

import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from emulator.registry import distribution, names, oauth, properties, pushes
from emulator.registry.errors import RegistryError
from emulator.registry.http import Operation, Request, authenticate, json_response

if TYPE_CHECKING:
    from emulator.registry.state import RegistryState

logger = logging.getLogger(__name__)
# Uploads come before blobs, whose digest would match `uploads`.
OPERATIONS: Sequence[Operation] = (*pushes.OPERATIONS, *distribution.OPERATIONS, *properties.OPERATIONS)
_HOST = re.compile(r"[\w.\-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?", re.ASCII)
_PART = re.compile(r"\{(\w+)\}")


def create_app(state: "RegistryState") -> Starlette:
    """Return the application that answers for the registry under all its names."""
    app = Starlette()
    # Not a route: the patterns of routes do not match paths with line breaks, nor an empty one.
    app.router.default = _Endpoint(state)
    return app


class _Endpoint:
    def __init__(self, state: "RegistryState") -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        try:
            response = await self._answer(http)
        except ClientDisconnect:
            return
        except RegistryError as error:
            response = _refusal(error, http.method)
        except Exception:
            logger.exception("%s %s failed", http.method, http.url.path)
            response = _refusal(RegistryError("INTERNAL_ERROR"), http.method)
        response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Ms-Correlation-Request-Id"] = str(uuid.uuid4())
        logger.debug("%s %s %s", http.method, http.url.path, response.status_code)
        await response(scope, receive, send)

    async def _answer(self, http: HttpRequest) -> Response:
        # Clients encode the slashes in names or do not; both mean the same here.
        path = unquote(http.scope.get("raw_path", http.url.path.encode()).decode("latin-1"))
        if path.startswith("/oauth2/"):
            return await self._token(http, path)
        operation, parts = _find(http.method, path)
        request = await run_in_threadpool(self._authenticated, http, operation, parts)
        if operation.receiver is not None:
            return await operation.receiver(self._state, request, http)
        if operation.handler is None:
            raise RegistryError("UNSUPPORTED")
        if operation.most_bytes:
            content = await _content(http, operation.most_bytes)
            request = replace(request, content=content)
        return await run_in_threadpool(operation.handler, self._state, request)

    def _authenticated(self, http: HttpRequest, operation: Operation, parts: dict[str, str]) -> Request:
        headers = {name.lower(): value for name, value in http.headers.items()}
        host = headers.get("host", "")
        if not _HOST.fullmatch(host):
            host = self._state.address
        need = operation.need(parts.get("name", ""))
        return Request(
            method=http.method,
            parts=parts,
            query=dict(parse_qsl(http.scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers=headers,
            content=b"",
            service=self._state.service_of(host),
            access=authenticate(self._state, headers, need, host),
        )

    async def _token(self, http: HttpRequest, path: str) -> Response:
        if path not in ("/oauth2/token", "/oauth2/exchange"):
            raise RegistryError("NOT_FOUND")
        if http.method == "POST":
            answer = oauth.post_token if path == "/oauth2/token" else oauth.exchange
            content = await _content(http, oauth.MOST_BYTES)
            return await run_in_threadpool(answer, self._state, content)
        if http.method != "GET" or path != "/oauth2/token":
            raise RegistryError("UNSUPPORTED")
        authorization = http.headers.get("authorization", "")
        return await run_in_threadpool(
            oauth.get_token, self._state, http.scope["query_string"], authorization
        )


async def _content(http: HttpRequest, most: int) -> bytes:
    """Read the body; the rest of a larger one is dropped, and then refused."""
    content, length = bytearray(), 0
    async for piece in http.stream():
        length += len(piece)
        if length <= most:
            content += piece
    if length > most:
        raise RegistryError("BAD_REQUEST", "the request body is too large", status=413)
    return bytes(content)


def _pattern(path: str) -> re.Pattern[str]:
    def part(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>.+)" if match[1] == "name" else f"(?P<{match[1]}>[^/]+)"

    return re.compile(_PART.sub(part, path) + ("?" if path.endswith("/") else ""), re.DOTALL)


_PATTERNS = [(_pattern(operation.path), operation) for operation in OPERATIONS]


def _find(method: str, path: str) -> tuple[Operation, dict[str, str]]:
    """Return the operation and the parts of the path; the first pattern that matches says what is meant."""
    meant = None
    for pattern, operation in _PATTERNS:
        match = pattern.fullmatch(path)
        if match is None or meant not in (None, operation.path):
            continue
        meant = operation.path
        if method in operation.methods:
            parts = {**match.groupdict(), "path": path}
            if "name" in parts:
                names.repository(parts["name"])
            return operation, parts
    raise RegistryError("NOT_FOUND" if meant is None else "UNSUPPORTED")


def _refusal(error: RegistryError, method: str) -> Response:
    if method == "HEAD":
        return Response(b"", error.status, error.headers)
    return json_response(error.body(), error.status, error.headers)
