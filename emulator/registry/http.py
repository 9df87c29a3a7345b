"""One request to the registry and one operation of it, and what all of them do alike."""

import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from emulator.identity.jwt import BadToken
from emulator.registry.access import Access, Need, refusal
from emulator.registry.catalog import ORDERS, Page
from emulator.registry.errors import RegistryError

if TYPE_CHECKING:
    from emulator.registry.state import RegistryState

JSON_TYPE = "application/json; charset=utf-8"
PAGE_SIZE = 100
MOST_PER_PAGE = 1000


@dataclass(frozen=True)
class Request:
    """What a client asked: the parts of the path, the query, and who asks."""

    method: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    service: str
    access: Access

    @property
    def name(self) -> str:
        """Return the repository that the path names."""
        return self.parts["name"]


Handler = Callable[["RegistryState", Request], Response]
# An upload's handler reads the body itself, piece by piece.
Receiver = Callable[["RegistryState", Request, HttpRequest], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """Methods on a path, what they need, and who answers.

    In the path `{name}` stands for a repository's name, slashes included, and any other `{part}` for one segment.
    """

    methods: tuple[str, ...]
    path: str
    need: Callable[[str], Need]
    handler: Handler | None = None
    receiver: Receiver | None = None
    most_bytes: int = 0


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(body), status, dict(headers or {}), media_type=JSON_TYPE)


def authenticate(state: "RegistryState", headers: Mapping[str, str], need: Need, host: str) -> Access:
    """Return who sends a request if that satisfies the need; ask for credentials otherwise."""
    service = state.service_of(host)
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    if not credential:
        raise refusal(need, host=host, service=service)
    if scheme.lower() == "basic":
        subject = state.subject_of(*basic(credential))
        access = Access(subject) if subject is not None else None
    else:
        access = _bearer(state, credential)
    if access is None:
        raise refusal(need, host=host, service=service, error="invalid_token")
    if not access.allows(need):
        raise refusal(need, host=host, service=service, error="insufficient_scope")
    return access


def basic(credential: str) -> tuple[str, str]:
    """Return the name and the password of a Basic credential, both empty if it is malformed."""
    try:
        username, _, password = base64.b64decode(credential.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return username, password


def _bearer(state: "RegistryState", credential: str) -> Access | None:
    try:
        return state.tokens.read_access(credential.strip())
    except BadToken:
        return None


def page_of(request: Request) -> Page:
    """Return which part of a list is asked for."""
    query = request.query
    try:
        size = int(query.get("n") or PAGE_SIZE)
    except ValueError:
        size = 0
    if size < 1:
        raise RegistryError("PAGINATION_NUMBER_INVALID", detail={"n": query.get("n")})
    order = query.get("orderby", "").lower()
    if order not in ORDERS:
        raise RegistryError("BAD_REQUEST", "invalid order", detail={"orderby": query["orderby"]})
    return Page(min(size, MOST_PER_PAGE), query.get("last", ""), order, query.get("at", ""))


def link(path: str, page: Page | None, **more: str) -> dict[str, str]:
    """Return the header that leads to the next page, none after the last one."""
    if page is None:
        return {}
    query = {"last": page.last, "n": str(page.size), "orderby": page.order}
    # The time keeps the place in the list even if the last entry is deleted or pushed again meanwhile.
    query |= {"at": page.at} if page.is_by_time else {}
    query |= {name: value for name, value in more.items() if value}
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return {"Link": f'<{path}?{text}>; rel="next"'}
