"""Signatures of containers and blobs, made with the account's key and with a delegated one."""

import base64
import itertools
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    UserDelegationKey,
    generate_blob_sas,
    generate_container_sas,
)

from tests.emulator.blob import application, bare, blob_with, container_with, service, soon

NUMBERS = itertools.count()
NAME = "träume/a b%.txt"
Sign = Callable[..., str]


@pytest.fixture(scope="module")
def client(emulator: dict[str, Any]) -> Iterator[BlobServiceClient]:
    with service(emulator) as found:
        yield found


@pytest.fixture
def container(client: BlobServiceClient) -> str:
    name = f"signed-{next(NUMBERS)}"
    client.create_container(name).upload_blob(NAME, b"content")
    return name


@pytest.fixture(scope="module")
def delegated(emulator: dict[str, Any]) -> UserDelegationKey:
    with service(emulator, application(emulator)) as found:
        return found.get_user_delegation_key(datetime.now(UTC) - timedelta(minutes=5), soon())


@pytest.fixture(params=["key", "delegated"])
def sign(request: pytest.FixtureRequest, emulator: dict[str, Any], delegated: UserDelegationKey) -> Sign:
    """Return a function that signs for a container or a blob, with the account's key or a delegated one."""
    blob = emulator["blob"]
    signing = {"account_key": blob["key"]} if request.param == "key" else {"user_delegation_key": delegated}

    def make(container: str, letters: str, name: str = "", **more: Any) -> str:
        options = {"expiry": soon(), **signing, **more}
        if name:
            permission: Any = BlobSasPermissions.from_string(letters)
            return generate_blob_sas(blob["account"], container, name, permission=permission, **options)
        permission = ContainerSasPermissions.from_string(letters)
        return generate_container_sas(blob["account"], container, permission=permission, **options)

    return make


def refusal(caught: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str]:
    return caught.value.status_code, str(getattr(caught.value.error_code, "value", caught.value.error_code))


def test_a_container_signature_reaches_what_its_letters_say(
    emulator: dict[str, Any], container: str, sign: Sign
) -> None:
    client = container_with(emulator, container, sign(container, "rl"))
    assert [blob.name for blob in client.list_blobs()] == [NAME]
    assert client.download_blob(NAME).readall() == b"content"
    for call in (
        lambda: client.upload_blob("new", b""),
        lambda: client.upload_blob(NAME, b"", overwrite=True),
        lambda: client.delete_blob(NAME),
        lambda: client.get_blob_client(NAME).set_blob_metadata({"a": "1"}),
        lambda: client.get_blob_client("new").stage_block("a", b"1"),
    ):
        with pytest.raises(HttpResponseError) as caught:
            call()
        assert refusal(caught) == (403, "AuthorizationPermissionMismatch")


def test_a_writing_signature_does_not_read(emulator: dict[str, Any], container: str, sign: Sign) -> None:
    client = container_with(emulator, container, sign(container, "w"))
    client.upload_blob("out/put.txt", b"1")
    client.upload_blob("out/put.txt", b"22", overwrite=True)
    client.get_blob_client("blocks").stage_block("a", b"1")
    for call in (lambda: client.download_blob("out/put.txt"), lambda: list(client.list_blobs())):
        with pytest.raises(HttpResponseError) as caught:
            call()
        assert refusal(caught) == (403, "AuthorizationPermissionMismatch")


def test_a_creating_signature_does_not_overwrite(
    emulator: dict[str, Any], container: str, sign: Sign
) -> None:
    client = container_with(emulator, container, sign(container, "c"))
    client.upload_blob("once", b"1")
    with pytest.raises(HttpResponseError) as caught:
        client.upload_blob("once", b"2", overwrite=True)
    assert refusal(caught) == (403, "UnauthorizedBlobOverwrite")


def test_a_blob_signature_is_for_that_blob(emulator: dict[str, Any], container: str, sign: Sign) -> None:
    signature = sign(container, "r", NAME)
    assert blob_with(emulator, container, NAME, signature).download_blob().readall() == b"content"
    with pytest.raises(ClientAuthenticationError):
        blob_with(emulator, container, "other", signature).download_blob()
    with pytest.raises(ClientAuthenticationError):
        list(container_with(emulator, container, signature).list_blobs())


