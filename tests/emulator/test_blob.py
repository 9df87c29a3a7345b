"""Containers and blobs, through Microsoft's own client."""

import hashlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobServiceClient, BlobType, ContainerClient, ContentSettings

from tests.emulator.blob import service, soon

NUMBERS = itertools.count()
NAMES = (
    "plain.txt",
    "deep/er/still.txt",
    "with space/and  two.txt",
    "50% off/%41%2F.txt",
    "größe/模型/🦓.bin",
    "a+b=c&d?e#f;g.txt",
    "quote'\"<tag>&amp;.txt",
    "back\\slash",
    "..dots/...more",
    "line\nbreak\ttab",
)


@pytest.fixture(scope="module")
def client(emulator: dict[str, Any]) -> Iterator[BlobServiceClient]:
    with service(emulator) as found:
        yield found


@pytest.fixture
def container(client: BlobServiceClient) -> ContainerClient:
    return client.create_container(f"operations-{next(NUMBERS)}")


def test_containers_come_and_go(client: BlobServiceClient) -> None:
    container = client.create_container("come-and-go", metadata={"owner": "zoo"})
    properties = container.get_container_properties()
    assert properties.metadata == {"owner": "zoo"}
    assert properties.etag
    with pytest.raises(ResourceExistsError) as caught:
        client.create_container("come-and-go")
    assert caught.value.error_code == "ContainerAlreadyExists"
    container.set_container_metadata({"owner": "other"})
    changed = container.get_container_properties()
    assert changed.metadata == {"owner": "other"}
    assert changed.etag != properties.etag
    container.upload_blob("left/behind", b"1")
    container.delete_container()
    assert not container.exists()
    with pytest.raises(ResourceNotFoundError) as missing:
        container.upload_blob("left/behind", b"1")
    assert missing.value.error_code == "ContainerNotFound"
    client.create_container("come-and-go")
    assert list(container.list_blobs()) == []


def test_containers_are_listed_in_pages(client: BlobServiceClient) -> None:
    names = [f"listed-{number:02}" for number in range(7)]
    for name in reversed(names):
        client.create_container(name, metadata={"number": name[-2:]})
    pages = list(client.list_containers("listed-", include_metadata=True, results_per_page=3).by_page())
    found = [[item.name for item in page] for page in pages]
    assert found == [names[:3], names[3:6], names[6:]]
    assert next(iter(client.list_containers("listed-03", include_metadata=True))).metadata == {"number": "03"}


@pytest.mark.parametrize("name", ["ab", "Upper", "two--hyphens", "-begins", "under_score", "a" * 64, "$root"])
def test_invalid_container_names_are_refused(client: BlobServiceClient, name: str) -> None:
    with pytest.raises(HttpResponseError) as caught:
        client.create_container(name)
    assert caught.value.status_code == 400


def test_the_account_tells_about_itself(client: BlobServiceClient) -> None:
    assert client.get_account_information()["account_kind"] == "StorageV2"
    assert client.get_service_properties()["static_website"].enabled is False


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_the_round_trip(container: ContainerClient, name: str) -> None:
    content = name.encode()
    container.upload_blob(name, content)
    assert container.download_blob(name).readall() == content
    assert [blob.name for blob in container.list_blobs()] == [name]
    container.delete_blob(name)
    assert not container.get_blob_client(name).exists()


@pytest.mark.parametrize("name", ["a//b", "/a", "a/", "nul\0", "x" * 256, "y/" * 512 + "y"])
def test_names_that_no_folder_can_hold_are_refused(container: ContainerClient, name: str) -> None:
    with pytest.raises(HttpResponseError) as caught:
        container.upload_blob(name, b"")
    assert caught.value.status_code == 400
    assert list(container.list_blobs()) == []


def test_a_blob_and_a_folder_cannot_share_a_name(container: ContainerClient) -> None:
    container.upload_blob("a", b"1")
    with pytest.raises(ResourceExistsError) as below:
        container.upload_blob("a/b", b"2")
    assert below.value.error_code == "ResourceTypeMismatch"
    container.delete_blob("a")
    container.upload_blob("a/b/c", b"3")
    with pytest.raises(ResourceExistsError) as above:
        container.upload_blob("a", b"4", overwrite=True)
    assert above.value.error_code == "ResourceTypeMismatch"
    container.delete_blob("a/b/c")
    container.upload_blob("a", b"5")
    assert container.download_blob("a").readall() == b"5"


