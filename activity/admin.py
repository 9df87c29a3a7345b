"""Accounts, credentials, roles, operations and sync in Django's admin; what is observed is read-only there."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.utils import timezone

from activity import ledger, targets, vault
from activity.models import Account, Credential, Membership, Operation, Revision, SyncRun, SyncTarget
from activity.refusals import Refused


class ObservedAdmin(admin.ModelAdmin):
    """Shows rows that only the system writes; changes happen through actions alone."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds what is observed."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody changes what is observed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody deletes what is observed; retention does."""
        return False


class CredentialForm(forms.ModelForm):
    """A credential whose secret is typed in and never shown again."""

    secret = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Only for a credential encrypted here. It is never shown; empty keeps what is stored.",
    )

    class Meta:
        model = Credential
        fields = ("name", "username", "source", "secret", "reference")

    def clean(self) -> dict[str, Any]:
        """Ask for exactly what the source needs."""
        found = super().clean() or self.cleaned_data
        is_encrypted = found.get("source") == Credential.Source.ENCRYPTED
        if is_encrypted and not found.get("secret") and not self.instance.sealed:
            raise ValidationError({"secret": "Type in the secret."})
        if is_encrypted and found.get("reference"):
            raise ValidationError({"reference": "Only for a variable or a file; leave it empty."})
        if not is_encrypted and not found.get("reference"):
            raise ValidationError({"reference": "Name the variable or the file."})
        if not is_encrypted:
            self.instance.sealed = ""
        elif found.get("secret"):
            vault.seal(self.instance, found["secret"])
        return found


@admin.register(Credential)
class CredentialAdmin(admin.ModelAdmin):
    """Secrets: written, never read."""

    form = CredentialForm
    list_display = ("name", "source", "username", "reference", "updated_at")
    list_filter = ("source",)
    search_fields = ("name", "username", "reference")


class MembershipInline(admin.TabularInline):
    """Who may do what in the account shown."""

    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Account)
class AccountAdmin(admin.ModelAdmin):
    """Batch accounts: where they are, how we prove who we are, and whether we may change anything."""

    list_display = ("slug", "name", "badge", "mode", "region", "batch_account", "credential_mode")
    list_filter = ("mode", "badge", "credential_mode")
    search_fields = ("slug", "name", "batch_account", "batch_endpoint")
    autocomplete_fields = ("credential",)
    inlines = (MembershipInline,)


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    """Roles, per account or everywhere."""

    list_display = ("user", "account", "role", "created_at")
    list_filter = ("role", "account")
    list_select_related = ("user", "account")
    search_fields = ("user__username", "account__slug")
    autocomplete_fields = ("user", "account")


@admin.register(Operation)
class OperationAdmin(ObservedAdmin):
    """The audit log and queue."""

    list_display = (
        "requested_at",
        "account",
        "verb",
        "kind",
        "subject",
        "asked_by",
        "state",
        "attempts",
        "error_code",
    )
    list_filter = ("state", "kind", "verb", "account")
    list_select_related = ("account",)
    search_fields = ("subject", "actor_name", "uuid", "error_code")
    actions = ("cancel",)
    show_full_result_count = False

    @admin.action(description="Cancel the selected operations", permissions=["view"])
    def cancel(self, request: HttpRequest, queryset: models.QuerySet[Operation]) -> None:
        """Ask each to stop; what has ended already says so."""
        assert isinstance(request.user, User)
        for operation in queryset.select_related("account"):
            try:
                ledger.cancel(operation, actor=request.user, now=timezone.now())
            except Refused as refused:
                self.message_user(request, f"{operation}: {refused.message}", messages.WARNING)


@admin.register(SyncTarget)
class SyncTargetAdmin(ObservedAdmin):
    """What is read from Azure, how often, and how it went."""

    list_display = (
        "account", "kind", "subject", "is_active", "interval", "next_due_at", "last_succeeded_at", "failures",
    )  # fmt: skip
    list_filter = ("is_active", "kind", "account")
    list_select_related = ("account",)
    search_fields = ("subject", "last_error")
    actions = ("read_now",)

    @admin.action(description="Read the selected targets now", permissions=["view"])
    def read_now(self, request: HttpRequest, queryset: models.QuerySet[SyncTarget]) -> None:
        """Make each due at once."""
        for target in queryset.select_related("account"):
            targets.pull_now(target, now=timezone.now())


@admin.register(SyncRun)
class SyncRunAdmin(ObservedAdmin):
    """Each reading: how much it saw and changed."""

    list_display = (
        "started_at",
        "account",
        "kind",
        "subject",
        "state",
        "seen",
        "created",
        "changed",
        "vanished",
        "error_code",
    )
    list_filter = ("state", "kind", "account")
    list_select_related = ("account",)
    search_fields = ("subject", "error_code", "error")
    show_full_result_count = False


@admin.register(Revision)
class RevisionAdmin(ObservedAdmin):
    """How often each topic has changed."""

    list_display = ("account", "topic", "number")
    list_filter = ("account",)
    list_select_related = ("account",)
    search_fields = ("topic",)
