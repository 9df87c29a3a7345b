"""Make the rows of an account whose services an endpoints.json describes, as the local Azure writes it."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from activity import vault
from activity.models import Account, Credential
from dashboard.watching import watch
from pools.models import Registry, StorageAccount

SLUG = "zoobatch"
LOGIN_SERVER = "zoobatch.azurecr.io"


def connect(endpoints: Mapping[str, Mapping[str, Any]]) -> Account:
    """Return the account, its registry and storage brought up to date with where they are now and how they are opened.

    It may be changed from the start: unlike a real account it costs nobody anything.
    """
    batch, registry, identity, blob = (endpoints[name] for name in ("batch", "registry", "identity", "blob"))
    with transaction.atomic():
        account = Account.objects.filter(slug=SLUG).first() or Account(
            slug=SLUG, name="Local Azure", badge=Account.Badge.LOCAL, mode=Account.Mode.FULL, region="uksouth"
        )
        account.batch_account, account.batch_endpoint = batch["account"], batch["url"]
        account.credential_mode = Account.CredentialMode.CLIENT_SECRET
        account.tenant_id, account.client_id = identity["tenant"], identity["client_id"]
        account.credential = _credential("local Azure: application", identity["client_secret"])
        account.full_clean(exclude=["batch_endpoint"])
        account.save()
        Registry.objects.update_or_create(
            account=account,
            login_server=LOGIN_SERVER,
            defaults={
                "endpoint": registry["url"],
                "credential": _credential(
                    "local Azure: registry", registry["password"], registry["username"]
                ),
                "is_default": True,
            },
        )
        StorageAccount.objects.update_or_create(
            account=account,
            name=blob["account"],
            defaults={
                "endpoint": blob["url"],
                "credential": _credential("local Azure: storage", blob["key"]),
                "is_default": True,
            },
        )
        watch(account, now=timezone.now())
    return account


def _credential(name: str, secret: str, username: str = "") -> Credential:
    """Return the credential of this name with this secret."""
    credential = Credential.objects.filter(name=name).first() or Credential(name=name)
    credential.username = username
    vault.seal(credential, secret)
    credential.save()
    return credential
