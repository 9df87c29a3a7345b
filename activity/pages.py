"""What the pages of an account share: who may see one, which part is asked for, and whether it changed."""

import uuid
from collections.abc import Callable, Mapping
from functools import wraps
from hashlib import blake2s
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified, QueryDict
from django.shortcuts import get_object_or_404, render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

from activity import revisions, roles
from activity.models import Account, Membership

Role = Membership.Role
Given = ParamSpec("Given")

RANK = {role: rank for rank, role in enumerate(Role.values)}
"""Roles in ascending order: each may do what those before it may."""

FAST, SLOW = "2s", "15s"
"""Poll intervals: while something is in flight, and else."""


class AccountRequest(HttpRequest):
    """A request for a page of an account by somebody who has a role there."""

    user: User
    htmx: HtmxDetails
    account: Account
    role: str
    may_change: bool  # nothing is changed from here in an account that is only observed


def account_page(
    needed: str,
) -> Callable[
    [Callable[Concatenate[AccountRequest, Given], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, str, Given], HttpResponseBase],
]:
    """Give a view the account that its address names, when its user has at least the role `needed` there.

    An account in which the user has no role at all does not exist for them (404); too low a role is refused (403).
    """

    def decorate(
        view: Callable[Concatenate[AccountRequest, Given], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, str, Given], HttpResponseBase]:
        """Wrap one view."""

        @wraps(view)
        def checked(request: Any, slug: str, *args: Given.args, **kwargs: Given.kwargs) -> HttpResponseBase:
            """Call the view, or refuse."""
            request.account = get_object_or_404(roles.accounts_for(request.user), slug=slug)
            request.role = roles.role_of(request.user, request.account)
            request.may_change = not request.account.is_observe_only
            if RANK[request.role] < RANK[needed]:
                raise PermissionDenied(f"This needs the role {needed} in {slug}; yours is {request.role}.")
            return view(request, *args, **kwargs)

        checked.needed_role = needed  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]  # wraps() keeps the names of parameters, Callable has none

    return decorate


def wants_part(request: AccountRequest) -> bool:
    """Whether htmx asks for the part that refreshes itself, not for the page around it."""
    return bool(request.htmx) and request.headers.get("HX-Request-Type", "partial") == "partial"


def posted(request: HttpRequest) -> QueryDict | None:
    """Return what a form was sent with, also when that is nothing; None when it is only looked at."""
    return request.POST if request.method == "POST" else None


def asked_again(request: HttpRequest) -> uuid.UUID | None:
    """Return the mark of the creation that a form is to be filled in from (`?again=<uuid>`); None without a good one."""
    try:
        return uuid.UUID(request.GET.get("again", ""))
    except ValueError:
        return None


def poll_tag(request: AccountRequest, *topics: str) -> str:
    """Return what an unchanged answer is recognised by: the topics' revisions, the filters and the role."""
    seen = "|".join(
        [
            revisions.tag(request.account, *topics),
            request.META.get("QUERY_STRING", ""),
            request.role,
            str(request.user.pk),
        ]
    )
    return blake2s(seen.encode(), digest_size=9).hexdigest()


def is_unchanged(request: AccountRequest, tag: str) -> bool:
    """Whether a poll already shows what the answer would be."""
    return wants_part(request) and request.headers.get("HX-PTag") == tag


def unchanged(tag: str) -> HttpResponse:
    """Answer a poll that nothing changed."""
    response = HttpResponseNotModified()
    response["HX-PTag"] = tag
    return response


def show(
    request: AccountRequest,
    *,
    page: str,
    part: str,
    context: Mapping[str, Any],
    tag: str = "",
    status: int = 200,
) -> HttpResponse:
    """Render the page, or for a poll only the part of it that refreshes itself."""
    template = part if wants_part(request) else page
    response = render(request, template, {"tag": tag, **context}, status=status)
    patch_vary_headers(response, ["HX-Request", "HX-Request-Type"])
    if tag and wants_part(request):
        response["HX-PTag"] = tag
    return response
