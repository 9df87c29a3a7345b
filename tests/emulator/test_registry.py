"""Images in the registry through Microsoft's client: pushing, properties, lists, locks and deletion."""

import io
import json
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from azure.containerregistry import (
    ArtifactManifestOrder,
    ArtifactTagOrder,
    ContainerRegistryClient,
)
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from emulator.registry.manifests import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.emulator.registry import connect, digest_of, fresh, push_image

CHUNKED = 9 * 1024 * 1024


@pytest.fixture(scope="module")
def client(emulator: dict[str, Any]) -> Iterator[ContainerRegistryClient]:
    with connect(emulator) as found:
        yield found


def _code(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    response: Any = error.value.response
    # Lists come in answers of the older kind; newer ones are not read before somebody asks for that.
    content = response.read() if hasattr(response, "read") else response.body()
    return str(json.loads(content)["errors"][0]["code"])


def test_image_comes_back_as_it_was_pushed(client: ContainerRegistryClient) -> None:
    repository = fresh()
    image = push_image(client, repository, "v1", "latest")
    for reference in ("v1", "latest", image.digest):
        found = client.get_manifest(repository, reference)
        assert found.manifest == image.manifest
        assert (found.digest, found.media_type) == (image.digest, OCI_MANIFEST)
    layer = image.manifest["layers"][0]["digest"]
    assert b"".join(client.download_blob(repository, layer)) == image.layer


def test_blob_larger_than_a_chunk_goes_up_and_down_in_pieces(client: ContainerRegistryClient) -> None:
    repository, content = fresh(), os.urandom(CHUNKED)
    digest, size = client.upload_blob(repository, io.BytesIO(content))
    assert (digest, size) == (digest_of(content), CHUNKED)
    assert b"".join(client.download_blob(repository, digest)) == content
    client.delete_blob(repository, digest)
    with pytest.raises(ResourceNotFoundError):
        list(client.download_blob(repository, digest))


def test_manifest_properties_say_what_the_image_is(client: ContainerRegistryClient) -> None:
    repository = fresh()
    image = push_image(client, repository, "b", "a", architecture="arm64")
    found = client.get_manifest_properties(repository, "a")
    sizes = [image.manifest["config"]["size"], image.manifest["layers"][0]["size"]]
    assert found.size_in_bytes == sum(sizes)
    assert (found.architecture, found.operating_system) == ("arm64", "linux")
    assert found.tags == ["a", "b"]
    assert found.digest == image.digest
    assert found.created_on <= found.last_updated_on


def test_repository_properties_count_what_is_in_it(client: ContainerRegistryClient) -> None:
    repository = fresh()
    push_image(client, repository, "a", "b")
    push_image(client, repository, "b")
    found = client.get_repository_properties(repository)
    assert (found.name, found.manifest_count, found.tag_count) == (repository, 2, 2)
    assert found.can_delete
    assert found.can_write
    assert found.created_on < found.last_updated_on


def test_tag_moves_to_the_image_that_was_pushed_last(client: ContainerRegistryClient) -> None:
    repository = fresh()
    first = push_image(client, repository, "v1")
    before = client.get_tag_properties(repository, "v1")
    second = push_image(client, repository, "v1")
    after = client.get_tag_properties(repository, "v1")
    assert (before.digest, after.digest) == (first.digest, second.digest)
    assert after.created_on == before.created_on
    assert after.last_updated_on > before.last_updated_on
    assert client.get_manifest_properties(repository, first.digest).tags == []


def test_repositories_are_listed_in_pages(client: ContainerRegistryClient) -> None:
    names = sorted(fresh("paged/one") for _ in range(5))
    for name in names:
        push_image(client, name, "v1")
    pages = [list(page) for page in client.list_repository_names(results_per_page=2).by_page()]
    assert all(len(page) == 2 for page in pages[:-1])
    found = [name for page in pages for name in page]
    assert found == sorted(found)
    assert [name for name in found if name in names] == names


@pytest.mark.parametrize("order", [None, ArtifactTagOrder.LAST_UPDATED_ON_DESCENDING, "timeasc"])
def test_tags_are_listed_in_pages_and_in_order(client: ContainerRegistryClient, order: Any) -> None:
    repository = fresh()
    for tag in ("c", "a", "e", "b", "d"):
        push_image(client, repository, tag)
    pages = client.list_tag_properties(repository, results_per_page=2, order_by=order).by_page()
    found = [[tag.name for tag in page] for page in pages]
    expected = {None: "ab cd e", ArtifactTagOrder.LAST_UPDATED_ON_DESCENDING: "db ea c", "timeasc": "ca eb d"}
    assert found == [list(page) for page in expected[order].split()]


def test_list_by_time_keeps_its_place_when_its_last_entry_goes(client: ContainerRegistryClient) -> None:
    repository = fresh()
    for tag in ("a", "b", "c"):
        push_image(client, repository, tag)
    order = ArtifactTagOrder.LAST_UPDATED_ON_ASCENDING
    pages = client.list_tag_properties(repository, results_per_page=1, order_by=order).by_page()
    assert [tag.name for tag in next(pages)] == ["a"]
    client.delete_tag(repository, "a")
    assert [tag.name for page in pages for tag in page] == ["b", "c"]


def test_manifests_are_listed_by_time(client: ContainerRegistryClient) -> None:
    repository = fresh()
    pushed = [push_image(client, repository, f"v{number}").digest for number in range(3)]
    ascending = ArtifactManifestOrder.LAST_UPDATED_ON_ASCENDING
    pages = client.list_manifest_properties(repository, order_by=ascending, results_per_page=2).by_page()
    found = [manifest for page in pages for manifest in page]
    assert [manifest.digest for manifest in found] == pushed
    assert all(one.last_updated_on < other.last_updated_on for one, other in pairwise(found))


def test_deleted_tag_leaves_its_manifest(client: ContainerRegistryClient) -> None:
    repository = fresh()
    image = push_image(client, repository, "v1")
    client.delete_tag(repository, "v1")
    client.delete_tag(repository, "v1")
    with pytest.raises(ResourceNotFoundError) as error:
        client.get_tag_properties(repository, "v1")
    assert _code(error) == "TAG_UNKNOWN"
    assert client.get_manifest(repository, image.digest).digest == image.digest
    assert list(client.list_tag_properties(repository)) == []


def test_deleted_manifest_takes_its_tags_and_blobs_along(client: ContainerRegistryClient) -> None:
    repository = fresh()
    shared = os.urandom(32)
    kept = push_image(client, repository, "kept", layer=shared)
    gone = push_image(client, repository, "gone", "also", layer=shared)
    client.delete_manifest(repository, "gone")
    assert [tag.name for tag in client.list_tag_properties(repository)] == ["kept"]
    with pytest.raises(ResourceNotFoundError):
        list(client.download_blob(repository, gone.manifest["config"]["digest"]))
    for blob in (kept.manifest["config"], *kept.manifest["layers"]):
        assert len(b"".join(client.download_blob(repository, blob["digest"]))) == blob["size"]


def test_deleted_repository_is_gone_and_others_keep_its_blobs(client: ContainerRegistryClient) -> None:
    repository, other, layer = fresh(), fresh(), os.urandom(32)
    image = push_image(client, repository, "v1", layer=layer)
    push_image(client, other, "v1", layer=layer)
    client.delete_repository(repository)
    client.delete_repository(repository)
    for ask in (client.get_repository_properties, lambda name: list(client.list_tag_properties(name))):
        with pytest.raises(ResourceNotFoundError) as error:
            ask(repository)
        assert _code(error) == "NAME_UNKNOWN"
    assert b"".join(client.download_blob(other, image.manifest["layers"][0]["digest"])) == layer


def test_index_is_kept_with_its_platforms(client: ContainerRegistryClient) -> None:
    repository = fresh()
    images = {name: push_image(client, repository, architecture=name) for name in ("arm64", "amd64")}
    entries = [
        {
            "mediaType": OCI_MANIFEST,
            "digest": image.digest,
            "size": 1,
            "platform": {"os": "linux", "architecture": name},
        }
        for name, image in images.items()
    ]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    digest = client.set_manifest(repository, index, tag="all", media_type=OCI_INDEX)
    found = client.get_manifest(repository, "all")
    assert (found.digest, found.media_type, found.manifest) == (digest, OCI_INDEX, index)


@pytest.mark.parametrize("level", ["repository", "manifest", "tag"])
@pytest.mark.parametrize("lock", ["can_delete", "can_write"])
def test_locked_image_cannot_be_deleted(client: ContainerRegistryClient, level: str, lock: str) -> None:
    repository = fresh()
    image = push_image(client, repository, "v1")
    set_lock: Callable[[bool], Any] = {
        "repository": lambda value: client.update_repository_properties(repository, **{lock: value}),
        "manifest": lambda value: client.update_manifest_properties(
            repository, image.digest, **{lock: value}
        ),
        "tag": lambda value: client.update_tag_properties(repository, "v1", **{lock: value}),
    }[level]
    assert getattr(set_lock(False), lock) is False
    with pytest.raises(HttpResponseError) as error:
        client.delete_manifest(repository, image.digest)
    assert error.value.status_code == 405
    assert _code(error) == "REGISTRY_DISALLOWED_OPERATION"
    with pytest.raises(HttpResponseError):
        client.delete_repository(repository)
    assert getattr(set_lock(True), lock) is True
    client.delete_manifest(repository, image.digest)


def test_locked_tag_cannot_move_and_other_tags_can(client: ContainerRegistryClient) -> None:
    repository = fresh()
    first = push_image(client, repository, "v1", "v2")
    client.update_tag_properties(repository, "v1", can_write=False)
    with pytest.raises(HttpResponseError) as error:
        push_image(client, repository, "v1")
    assert _code(error) == "REGISTRY_DISALLOWED_OPERATION"
    push_image(client, repository, "v2")
    assert client.get_tag_properties(repository, "v1").digest == first.digest


def test_repository_locked_against_writing_takes_no_uploads(client: ContainerRegistryClient) -> None:
    repository = fresh()
    push_image(client, repository, "v1")
    client.update_repository_properties(repository, can_write=False)
    with pytest.raises(HttpResponseError) as error:
        client.upload_blob(repository, io.BytesIO(b"more"))
    assert _code(error) == "REGISTRY_DISALLOWED_OPERATION"


def test_unreadable_and_unlisted_images_are_hidden(client: ContainerRegistryClient) -> None:
    repository = fresh()
    push_image(client, repository, "v1")
    push_image(client, repository, "v2")
    client.update_tag_properties(repository, "v1", can_list=False, can_read=False)
    assert [tag.name for tag in client.list_tag_properties(repository)] == ["v2"]
    with pytest.raises(HttpResponseError) as error:
        client.get_manifest(repository, "v1")
    assert _code(error) == "REGISTRY_DISALLOWED_OPERATION"
    client.update_repository_properties(repository, can_list=False)
    assert repository not in list(client.list_repository_names())


def test_manifest_of_another_media_type_is_refused(client: ContainerRegistryClient) -> None:
    repository = fresh()
    image = push_image(client, repository, "v1")
    with pytest.raises(HttpResponseError) as error:
        client.set_manifest(repository, image.manifest, tag="v2", media_type=DOCKER_MANIFEST)
    assert _code(error) == "MANIFEST_INVALID"
    docker = {**image.manifest, "mediaType": DOCKER_MANIFEST}
    client.set_manifest(repository, docker, tag="v2", media_type=DOCKER_MANIFEST)
    assert client.get_manifest(repository, "v2").media_type == DOCKER_MANIFEST


def test_token_for_another_audience_opens_nothing(emulator: dict[str, Any]) -> None:
    with (
        connect(emulator, audience="https://storage.azure.com") as stranger,
        pytest.raises(ClientAuthenticationError),
    ):
        list(stranger.list_repository_names())


def test_arm_audience_opens_the_registry(emulator: dict[str, Any]) -> None:
    with connect(emulator, audience="https://management.azure.com") as other:
        assert isinstance(list(other.list_repository_names()), list)


def test_anonymous_client_gets_a_token_without_rights(
    emulator: dict[str, Any], client: ContainerRegistryClient
) -> None:
    repository = fresh()
    push_image(client, repository, "v1")
    with connect(emulator, is_anonymous=True) as nobody:
        with pytest.raises(ClientAuthenticationError) as error:
            nobody.get_manifest(repository, "v1")
        response: Any = error.value.response
        assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]
        with pytest.raises(ClientAuthenticationError):
            list(nobody.list_repository_names())
