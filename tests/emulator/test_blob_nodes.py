"""What the nodes of pools do with the storage account, without HTTP between."""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from azure.storage.blob import generate_blob_sas, generate_container_sas

from emulator.blob import sas
from emulator.blob.access import CREATE, Need
from emulator.blob.errors import BlobError
from emulator.blob.names import Place
from emulator.blob.state import BlobState
from emulator.clock import Clock
from emulator.identity.state import IdentityState
from emulator.store import Store
from tests.emulator.blob import soon

OTHER = (64321, 64321)
Sign = Callable[..., str]


def make(data_dir: Path) -> BlobState:
    store, clock = Store(data_dir / "state.sqlite3"), Clock()
    state = BlobState(data_dir, store, clock, identity=IdentityState(data_dir, store, clock))
    state.base_url = "https://127.0.0.1:10446"
    return state


@pytest.fixture
def state(tmp_path: Path) -> BlobState:
    found = make(tmp_path / "data")
    found.storage.create_container("results", {})
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "stdout.txt"
    path.write_bytes(b"output\n")
    return path


def signed(state: BlobState, letters: str, *, host: bool = False, **more: Any) -> str:
    options = {"account_key": state.key, "permission": letters, "expiry": soon(), **more}
    base = f"https://{state.account}.blob.core.windows.net" if host else state.url
    return f"{base}/results?{generate_container_sas(state.account, 'results', **options)}"


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize("letters", ["w", "c", "rwl"])
def test_outputs_are_uploaded_with_a_signature(
    state: BlobState, source: Path, letters: str, *, host: bool
) -> None:
    state.upload(signed(state, letters, host=host), "jobs/a b/50%.txt", source, content_type="text/plain")
    assert (state.folder("results") / "jobs/a b/50%.txt").read_bytes() == b"output\n"
    blob = state.storage.find("results", "jobs/a b/50%.txt")
    assert blob is not None
    assert blob.facts.content["Content-Type"] == "text/plain"


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        (lambda url: url.partition("?")[0], "NoAuthenticationInformation", 401),
        (lambda url: url.replace("sp=w", "sp=rw"), "AuthenticationFailed", 403),
        (lambda url: url.replace("/results?", "/other?"), "AuthenticationFailed", 403),
        (lambda url: url.replace("zoobatchdemo/", "somebody/"), "InvalidUri", 400),
        (lambda url: url.replace("/results?", "/results/deeper?"), "InvalidUri", 400),
        (lambda url: "ftp" + url, "InvalidUri", 400),
    ],
)
def test_uploads_are_refused_as_by_the_service(
    state: BlobState, source: Path, change: Callable[[str], str], code: str, status: int
) -> None:
    with pytest.raises(BlobError) as caught:
        state.upload(change(signed(state, "w")), "x", source)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert caught.value.message
    assert list(state.folder("results").iterdir()) == []


def test_uploads_need_the_letter_the_time_and_the_container(state: BlobState, source: Path) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    cases = [
        (signed(state, "r"), "x", "AuthorizationPermissionMismatch"),
        (signed(state, "w", expiry=past), "x", "AuthenticationFailed"),
        (signed(state, "w"), "../x", "InvalidResourceName"),
    ]
    for url, name, code in cases:
        with pytest.raises(BlobError) as caught:
            state.upload(url, name, source)
        assert caught.value.code == code
    state.upload(signed(state, "c"), "once", source)
    with pytest.raises(BlobError) as again:
        state.upload(signed(state, "c"), "once", source)
    assert again.value.code == "UnauthorizedBlobOverwrite"
    state.storage.delete_container("results", lambda container: None)
    with pytest.raises(BlobError) as missing:
        state.upload(signed(state, "w"), "x", source)
    assert (missing.value.code, missing.value.status) == ("ContainerNotFound", 404)


def test_resource_files_are_downloaded_with_a_signature(
    state: BlobState, source: Path, tmp_path: Path
) -> None:
    name, target = "in/a b.txt", tmp_path / "target"
    state.upload(signed(state, "w"), name, source)
    token = generate_blob_sas(
        state.account, "results", name, account_key=state.key, permission="r", expiry=soon()
    )
    state.download(f"{state.url}/results/{quote(name)}?{token}", target)
    assert target.read_bytes() == b"output\n"
    container_token = signed(state, "r").partition("?")[2]
    state.download(
        f"https://{state.account}.blob.core.windows.net/results/{quote(name)}?{container_token}", target
    )
    for path, code in (
        (f"results/{quote(name)}", "NoAuthenticationInformation"),
        (f"results/other?{token}", "AuthenticationFailed"),
        (f"results/other?{container_token}", "BlobNotFound"),
        (f"results?{container_token}", "InvalidUri"),
    ):
        with pytest.raises(BlobError) as caught:
            state.download(f"{state.url}/{path}", target)
        assert caught.value.code == code


