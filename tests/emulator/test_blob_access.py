"""Who may do what in the storage account: keys, tokens, and signatures of the account."""

import base64
import itertools
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.storage.blob import (
    AccountSasPermissions,
    BlobSasPermissions,
    BlobServiceClient,
    ResourceTypes,
    generate_account_sas,
    generate_blob_sas,
)

from emulator.blob.auth import header_order
from tests.emulator.blob import VERSION, application, bare, service, soon

NUMBERS = itertools.count()
NAME = "träume/a b%.txt"


@pytest.fixture(scope="module")
def client(emulator: dict[str, Any]) -> Iterator[BlobServiceClient]:
    with service(emulator) as found:
        yield found


@pytest.fixture
def container(client: BlobServiceClient) -> str:
    name = f"access-{next(NUMBERS)}"
    client.create_container(name).upload_blob(NAME, b"content")
    return name


@pytest.fixture(scope="module")
def credential(emulator: dict[str, Any]) -> ClientSecretCredential:
    return application(emulator)


def refusal(caught: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str]:
    return caught.value.status_code, str(getattr(caught.value.error_code, "value", caught.value.error_code))


def test_signatures_of_the_account(emulator: dict[str, Any], container: str) -> None:
    blob = emulator["blob"]

    def signed(letters: str, kinds: str) -> BlobServiceClient:
        signature = generate_account_sas(
            blob["account"],
            blob["key"],
            ResourceTypes.from_string(kinds),
            AccountSasPermissions.from_string(letters),
            soon(),
        )
        return service(emulator, signature)

    everything = signed("rwdlc", "sco")
    assert container in [item.name for item in everything.list_containers()]
    made = everything.create_container(f"{container}-made")
    made.upload_blob("x", b"1")
    made.delete_container()
    objects = signed("r", "o")
    assert objects.get_blob_client(container, NAME).download_blob().readall() == b"content"
    with pytest.raises(HttpResponseError) as kind:
        list(objects.get_container_client(container).list_blobs())
    assert refusal(kind) == (403, "AuthorizationResourceTypeMismatch")
    with pytest.raises(HttpResponseError) as letter:
        objects.get_blob_client(container, "new").upload_blob(b"")
    assert refusal(letter) == (403, "AuthorizationPermissionMismatch")


def test_tokens_of_entra(
    emulator: dict[str, Any], credential: ClientSecretCredential, container: str
) -> None:
    with service(emulator, credential) as client:
        assert client.get_blob_client(container, NAME).download_blob().readall() == b"content"
        assert container in [item.name for item in client.list_containers()]

    class Fixed:
        def __init__(self, token: str) -> None:
            self.token = token

        def get_token(self, *scopes: str, **more: Any) -> AccessToken:
            return AccessToken(self.token, int(soon().timestamp()))

    other = credential.get_token("https://management.azure.com/.default").token
    for token in (other, "no.token.atall"):
        with pytest.raises(HttpResponseError) as caught:
            service(emulator, Fixed(token)).get_blob_client(container, NAME).download_blob()
        assert refusal(caught) == (401, "InvalidAuthenticationInfo")


def test_delegated_keys_live_seven_days_and_are_for_identities(
    emulator: dict[str, Any], client: BlobServiceClient, credential: ClientSecretCredential
) -> None:
    now = datetime.now(UTC)
    with service(emulator, credential) as found:
        found.get_user_delegation_key(now, now + timedelta(days=7) - timedelta(minutes=1))
        for start, expiry in ((now, now + timedelta(days=8)), (now, now - timedelta(days=1))):
            with pytest.raises(HttpResponseError) as caught:
                found.get_user_delegation_key(start, expiry)
            assert refusal(caught) == (400, "InvalidXmlNodeValue")
    with pytest.raises(HttpResponseError) as key:
        client.get_user_delegation_key(now, now + timedelta(hours=1))
    assert refusal(key) == (403, "AuthenticationFailed")


def test_wrong_keys_are_refused(emulator: dict[str, Any], container: str) -> None:
    account = emulator["blob"]["account"]
    wrong = base64.b64encode(secrets.token_bytes(64)).decode()
    for credential in (AzureNamedKeyCredential(account, wrong), AzureNamedKeyCredential("somebody", wrong)):
        with pytest.raises(ClientAuthenticationError) as caught:
            service(emulator, credential).get_blob_client(container, NAME).download_blob()
        assert refusal(caught) == (403, "AuthenticationFailed")


def test_anonymous_requests_learn_nothing(emulator: dict[str, Any], container: str) -> None:
    path = f"/{emulator['blob']['account']}/{container}/{quote(NAME)}"
    old = bare(emulator, "GET", path)
    assert (old.status_code, old.headers["x-ms-error-code"]) == (404, "ResourceNotFound")
    new = bare(emulator, "PUT", path, headers={"x-ms-version": VERSION}, data=b"x" * 300_000)
    assert (new.status_code, new.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")
    challenge = new.headers["WWW-Authenticate"]
    assert f"{emulator['identity']['authority']}/{emulator['identity']['tenant']}/" in challenge
    assert "resource_id=https://storage.azure.com" in challenge
    assert b"<Code>NoAuthenticationInformation</Code>" in new.content


def test_the_account_may_be_in_the_host_name(emulator: dict[str, Any], container: str) -> None:
    account, key = emulator["blob"]["account"], emulator["blob"]["key"]
    signature = generate_blob_sas(
        account, container, NAME, account_key=key, permission=BlobSasPermissions(read=True), expiry=soon()
    )
    path = f"/{container}/{quote(NAME)}?{signature}"
    own = bare(emulator, "GET", path, headers={"Host": f"{account}.blob.core.windows.net"})
    assert (own.status_code, own.content) == (200, b"content")
    for host, place in (("other.blob.core.windows.net", path), (None, f"/other{path}")):
        found = bare(emulator, "GET", place, headers={"Host": host} if host else {})
        assert (found.status_code, found.headers["x-ms-error-code"]) == (404, "ResourceNotFound")


def test_signed_headers_are_sorted_as_the_service_does() -> None:
    names = ["x-ms-meta-ab", "x-ms-meta-a1", "x-ms-meta-a_b", "x-ms-meta-aa", "x-ms-date", "x-ms-blob-type"]
    assert sorted(names, key=header_order) == [
        "x-ms-blob-type",
        "x-ms-date",
        "x-ms-meta-a_b",
        "x-ms-meta-a1",
        "x-ms-meta-aa",
        "x-ms-meta-ab",
    ]
