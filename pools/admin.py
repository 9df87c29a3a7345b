"""Pools, nodes and the catalogue in Django's admin; pools change only through the actions, as pages change them."""

import re
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from activity import roles
from activity.admin import AccountFilter, ListAdmin, ObservedAdmin
from activity.models import Account
from activity.roles import Role
from pools import operations
from pools.models import (
    Image,
    Node,
    Pool,
    PoolRevision,
    Registry,
    Repository,
    StorageAccount,
    StorageMount,
    VmImage,
    VmSize,
)

GONE = ("deleted_at", admin.EmptyFieldListFilter)
"""Splits rows into those that Azure still has (empty) and those that it has not."""


@admin.display(description="status")
def status(row: Any) -> str:
    """Say a row's combined state in the word that pages use."""
    word: str = row.badge.word
    return word


class SettingAdmin(ListAdmin):
    """What an account's admins set: where something is, and the credential that opens it."""

    account_path = "account"
    autocomplete_fields = ("credential",)
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only admins of the account change it."""
        return super().has_change_permission(request, obj) and self._is_theirs(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only admins of the account delete it."""
        return super().has_delete_permission(request, obj) and self._is_theirs(request, obj)

    def _is_theirs(self, request: HttpRequest, obj: Any) -> bool:
        return obj is None or roles.can(request.user, obj.account, Role.ADMIN)

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        """Keep it in its account: pools, mounts and images refer to it there."""
        return ("account",) if obj else ()

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Offer only accounts that the user is an admin of."""
        if db_field.name == "account":
            theirs = [
                account.pk
                for account in roles.accounts_for(request.user)
                if roles.can(request.user, account, Role.ADMIN)
            ]
            kwargs["queryset"] = Account.objects.filter(pk__in=theirs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


@admin.register(Registry)
class RegistryAdmin(SettingAdmin):
    """Container registries: where they are and who pulls from them."""

    list_display = ("login_server", "account", "endpoint", "credential", "is_default")
    list_filter = ("is_default", ("account", AccountFilter))
    list_select_related = ("account", "credential")
    search_fields = ("login_server", "endpoint", "account__slug")
    ordering = ("login_server", "pk")
    actions = ("read_now",)

    @admin.action(description="Read the selected registries now", permissions=["view"])
    def read_now(self, request: HttpRequest, queryset: models.QuerySet[Registry]) -> None:
        """Ask for a fresh reading of each."""
        self.ask_each(request, queryset, "Reading", operations.refresh_registry)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, set[str], Any]:
        """Let the observed repositories and images go with their registry; by themselves nobody deletes them."""
        shown, counts, lacking, protected = super().get_deleted_objects(objs, request)
        mirrored = {str(model._meta.verbose_name) for model in (Repository, Image)}
        return shown, counts, {name for name in lacking if name not in mirrored}, protected


@admin.register(StorageAccount)
class StorageAccountAdmin(SettingAdmin):
    """Storage accounts: where they are and the key that nodes mount with."""

    list_display = ("name", "account", "endpoint", "credential", "is_default")
    list_filter = ("is_default", ("account", AccountFilter))
    list_select_related = ("account", "credential")
    search_fields = ("name", "endpoint", "account__slug")
    ordering = ("name", "pk")


@admin.register(Repository)
class RepositoryAdmin(ObservedAdmin):
    """Repositories as registries show them."""

    account_path = "registry__account"
    exclude = ("synced_hash",)
    list_display = ("name", "registry", "tag_count", "manifest_count", "last_updated_on", "deleted_at")
    list_filter = (GONE, ("registry__account", AccountFilter))
    list_select_related = ("registry",)
    search_fields = ("name", "registry__login_server")
    ordering = ("name", "pk")


@admin.register(Image)
class ImageAdmin(ObservedAdmin):
    """Tags, the digests they point at, and what the images say of themselves."""

    account_path = "repository__registry__account"
    exclude = ("synced_hash",)
    list_display = (
        "__str__",
        "registry",
        "short_digest",
        "platform",
        "cuda_version",
        "moved_at",
        "deleted_at",
    )
    list_filter = (GONE, "architecture", "cuda_version", ("repository__registry__account", AccountFilter))
    list_select_related = ("repository__registry",)
    search_fields = ("repository__name", "tag", "digest")
    ordering = ("repository__name", "-last_updated_on", "pk")

    @admin.display(ordering="repository__registry__login_server")
    def registry(self, image: Image) -> str:
        """Name the registry that it is in."""
        return image.repository.registry.login_server


class VmSizeForm(forms.ModelForm):
    """A VM size whose GPUs can be counted."""

    class Meta:
        model = VmSize
        fields = "__all__"  # noqa: DJ007  (the catalogue is curated here, every column of it)

    def clean_gpu_count(self) -> str:
        """Take a whole number or a share, since pages reckon with it."""
        count: str = self.cleaned_data["gpu_count"].strip()
        if count and not re.fullmatch(r"[1-9][0-9]*(/[1-9][0-9]*)?", count, re.ASCII):
            raise ValidationError("Give a whole number, or a share such as 1/6.", code="gpu_count")
        return count

    def clean(self) -> dict[str, Any]:
        """A count of GPUs without a GPU would hide the size from those who look for one."""
        found = super().clean() or self.cleaned_data
        if found.get("gpu_count") and not found.get("has_gpu"):
            raise ValidationError({"has_gpu": "A size with a number of GPUs has a GPU."})
        return found


@admin.register(VmSize)
class VmSizeAdmin(ListAdmin):
    """The list of VM sizes, which comes with the product and can be put right here."""

    form = VmSizeForm
    list_display = (
        "name", "family", "gpu_text", "vcpus", "memory_gib", "driver", "retirement_date", "sourced_on",
    )  # fmt: skip
    list_filter = ("has_gpu", "driver", "needs_generation_2", "gpu_model", "family")
    search_fields = ("name", "family", "gpu_model", "note")
    ordering = ("family", "vcpus", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        """Keep Azure's name, which pools are made with."""
        return ("name",) if obj else ()