def test_a_container_signature_is_for_that_container(
    emulator: dict[str, Any], client: BlobServiceClient, container: str, sign: Sign
) -> None:
    other = f"{container}-other"
    client.create_container(other)
    with pytest.raises(ClientAuthenticationError):
        list(container_with(emulator, other, sign(container, "rwdl")).list_blobs())
    with pytest.raises(HttpResponseError) as caught:
        container_with(emulator, container, sign(container, "rwdl")).delete_container()
    assert refusal(caught) == (403, "AuthorizationFailure")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sp=r&", "sp=rw&"),
        ("sr=c", "sr=b"),
        ("spr=https", "spr=https,http"),
        ("sig=", "sig=AAAA"),
        ("sv=20", "sv=19"),
        ("se=20", "se=21"),
    ],
)
def test_a_changed_signature_is_refused(
    emulator: dict[str, Any], container: str, sign: Sign, old: str, new: str
) -> None:
    signature = sign(container, "r", protocol="https")
    assert old in signature
    client = container_with(emulator, container, signature.replace(old, new))
    with pytest.raises(ClientAuthenticationError) as caught:
        client.download_blob(NAME)
    assert refusal(caught) == (403, "AuthenticationFailed")


def test_signatures_have_their_time(emulator: dict[str, Any], container: str, sign: Sign) -> None:
    now = datetime.now(UTC)
    for times in (
        {"expiry": now - timedelta(seconds=1)},
        {"start": now + timedelta(minutes=5), "expiry": now + timedelta(minutes=9)},
    ):
        with pytest.raises(ClientAuthenticationError) as caught:
            container_with(emulator, container, sign(container, "r", **times)).download_blob(NAME)
        assert "time frame" in str(caught.value)
    started = sign(container, "r", start=now - timedelta(minutes=5))
    assert container_with(emulator, container, started).download_blob(NAME).readall() == b"content"


def test_signatures_can_be_bound_to_addresses(emulator: dict[str, Any], container: str, sign: Sign) -> None:
    for address in ("127.0.0.1", "127.0.0.0-127.0.0.255"):
        client = container_with(emulator, container, sign(container, "r", ip=address))
        assert client.download_blob(NAME).readall() == b"content"
    with pytest.raises(HttpResponseError) as caught:
        container_with(emulator, container, sign(container, "r", ip="10.0.0.1-10.0.0.9")).download_blob(NAME)
    assert refusal(caught) == (403, "AuthorizationSourceIPMismatch")


def test_signatures_can_prescribe_headers(emulator: dict[str, Any], container: str, sign: Sign) -> None:
    signature = sign(container, "r", NAME, content_type="text/html", content_disposition="inline; a=é")
    found = bare(emulator, "GET", f"/{emulator['blob']['account']}/{container}/{quote(NAME)}?{signature}")
    assert (found.status_code, found.content) == (200, b"content")
    assert found.headers["Content-Type"] == "text/html"
    assert found.headers["Content-Disposition"].encode("latin-1").decode() == "inline; a=é"


def test_signatures_can_be_bound_to_headers(
    emulator: dict[str, Any], container: str, delegated: UserDelegationKey
) -> None:
    account = emulator["blob"]["account"]
    signature = generate_blob_sas(
        account,
        container,
        NAME,
        user_delegation_key=delegated,
        permission=BlobSasPermissions(read=True),
        expiry=soon(),
        request_headers={"x-test": "yes"},
        request_query_params={"mark": "7"},
    )
    path = f"/{account}/{container}/{quote(NAME)}?{signature}"
    assert bare(emulator, "GET", f"{path}&mark=7", headers={"x-test": "yes"}).status_code == 200
    assert bare(emulator, "GET", f"{path}&mark=7", headers={"x-test": "no"}).status_code == 403
    assert bare(emulator, "GET", f"{path}&mark=8", headers={"x-test": "yes"}).status_code == 403


def test_a_forged_delegated_key_is_refused(
    emulator: dict[str, Any], container: str, delegated: UserDelegationKey
) -> None:
    forged = UserDelegationKey()
    forged.__dict__.update(delegated.__dict__)
    forged.value = base64.b64encode(secrets.token_bytes(32)).decode()
    longer = UserDelegationKey()
    longer.__dict__.update(delegated.__dict__)
    longer.signed_expiry = "2099-01-01T00:00:00Z"
    for key in (forged, longer):
        signature = generate_container_sas(
            emulator["blob"]["account"],
            container,
            user_delegation_key=key,
            permission=ContainerSasPermissions(read=True),
            expiry=soon(),
        )
        with pytest.raises(ClientAuthenticationError):
            container_with(emulator, container, signature).download_blob(NAME)
