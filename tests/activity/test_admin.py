"""In the admin, secrets are written and never shown, and what is observed changes only through actions."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin as site
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from activity import gateways, ledger
from activity.models import Account, Credential, Operation, SyncTarget

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client, admin: User) -> Client:
    """Return a client signed in as a superuser."""
    client.force_login(admin)
    return client


def test_a_secret_is_typed_in_stored_encrypted_and_never_shown(browser: Client) -> None:
    typed = {
        "name": "acr",
        "source": "encrypted",
        "username": "puller",
        "secret": " hunter22 ",
        "reference": "",
    }
    assert browser.post(reverse("admin:activity_credential_add"), typed).status_code == 302
    credential = Credential.objects.get()
    assert gateways.reveal(credential) == " hunter22 "
    page = browser.get(reverse("admin:activity_credential_change", args=[credential.pk])).content.decode()
    assert "hunter22" not in page
    assert credential.sealed not in page
    browser.post(
        reverse("admin:activity_credential_change", args=[credential.pk]),
        typed | {"secret": "", "username": "x"},
    )
    credential.refresh_from_db()
    assert (credential.username, gateways.reveal(credential)) == ("x", " hunter22 ")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"secret": ""}, "Type in the secret"),
        ({"source": "env", "secret": ""}, "Name the variable or the file"),
        ({"reference": "X"}, "leave it empty"),
    ],
)
def test_a_credential_asks_for_what_its_source_needs(
    browser: Client, changes: dict[str, str], complaint: str
) -> None:
    typed = {"name": "acr", "source": "encrypted", "username": "", "secret": "s", "reference": "", **changes}
    answer = browser.post(reverse("admin:activity_credential_add"), typed)
    assert complaint in answer.content.decode()
    assert not Credential.objects.exists()


def test_changing_to_a_reference_forgets_the_stored_secret(browser: Client) -> None:
    typed = {"name": "acr", "source": "encrypted", "username": "", "secret": "s", "reference": ""}
    browser.post(reverse("admin:activity_credential_add"), typed)
    credential = Credential.objects.get()
    browser.post(
        reverse("admin:activity_credential_change", args=[credential.pk]),
        typed | {"source": "env", "secret": "", "reference": "ZOOBATCH_CREDENTIAL_ACR"},
    )
    credential.refresh_from_db()
    assert (credential.source, credential.sealed) == ("env", "")


@pytest.mark.parametrize("model", ["operation", "synctarget", "syncrun", "revision"])
def test_what_is_observed_cannot_be_added_changed_or_deleted(
    browser: Client, account: Account, model: str
) -> None:
    assert browser.get(reverse(f"admin:activity_{model}_add")).status_code == 403
    assert browser.get(reverse(f"admin:activity_{model}_changelist")).status_code == 200


def test_actions_go_through_the_ledger_and_the_targets(
    browser: Client, admin: User, account: Account
) -> None:
    now = timezone.now()
    operation = ledger.request(
        "create", "pool", "gpu", account=account, actor=admin, task_name="t", payload={}, now=now
    )
    where = reverse("admin:activity_operation_changelist")
    for _ in range(2):
        answer = browser.post(where, {"action": "cancel", "_selected_action": [operation.pk]}, follow=True)
    assert "already come to an end" in answer.content.decode()
    assert Operation.objects.get().state == Operation.State.CANCELLED
    target = SyncTarget.objects.create(account=account, kind="pools", next_due_at=now + timedelta(hours=1))
    where = reverse("admin:activity_synctarget_changelist")
    browser.post(where, {"action": "read_now", "_selected_action": [target.pk]})
    target.refresh_from_db()
    assert target.hurried_at is not None


def test_every_model_is_registered_with_list_filters_and_search() -> None:
    for model in apps.get_app_config("activity").get_models():
        registered = site.site._registry[model]
        assert registered.list_display != ("__str__",), model
        assert registered.list_filter, model
        assert registered.search_fields, model


def test_the_admin_runs_under_the_strict_policy(browser: Client) -> None:
    page = browser.get(reverse("admin:activity_account_changelist"))
    html: Any = page.content.decode()
    assert not re.search(r"<script(?![^>]*(src=|application/json))", html)
    assert 'style="' not in html
