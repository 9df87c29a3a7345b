"""Uploads of blobs, request by request: in pieces, repeated, cancelled, mounted, and after a crash."""

from pathlib import Path
from typing import Any

import pytest

from tests.emulator.registry import Raw, codes, digest_of, fresh, push_raw
from tests.emulator_fixture import RunningEmulator

UNKNOWN = digest_of(b"never uploaded")


@pytest.fixture(scope="module")
def raw(emulator: dict[str, Any]) -> Raw:
    return Raw(emulator)


def test_upload_in_pieces_of_unknown_length(raw: Raw) -> None:
    repository, pieces = fresh(), [b"a" * 70_000, b"b" * 1_500_000, b"c"]
    begun = raw("POST", f"/v2/{repository}/blobs/uploads/")
    assert (begun.status_code, begun.headers["Range"]) == (202, "0-0")
    location = begun.headers["Location"]
    sent = raw("PATCH", location, data=iter(pieces))
    total = sum(map(len, pieces))
    assert (sent.status_code, sent.headers["Range"]) == (202, f"0-{total - 1}")
    assert sent.headers["Docker-Upload-UUID"] == begun.headers["Docker-Upload-UUID"]
    asked = raw("GET", sent.headers["Location"])
    assert (asked.status_code, asked.headers["Range"]) == (204, f"0-{total - 1}")
    content = b"".join([*pieces, b"end"])
    done = raw("PUT", sent.headers["Location"], params={"digest": digest_of(content)}, data=b"end")
    assert (done.status_code, done.headers["Docker-Content-Digest"]) == (201, digest_of(content))
    assert raw("GET", done.headers["Location"]).content == content
    assert raw("GET", sent.headers["Location"]).status_code == 404


def test_request_sent_twice_does_not_append_twice(raw: Raw) -> None:
    location = raw("POST", f"/v2/{fresh()}/blobs/uploads/").headers["Location"]
    first = raw("PATCH", location, data=b"once")
    again = raw("PATCH", location, data=b"once")
    assert (again.status_code, codes(again)) == (404, ["BLOB_UPLOAD_INVALID"])
    gap = raw("PATCH", first.headers["Location"], data=b"x", headers={"Content-Range": "9-9"})
    assert (gap.status_code, gap.headers["Range"]) == (416, "0-3")
    done = raw("PUT", gap.headers["Location"], params={"digest": digest_of(b"once")})
    assert done.status_code == 201


@pytest.mark.parametrize("said", ["9" * 5000 + "-1", "99999999999999999999-1", "rubbish", "²-3"])
def test_odd_range_of_an_upload(raw: Raw, said: str) -> None:
    begun = raw("POST", f"/v2/{fresh()}/blobs/uploads/")
    answer = raw("PATCH", begun.headers["Location"], data=b"abc", headers={"Content-Range": said})
    assert answer.status_code in (202, 416)


def test_wrong_digest_cancels_the_upload(raw: Raw) -> None:
    repository = fresh()
    location = raw("POST", f"/v2/{repository}/blobs/uploads/").headers["Location"]
    malformed = raw("PUT", location, params={"digest": "sha256:../../etc"}, data=b"x")
    assert (malformed.status_code, codes(malformed)) == (400, ["DIGEST_INVALID"])
    wrong = raw("PUT", location, params={"digest": UNKNOWN}, data=b"x")
    assert (wrong.status_code, codes(wrong)) == (400, ["DIGEST_INVALID"])
    assert codes(raw("PATCH", location, data=b"x")) == ["BLOB_UPLOAD_UNKNOWN"]
    assert raw("HEAD", f"/v2/{repository}/blobs/{UNKNOWN}").status_code == 404


def test_cancelled_upload_is_unknown(raw: Raw) -> None:
    location = raw("POST", f"/v2/{fresh()}/blobs/uploads/").headers["Location"]
    assert raw("DELETE", location).status_code == 204
    assert codes(raw("PUT", location, params={"digest": UNKNOWN})) == ["BLOB_UPLOAD_UNKNOWN"]


def test_upload_belongs_to_its_repository(raw: Raw) -> None:
    mine, other = fresh(), fresh()
    location = raw("POST", f"/v2/{mine}/blobs/uploads/").headers["Location"]
    assert codes(raw("PATCH", location.replace(mine, other), data=b"x")) == ["BLOB_UPLOAD_UNKNOWN"]


def test_blob_is_mounted_from_another_repository(raw: Raw) -> None:
    source, target = fresh(), fresh()
    digest = raw.put_blob(source, b"shared")
    query = {"mount": digest, "from": source}
    path = f"/v2/{target}/blobs/uploads/"
    assert raw("GET", f"/v2/{target}/blobs/{digest}").status_code == 404
    blind = raw.token(f"repository:{target}:pull,push")
    assert raw("POST", path, params=query, token=blind).status_code == 202
    token = raw.token(f"repository:{target}:pull,push", f"repository:{source}:pull")
    assert raw("POST", path, params=query, token=token).status_code == 201
    assert raw("GET", f"/v2/{target}/blobs/{digest}").content == b"shared"
    assert raw("POST", path, params={"mount": UNKNOWN, "from": source}).status_code == 202


@pytest.mark.xdist_group("registry_crash")
def test_killed_registry_has_everything_that_it_acknowledged(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "data", "--container-runtime=process")
    try:
        raw = Raw(running.start())
        digest, _ = push_raw(raw, "team/app")
        begun = raw("POST", "/v2/team/app/blobs/uploads/")
        half = raw("PATCH", begun.headers["Location"], data=b"x" * 100_000)
        folder = tmp_path / "data" / "registry"
        running.kill()
        (upload,) = (folder / "uploads").iterdir()
        with upload.open("ab") as file:
            file.write(b"of a request that was cut off")
        stray = folder / "blobs" / "sha256" / ("0" * 64)
        stray.write_bytes(b"of an upload that was not finished")
        raw = Raw(running.start())
        assert not stray.exists()
        assert raw("HEAD", "/v2/team/app/manifests/v1").headers["Docker-Content-Digest"] == digest
        content = b"x" * 100_000 + b"y"
        query = {"digest": digest_of(content)}
        done = raw("PUT", half.headers["Location"], params=query, data=b"y")
        assert raw("GET", done.headers["Location"]).content == content
        assert list((folder / "uploads").iterdir()) == []
    finally:
        running.stop()
