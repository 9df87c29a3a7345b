"""Gateways are built from rows; secrets are opened in one place, and references stay within their limits."""

import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError

from activity import gateways, vault
from activity.models import Account, Credential
from cloud.config import ClientSecret, DefaultCredential, ManagedIdentity, SharedKey, UserPassword
from cloud.errors import CloudError

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def make_credential(name: str = "key", secret: str = "c2VjcmV0", **overrides: Any) -> Credential:
    """Save an encrypted credential."""
    credential = Credential(name=name, **overrides)
    vault.seal(credential, secret)
    credential.save()
    return credential


def make_reference(source: str, reference: str) -> Credential:
    """Save a reference to a secret kept elsewhere."""
    return Credential.objects.create(name="reference", source=source, reference=reference)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the connections that gateways were built from, without building them."""
    connections: list[Any] = []
    for name in ("_batch", "_storage", "_registry"):
        monkeypatch.setattr(gateways, name, connections.append)
    return connections


def test_a_secret_is_stored_encrypted_and_comes_back(settings: Any) -> None:
    credential = make_credential(secret="hunter22")
    row = Credential.objects.get(pk=credential.pk)
    assert "hunter22" not in row.sealed
    assert gateways.reveal(row) == "hunter22"


def test_keys_rotate_by_putting_the_new_one_in_front(settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ZOOBATCH_SECRET_KEYS = [old]
    credential = make_credential(secret="hunter22")
    settings.ZOOBATCH_SECRET_KEYS = [new, old]
    assert gateways.reveal(credential) == "hunter22"
    later = make_credential("later", "new")
    settings.ZOOBATCH_SECRET_KEYS = [new]
    assert gateways.reveal(later) == "new"
    with pytest.raises(CloudError, match="no longer has"):
        gateways.reveal(credential)


def test_environment_references_stay_within_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOOBATCH_CREDENTIAL_ACR", "hunter22")
    monkeypatch.setenv("ZOOBATCH_SECRET_KEY", "never")
    assert gateways.reveal(make_reference("env", "ZOOBATCH_CREDENTIAL_ACR")) == "hunter22"
    Credential.objects.all().delete()
    with pytest.raises(CloudError, match="may only name variables"):
        gateways.reveal(make_reference("env", "ZOOBATCH_SECRET_KEY"))
    Credential.objects.all().delete()
    with pytest.raises(CloudError, match="is not set"):
        gateways.reveal(make_reference("env", "ZOOBATCH_CREDENTIAL_OTHER"))


def test_file_references_stay_within_the_folder(tmp_path: Path, settings: Any) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    settings.ZOOBATCH_CREDENTIAL_FOLDER = folder
    (folder / "acr").write_text("hunter22\n")
    (tmp_path / "outside").write_text("never")
    (folder / "link").symlink_to(tmp_path / "outside")
    for reference in ("acr", str(folder / "acr")):
        assert gateways.reveal(make_reference("file", reference)) == "hunter22"
        Credential.objects.all().delete()
    for reference in ("../outside", str(tmp_path / "outside"), "link"):
        with pytest.raises(CloudError, match="may only name files"):
            gateways.reveal(make_reference("file", reference))
        Credential.objects.all().delete()
    with pytest.raises(CloudError, match="cannot be read"):
        gateways.reveal(make_reference("file", "missing"))
    Credential.objects.all().delete()
    (folder / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(CloudError, match="is not UTF-8"):
        gateways.reveal(make_reference("file", "binary"))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("default", DefaultCredential()),
        ("managed_identity", ManagedIdentity(client_id="app")),
        ("client_secret", ClientSecret(tenant_id="zoo", client_id="app", client_secret="c2VjcmV0")),
        ("shared_key", SharedKey(account="zoobatch", key="c2VjcmV0")),
    ],
)
def test_each_credential_mode_becomes_its_credential(
    account: Account, built: list[Any], settings: Any, mode: str, expected: object
) -> None:
    settings.ZOOBATCH_CA_BUNDLE, settings.ZOOBATCH_AUTHORITY = "/ca.pem", "https://127.0.0.1:1"
    account.credential_mode, account.tenant_id, account.client_id = mode, "zoo", "app"
    account.credential = make_credential()
    account.full_clean()
    gateways.gateway_for(account)
    (connection,) = built
    assert (connection.endpoint, connection.credential) == (account.batch_endpoint, expected)
    assert (connection.trust.ca_bundle, connection.trust.authority) == ("/ca.pem", "https://127.0.0.1:1")


def test_registry_and_storage_use_their_own_secret_or_the_account_s_identity(
    account: Account, built: list[Any]
) -> None:
    key = make_credential(username="puller")
    gateways.registry_gateway(account, login_server="z.azurecr.io", endpoint="https://r", credential=key)
    gateways.registry_gateway(account, login_server="z.azurecr.io", endpoint="https://r", credential=None)
    gateways.storage_gateway(account, name="galaxyzoo", endpoint="https://b", credential=key)
    gateways.storage_gateway(account, name="galaxyzoo", endpoint="https://b", credential=None)
    assert [connection.credential for connection in built] == [
        UserPassword(username="puller", password="c2VjcmV0"),
        DefaultCredential(),
        SharedKey(account="galaxyzoo", key="c2VjcmV0"),
        DefaultCredential(),
    ]


def test_a_gateway_is_kept_until_its_row_changes(account: Account) -> None:
    account.credential_mode, account.credential = "shared_key", make_credential()
    first = gateways.gateway_for(account)
    assert gateways.gateway_for(account) is first
    vault.seal(account.credential, "b3RoZXI=")
    assert gateways.gateway_for(account) is not first


def test_an_account_without_the_secret_its_mode_needs_is_refused(account: Account) -> None:
    account.credential_mode = "shared_key"
    with pytest.raises(ValidationError, match="needs a credential"):
        account.full_clean()


def test_no_secret_shows_in_what_is_printed(account: Account) -> None:
    account.credential_mode, account.credential = "shared_key", make_credential(secret="aHVudGVyMjI=")
    shown = repr(
        gateways.BatchConnection(endpoint="https://b", credential=SharedKey(account="z", key="aHVudGVyMjI="))
    )
    assert "aHVudGVyMjI=" not in shown + repr(account) + repr(account.credential) + str(account.credential)


def test_only_gateways_opens_secrets() -> None:
    sources = [
        path for app in ("activity", "pools", "jobs", "dashboard") for path in (ROOT / app).rglob("*.py")
    ]
    openers = {path.name for path in sources if re.search(r"\.decrypt\(", path.read_text())}
    assert openers == {"gateways.py"}
