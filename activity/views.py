"""Pages of operations: what was asked, by whom, and what came of it."""

import json
import uuid

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from activity import ledger
from activity.filters import OperationFilter
from activity.models import Operation
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
from activity.paging import page_by_key
from activity.refusals import Refused


@require_safe
@account_page(Role.VIEWER)
def operation_list(request: AccountRequest) -> HttpResponse:
    """List an account's operations, newest first; the record of who did what."""
    tag = poll_tag(request, "operations")
    if is_unchanged(request, tag):
        return unchanged(tag)
    mine = Operation.objects.filter(account=request.account)
    filters = OperationFilter(request.GET, queryset=mine)
    context = {
        "filters": filters,
        "page": page_by_key(filters.qs, "-pk", query=request.GET),
        "interval": FAST if mine.unsettled().exists() else SLOW,
    }
    return show(
        request,
        page="activity/operation_list.html",
        part="activity/_operation_table.html",
        context=context,
        tag=tag,
    )


@require_safe
@account_page(Role.VIEWER)
def operation_detail(request: AccountRequest, mark: uuid.UUID) -> HttpResponse:
    """Show one operation, and keep showing how it goes until it is settled."""
    tag = poll_tag(request, "operations")
    if is_unchanged(request, tag):
        return unchanged(tag)
    operation = get_object_or_404(Operation, account=request.account, uuid=mark)
    context = {
        "operation": operation,
        "payload": json.dumps(operation.payload, indent=2, sort_keys=True) if operation.payload else "",
        "result": json.dumps(operation.result, indent=2, sort_keys=True) if operation.result else "",
        "interval": "" if operation.is_settled else FAST,
        "may_cancel": not operation.is_settled
        and not operation.cancel_requested_at
        and ledger.may_cancel(operation, request.user),
    }
    return show(
        request,
        page="activity/operation_detail.html",
        part="activity/_operation_facts.html",
        context=context,
        tag=tag,
    )


@require_POST
@account_page(Role.SUBMITTER)
def operation_cancel(request: AccountRequest, mark: uuid.UUID) -> HttpResponse:
    """Ask to stop an operation that is not settled."""
    operation = get_object_or_404(Operation, account=request.account, uuid=mark)
    try:
        ledger.cancel(operation, actor=request.user, now=timezone.now())
        messages.success(request, f"Asked to stop: {operation}.")
    except Refused as refused:
        messages.error(request, refused.message)
    return redirect("operation_detail", request.account.slug, mark)
