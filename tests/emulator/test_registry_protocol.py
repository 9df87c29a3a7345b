"""Docker's protocol, request by request: ranges, manifests, lists, and what is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from emulator.registry.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.emulator.registry import Raw, codes, digest_of, fresh, push_raw

UNKNOWN = digest_of(b"never uploaded")


@pytest.fixture(scope="module")
def raw(emulator: dict[str, Any]) -> Raw:
    return Raw(emulator)


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        (None, 200, b"0123456789", None),
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-4194303", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=3-2", 416, None, "bytes */10"),
        ("bytes=99999999999999999999-", 416, None, "bytes */10"),
        ("bytes=" + "9" * 5000 + "-", 200, b"0123456789", None),
        ("bytes=-" + "9" * 5000, 200, b"0123456789", None),
        ("bytes=²-", 200, b"0123456789", None),
    ],
)
def test_blob_by_range(
    raw: Raw, asked: str | None, status: int, content: bytes | None, told: str | None
) -> None:
    repository = fresh()
    path = f"/v2/{repository}/blobs/{raw.put_blob(repository, b'0123456789')}"
    answer = raw("GET", path, headers={"Range": asked} if asked else {})
    assert answer.status_code == status
    assert answer.headers.get("Content-Range") == told
    if content is not None:
        assert answer.content == content
        assert answer.headers["Content-Length"] == str(len(content))
    head = raw("HEAD", path)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "10", b"")


def test_manifest_by_head_and_by_encoded_name(raw: Raw) -> None:
    repository = fresh("deep/er/name")
    digest, manifest = push_raw(raw, repository)
    body = json.dumps(manifest).encode()
    for name in (repository, repository.replace("/", "%2F")):
        for reference in ("v1", digest, digest.replace(":", "%3A")):
            head = raw("HEAD", f"/v2/{name}/manifests/{reference}")
            assert head.headers["Docker-Content-Digest"] == digest
            assert head.headers["Content-Length"] == str(len(body))
            assert head.headers["Content-Type"] == OCI_MANIFEST
            assert raw("GET", f"/v2/{name}/manifests/{reference}").content == body


def test_names_of_paths_may_look_like_paths(raw: Raw) -> None:
    repository = fresh("a/manifests/blobs")
    digest, _ = push_raw(raw, repository)
    assert raw("HEAD", f"/v2/{repository}/manifests/v1").headers["Docker-Content-Digest"] == digest
    assert raw("GET", f"/acr/v1/{repository}").json()["imageName"] == repository


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../etc/manifests/v1",
        "/v2/..%2F..%2Fetc/manifests/v1",
        "/v2/UPPER/manifests/v1",
        "/v2/a//b/manifests/v1",
        "/acr/v1/_tags/x",
        "/acr/v1/%2e%2e/_tags",
        "/acr/v1/" + "a" * 256,
        "/v2/a%00b/manifests/v1",
        "/v2/a%ffb/tags/list",
        "/v2/%0A/tags/list",
    ],
)
def test_bad_names_are_refused(raw: Raw, path: str) -> None:
    # Sent as it stands: the client would tidy up the dots.
    request = raw.session.prepare_request(requests.Request("GET", raw.url, auth=raw.admin))
    request.url = raw.url + path
    answer = raw.session.send(request, timeout=30)
    assert (answer.status_code, codes(answer)) == (400, ["NAME_INVALID"])


def test_bad_references_are_refused(raw: Raw) -> None:
    repository = fresh()
    for reference, code in (
        (".hidden", "TAG_INVALID"),
        ("sha256:12", "DIGEST_INVALID"),
        ("a" * 129, "TAG_INVALID"),
    ):
        answer = raw("GET", f"/v2/{repository}/manifests/{reference}")
        assert (answer.status_code, codes(answer)) == (400, [code])
    assert codes(raw("GET", f"/v2/{repository}/blobs/sha256:..")) == ["DIGEST_INVALID"]
    assert codes(raw("GET", f"/v2/{repository}/blobs/sha256:..%2F..%2Fetc")) == ["NOT_FOUND"]


def test_unknown_images_have_codes_of_their_own(raw: Raw) -> None:
    repository = fresh()
    assert codes(raw("GET", f"/v2/{repository}/manifests/v1")) == ["NAME_UNKNOWN"]
    assert codes(raw("GET", f"/v2/{repository}/tags/list")) == ["NAME_UNKNOWN"]
    push_raw(raw, repository)
    assert codes(raw("GET", f"/v2/{repository}/manifests/v2")) == ["MANIFEST_UNKNOWN"]
    assert codes(raw("GET", f"/v2/{repository}/manifests/{UNKNOWN}")) == ["MANIFEST_UNKNOWN"]
    assert codes(raw("GET", f"/v2/{repository}/blobs/{UNKNOWN}")) == ["BLOB_UNKNOWN"]
    assert codes(raw("GET", f"/acr/v1/{repository}/_manifests/{UNKNOWN}")) == ["MANIFEST_UNKNOWN"]


def _broken(good: dict[str, Any]) -> Iterator[tuple[str | bytes, str, str]]:
    """Yield bodies of manifests that are refused, with their media type and code."""
    invalid = "MANIFEST_INVALID"
    yield "{", OCI_MANIFEST, invalid
    yield "[]", OCI_MANIFEST, invalid
    yield json.dumps({**good, "schemaVersion": 1}), OCI_MANIFEST, invalid
    yield json.dumps(good), DOCKER_MANIFEST, invalid
    yield json.dumps(good), "application/json", invalid
    yield json.dumps({name: value for name, value in good.items() if name != "mediaType"}), "", invalid
    yield json.dumps({**good, "config": None}), OCI_MANIFEST, invalid
    yield json.dumps({**good, "layers": {}}), OCI_MANIFEST, invalid
    yield json.dumps({**good, "layers": [{"digest": "sha256:1"}]}), OCI_MANIFEST, invalid
    yield json.dumps({**good, "layers": ["x"]}), OCI_MANIFEST, invalid
    yield json.dumps({**good, "mediaType": OCI_INDEX}), OCI_INDEX, invalid
    nested = "[" * 1000 + "]" * 1000
    for media_type in ([], ["x"], {}, 7, True):
        yield json.dumps({**good, "mediaType": media_type}), "", invalid
    yield json.dumps({**good, "mediaType": "deep"}).replace('"deep"', nested), OCI_MANIFEST, invalid
    yield json.dumps({**good, "config": {"digest": "deep"}}).replace('"deep"', nested), OCI_MANIFEST, invalid
    yield json.dumps({**good, "layers": [{"digest": ["sha256"]}]}), OCI_MANIFEST, invalid
    yield "\ud800".encode("utf-8", "surrogatepass"), OCI_MANIFEST, invalid
    yield json.dumps(good) + " " * (4 * 1024 * 1024), OCI_MANIFEST, "BAD_REQUEST"
    yield json.dumps({**good, "layers": [{"digest": UNKNOWN}]}), OCI_MANIFEST, "MANIFEST_BLOB_UNKNOWN"
    children = {"schemaVersion": 2, "manifests": [{"digest": UNKNOWN}]}
    yield json.dumps(children), OCI_INDEX, "MANIFEST_BLOB_UNKNOWN"


def test_broken_manifests_are_refused(raw: Raw) -> None:
    repository = fresh()
    _, good = push_raw(raw, repository)
    for body, media_type, code in _broken(good):
        answer = raw(
            "PUT", f"/v2/{repository}/manifests/bad", data=body, headers={"Content-Type": media_type}
        )
        assert codes(answer) == [code], body[:200]
    assert raw("GET", f"/v2/{repository}/tags/list").json()["tags"] == ["v1"]


def test_manifest_must_have_the_digest_that_it_is_pushed_by(raw: Raw) -> None:
    repository = fresh()
    digest, manifest = push_raw(raw, repository)
    assert codes(raw.put_manifest(repository, UNKNOWN, manifest)) == ["DIGEST_INVALID"]
    assert raw.put_manifest(repository, digest, manifest).status_code == 201


def test_layers_kept_elsewhere_need_not_be_here(raw: Raw) -> None:
    repository = fresh()
    _, manifest = push_raw(raw, repository)
    manifest["layers"].append({"digest": UNKNOWN, "size": 9, "urls": ["https://example.org/layer"]})
    assert raw.put_manifest(repository, "v2", manifest).status_code == 201


def test_manifest_is_not_deleted_by_its_tag(raw: Raw) -> None:
    repository = fresh()
    digest, _ = push_raw(raw, repository)
    assert codes(raw("DELETE", f"/v2/{repository}/manifests/v1")) == ["UNSUPPORTED"]
    assert raw("DELETE", f"/v2/{repository}/manifests/{digest}").status_code == 202
    assert raw("DELETE", f"/v2/{repository}/manifests/{digest}").status_code == 404


def test_dockers_lists_come_in_pages(raw: Raw) -> None:
    repository = fresh()
    for tag in ("b", "c", "a"):
        push_raw(raw, repository, tag)
    page = raw("GET", f"/v2/{repository}/tags/list", params={"n": 2})
    assert page.json() == {"name": repository, "tags": ["a", "b"]}
    target = page.headers["Link"].removeprefix("<").split(">")[0]
    rest = raw("GET", target)
    assert (rest.json()["tags"], rest.headers.get("Link")) == (["c"], None)
    assert repository in raw("GET", "/v2/_catalog", params={"n": 1000}).json()["repositories"]
    for number in ("0", "-1", "x"):
        answer = raw("GET", "/v2/_catalog", params={"n": number})
        assert codes(answer) == ["PAGINATION_NUMBER_INVALID"]
    assert codes(raw("GET", f"/acr/v1/{repository}/_tags", params={"orderby": "size"})) == ["BAD_REQUEST"]


def test_tags_of_one_manifest_are_listed_alone(raw: Raw) -> None:
    repository = fresh()
    digest, manifest = push_raw(raw, repository, "a")
    push_raw(raw, repository, "b")
    raw.put_manifest(repository, "c", manifest)
    path = f"/acr/v1/{repository}/_tags"
    first = raw("GET", path, params={"digest": digest, "n": 1})
    assert [tag["name"] for tag in first.json()["tags"]] == ["a"]
    rest = raw("GET", first.headers["Link"].removeprefix("<").split(">")[0])
    assert [tag["name"] for tag in rest.json()["tags"]] == ["c"]


def test_properties_are_written_as_the_service_does(raw: Raw) -> None:
    repository = fresh()
    digest, _ = push_raw(raw, repository)
    headers = {"Host": "zoobatch.azurecr.io"}
    found = raw("GET", f"/acr/v1/{repository}/_tags/v1", headers=headers).json()
    assert (found["registry"], found["imageName"]) == ("zoobatch.azurecr.io", repository)
    tag = found["tag"]
    assert (tag["name"], tag["digest"], tag["signed"]) == ("v1", digest, False)
    assert len(tag["lastUpdateTime"]) == len("2026-01-01T00:00:00.0000000Z")
    assert tag["changeableAttributes"] == dict.fromkeys(
        ("deleteEnabled", "writeEnabled", "readEnabled", "listEnabled"), True
    )


def test_bad_attributes_are_refused(raw: Raw) -> None:
    repository = fresh()
    push_raw(raw, repository)
    for body in ("", "[]", "{", '{"writeEnabled": 0}'):
        answer = raw("PATCH", f"/acr/v1/{repository}", data=body)
        assert (answer.status_code, codes(answer)) == (400, ["BAD_REQUEST"])
    answer = raw("PATCH", f"/acr/v1/{repository}", data='{"teleportEnabled": true, "listEnabled": null}')
    assert answer.json()["changeableAttributes"]["listEnabled"] is True


def test_unknown_addresses_and_methods(raw: Raw) -> None:
    for path in ("/", "//v2/", "/v1/x", "/v2/%0A", "/%00", "/%ff", "/v2%00"):
        answer = raw("GET", path)
        assert (answer.status_code, codes(answer)) == (404, ["NOT_FOUND"])
    for method, path in (
        ("POST", "/v2/_catalog"),
        ("PUT", f"/acr/v1/{fresh()}"),
        ("GET", "/v2/a/blobs/uploads/"),
    ):
        answer = raw(method, path)
        assert (answer.status_code, codes(answer)) == (405, ["UNSUPPORTED"])