@admin.register(VmImage)
class VmImageAdmin(ObservedAdmin):
    """Operating systems of nodes, as Batch offers them."""

    exclude = ("synced_hash",)
    list_display = (
        "__str__", "account", "node_agent_sku_id", "os_type", "verification_type", "is_container_capable",
        "batch_support_end_of_life", "deleted_at",
    )  # fmt: skip
    list_filter = (
        GONE, "os_type", "is_container_capable", "verification_type", "publisher", ("account", AccountFilter),
    )  # fmt: skip
    list_select_related = ("account",)
    search_fields = ("publisher", "offer", "sku", "node_agent_sku_id")
    ordering = ("publisher", "offer", "-sku", "pk")


@admin.register(Pool)
class PoolAdmin(ObservedAdmin):
    """Pools: what was asked for and what Azure shows."""

    exclude = ("synced_hash", "batch_id_lower")
    list_display = (
        "batch_id", "account", "title", status, "size_name", "current_nodes", "target_nodes", "is_ours",
        "created_at", "deleted_at",
    )  # fmt: skip
    list_filter = (GONE, "is_ours", "state", "allocation_state", "is_autoscaled", ("account", AccountFilter))
    list_select_related = ("account", "size")
    search_fields = ("batch_id", "title", "display_name", "container_image", "vm_size")
    ordering = ("batch_id", "pk")
    actions = ("resize_to_zero", "delete_pools", "read_now")

    def view_on_site(self, pool: Pool) -> str:
        """Return the address of its page."""
        return reverse("pool_detail", args=[pool.account.slug, pool.batch_id])

    @admin.action(description="Resize the selected pools to zero nodes …", permissions=["view"])
    def resize_to_zero(
        self, request: HttpRequest, queryset: models.QuerySet[Pool]
    ) -> TemplateResponse | None:
        """Ask that each gives its nodes back, once that is confirmed."""
        return self.confirm(
            request,
            queryset,
            "Resize to zero nodes",
            partial(operations.resize_pool, dedicated=0, low_priority=0),
            consequence="These pools give all their nodes back; tasks that run there are queued again.",
        )

    @admin.action(description="Delete the selected pools …", permissions=["view"])
    def delete_pools(self, request: HttpRequest, queryset: models.QuerySet[Pool]) -> TemplateResponse | None:
        """Ask for each one's end, once that is confirmed."""
        return self.confirm(
            request,
            queryset,
            "Deletion",
            operations.delete_pool,
            consequence="These pools and their nodes are deleted in Azure; tasks that run there are queued again.",
        )

    @admin.action(description="Read the selected pools now", permissions=["view"])
    def read_now(self, request: HttpRequest, queryset: models.QuerySet[Pool]) -> None:
        """Ask for a fresh reading of each and of its nodes."""
        self.ask_each(request, queryset, "Reading", _refresh)


def _refresh(pool: Pool, **asked: Any) -> None:
    operations.refresh_pools(pool.account, **asked)
    operations.refresh_nodes(pool, **asked)


@admin.register(PoolRevision)
class PoolRevisionAdmin(ObservedAdmin):
    """What was asked of pools, and when."""

    account_path = "pool__account"
    list_display = ("pool", "number", "made_at", "made_by", "reason")
    list_filter = ("made_at", ("pool__account", AccountFilter))
    list_select_related = ("pool", "made_by")
    search_fields = ("pool__batch_id", "reason", "made_by__username")
    ordering = ("-pk",)


@admin.register(StorageMount)
class StorageMountAdmin(ObservedAdmin):
    """Containers that pools mount: chosen when a pool is made."""

    account_path = "pool__account"
    list_display = ("pool", "storage", "container_name", "relative_mount_path")
    list_filter = ("storage", ("pool__account", AccountFilter))
    list_select_related = ("pool", "storage")
    search_fields = ("pool__batch_id", "container_name", "relative_mount_path")
    ordering = ("pool__batch_id", "pk")


@admin.register(Node)
class NodeAdmin(ObservedAdmin):
    """Nodes as Azure shows them."""

    account_path = "pool__account"
    exclude = ("synced_hash",)
    list_display = (
        "batch_id", "pool", status, "is_dedicated", "running_tasks_count", "total_tasks_run",
        "state_transition_time", "deleted_at",
    )  # fmt: skip
    list_filter = (GONE, "state", "is_dedicated", ("pool__account", AccountFilter))
    list_select_related = ("pool__account",)
    search_fields = ("batch_id", "pool__batch_id", "ip_address")
    ordering = ("pool__batch_id", "batch_id", "pk")
    actions = ("reboot", "reimage")

    @admin.action(description="Reboot the selected nodes …", permissions=["view"])
    def reboot(self, request: HttpRequest, queryset: models.QuerySet[Node]) -> TemplateResponse | None:
        """Ask that each is started again, once that is confirmed."""
        return self.confirm(
            request,
            queryset,
            "Reboot",
            operations.reboot_node,
            consequence="These nodes are started again; tasks that run there are queued again.",
        )

    @admin.action(description="Reimage the selected nodes …", permissions=["view"])
    def reimage(self, request: HttpRequest, queryset: models.QuerySet[Node]) -> TemplateResponse | None:
        """Ask that each one's system is installed anew, once that is confirmed."""
        return self.confirm(
            request,
            queryset,
            "Reimage",
            operations.reimage_node,
            consequence="The system of these nodes is installed anew, their files are lost, and tasks that run there "
            "are queued again.",
        )
