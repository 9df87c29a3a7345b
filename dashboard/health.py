"""Is it alive, is it ready: JSON for whoever watches."""

from datetime import datetime
from functools import cache

from celery import current_app
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from activity.models import SyncTarget

OK = "ok"


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that this process serves; asks nothing of anything else."""
    return JsonResponse({"status": OK})


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether database, broker and first sync are good (200) or not yet (503); the sync's age is information."""
    checks = {"database": check_database(), "broker": check_broker()}
    body: dict[str, object] = {}
    if checks["database"] == OK:
        checks["first_sync"], age = check_sync(timezone.now())
        body["sync_age_seconds"] = age
    is_ready = all(found == OK for found in checks.values())
    body = {"status": "ready" if is_ready else "not ready", "checks": checks, **body}
    response = JsonResponse(body, status=200 if is_ready else 503)
    # Asked every few seconds while things start: not yet is an answer, not an error for the log.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def check_database() -> str:
    """Return ok, or in a few words what is wrong with the database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        require_migrated()
    except MigrationsWait:
        return "migrations are waiting"
    except DatabaseError:
        return "unreachable"
    return OK


class MigrationsWait(Exception):
    """The database is older than the code."""


@cache
def require_migrated() -> None:
    """Raise MigrationsWait until every migration is applied; asked no more once it is so."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise MigrationsWait


def check_broker() -> str:
    """Return ok, or unreachable when no connection is had within two seconds."""
    try:
        with current_app.connection_for_write(connect_timeout=2) as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=2)
            broker.channel()
    except Exception:  # each transport raises its own errors
        return "unreachable"
    return OK


def check_sync(now: datetime) -> tuple[str, int | None]:
    """Return whether every account has been read once, and in seconds how old the oldest of its fast readings is."""
    # Account-wide targets have no subject; the slow lanes (all jobs, node images) say nothing about freshness.
    rows = SyncTarget.objects.filter(is_active=True, subject="").values_list(
        "last_succeeded_at", "max_interval"
    )
    targets = list(rows)
    ages = [(now - at).total_seconds() for at, interval in targets if at is not None and interval <= 60]
    is_read = all(at is not None for at, _ in targets) and (bool(targets) or not settings.IS_DEMO)
    return OK if is_read else "waiting", round(max(ages)) if ages else None
