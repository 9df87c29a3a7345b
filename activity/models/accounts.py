"""Batch accounts, the secrets they need, and who may do what in them."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, URLValidator
from django.db import models
from django.db.models import Q

RESERVED_SLUGS = frozenset(
    [
        "accounts",
        "activity",
        "admin",
        "api",
        "docs",
        "healthz",
        "jobs",
        "login",
        "logout",
        "metrics",
        "pools",
        "prediction",
        "readyz",
        "static",
        "training",
    ]
)


def validate_slug_is_free(slug: str) -> None:
    """Refuse the first path segments that are taken by other pages."""
    if slug in RESERVED_SLUGS:
        raise ValidationError(
            f"“{slug}” is the address of another page; choose another name.", code="reserved"
        )


class Credential(models.Model):
    """One secret: encrypted here, or a reference to where it is kept. The value is never shown again."""

    class Source(models.TextChoices):
        """Where the value is."""

        ENCRYPTED = "encrypted", "encrypted in the database"
        ENV = "env", "environment variable"
        FILE = "file", "file"

    name = models.CharField(max_length=100, unique=True)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.ENCRYPTED)
    username = models.CharField(
        max_length=200,
        blank=True,
        help_text="User or client id that goes with the secret, where there is one.",
    )
    reference = models.CharField(
        max_length=500, blank=True, help_text="Name of the environment variable, or path of the file."
    )
    sealed = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="credential_is_one_kind",
                condition=Q(source="encrypted", reference="") | (~Q(source="encrypted") & Q(sealed="")),
                violation_error_message="A credential is either encrypted here or a reference, not both.",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Account(models.Model):
    """A Batch account: the authority for where it is and how we prove who we are."""

    class Mode(models.TextChoices):
        """Whether we may change anything in it."""

        OBSERVE = "observe", "observe only"
        FULL = "full", "full"

    class Badge(models.TextChoices):
        """What kind of account it is, so that nobody mistakes one for the other."""

        PRODUCTION = "production", "production"
        STAGING = "staging", "staging"
        LOCAL = "local", "local"

    class CredentialMode(models.TextChoices):
        """How we prove who we are."""

        DEFAULT = "default", "identity of this machine"
        CLIENT_SECRET = "client_secret", "Entra application with a secret"
        MANAGED_IDENTITY = "managed_identity", "managed identity"
        SHARED_KEY = "shared_key", "account key"

    slug = models.SlugField(max_length=50, unique=True, validators=[validate_slug_is_free])
    name = models.CharField(max_length=100)
    badge = models.CharField(max_length=12, choices=Badge.choices, default=Badge.PRODUCTION)
    region = models.CharField(max_length=50, blank=True, help_text="Azure's name, such as uksouth.")
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.OBSERVE)

    batch_account = models.CharField(
        max_length=24,
        validators=[RegexValidator(r"^[a-z0-9]{3,24}\Z", "3 to 24 lower-case letters and digits.")],
        help_text="The Batch account's own name.",
    )
    batch_endpoint = models.CharField(
        max_length=200,
        validators=[URLValidator(schemes=["https"])],
        help_text="Such as https://zoobatch.uksouth.batch.azure.com.",
    )
    credential_mode = models.CharField(
        max_length=20, choices=CredentialMode.choices, default=CredentialMode.DEFAULT
    )
    tenant_id = models.CharField(max_length=100, blank=True)
    client_id = models.CharField(max_length=100, blank=True)
    credential = models.ForeignKey(
        Credential,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The client secret or the account key, as the mode needs it.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                name="account_has_its_secret",
                condition=~Q(credential_mode__in=["client_secret", "shared_key"])
                | Q(credential__isnull=False),
                violation_error_message="This credential mode needs a credential.",
            ),
            models.CheckConstraint(
                name="account_names_its_application",
                condition=~Q(credential_mode="client_secret") | (~Q(tenant_id="") & ~Q(client_id="")),
                violation_error_message="An Entra application needs a tenant id and a client id.",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.slug

    @property
    def is_observe_only(self) -> bool:
        """Whether every change is refused here."""
        return self.mode == self.Mode.OBSERVE


class Membership(models.Model):
    """A role of a user in one account, or in all of them (account empty)."""

    class Role(models.TextChoices):
        """Each role may do what those before it may."""

        VIEWER = "viewer", "viewer"
        SUBMITTER = "submitter", "submitter"
        OPERATOR = "operator", "operator"
        ADMIN = "admin", "admin"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    account = models.ForeignKey(
        Account,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="memberships",
        help_text="Empty means every account.",
    )
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["user", "account"]
        constraints = [
            # Two constraints, because a database counts each empty account as different from every other.
            models.UniqueConstraint(
                fields=["user", "account"],
                name="one_role_per_user_and_account",
                violation_error_message="This user already has a role there.",
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(account__isnull=True),
                name="one_role_per_user_in_every_account",
                violation_error_message="This user already has a role in every account.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role} of {self.account or 'every account'}"
