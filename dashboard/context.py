"""What every page's frame shows: the account, where one can go, and how old the data is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from activity import roles
from activity.models import Account
from activity.pages import RANK, Role
from dashboard.freshness import freshness

# Page, label, word on a small screen, icon, and the heading that begins there.
PLACES = [
    ("overview", "Overview", "Overview", "layout-dashboard", ""),
    ("pool_list", "Pools", "Pools", "server-2", ""),
    ("job_list", "Jobs", "Jobs", "stack-2", ""),
    ("job_new", "Submit job", "Submit", "rocket", ""),
    ("operation_list", "Operations", "Operations", "history", "Operate"),
]


@dataclass(frozen=True)
class NavigationItem:
    """One place to go; `short` is its word on a small screen."""

    label: str
    short: str
    icon: str
    url: str
    is_current: bool
    starts_group: str = ""


def shell(request: HttpRequest) -> dict[str, Any]:
    """Give templates what the frame of a page needs; pages without an account get an empty frame."""
    account: Account | None = getattr(request, "account", None)
    if account is None or not request.user.is_authenticated:
        return {}
    rank = RANK[getattr(request, "role", Role.VIEWER)]
    may_change = not account.is_observe_only
    can_submit = may_change and rank >= RANK[Role.SUBMITTER]
    is_part = request.headers.get("HX-Request") == "true"
    frame: dict[str, Any] = {
        "account": account,
        "role": getattr(request, "role", ""),
        "can_submit": can_submit,
        "can_operate": may_change and rank >= RANK[Role.OPERATOR],
    }
    if is_part:
        return frame
    return frame | {
        "account_line": ", ".join(part for part in (account.region, account.get_badge_display()) if part),
        "other_accounts": roles.accounts_for(request.user).exclude(pk=account.pk),
        "navigation": list(navigation(request, account, can_submit=can_submit)),
        "freshness": freshness(account, now=timezone.now()),
    }


def navigation(request: HttpRequest, account: Account, *, can_submit: bool) -> Iterator[NavigationItem]:
    """Yield the places of an account that this user can go to."""
    here = request.resolver_match.url_name if request.resolver_match else ""
    current = place_of(here or "")
    for name, label, short, icon, group in PLACES:
        if name != "job_new" or can_submit:
            yield NavigationItem(
                label, short, icon, reverse(name, args=[account.slug]), name == current, group
            )


def place_of(page: str) -> str:
    """Return the place of the navigation that a page belongs to; pages are named after their nouns."""
    if page in {"job_new", "job_create"}:
        return "job_new"
    for beginning, place in (
        ("pool_", "pool_list"),
        ("node_", "pool_list"),
        ("job_", "job_list"),
        ("task_", "job_list"),
    ):
        if page.startswith(beginning):
            return place
    return "operation_list" if page.startswith("operation_") else page
