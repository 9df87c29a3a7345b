"""Rows that stand for the local Azure which tests speak to."""

from typing import Any

from activity import vault
from activity.models import Account, Credential


def make_live_account(emulator: dict[str, Any]) -> Account:
    """Make an account that the emulator answers for, opened by its key."""
    key = Credential(name="the local Batch key")
    vault.seal(key, emulator["batch"]["key"])
    key.save()
    return Account.objects.create(
        slug="live",
        name="Live",
        mode=Account.Mode.FULL,
        badge=Account.Badge.LOCAL,
        batch_account=emulator["batch"]["account"],
        batch_endpoint=emulator["batch"]["url"],
        credential_mode=Account.CredentialMode.SHARED_KEY,
        credential=key,
    )
