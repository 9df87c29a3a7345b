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


@pytest.mark.parametrize(
    "text",
    ["rubbish", "", "Mon, 01 Jan 2024 00:00:00 +99999999999999999999", "Fri, 31 Dec 9999 23:59:59 -2300"],
)
def test_date_of_a_request_that_is_none(emulator: dict[str, Any], container: str, text: str) -> None:
    account = emulator["blob"]["account"]
    headers = {"x-ms-version": VERSION, "x-ms-date": text, "Authorization": f"SharedKey {account}:é"}
    answer = bare(emulator, "GET", f"/{account}/{container}/{quote(NAME)}", headers=headers)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


@pytest.mark.parametrize(
    ("start", "expiry"),
    [
        ("0001-01-01T00:00:00+23:59", "2030-01-01"),
        ("", "9999-12-31T23:59:59-23:59"),
        ("rubbish", "2030-01-01"),
    ],
)
def test_delegated_key_for_no_time_at_all(
    emulator: dict[str, Any], credential: ClientSecretCredential, start: str, expiry: str
) -> None:
    token = credential.get_token("https://storage.azure.com/.default").token
    answer = bare(
        emulator,
        "POST",
        f"/{emulator['blob']['account']}?restype=service&comp=userdelegationkey",
        data=f"<KeyInfo><Start>{start}</Start><Expiry>{expiry}</Expiry></KeyInfo>",
        headers={"x-ms-version": VERSION, "Authorization": f"Bearer {token}"},
    )
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "InvalidXmlNodeValue")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("%ff", "InvalidUri"),
        ("a%ed%a0%80", "InvalidUri"),
        ("%00", "InvalidResourceName"),
        ("a%00b", "InvalidResourceName"),
        ("a%2F..%2Fb", "InvalidResourceName"),
        ("a" * 300, "OutOfRangeInput"),
    ],
)
def test_names_that_no_blob_can_have(
    emulator: dict[str, Any], credential: ClientSecretCredential, container: str, name: str, code: str
) -> None:
    token = credential.get_token("https://storage.azure.com/.default").token
    headers = {"x-ms-version": VERSION, "Authorization": f"Bearer {token}", "x-ms-blob-type": "BlockBlob"}
    for method in ("GET", "PUT", "DELETE"):
        path = f"/{emulator['blob']['account']}/{container}/{name}"
        answer = bare(emulator, method, path, headers=headers)
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, code)


@pytest.mark.parametrize(
    "asked", ["bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000, "bytes=²-", "bytes=3-2", "rubbish"]
)
def test_ranges_that_are_none(
    emulator: dict[str, Any], credential: ClientSecretCredential, container: str, asked: str
) -> None:
    token = credential.get_token("https://storage.azure.com/.default").token
    for name in ("Range", "x-ms-range"):
        headers = {"x-ms-version": VERSION, "Authorization": f"Bearer {token}", name: asked}
        path = f"/{emulator['blob']['account']}/{container}/{quote(NAME)}"
        answer = bare(emulator, "GET", path, headers=headers)
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "InvalidHeaderValue")


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
