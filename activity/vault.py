"""Seal secrets for the database; only gateways.py opens them again."""

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from activity.models import Credential


def fernet() -> MultiFernet:
    """Return the cipher under settings.ZOOBATCH_SECRET_KEYS: the first key seals, every key opens."""
    try:
        return MultiFernet([Fernet(key) for key in settings.ZOOBATCH_SECRET_KEYS])
    except ValueError as error:
        raise ImproperlyConfigured(f"ZOOBATCH_SECRET_KEYS must hold Fernet keys: {error}") from error


def seal(credential: Credential, secret: str) -> None:
    """Put a secret into a credential, encrypted; the caller saves it."""
    credential.source = Credential.Source.ENCRYPTED
    credential.reference = ""
    credential.sealed = fernet().encrypt(secret.encode()).decode()