def test_properties_and_metadata_are_kept(container: ContainerClient) -> None:
    settings = ContentSettings(
        content_type="text/csv",
        content_language="de",
        content_disposition='attachment; filename="x.csv"',
        cache_control="no-cache",
    )
    before = datetime.now(UTC).replace(microsecond=0)
    blob = container.upload_blob(
        "kept.csv", b"1,2\n", content_settings=settings, metadata={"a_1": "x", "b": "y z"}
    )
    found = blob.get_blob_properties()
    assert found.content_settings.content_type == "text/csv"
    assert found.content_settings.content_language == "de"
    assert found.content_settings.content_disposition == 'attachment; filename="x.csv"'
    assert found.content_settings.cache_control == "no-cache"
    assert bytes(found.content_settings.content_md5) == hashlib.md5(b"1,2\n").digest()
    assert found.metadata == {"a_1": "x", "b": "y z"}
    assert found.size == 4
    assert found.blob_type == BlobType.BLOCKBLOB
    assert before <= found.last_modified <= datetime.now(UTC)
    listed = next(iter(container.list_blobs(include=["metadata"])))
    assert (listed.etag, listed.size, listed.metadata) == (found.etag.strip('"'), 4, found.metadata)
    assert listed.content_settings.content_type == "text/csv"


def test_metadata_and_properties_can_be_replaced(container: ContainerClient) -> None:
    blob = container.upload_blob("changed", b"1", metadata={"old": "1"})
    first = blob.get_blob_properties()
    told = blob.set_blob_metadata({"new": "2"})
    second = blob.get_blob_properties()
    assert (second.metadata, second.etag) == ({"new": "2"}, told["etag"])
    assert second.etag != first.etag
    blob.set_http_headers(ContentSettings(content_type="image/png"))
    third = blob.get_blob_properties()
    assert third.content_settings.content_type == "image/png"
    assert third.content_settings.content_md5 is None
    assert third.metadata == {"new": "2"}
    with pytest.raises(HttpResponseError) as caught:
        blob.set_blob_metadata({"not-an-identifier": "1"})
    assert caught.value.error_code == "InvalidMetadata"
    with pytest.raises(ResourceNotFoundError):
        container.get_blob_client("nowhere").set_blob_metadata({"a": "1"})


def test_listings_are_ordered_and_grouped(container: ContainerClient) -> None:
    names = ["a-b", "a.b", "a/1", "a/2/x", "a/2/y", "a0", "b/1", "z", "é"]
    for name in reversed(names):
        container.upload_blob(name, b"")
    assert [blob.name for blob in container.list_blobs()] == names
    assert [blob.name for blob in container.list_blobs("a/2/")] == ["a/2/x", "a/2/y"]
    assert [blob.name for blob in container.list_blobs("a/2")] == ["a/2/x", "a/2/y"]
    assert sorted(item.name for item in container.walk_blobs()) == ["a-b", "a.b", "a/", "a0", "b/", "z", "é"]
    assert sorted(item.name for item in container.walk_blobs("a/")) == ["a/1", "a/2/"]
    paged = container.walk_blobs(results_per_page=1).by_page()
    assert [[item.name for item in page] for page in paged] == [
        [name] for name in ("a-b", "a.b", "a/", "a0", "b/", "z", "é")
    ]
    assert sorted(item.name for item in container.walk_blobs("a", delimiter="2")) == [
        "a-b",
        "a.b",
        "a/1",
        "a/2",
        "a0",
    ]


def test_pages_hold_while_blobs_appear_and_vanish(container: ContainerClient) -> None:
    names = [f"page/{number:03}" for number in range(0, 100, 2)]
    for name in names:
        container.upload_blob(name, b"")
    pages = container.list_blobs(results_per_page=10).by_page()
    found = [blob.name for blob in next(pages)]
    container.upload_blob("page/001", b"")  # in front of the place reached so far
    container.upload_blob("page/051", b"")  # behind it
    container.delete_blob("page/018")
    container.delete_blob("page/060")
    found += [blob.name for page in pages for blob in page]
    assert found == sorted({*names, "page/051"} - {"page/060"})


def test_unknown_operations_are_refused_with_a_code(container: ContainerClient) -> None:
    blob = container.upload_blob("unknown", b"")
    for call in (blob.create_snapshot, blob.acquire_lease, lambda: blob.set_standard_blob_tier("Cool")):
        with pytest.raises(HttpResponseError) as caught:
            call()
        assert (caught.value.status_code, caught.value.error_code) == (501, "NotImplemented")
    with pytest.raises(HttpResponseError) as append:
        container.upload_blob("appended", b"x", blob_type=BlobType.APPENDBLOB)
    assert append.value.error_code == "NotImplemented"
    with pytest.raises(HttpResponseError) as leased:
        blob.delete_blob(lease="3f2c8a0e-0000-4000-8000-000000000000")
    assert (leased.value.status_code, leased.value.error_code) == (412, "LeaseNotPresentWithBlobOperation")
    with pytest.raises(ResourceNotFoundError):
        blob.download_blob(snapshot=soon().isoformat())
