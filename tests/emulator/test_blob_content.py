"""Writing and reading the content of blobs, through Microsoft's own client."""

import base64
import hashlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient, ContentSettings

from tests.emulator.blob import BLOCK, service

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def client(emulator: dict[str, Any]) -> Iterator[BlobServiceClient]:
    with service(emulator) as found:
        yield found


@pytest.fixture
def container(client: BlobServiceClient) -> ContainerClient:
    return client.create_container(f"content-{next(NUMBERS)}")


def test_an_empty_blob(container: ContainerClient) -> None:
    blob = container.upload_blob("empty", b"")
    assert blob.download_blob().readall() == b""
    assert blob.get_blob_properties().size == 0


def test_a_large_upload_goes_in_blocks(container: ContainerClient) -> None:
    content = bytes(range(256)) * 4096 + b"rest"
    blob = container.get_blob_client("large/file.bin")
    blob.upload_blob(
        content,
        max_concurrency=4,
        metadata={"kind": "large"},
        content_settings=ContentSettings(content_type="application/x-test"),
    )
    properties = blob.get_blob_properties()
    assert properties.size == len(content)
    assert properties.metadata == {"kind": "large"}
    assert properties.content_settings.content_type == "application/x-test"
    assert blob.download_blob(max_concurrency=4).readall() == content
    committed, uncommitted = blob.get_block_list("all")
    assert sum(block.size for block in committed) == len(content)
    assert len(committed) == len(content) // BLOCK + 1
    assert uncommitted == []


def test_block_lists_mix_new_and_committed_blocks(container: ContainerClient) -> None:
    blob = container.get_blob_client("mixed")
    for key, data in (("a", b"AA"), ("b", b"BBB"), ("c", b"C")):
        blob.stage_block(key, data)
    with pytest.raises(ResourceNotFoundError):
        blob.get_blob_properties()
    assert [block.id for block in blob.get_block_list("uncommitted")[1]] == ["a", "b", "c"]
    blob.commit_block_list([BlobBlock("b"), BlobBlock("a")])
    assert blob.download_blob().readall() == b"BBBAA"
    blob.stage_block("d", b"dddd")
    blob.commit_block_list([BlobBlock("a"), BlobBlock("d"), BlobBlock("b"), BlobBlock("a")])
    assert blob.download_blob().readall() == b"AAddddBBBAA"
    with pytest.raises(HttpResponseError) as unknown:
        blob.commit_block_list([BlobBlock("c")])  # was dropped by the first commit
    assert unknown.value.error_code == "InvalidBlockList"
    blob.stage_block("e", b"1")
    with pytest.raises(HttpResponseError) as longer:
        blob.stage_block("longer", b"1")
    assert longer.value.error_code == "InvalidBlobOrBlock"
    blob.upload_blob(b"whole", overwrite=True)
    assert blob.get_block_list("all") == ([], [])


def test_ranges(container: ContainerClient) -> None:
    blob = container.upload_blob("ranges", b"0123456789")
    assert blob.download_blob(2, 3).readall() == b"234"
    assert blob.download_blob(8, 100).readall() == b"89"
    assert blob.download_blob(4).readall() == b"456789"
    assert blob.download_blob(0, 4, validate_content=True).readall() == b"0123"
    with pytest.raises(HttpResponseError) as caught:
        blob.download_blob(10, 1)
    assert caught.value.status_code == 416
    assert caught.value.error_code == "InvalidRange"


