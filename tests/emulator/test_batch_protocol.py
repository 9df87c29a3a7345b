"""Addresses, queries and headers of Batch that no client of Microsoft's would send: each has its refusal."""

import base64
import socket
import ssl
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from emulator.batch import auth
from emulator.odata import FilterError, compile_filter
from tests.emulator.batch import fresh
from tests.emulator.conftest import VERSION, Ask
from tests.emulator.test_batch_bodies import job_body, pool_body

NOT_DATES = (
    "rubbish",
    "0",
    "",
    "é",
    "9" * 5000,
    "Mon, 01 Jan 99999 00:00:00 GMT",
    "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    "Fri, 31 Dec 9999 23:59:59 -2300",
)


@pytest.fixture(scope="module")
def items(module_ask: Ask) -> list[str]:
    """Return the paths of a pool, a job and a task."""
    pool, job = fresh("pool"), fresh("job")
    assert module_ask("POST", "/pools", json=pool_body(pool)).status_code == 201
    assert module_ask("POST", "/jobs", json=job_body(job)).status_code == 201
    assert (
        module_ask("POST", f"/jobs/{job}/tasks", json={"id": "t", "commandLine": "true"}).status_code == 201
    )
    return [f"/pools/{pool}", f"/jobs/{job}", f"/jobs/{job}/tasks/t"]


def send(emulator: dict[str, Any], target: str, **headers: str) -> tuple[int, bytes]:
    """Send a signed GET byte for byte, and return the status and the body."""
    batch = emulator["batch"]
    path, _, query = target.partition("?")
    sent = {"host": "127.0.0.1", "ocp-date": formatdate(usegmt=True), "connection": "close", **headers}
    sent = {name.replace("_", "-"): value for name, value in sent.items()}
    text = auth.string_to_sign("GET", batch["account"], path, query, sent)
    sent.setdefault("authorization", f"SharedKey {batch['account']}:{auth.sign(batch['key'], text)}")
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    address = urlsplit(batch["url"])
    context = ssl.create_default_context(cafile=emulator["ca"])
    with (
        socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=address.hostname) as connection,
    ):
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        answer = b""
        while received := connection.recv(65536):
            answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["code"])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "//pools",
        "///pools",
        "/pools//",
        "/pools//nodes",
        "/jobs/a//tasks",
        "/nothing",
        "/pools%0A",
        "/pools%2Fx",
        "/%2Fpools",
        "/pools/%ff",
        "/pools/%00",
    ],
)
def test_unknown_address(emulator: dict[str, Any], path: str) -> None:
    status, body = send(emulator, f"{path}?api-version={VERSION}")
    assert (status, b'"code":"InvalidUri"' in body) == (400, True)


def test_slash_at_the_end_makes_no_difference(emulator: dict[str, Any]) -> None:
    assert send(emulator, f"/pools/?api-version={VERSION}")[0] == 200


@pytest.mark.parametrize("host", ["", "[", "[::", "é", "a b", "x/y?z#", "127.0.0.1:99999999"])
def test_odd_hosts(emulator: dict[str, Any], host: str) -> None:
    assert send(emulator, f"/pools?api-version={VERSION}", host=host)[0] == 200


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("SharedKey", 401),
        ("SharedKey zoobatch", 401),
        ("SharedKey zoobatch:é", 401),
        ("SharedKey zoobatch:====", 401),
        ("SharedKey é:AAAA", 403),
        ("Bearer é", 401),
        ("Bearer a.b.c", 401),
        ("é é", 401),
    ],
)
def test_odd_credentials(emulator: dict[str, Any], authorization: str, status: int) -> None:
    found, body = send(emulator, f"/pools?api-version={VERSION}", authorization=authorization)
    assert found == status
    assert b'"code":"' in body


@pytest.mark.parametrize("text", NOT_DATES)
def test_date_of_a_request_that_is_none(ask: Ask, text: str) -> None:
    assert code(ask("GET", "/pools", headers={"ocp-date": text})) == (403, "AuthenticationFailed")


@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since"])
@pytest.mark.parametrize("text", NOT_DATES)
def test_condition_that_is_no_date(ask: Ask, items: list[str], name: str, text: str) -> None:
    for path in items:
        answer = ask("GET", path, headers={name: text})
        assert code(answer) == (400, "InvalidHeaderValue")
        assert answer.json()["values"][0] == {"key": "HeaderName", "value": name.lower()}


