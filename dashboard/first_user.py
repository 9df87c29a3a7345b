"""The user that a demo starts with."""

import secrets

from django.contrib.auth.models import User
from django.db import transaction

NAME = "admin"


def ensure_first_user() -> str | None:
    """Make the first user if there is none at all, and return the password that nobody will see again; else None."""
    with transaction.atomic():
        if User.objects.exists():
            return None
        password = secrets.token_urlsafe(12)
        User.objects.create_superuser(NAME, password=password)
    return password
