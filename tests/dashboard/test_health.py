"""Alive means the process; ready means database, broker and a first reading."""

from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from activity.models import Account, SyncTarget
from dashboard import health


def test_alive_asks_nothing_of_anything_else(client: Client) -> None:
    client.cookies[settings.SESSION_COOKIE_NAME] = "a-session-that-nobody-looks-up"
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_ready_only_after_the_first_reading(client: Client, account: Account) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": "ok", "broker": "ok", "first_sync": "waiting"}
    now = timezone.now()
    SyncTarget.objects.create(account=account, kind="pools", last_succeeded_at=now - timedelta(seconds=40))
    SyncTarget.objects.create(account=account, kind="vm_images", max_interval=86_400, last_succeeded_at=now)
    SyncTarget.objects.create(account=account, kind="nodes", subject="new")
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert 39 <= answer.json()["sync_age_seconds"] <= 45


@pytest.mark.django_db
def test_old_data_does_not_make_it_unready(account: Account) -> None:
    now = timezone.now()
    SyncTarget.objects.create(account=account, kind="pools", last_succeeded_at=now - timedelta(days=2))
    assert health.check_sync(now) == ("ok", 172_800)


@pytest.mark.django_db
def test_a_database_that_is_away_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError("connection refused: password=hunter22")

    monkeypatch.setattr(connection, "cursor", refuse)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "unreachable"
    assert "hunter22" not in answer.content.decode()


@pytest.mark.django_db
def test_waiting_migrations_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    health.require_migrated.cache_clear()
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda self, leaves: ["one"])
    assert health.check_database() == "migrations are waiting"


def test_a_broker_that_is_away_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = current_app.connection_for_write

    def to_nobody(**options: Any) -> Any:
        return connect("redis://127.0.0.1:9/0", **options)

    monkeypatch.setattr(current_app, "connection_for_write", to_nobody)
    begun = timezone.now()
    assert health.check_broker() == "unreachable"
    assert timezone.now() - begun < timedelta(seconds=6)


@pytest.mark.django_db
def test_answers_carry_the_strict_policy(client: Client) -> None:
    policy = client.get("/healthz")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_other_hosts_are_refused(client: Client) -> None:
    assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 400