def test_a_reader_keeps_the_content_that_it_opened(state: BlobState, source: Path) -> None:
    state.upload(signed(state, "w"), "steady", source)
    file, blob = state.storage.open("results", "steady")
    with os.fdopen(file, "rb") as opened:
        source.write_bytes(b"something else")
        state.upload(signed(state, "w"), "steady", source)
        assert opened.read() == b"output\n"
    now = state.storage.find("results", "steady")
    assert now is not None
    assert (now.size, now.etag != blob.etag) == (14, True)


def test_mounts_are_checked(state: BlobState) -> None:
    assert state.accepts_key(state.account, state.key)
    assert not state.accepts_key("other", state.key)
    assert not state.accepts_key(state.account, state.key[:-4])
    assert not state.accepts_key(state.account, "ü")
    assert state.accepts_sas("results", signed(state, "rl").partition("?")[2])
    assert state.accepts_sas("results", "?" + signed(state, "rwl").partition("?")[2])
    assert not state.accepts_sas("results", signed(state, "r").partition("?")[2])
    assert not state.accepts_sas("other", signed(state, "rl").partition("?")[2])
    assert not state.accepts_sas("results", "nonsense")
    with pytest.raises(BlobError) as caught:
        state.folder("missing")
    assert caught.value.code == "ContainerNotFound"
    with pytest.raises(BlobError):
        state.folder("../blob")
    assert state.owns(f"{state.url}/results")
    assert not state.owns("https://example.com/x")


def test_the_key_outlives_a_restart(tmp_path: Path) -> None:
    first, second = make(tmp_path / "data"), make(tmp_path / "data")
    assert first.key == second.key
    assert len(first.key) == 88
    assert first.keys == second.keys


def test_signatures_of_older_layouts_are_read(state: BlobState) -> None:
    place, need = Place(state.account, "results", "x"), Need("blob", CREATE)
    head = ["w", "", "2099-01-01", "/blob/zoobatchdemo/results"]
    for version, tail in (
        ("2019-12-12", ["", "", "", "2019-12-12", "c", "", "", "", "", "", ""]),
        ("2021-08-06", ["", "", "", "2021-08-06", "c", "", "", "", "", "", "", ""]),
    ):
        query = {"sp": "w", "se": "2099-01-01", "sr": "c", "sv": version}
        query["sig"] = sas.sign(state.key, "\n".join([*head, *tail]))
        assert state.check_signature(place, query, need).letters == {"w"}
    key = state.keys.delegated("oid", state.identity.tenant, "2020-01-01", "2099-01-01", "2020-02-10")
    named = ["oid", state.identity.tenant, "2020-01-01", "2099-01-01", "b", "2020-02-10"]
    names = ("skoid", "sktid", "skt", "ske", "sks", "skv")
    for version, middle in (("2019-12-12", 0), ("2020-02-10", 3), ("2025-07-05", 5), ("2026-10-06", 5)):
        scope = [""] if version >= "2020-12-06" else []
        bound = ["", ""] if version >= "2026-10-06" else []
        lines = [*head, *named, *[""] * middle, "", "", version, "c", "", *scope, *bound, *[""] * 5]
        query = {
            "sp": "w",
            "se": "2099-01-01",
            "sr": "c",
            "sv": version,
            **dict(zip(names, named, strict=True)),
        }
        query["sig"] = sas.sign(key, "\n".join(lines))
        assert state.check_signature(place, query, need).letters == {"w"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_tasks_of_another_user_can_write(state: BlobState, source: Path) -> None:
    state.upload(signed(state, "w"), "old/before.txt", source)
    os.mkfifo(state.folder("results") / "pipe")
    (state.folder("results") / "link").symlink_to(source)
    state.set_owner(OTHER)
    state.upload(signed(state, "w"), "new/after.txt", source)
    state.storage.create_container("later", {})
    root = state.folder("results")
    for path in (root, root / "old", root / "new", state.folder("later")):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == OTHER
        assert stat.S_IMODE(status.st_mode) & 0o2770 == 0o2770
    for path in (root / "old/before.txt", root / "new/after.txt"):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == OTHER
        assert stat.S_IMODE(status.st_mode) & 0o660 == 0o660
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o2770
    assert stat.S_IMODE((root / "new/after.txt").stat().st_mode) == 0o660
    assert source.stat().st_uid == 0
    assert stat.S_IMODE((root.parent / "../.staging").stat().st_mode) == 0o700