def test_conditions_on_writes(container: ContainerClient) -> None:
    blob = container.upload_blob("conditions", b"1")
    first = blob.get_blob_properties().etag
    with pytest.raises(ResourceExistsError) as exists:
        blob.upload_blob(b"2")
    assert exists.value.error_code == "BlobAlreadyExists"
    blob.upload_blob(b"2", overwrite=True, etag=first, match_condition=MatchConditions.IfNotModified)
    with pytest.raises(ResourceModifiedError) as stale:
        blob.upload_blob(b"3", overwrite=True, etag=first, match_condition=MatchConditions.IfNotModified)
    assert (stale.value.status_code, stale.value.error_code) == (412, "ConditionNotMet")
    with pytest.raises(ResourceModifiedError):
        blob.delete_blob(etag=first, match_condition=MatchConditions.IfNotModified)
    with pytest.raises(ResourceModifiedError):
        blob.upload_blob(b"3", overwrite=True, if_unmodified_since=datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(ResourceModifiedError):
        container.get_blob_client("absent").upload_blob(
            b"", etag=first, match_condition=MatchConditions.IfNotModified, overwrite=True
        )
    assert blob.download_blob().readall() == b"2"
    with pytest.raises(ResourceExistsError):
        blob.upload_blob(b"x" * (BLOCK + 1))


def test_conditions_on_reads(container: ContainerClient) -> None:
    blob = container.upload_blob("read", b"1")
    properties = blob.get_blob_properties()
    with pytest.raises(HttpResponseError) as same:
        blob.download_blob(etag=properties.etag, match_condition=MatchConditions.IfModified)
    assert same.value.status_code == 304
    with pytest.raises(HttpResponseError) as unchanged:
        blob.get_blob_properties(if_modified_since=properties.last_modified)
    assert unchanged.value.status_code == 304
    with pytest.raises(ResourceModifiedError):
        blob.get_blob_properties(etag='"0x1"', match_condition=MatchConditions.IfNotModified)
    blob.get_blob_properties(if_modified_since=properties.last_modified - timedelta(minutes=1))


@pytest.mark.parametrize("text", ["rubbish", "0", "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"])
def test_conditions_that_are_no_dates(container: ContainerClient, text: str) -> None:
    blob = container.upload_blob("odd-dates", b"1")
    target = container.get_blob_client("copied")
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        for call in (blob.get_blob_properties, blob.delete_blob):
            with pytest.raises(HttpResponseError) as caught:
                call(headers={name: text})
            assert caught.value.status_code == 400
        with pytest.raises(HttpResponseError) as copied:
            target.start_copy_from_url(blob.url, headers={f"x-ms-source-{name.lower()}": text})
        assert (copied.value.status_code, copied.value.error_code) == (400, "InvalidHeaderValue")


def test_missing_blobs(container: ContainerClient) -> None:
    blob = container.get_blob_client("missing/blob")
    assert not blob.exists()
    for call in (blob.get_blob_properties, blob.download_blob, blob.delete_blob):
        with pytest.raises(ResourceNotFoundError) as caught:
            call()
        assert caught.value.error_code == "BlobNotFound"


def test_checksums_are_checked(container: ContainerClient) -> None:
    blob = container.get_blob_client("sums")
    blob.upload_blob(b"right", validate_content=True)
    wrong = base64.b64encode(hashlib.md5(b"wrong").digest()).decode()
    with pytest.raises(HttpResponseError) as caught:
        blob.upload_blob(b"right", overwrite=True, headers={"Content-MD5": wrong})
    assert (caught.value.status_code, caught.value.error_code) == (400, "Md5Mismatch")
    crc = base64.b64encode(bytes.fromhex("ae8b14860a799888")[::-1]).decode()
    blob.upload_blob(b"123456789", overwrite=True, headers={"x-ms-content-crc64": crc})
    with pytest.raises(HttpResponseError) as other:
        blob.stage_block("a", b"12345678", headers={"x-ms-content-crc64": crc})
    assert other.value.error_code == "Crc64Mismatch"
    assert blob.download_blob().readall() == b"123456789"


def test_copies_within_the_account(client: BlobServiceClient, container: ContainerClient) -> None:
    source = container.upload_blob(
        "from/source",
        b"content",
        metadata={"a": "1"},
        content_settings=ContentSettings(content_type="text/plain"),
    )
    target = container.get_blob_client("to/target")
    told = target.start_copy_from_url(source.url)
    assert told["copy_status"] == "success"
    properties = target.get_blob_properties()
    assert properties.copy.status == "success"
    assert (properties.metadata, properties.content_settings.content_type) == ({"a": "1"}, "text/plain")
    target.start_copy_from_url(source.url, metadata={"b": "2"}, requires_sync=True)
    assert target.get_blob_properties().metadata == {"b": "2"}
    assert target.download_blob().readall() == b"content"
    with pytest.raises(ResourceNotFoundError):
        target.start_copy_from_url(container.get_blob_client("none").url)
    with pytest.raises(ResourceNotFoundError) as foreign:
        target.start_copy_from_url("https://example.com/other/blob")
    assert foreign.value.error_code == "CannotVerifyCopySource"
