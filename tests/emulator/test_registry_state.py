"""What nodes ask of the registry: which servers are meant, who may pull, and what an image is."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import Clock
from emulator.identity.jwt import BadToken
from emulator.identity.state import IdentityState
from emulator.registry.access import ANONYMOUS, CATALOG, on_repository
from emulator.registry.errors import RegistryError
from emulator.registry.manifests import OCI_INDEX, OCI_MANIFEST
from emulator.registry.state import TOKEN_USER, FoundImage, RegistryState
from emulator.store import Store
from tests.emulator.registry import digest_of, image_manifest


@pytest.fixture
def state(tmp_path: Path) -> RegistryState:
    return _state(tmp_path)


def _state(folder: Path) -> RegistryState:
    store, clock = Store(folder / "state.sqlite3"), Clock()
    state = RegistryState(folder, store, clock, identity=IdentityState(folder, store, clock))
    state.base_url = "https://127.0.0.1:10444"
    state.hosts = ["zoobatch.azurecr.io"]
    return state


def _blob(state: RegistryState, content: bytes, repository: str = "app") -> tuple[str, int]:
    upload = state.uploads.begin(repository)
    writer = state.uploads.writer(upload)
    writer.write(content)
    state.uploads.finish(writer.commit(), digest_of(content))
    writer.close()
    return digest_of(content), len(content)


def _push(state: RegistryState, reference: str, document: Any, media_type: str = OCI_MANIFEST) -> str:
    return state.images.push("app", reference, json.dumps(document).encode(), media_type)


def _image(state: RegistryState, tag: str, config: Any) -> str:
    return _push(state, tag, image_manifest(_blob(state, json.dumps(config).encode())))


@pytest.mark.parametrize(
    ("server", "is_own"),
    [
        ("zoobatch.azurecr.io", True),
        ("ZooBatch.azurecr.io:10444", True),
        ("https://zoobatch.azurecr.io/", True),
        ("zoobatch.azurecr.io:443", True),
        ("zoobatch.azurecr.io:5000", False),
        ("127.0.0.1:10444", True),
        ("localhost:10444", True),
        ("[::1]:10444", True),
        ("127.0.0.1", False),
        ("localhost:10443", False),
        ("other.azurecr.io", False),
        ("docker.io", False),
        ("", False),
    ],
)
def test_login_servers(state: RegistryState, server: str, is_own: bool) -> None:
    assert state.is_own(server) is is_own


def test_who_is_accepted(state: RegistryState) -> None:
    identity = state.identity
    refresh = state.tokens.refresh("somebody", "zoobatch.azurecr.io")
    assert state.accepts(state.username, state.password)
    assert state.accepts(identity.client_id, identity.client_secret)
    assert state.accepts(TOKEN_USER, refresh)
    assert not state.accepts(state.username, refresh)
    assert not state.accepts(TOKEN_USER, state.password)
    assert not state.accepts("", "")
    assert not state.accepts(state.username, "pässword")


def test_password_outlives_a_restart(state: RegistryState, tmp_path: Path) -> None:
    assert _state(tmp_path).password == state.password


def test_found_image_has_its_configuration(state: RegistryState) -> None:
    config = {"os": "linux", "architecture": "amd64", "config": {"Env": ["A=1"]}}
    digest = _image(state, "v1", config)
    expected = FoundImage(digest, OCI_MANIFEST, config)
    assert state.find("app", "v1") == expected
    assert state.find("app", digest) == expected


def test_index_is_found_for_the_platform_of_nodes(state: RegistryState) -> None:
    platforms = ("arm64", "amd64", "s390x")
    configs = {name: {"os": "linux", "architecture": name} for name in platforms}
    entries: list[dict[str, Any]] = [
        {"digest": _image(state, name, config), "platform": config} for name, config in configs.items()
    ]
    entries.insert(0, {"digest": entries[0]["digest"], "platform": None})
    index = {"schemaVersion": 2, "manifests": entries}
    digest = _push(state, "all", index, OCI_INDEX)
    assert state.find("app", "all") == FoundImage(digest, OCI_INDEX, configs["amd64"])
    _push(state, "other", {**index, "manifests": entries[:2]}, OCI_INDEX)
    assert state.find("app", "other") is None


def test_what_a_node_cannot_pull_is_not_found(state: RegistryState) -> None:
    _image(state, "v1", {})
    for repository, reference in (
        ("app", "v2"),
        ("app", digest_of(b"")),
        ("other", "v1"),
        ("../app", "v1"),
        ("app", "../v1"),
        ("app", ""),
    ):
        assert state.find(repository, reference) is None
    state.catalog.lock_tag("app", "v1", {"readEnabled": False})
    assert state.find("app", "v1") is None


def test_artifact_without_a_json_configuration_is_found(state: RegistryState) -> None:
    _push(state, "odd", image_manifest(_blob(state, b"not JSON")))
    _push(state, "list", image_manifest(_blob(state, b"[]")))
    for tag in ("odd", "list"):
        found = state.find("app", tag)
        assert found is not None
        assert found.config == {}


def test_tokens_expire(state: RegistryState, monkeypatch: pytest.MonkeyPatch) -> None:
    access = state.access_token("somebody", state.address, [CATALOG])
    refresh = state.tokens.refresh("somebody", state.address)
    now = Clock.now
    monkeypatch.setattr(Clock, "now", lambda self: now(self) + timedelta(minutes=30))
    assert state.tokens.read_refresh(refresh) == "somebody"
    with pytest.raises(BadToken):
        state.tokens.read_access(access)
    monkeypatch.setattr(Clock, "now", lambda self: now(self) + timedelta(hours=4))
    with pytest.raises(BadToken):
        state.tokens.read_refresh(refresh)


def test_tokens_of_another_registry_are_refused(state: RegistryState) -> None:
    foreign = state.tokens.refresh("somebody", "other.azurecr.io")
    with pytest.raises(BadToken):
        state.tokens.read_refresh(foreign)
    with pytest.raises(BadToken):
        state.tokens.read_access(state.tokens.refresh("somebody", state.address))


def test_anonymous_pull_is_off_until_allowed(state: RegistryState) -> None:
    needs = [on_repository("app", "pull", "push"), CATALOG]

    def granted() -> Any:
        return state.tokens.read_access(state.access_token(ANONYMOUS, state.address, needs)).grants

    assert granted() == ()
    state.allows_anonymous_pull = True
    assert granted() == (on_repository("app", "pull"), CATALOG)


def test_upload_takes_one_request_at_a_time(state: RegistryState) -> None:
    upload = state.uploads.begin("app")
    with (
        state.uploads.claim(upload.id),
        pytest.raises(RegistryError) as error,
        state.uploads.claim(upload.id),
    ):
        pass
    assert error.value.status == 429
    with state.uploads.claim(upload.id):
        state.uploads.cancel(upload)


def test_old_uploads_are_forgotten(
    state: RegistryState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = Clock.now
    old = state.uploads.begin("app")
    monkeypatch.setattr(Clock, "now", lambda self: now(self) + timedelta(days=6))
    recent = state.uploads.begin("app")
    monkeypatch.setattr(Clock, "now", lambda self: now(self) + timedelta(days=8))
    again = _state(tmp_path)
    assert again.uploads.get("app", recent.id).path.exists()
    assert not old.path.exists()
    with pytest.raises(RegistryError):
        again.uploads.get("app", old.id)


def test_blob_deleted_under_a_manifest_comes_back_by_upload(state: RegistryState) -> None:
    digest = _image(state, "v1", {"os": "linux"})
    blob, _ = _blob(state, b'{"os": "linux"}')
    state.images.delete_blob("app", blob)
    assert not state.blobs.path(blob).exists()
    assert state.find("app", "v1") == FoundImage(digest, OCI_MANIFEST, {})
    _blob(state, b'{"os": "linux"}')
    assert state.find("app", "v1") == FoundImage(digest, OCI_MANIFEST, {"os": "linux"})


def test_shared_blob_survives_those_who_delete_it_elsewhere(state: RegistryState) -> None:
    content = b"shared by all"

    def push_and_delete(repository: str) -> int:
        whole = 0
        for _ in range(15):
            digest, _ = _blob(state, content, repository)
            whole += state.blobs.get(repository, digest).path.read_bytes() == content
            state.images.delete_blob(repository, digest)
        return whole

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(push_and_delete, [f"app{number}" for number in range(4)])) == [15] * 4
    assert not state.blobs.path(digest_of(content)).exists()
