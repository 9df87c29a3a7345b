"""One request and one answer of the Batch API, and what all operations do with them alike."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from emulator import dates
from emulator.batch import shapes, wire
from emulator.batch.tables import Item, Kind
from emulator.errors import BatchError, invalid_query, missing
from emulator.odata import FilterError, Predicate, compile_filter

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

MOST_PER_PAGE = 1000
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_POSITION = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Request:
    """What a client asked: parameters of the path, query by lower-cased name, headers by lower-cased name."""

    account: str
    base_url: str
    path: str
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    request_id: str
    now: datetime

    def body(self, shape: str, *, required: bool = True) -> dict[str, Any]:
        """Return the JSON body without nulls; an absent one is {} where the operation allows that.

        `shape` names what the service reads (a type of `shapes`). Raise BatchError `InvalidRequestBody` for another.
        """
        if not self.content:
            if required:
                raise BatchError("InvalidRequestBody", Reason="The body is empty")
            return {}
        try:
            body = orjson.loads(self.content)
        except orjson.JSONDecodeError as error:
            raise BatchError("InvalidRequestBody", Reason=str(error)) from error
        if not isinstance(body, dict):
            raise BatchError("InvalidRequestBody", Reason="The body is not an object")
        cleaned: dict[str, Any] = wire.without_nulls(body)
        shapes.check_types(cleaned, shape)
        return cleaned

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter, false when absent."""
        value = self.query.get(name, "false").lower()
        if value not in ("true", "false"):
            raise invalid_query(name, value, "The value is neither true nor false")
        return value == "true"


@dataclass(frozen=True)
class Answer:
    """What is sent back; `stream` (with its length in the headers) takes the place of `body` for files."""

    status: int
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    stream: Iterator[bytes] | None = None


Handler = Callable[["BatchState", Request], Answer]


@dataclass(frozen=True)
class Operation:
    """A method and a path of the API, and who answers; `{name}` stands for one segment."""

    method: str
    path: tuple[str, ...]
    handler: Handler


def operation(method: str, path: str, handler: Handler) -> Operation:
    """Describe one operation; the path is written as in the service's reference."""
    return Operation(method, tuple(path.strip("/").split("/")), handler)


def metadata(request: Request, suffix: str) -> str:
    """Return the `odata.metadata` member of an answer."""
    return f"{request.base_url}/$metadata#{suffix}"


def check_conditions(request: Request, item: Item) -> None:
    """Refuse a change when a conditional header does not hold (412); reads answer 304 by `is_unchanged`."""
    headers = request.headers
    for pair in (("if-match", "if-none-match"), ("if-modified-since", "if-unmodified-since")):
        if all(name in headers for name in pair):
            raise BatchError("MultipleConditionHeadersNotSupported")
    current = item.doc["eTag"]
    wanted = headers.get("if-match")
    if wanted is not None and not _names(wanted, current):
        raise BatchError("ConditionNotMet")
    unwanted = headers.get("if-none-match")
    if unwanted is not None and _names(unwanted, current) and not _is_read(request):
        raise BatchError("ConditionNotMet")
    changed = wire.moment(item.doc["lastModified"]).replace(microsecond=0)
    until = date_header(request, "if-unmodified-since")
    if until is not None and changed > until:
        raise BatchError("ConditionNotMet")
    since = date_header(request, "if-modified-since")
    if since is not None and changed <= since and not _is_read(request):
        raise BatchError("ConditionNotMet")


def is_unchanged(request: Request, item: Item) -> bool:
    """Tell whether a conditional GET or HEAD is to be answered 304."""
    unwanted = request.headers.get("if-none-match")
    if unwanted is not None and _names(unwanted, item.doc["eTag"]):
        return True
    since = date_header(request, "if-modified-since")
    return since is not None and wire.moment(item.doc["lastModified"]).replace(microsecond=0) <= since


def _is_read(request: Request) -> bool:
    return request.headers[":method"] in ("GET", "HEAD")


def _names(header: str, etag: str) -> bool:
    """Clients send ETags bare, quoted, or as a list; `*` names every one."""
    wanted = [part.strip().removeprefix("W/").strip('"') for part in header.split(",")]
    return "*" in wanted or etag in wanted


def date_header(request: Request, name: str) -> datetime | None:
    """Return the instant that a header names, None without the header; refuse one that names none."""
    text = request.headers.get(name)
    if text is None:
        return None
    try:
        return dates.http_date(text)
    except ValueError as error:
        raise BatchError("InvalidHeaderValue", HeaderName=name, HeaderValue=text) from error


