"""Containers as folders: what tasks write there, what the emulator writes there, and what must not lead out."""

import contextlib
import http.client
import itertools
import os
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings, generate_container_sas

from tests.emulator.blob import VERSION, container_with, folder, service, soon
from tests.emulator_fixture import RunningEmulator

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def client(emulator: dict[str, Any]) -> Iterator[BlobServiceClient]:
    with service(emulator) as found:
        yield found


@pytest.fixture
def container(client: BlobServiceClient) -> ContainerClient:
    return client.create_container(f"folder-{next(NUMBERS)}")


@pytest.fixture
def root(emulator: dict[str, Any], container: ContainerClient) -> Path:
    return folder(emulator, container.container_name)


def names(container: ContainerClient) -> list[str]:
    return [blob.name for blob in container.list_blobs()]


def test_files_of_tasks_are_blobs(container: ContainerClient, root: Path) -> None:
    (root / "results/deep").mkdir(parents=True)
    (root / "results/empty").mkdir()
    (root / "results/deep/ü.csv").write_bytes(b"1,2,3")
    assert names(container) == ["results/deep/ü.csv"]
    assert [item.name for item in container.walk_blobs("results/")] == ["results/deep/"]
    blob = container.get_blob_client("results/deep/ü.csv")
    properties = blob.get_blob_properties()
    assert properties.size == 5
    assert properties.content_settings.content_type == "application/octet-stream"
    assert int(properties.last_modified.timestamp()) == int((root / "results/deep/ü.csv").stat().st_mtime)
    listed = next(iter(container.list_blobs()))
    assert (listed.etag, listed.last_modified) == (properties.etag.strip('"'), properties.last_modified)
    assert blob.download_blob().readall() == b"1,2,3"
    blob.delete_blob()
    assert names(container) == []
    assert (root / "results/deep").is_dir()


def test_uploads_are_files(container: ContainerClient, root: Path) -> None:
    container.upload_blob("in/put.bin", b"x" * 200_000)
    assert (root / "in/put.bin").read_bytes() == b"x" * 200_000
    assert [path.name for path in root.iterdir()] == ["in"]


def test_a_rewritten_file_loses_what_was_known_of_the_old_one(container: ContainerClient, root: Path) -> None:
    settings = ContentSettings(content_type="text/plain")
    blob = container.upload_blob("log.txt", b"one", metadata={"a": "1"}, content_settings=settings)
    first = blob.get_blob_properties()
    with (root / "log.txt").open("ab") as file:
        file.write(b" and two")
    second = blob.get_blob_properties()
    assert (second.size, second.metadata, second.content_settings.content_md5) == (11, {}, None)
    assert second.content_settings.content_type == "application/octet-stream"
    assert second.etag != first.etag
    assert next(iter(container.list_blobs(include=["metadata"]))).metadata in (None, {})


def test_links_pipes_and_devices_are_no_blobs(container: ContainerClient, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to(secret)
    (root / "folder").symlink_to(tmp_path, target_is_directory=True)
    (root / "inside").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "pipe")
    container.upload_blob("real", b"1")
    assert names(container) == ["real"]
    for name in ("link", "pipe", "folder/secret", "inside/real"):
        with pytest.raises(ResourceNotFoundError):
            container.download_blob(name)
        with pytest.raises(ResourceNotFoundError):
            container.delete_blob(name)
    for name in ("folder/new", "folder/outside/new", "link/new", "inside/new"):
        with pytest.raises(ResourceExistsError) as caught:
            container.upload_blob(name, b"")
        assert caught.value.error_code == "ResourceTypeMismatch"
    container.upload_blob("link", b"mine")
    assert secret.read_text() == "secret"
    assert container.download_blob("link").readall() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "secret"]


@pytest.mark.parametrize(
    "path", ["..%2fescaped", "%2e%2e/escaped", "a/%2E%2E/%2e%2e/escaped", "a//b", "%00", "%ff"]
)
def test_paths_do_not_lead_out(
    emulator: dict[str, Any], container: ContainerClient, root: Path, path: str
) -> None:
    blob = emulator["blob"]
    signature = generate_container_sas(
        blob["account"], container.container_name, account_key=blob["key"], permission="rcwd", expiry=soon()
    )
    target = f"/{blob['account']}/{container.container_name}/{path}?{signature}"
    with contextlib.closing(_connect(emulator)) as connection:
        for method in ("PUT", "GET", "DELETE"):
            headers = {"x-ms-version": VERSION, "x-ms-blob-type": "BlockBlob", "Content-Length": "0"}
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 400
            assert answer.headers["x-ms-error-code"] in ("InvalidResourceName", "InvalidUri")
    assert list(root.iterdir()) == []
    assert not (root.parent / "escaped").exists()


