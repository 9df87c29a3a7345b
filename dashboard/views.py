"""The overview, the way in, and what is shown when something is wrong."""

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from activity import roles
from activity.models import Operation, SyncTarget
from activity.pages import (
    FAST,
    SLOW,
    AccountRequest,
    Role,
    account_page,
    is_unchanged,
    poll_tag,
    show,
    unchanged,
)
from dashboard.freshness import freshness
from dashboard.overview import concerns, figures, tasks_by_pool
from jobs.models import Job
from pools.models import Pool

ACTIVE_SHOWN = 100
POOLS_SHOWN = 60


@login_not_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead people to their account's overview, or to the sign-in page."""
    if not request.user.is_authenticated:
        return redirect("login")
    accounts = list(roles.accounts_for(request.user)[:2])
    if len(accounts) == 1:
        return redirect("overview", accounts[0].slug)
    return render(request, "dashboard/accounts.html", {"accounts": roles.accounts_for(request.user)})


@require_safe
@account_page(Role.VIEWER)
def overview(request: AccountRequest) -> HttpResponse:
    """Show an account at a glance: what runs, what waits, what failed, and how old the data is."""
    tag = poll_tag(request, "pools", "jobs", "operations")
    if is_unchanged(request, tag):
        return unchanged(tag)
    account, now = request.account, timezone.now()
    pools = list(Pool.objects.for_account(account).alive())
    jobs = Job.objects.for_account(account).unsettled().select_related("pool")
    active = list(jobs[:ACTIVE_SHOWN])
    numbers = figures(account, pools, now=now)
    context = {
        "figures": numbers,
        "concerns": concerns(account, pools, active, now=now),
        "active": active[:8],
        "pools": pools[:POOLS_SHOWN],
        "tasks_by_pool": tasks_by_pool(account),
        "operations": Operation.objects.filter(account=account).newest_first()[:8],
        "targets": SyncTarget.objects.filter(account=account, subject="", is_active=True),
        "freshness": freshness(account, now=now),
        "now": now,
        "interval": FAST if numbers.operations_in_flight or active else SLOW,
    }
    return show(
        request, page="dashboard/overview.html", part="dashboard/_overview.html", context=context, tag=tag
    )


@require_safe
@account_page(Role.VIEWER)
def sync_pill(request: AccountRequest) -> HttpResponse:
    """Say how old the data is."""
    found = freshness(request.account, now=timezone.now())
    return render(request, "components/sync_pill.html", {"freshness": found})


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Say that what was sent could not be read, and whether it was too much."""
    is_too_much = isinstance(exception, RequestDataTooBig | TooManyFieldsSent)
    return render(request, "400.html", {"is_too_much": is_too_much}, status=400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Say what is missing to be let in here."""
    return render(request, "403.html", {"reason": str(exception or "")}, status=403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Say that there is no such page."""
    return render(request, "404.html", status=404)