def change_headers(request: Request, item: Item, url: str | None = None) -> dict[str, str]:
    """Return ETag, Last-Modified and DataServiceId, as after a change."""
    return {
        "ETag": item.doc["eTag"],
        "Last-Modified": wire.http_date(wire.moment(item.doc["lastModified"])),
        "DataServiceId": url or f"{request.base_url}{request.path}",
    }


def created(request: Request, item: Item, url: str) -> Answer:
    """Answer 201 with the headers of a new resource."""
    return Answer(201, headers={**change_headers(request, item, url), "Location": url})


Render = Callable[[Request, Item], dict[str, Any]]


def show(request: Request, item: Item, render: Render, suffix: str) -> Answer:
    """Answer a GET of one resource: conditions, `$select`, ETag."""
    check_conditions(request, item)
    if is_unchanged(request, item):
        return Answer(304, headers=change_headers(request, item))
    body = {
        "odata.metadata": metadata(request, f"{suffix}/@Element"),
        **select(request, render(request, item)),
    }
    headers = change_headers(request, item)
    del headers["DataServiceId"]
    return Answer(200, body, headers)


def select(request: Request, doc: dict[str, Any]) -> dict[str, Any]:
    """Keep the members that `$select` names, all of them without it."""
    text = request.query.get("$select")
    if not text:
        return doc
    names = [name.strip() for name in text.split(",")]
    return {name: doc[name] for name in names if name in doc}


def predicate(request: Request, properties: frozenset[str]) -> Predicate | None:
    """Return the compiled `$filter`, None without one."""
    text = request.query.get("$filter")
    if not text:
        return None
    try:
        return compile_filter(text, properties)
    except FilterError as error:
        raise invalid_query("$filter", text, str(error)) from error


def page_size(request: Request) -> int:
    """Return `maxresults`, 1000 by default and at most."""
    text = request.query.get("maxresults")
    if text is None:
        return MOST_PER_PAGE
    if not _INTEGER.fullmatch(text):
        raise invalid_query("maxresults", text, "MaxResults is not an integer")
    if int(text) < 1:
        raise invalid_query("maxresults", text, "MaxResults cannot be less than 1")
    return min(int(text), MOST_PER_PAGE)


@dataclass(frozen=True)
class Listing:
    """How a kind of item is listed: where it lives, how it reads, what can be filtered on."""

    kind: Kind
    suffix: str
    render: Render
    properties: frozenset[str]


def list_items(state: "BatchState", request: Request, listing: Listing, parent: str = "") -> Answer:
    """Answer one page of items in the order of their keys, with a link to the next one if there is more."""
    size, keep = page_size(request), predicate(request, listing.properties)
    key, found = skip_token(request), list[dict[str, Any]]()
    while True:
        items = state.tables.after(listing.kind, request.account, parent, key, size + 1)
        for item in items:
            doc = listing.render(request, item)
            if keep is not None and not keep(doc):
                key = item.key
                continue
            if len(found) == size:
                return page(request, listing.suffix, found, next_token=key)
            found.append(select(request, doc))
            key = item.key
        if len(items) <= size:
            return page(request, listing.suffix, found)


def list_docs(request: Request, suffix: str, docs: list[dict[str, Any]]) -> Answer:
    """Answer one page of objects that are not stored as items; the token is a position."""
    size, text = page_size(request), skip_token(request)
    start = int(text) if _POSITION.fullmatch(text) else 0
    chosen = [select(request, doc) for doc in docs[start : start + size]]
    more = str(start + size) if start + size < len(docs) else None
    return page(request, suffix, chosen, next_token=more)


def page(
    request: Request, suffix: str, values: list[dict[str, Any]], *, next_token: str | None = None
) -> Answer:
    """Answer a list; the next link is complete by itself, since older clients use it verbatim."""
    body: dict[str, Any] = {"odata.metadata": metadata(request, suffix), "value": values}
    if next_token is not None:
        token = base64.urlsafe_b64encode(next_token.encode()).decode().rstrip("=")
        query = {**request.query, "$skiptoken": token}
        text = "&".join(f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in query.items())
        body["odata.nextLink"] = f"{request.base_url}{request.path}?{text}"
    return Answer(200, body)


def skip_token(request: Request) -> str:
    """Return the key after which the asked-for page begins, empty for the first page."""
    text = request.query.get("$skiptoken", "")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError as error:
        raise invalid_query("$skiptoken", text, "The token was not made by this service") from error


def required(body: Mapping[str, Any], *names: str) -> None:
    """Refuse a body that lacks one of the members."""
    for name in names:
        if name not in body:
            raise missing(name)
