"""Accounts, credentials, roles, operations and sync in Django's admin; what is observed is read-only there."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

from activity import ledger, roles, targets, vault
from activity.forms import ReasonForm
from activity.models import Account, Credential, Membership, Operation, Revision, SyncRun, SyncTarget
from activity.paging import COUNT_LIMIT
from activity.refusals import Refused
from cloud import redaction

MOST_AT_ONCE = 100
"""How many things one action may be confirmed for: as many as a page lists."""


class CappedPaginator(Paginator):
    """Pages whose number is not worth counting millions of rows; what lies beyond is found by searching."""

    @cached_property
    def count(self) -> int:
        """How many rows there are, at most as many as pages count anywhere."""
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNT_LIMIT].count())


class AccountFilter(admin.RelatedFieldListFilter):
    """Accounts to narrow a list down to: those in which the user has a role."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[Any]:
        """Return the accounts that may be chosen."""
        visible = {"pk__in": roles.accounts_for(request.user)}
        return list(field.get_choices(include_blank=False, limit_choices_to=visible))


class WordFilter(admin.SimpleListFilter):
    """The words that a column is known to hold: finding them in millions of rows would read them all."""

    words: tuple[str, ...] = ()

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        """Offer the known words."""
        return [(word, word) for word in self.words]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[models.Model]
    ) -> models.QuerySet[models.Model]:
        """Keep the rows that hold the chosen word."""
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class ListAdmin(admin.ModelAdmin):
    """Lists that stay quick however long they are, and show people only the accounts they have a role in.

    `account_path` leads from a row to its account; it is empty where rows belong to no account.
    """

    account_path = ""
    paginator = CappedPaginator
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Leave out the rows of accounts in which the user has no role."""
        rows = super().get_queryset(request)
        if not self.account_path or getattr(request.user, "is_superuser", False):
            return rows
        return rows.filter(**{f"{self.account_path}__in": roles.accounts_for(request.user)})

    def ask_each(
        self,
        request: HttpRequest,
        rows: Iterable[models.Model],
        wish: str,
        ask: Callable[..., object],
        **values: Any,
    ) -> None:
        """Call an operation for each row and say how each went; one that is refused keeps no other back."""
        for row in rows:
            try:
                ask(row, actor=request.user, now=timezone.now(), **values)
            except Refused as refused:
                self.message_user(request, f"{row}: {refused.message}", messages.ERROR)
            except ValidationError as error:
                self.message_user(request, f"{row}: {' '.join(error.messages)}", messages.ERROR)
            else:
                self.message_user(request, f"{wish} of {row} is asked for.", messages.SUCCESS)

    def confirm(
        self,
        request: HttpRequest,
        queryset: models.QuerySet[Any],
        wish: str,
        ask: Callable[..., object],
        *,
        consequence: str,
    ) -> TemplateResponse | None:
        """Name what an action would change and ask for a reason; once that is sent, ask for each."""
        rows = list(queryset[: MOST_AT_ONCE + 1])
        if len(rows) > MOST_AT_ONCE:
            text = f"Choose at most {MOST_AT_ONCE} at once; nothing was asked for."
            self.message_user(request, text, messages.ERROR)
            return None
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            self.ask_each(request, rows, wish, ask, reason=form.cleaned_data["reason"])
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": f"{wish} of {len(rows)} {self.opts.verbose_name if len(rows) == 1 else self.opts.verbose_name_plural}",
            "opts": self.opts,
            "rows": rows,
            "wish": wish,
            "consequence": consequence,
            "form": form,
            "action": request.POST["action"],
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        status = 422 if form.errors else 200
        return TemplateResponse(request, "admin/confirm_action.html", context, status=status)


class ObservedAdmin(ListAdmin):
    """Shows rows that only the system writes; changes happen through actions alone.

    JSON is masked once more, but for the columns in `unmasked`: they name secrets and hold none.
    """

    account_path = "account"
    unmasked: tuple[str, ...] = ()

    def get_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[Any]:
        """Show every column, also those that no form may ever write."""
        left_out = self.exclude or ()
        columns = [column for column in self.opts.concrete_fields if column.name not in left_out]
        return [
            self._as_json(column) if isinstance(column, models.JSONField) else column.name
            for column in columns
        ]

    def _as_json(self, column: models.Field) -> Callable[[models.Model], SafeString | None]:
        name = column.name

        @admin.display(description=str(column.verbose_name))
        def shown(row: models.Model) -> SafeString | None:
            """Write a value over several lines."""
            value = getattr(row, name)
            return pretty(value if name in self.unmasked else redaction.mask_structure(value))

        shown.__name__ = name
        return shown

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds what is observed."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody changes what is observed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Nobody deletes what is observed; retention does."""
        return False


def pretty(value: Any) -> SafeString | None:
    """Write JSON as people read it; None when there is nothing to show."""
    if value in (None, "", [], {}):
        return None
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


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
    list_filter = ("state", "kind", "verb", ("account", AccountFilter))
    list_select_related = ("account",)
    search_fields = ("subject", "actor_name", "uuid", "error_code")
    actions = ("cancel",)

    @admin.action(description="Cancel the selected operations", permissions=["view"])
    def cancel(self, request: HttpRequest, queryset: models.QuerySet[Operation]) -> None:
        """Ask each to stop; what has ended already says so."""
        self.ask_each(request, queryset.select_related("account"), "Cancellation", ledger.cancel)


@admin.register(SyncTarget)
class SyncTargetAdmin(ObservedAdmin):
    """What is read from Azure, how often, and how it went."""

    list_display = (
        "account", "kind", "subject", "is_active", "interval", "next_due_at", "last_succeeded_at", "failures",
    )  # fmt: skip
    list_filter = ("is_active", "kind", ("account", AccountFilter))
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
    list_filter = ("state", "kind", ("account", AccountFilter))
    list_select_related = ("account",)
    search_fields = ("subject", "error_code", "error")


@admin.register(Revision)
class RevisionAdmin(ObservedAdmin):
    """How often each topic has changed."""

    list_display = ("account", "topic", "number")
    list_filter = (("account", AccountFilter),)
    list_select_related = ("account",)
    search_fields = ("topic",)