@pytest.mark.parametrize("zone", ["-0000", ""])
def test_condition_without_a_zone_is_one_of_utc(ask: Ask, items: list[str], zone: str) -> None:
    for path in items:
        past = f"Mon, 01 Jan 2024 00:00:00 {zone}".strip()
        assert ask("GET", path, headers={"If-Modified-Since": past}).status_code == 200
        assert code(ask("GET", path, headers={"If-Unmodified-Since": past})) == (412, "ConditionNotMet")


def test_odd_headers(ask: Ask, items: list[str]) -> None:
    name = "x" * 30_000
    told = ask("GET", items[0], headers={"client-request-id": name, "return-client-request-id": "true"})
    assert told.headers["client-request-id"] == name
    assert ask("GET", items[0], headers={"return-client-request-id": "true"}).status_code == 200
    assert ask("GET", items[0], headers={"Range": "bytes=9999999999999-"}).status_code == 200
    assert ask("GET", items[0], headers={"If-None-Match": "*"}).status_code == 304
    assert code(ask("GET", items[0], headers={"If-Match": 'é,,"""'})) == (412, "ConditionNotMet")


@pytest.mark.parametrize("text", ["-1", "0", "abc", "1.5", "1_0", "\u0661", "", " 1", "9" * 5000])
def test_page_of_no_size(ask: Ask, items: list[str], text: str) -> None:
    for path in ("/pools", "/nodecounts", "/supportedimages"):
        answer = ask("GET", path, query={"maxresults": text} if text else {"maxresults": "%"})
        assert code(answer) == (400, "InvalidQueryParameterValue")
        assert answer.json()["values"][0] == {"key": "QueryParameterName", "value": "maxresults"}


def test_page_of_any_size(ask: Ask) -> None:
    assert ask("GET", "/pools", query={"maxresults": "1" + "0" * 30}).status_code == 200


@pytest.mark.parametrize("token", ["é", "\u0661", "AAA=A", "w4", base64.b64encode(b"\xff").decode()])
def test_token_that_is_none(ask: Ask, token: str) -> None:
    for path in ("/pools", "/nodecounts"):
        answer = ask("GET", path, query={"$skiptoken": token})
        assert answer.status_code in (200, 400)
        if answer.status_code == 400:
            assert answer.json()["code"] == "InvalidQueryParameterValue"


@pytest.mark.parametrize("content", ["²", "9" * 5000, "-5"])
def test_token_of_an_impossible_position(ask: Ask, content: str) -> None:
    token = base64.urlsafe_b64encode(content.encode()).decode()
    assert ask("GET", "/supportedimages", query={"$skiptoken": token}).status_code == 200


@pytest.mark.parametrize("query", ["$filter=%ff", "%ff=1", "maxresults=%ff"])
def test_query_that_is_no_text(emulator: dict[str, Any], query: str) -> None:
    status, body = send(emulator, f"/pools?api-version={VERSION}&{query}")
    assert (status, b'"code":"InvalidUri"' in body) == (400, True)


@pytest.mark.parametrize("version", [None, "x", "9" * 20_000, "2025-06-01x", "0000-00-00"])
def test_version_that_is_none(ask: Ask, version: str | None) -> None:
    expected = "MissingRequiredQueryParameter" if version is None else "UnsupportedRequestVersion"
    assert code(ask("GET", "/pools", version=version)) == (400, expected)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2000 + "id eq 'a'" + ")" * 2000,
        "(" * 5000,
        "(" * 101 + "id eq 'a'" + ")" * 101,
        "id eq 'a' or (" * 1000,
        "id gt DateTime'Mon, 01 Jan 2024 00:00:00 +99999999999999999999'",
        "id gt DateTime'0001-01-01T00:00:00+23:59'",
        "id gt DateTime''",
        "id eq '",
        "id eq \0",
    ],
)
def test_filter_that_is_none(ask: Ask, items: list[str], text: str) -> None:
    for path in ("/pools", "/jobs", f"{items[1]}/tasks"):
        answer = ask("GET", path, query={"$filter": text})
        assert code(answer) == (400, "InvalidQueryParameterValue")
        assert answer.json()["values"][0] == {"key": "QueryParameterName", "value": "$filter"}


def test_filter_is_read_and_applied_to_its_last_level() -> None:
    nested = "(id eq 'b' or id eq 'c' and (" * 50 + "id eq 'a'" + "))" * 50
    found = compile_filter(nested, ["id"])
    assert found({"id": "b"})
    assert not found({"id": "d"})
    with pytest.raises(FilterError, match="depth"):
        compile_filter(f"({nested})", ["id"])
    assert compile_filter(" or ".join(["(id eq 'a')"] * 1000), ["id"])({"id": "A"})
