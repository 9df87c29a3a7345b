"""Build the SDK's credential objects from our plain ones; identities are shared so that tokens are."""

from functools import lru_cache
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, TokenCredential
from azure.identity import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

from cloud.config import ClientSecret, DefaultCredential, EntraCredential, ManagedIdentity, SharedKey, Trust

_TOKEN_CALLS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 20, "retry_total": 2}


def named_key(credential: SharedKey) -> AzureNamedKeyCredential:
    """Wrap an account's name and key as the SDKs take them."""
    return AzureNamedKeyCredential(credential.account, credential.key)


@lru_cache(maxsize=64)
def token_credential(credential: EntraCredential, trust: Trust) -> TokenCredential:
    """Return the process's credential for an identity; it caches its tokens, so it is made once."""
    options: dict[str, Any] = dict(_TOKEN_CALLS)
    if trust.ca_bundle:
        options["connection_verify"] = trust.ca_bundle
    match credential:
        case ManagedIdentity(client_id=client_id):
            return ManagedIdentityCredential(client_id=client_id, **options)
        case ClientSecret():
            return ClientSecretCredential(
                credential.tenant_id,
                credential.client_id,
                credential.client_secret,
                **_authority(trust),
                **options,
            )
        case DefaultCredential():
            return DefaultAzureCredential(**_authority(trust), **options)


def _authority(trust: Trust) -> dict[str, Any]:
    """Say where Entra is; instance discovery would ask Microsoft about a host it cannot know."""
    named = {"authority": trust.authority} if trust.authority else {}
    return {**named, "disable_instance_discovery": trust.is_private_authority}
