"""Build gateways from rows: the only code that opens secrets."""

import os
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import InvalidToken
from django.conf import settings

from activity import vault
from activity.models import Account, Credential
from cloud.batch import BatchGateway
from cloud.config import (
    BatchConnection,
    ClientSecret,
    DefaultCredential,
    EntraCredential,
    ManagedIdentity,
    RegistryConnection,
    SharedKey,
    StorageConnection,
    Trust,
    UserPassword,
)
from cloud.errors import CloudError
from cloud.registry import RegistryGateway
from cloud.storage import StorageGateway


def gateway_for(account: Account) -> BatchGateway:
    """Return the gateway to an account's Batch service; one is kept per connection and process."""
    credential: EntraCredential | SharedKey
    if account.credential_mode == Account.CredentialMode.SHARED_KEY:
        credential = SharedKey(account=account.batch_account, key=_needed(account.credential, account))
    else:
        credential = _identity(account)
    return _batch(BatchConnection(endpoint=account.batch_endpoint, credential=credential, trust=trust()))


def storage_gateway(
    account: Account, *, name: str, endpoint: str, credential: Credential | None
) -> StorageGateway:
    """Return the gateway to a storage account: with its key, or with the account's identity when there is none."""
    proof = SharedKey(account=name, key=reveal(credential)) if credential else _identity(account)
    return _storage(StorageConnection(account=name, endpoint=endpoint, credential=proof, trust=trust()))


def registry_gateway(
    account: Account, *, login_server: str, endpoint: str, credential: Credential | None
) -> RegistryGateway:
    """Return the gateway to a registry: with its own user, or with the account's identity when there is none."""
    proof = (
        UserPassword(username=credential.username, password=reveal(credential))
        if credential
        else _identity(account)
    )
    return _registry(
        RegistryConnection(login_server=login_server, endpoint=endpoint, credential=proof, trust=trust())
    )


def reveal(credential: Credential) -> str:
    """Return a credential's secret, in clear; raises CloudError when it is not to be had.

    For requests that must carry it, and for hiding it in output. It goes into no row, log or message.
    """
    match credential.source:
        case Credential.Source.ENV:
            return _from_environment(credential)
        case Credential.Source.FILE:
            return _from_file(credential)
    try:
        return vault.fernet().decrypt(credential.sealed.encode()).decode()
    except InvalidToken:
        raise _misconfigured(
            f"The credential {credential} was encrypted under a key that ZOOBATCH_SECRET_KEYS no longer has."
        ) from None


def trust() -> Trust:
    """Return whom to trust, as the environment says."""
    return Trust(
        ca_bundle=settings.ZOOBATCH_CA_BUNDLE or None,
        authority=settings.ZOOBATCH_AUTHORITY or None,
        is_private_authority=settings.ZOOBATCH_PRIVATE_AUTHORITY,
    )


def _from_environment(credential: Credential) -> str:
    name, prefix = credential.reference, settings.ZOOBATCH_CREDENTIAL_PREFIX
    if not name.startswith(prefix):
        raise _misconfigured(f"The credential {credential} may only name variables that begin with {prefix}.")
    if not (secret := os.environ.get(name, "")):
        raise _misconfigured(
            f"The credential {credential} needs the environment variable {name}, which is not set."
        )
    return secret


def _from_file(credential: Credential) -> str:
    folder = Path(settings.ZOOBATCH_CREDENTIAL_FOLDER).resolve()
    # Resolved first: neither .. nor a link leads out of the folder.
    path = (folder / credential.reference).resolve()
    if not path.is_relative_to(folder):
        raise _misconfigured(f"The credential {credential} may only name files in {folder}.")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _misconfigured(
            f"The credential {credential} cannot be read: {error.strerror}: {path}"
        ) from None
    except UnicodeDecodeError:
        raise _misconfigured(f"The credential {credential} cannot be read: {path} is not UTF-8.") from None


def _identity(account: Account) -> EntraCredential:
    """Return the account's Entra identity; an account key opens only the Batch service itself."""
    match account.credential_mode:
        case Account.CredentialMode.CLIENT_SECRET:
            return ClientSecret(
                tenant_id=account.tenant_id,
                client_id=account.client_id,
                client_secret=_needed(account.credential, account),
            )
        case Account.CredentialMode.MANAGED_IDENTITY:
            return ManagedIdentity(client_id=account.client_id or None)
    return DefaultCredential()


def _needed(credential: Credential | None, account: Account) -> str:
    if credential is None:
        raise _misconfigured(f"{account} has no credential; set one in its settings.")
    return reveal(credential)


def _misconfigured(message: str) -> CloudError:
    return CloudError(code="CredentialUnavailable", message=message, kind="authentication")


# A gateway holds connections and tokens, so it is kept; a changed row makes another connection, hence another gateway.
@lru_cache(maxsize=32)
def _batch(connection: BatchConnection) -> BatchGateway:
    return BatchGateway(connection)


@lru_cache(maxsize=32)
def _storage(connection: StorageConnection) -> StorageGateway:
    return StorageGateway(connection)


@lru_cache(maxsize=32)
def _registry(connection: RegistryConnection) -> RegistryGateway:
    return RegistryGateway(connection)
