"""Who reaches which address: every one of them is tried."""

import re
import uuid
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from activity.models import Account
from jobs import operations as job_operations
from tests.make import make_job, make_node, make_operation, make_pool, make_task

ANYBODY = {"", "healthz", "readyz", "accounts/login/", "admin/login/"}
"""Open without signing in: the way in (`` leads there), and health."""

OPERATION = uuid.UUID("00000000-0000-4000-8000-000000000001")
SAMPLES = {
    "slug": "zoobot",
    "batch_id": "thing_1",
    "node_id": "node_1",
    "task_id": "task_1",
    "name": "stdout.txt",
    "path": "wd/predictions.json",
    "mark": str(OPERATION),
    "definition": "gpu-check",
}


def patterns(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield every route with its pattern."""
    for entry in resolver.url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from patterns(entry, route)
        else:
            yield route, entry


def address(route: str) -> str:
    """Fill a route's places in."""
    filled = re.sub(r"<(?:\w+:)?(\w+)>", lambda place: SAMPLES.get(place[1], "1"), route)
    return re.sub(r"\(\?P<\w+>[^)]*\)|[\^$]", "1", filled).replace("\\Z", "").replace("\\", "")


ROUTES = dict(patterns(get_resolver()))
PAGES = {route: entry for route, entry in ROUTES.items() if hasattr(entry.callback, "needed_role")}


@pytest.fixture
def things(account: Account, db: None) -> None:
    """Make what the addresses name."""
    pool = make_pool(account, batch_id="thing_1")
    make_node(pool, batch_id="node_1")
    job = make_job(account, batch_id="thing_1", pool=pool)
    make_task(job, batch_id="task_1")
    job.preparations.create(pool_id="thing_1", node_id="node_1", synced_hash="seen")
    make_operation(account, uuid=OPERATION)
    job_operations.install_definitions()


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("route", sorted(ROUTES))
def test_anonymous_people_reach_only_the_way_in_and_health(
    route: str, method: str, things: None, client: Client
) -> None:
    """Every other address leads to a sign-in page."""
    path = address(route)
    response = getattr(client, method)(f"/{path}")
    if path in ANYBODY:
        return
    assert response.status_code == 302, path
    assert response["Location"].startswith(("/accounts/login/", "/admin/login/")), path


@pytest.mark.parametrize("route", sorted(PAGES))
def test_somebody_without_a_role_finds_no_account(
    route: str, things: None, client: Client, outsider: User
) -> None:
    """An account is not even named to people who have no role in it."""
    client.force_login(outsider)
    for method in ("get", "post"):
        assert getattr(client, method)(f"/{address(route)}").status_code in (404, 405), route


@pytest.mark.parametrize("route", sorted(PAGES))
def test_a_role_reaches_what_it_should(
    route: str, things: None, client: Client, viewer: User, submitter: User, operator: User, admin: User
) -> None:
    """A page is open from its role upwards, and closed below."""
    ranks = {"viewer": viewer, "submitter": submitter, "operator": operator, "admin": admin}
    needed = PAGES[route].callback.needed_role  # type: ignore[attr-defined]
    order = list(ranks)
    for role, user in ranks.items():
        client.force_login(user)
        answers = {
            client.get(f"/{address(route)}").status_code,
            client.post(f"/{address(route)}").status_code,
        }
        is_open = order.index(role) >= order.index(needed)
        assert (403 in answers) is not is_open, f"{role} at {route}: {answers}"


def test_every_page_of_an_account_names_the_role_it_needs() -> None:
    """No page below an account's address forgets to ask."""
    bare = [route for route in ROUTES if route.startswith("<slug:slug>/") and route not in PAGES]
    assert bare == []