def _connect(emulator: dict[str, Any]) -> http.client.HTTPSConnection:
    address = urlsplit(emulator["blob"]["url"])
    context = ssl.create_default_context(cafile=emulator["ca"])
    return http.client.HTTPSConnection(str(address.hostname), address.port, context=context, timeout=30)


def test_strange_files_do_not_break_a_listing(container: ContainerClient, root: Path) -> None:
    (root / os.fsdecode(b"not-\xff-text")).write_bytes(b"")
    (root / "control\x01").write_bytes(b"1")
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    (closed / "x").write_bytes(b"")
    assert names(container) == ["closed/x", "control\x01"]
    assert container.download_blob("control\x01").readall() == b"1"


def test_only_one_of_many_writers_makes_a_blob(emulator: dict[str, Any], container: ContainerClient) -> None:
    barrier = threading.Barrier(8)

    def write(number: int) -> bool:
        barrier.wait()
        try:
            container.get_blob_client("raced/blob").upload_blob(b"%d" % number)
        except ResourceExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as executor:
        won = [number for number, done in enumerate(executor.map(write, range(8))) if done]
    assert len(won) == 1
    assert container.download_blob("raced/blob").readall() == b"%d" % won[0]


def test_many_files_are_listed_in_order(container: ContainerClient, root: Path) -> None:
    expected = []
    for number in range(120):
        (root / f"run-{number:03}").mkdir()
        for index in range(100):
            (root / f"run-{number:03}/{index:03}.json").write_bytes(b"{}")
            expected.append(f"run-{number:03}/{index:03}.json")
    assert names(container) == expected
    assert len(list(container.walk_blobs(results_per_page=50))) == 120


def test_content_and_blocks_survive_a_kill(tmp_path: Path) -> None:
    running = RunningEmulator(tmp_path / "data", "--container-runtime=process")
    try:
        endpoints = running.start()
        container = service(endpoints).create_container("crash", metadata={"a": "1"})
        container.upload_blob("whole", b"content", metadata={"b": "2"})
        blob = container.get_blob_client("blocks")
        blob.stage_block("one", b"1" * 1000)
        with contextlib.closing(_half_an_upload(endpoints, tmp_path / "data/blob/.staging/incoming")):
            running.kill()
        again = running.start()
        assert (again["blob"], again["ca"]) == (endpoints["blob"], endpoints["ca"])
        container = service(again).get_container_client("crash")
        assert names(container) == ["whole"]
        assert container.get_container_properties().metadata == {"a": "1"}
        assert container.get_blob_client("whole").get_blob_properties().metadata == {"b": "2"}
        assert list((tmp_path / "data/blob/.staging/incoming").iterdir()) == []
        blob = container.get_blob_client("blocks")
        blob.stage_block("two", b"2")
        blob.commit_block_list(["one", "two"])
        assert blob.download_blob().readall() == b"1" * 1000 + b"2"
    finally:
        running.stop()


def _half_an_upload(endpoints: dict[str, Any], incoming: Path) -> http.client.HTTPSConnection:
    """Begin an upload and wait until the emulator has written a part of it."""
    blob = endpoints["blob"]
    signature = generate_container_sas(
        blob["account"], "crash", account_key=blob["key"], permission="w", expiry=soon()
    )
    connection = _connect(endpoints)
    connection.putrequest("PUT", f"/{blob['account']}/crash/half?{signature}")
    for name, value in (
        ("x-ms-version", VERSION),
        ("x-ms-blob-type", "BlockBlob"),
        ("Content-Length", "9000000"),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"x" * 4_500_000)
    for _ in range(1000):
        if any(path.stat().st_size > 1_000_000 for path in incoming.iterdir()):
            return connection
        threading.Event().wait(0.01)
    raise AssertionError("Nothing of the upload arrived")


def test_an_upload_that_breaks_off_leaves_nothing(
    emulator: dict[str, Any], client: BlobServiceClient
) -> None:
    with contextlib.suppress(ResourceExistsError):
        client.create_container("crash")
    incoming = folder(emulator, "crash").parent.parent / ".staging/incoming"
    _half_an_upload(emulator, incoming).close()
    for _ in range(1000):
        if not list(incoming.iterdir()):
            break
        threading.Event().wait(0.01)
    assert list(incoming.iterdir()) == []
    assert names(client.get_container_client("crash")) == []


def test_a_refused_upload_leaves_the_connection_usable(
    emulator: dict[str, Any], container: ContainerClient
) -> None:
    blob = emulator["blob"]
    signature = generate_container_sas(
        blob["account"], container.container_name, account_key=blob["key"], permission="r", expiry=soon()
    )
    reader = container_with(emulator, container.container_name, signature)
    with pytest.raises(HttpResponseError) as caught:
        reader.upload_blob("refused", b"x" * 3_000_000)
    assert caught.value.status_code == 403
    assert names(container) == []
    assert not reader.get_blob_client("refused").exists()
