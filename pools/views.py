"""Pages of pools and nodes."""

import json
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import BaseForm
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from activity.forms import ConfirmForm, ReasonForm, add_errors
from activity.models import Operation
from activity.pages import (
    FAST,
    SLOW,
    AccountRequest,
    Role,
    account_page,
    asked_again,
    is_unchanged,
    poll_tag,
    posted,
    show,
    unchanged,
)
from activity.paging import page_by_key
from activity.refusals import Refused
from pools import operations
from pools.filters import PoolFilter
from pools.forms import SCALING_CHOICES, AutoscaleForm, MountRows, PoolForm, ResizeForm, answers_of
from pools.models import Node, Pool
from pools.preview import pool_json
from pools.scaling import pending_tasks_formula

NODES_SHOWN = 200
form_page = require_http_methods(["GET", "HEAD", "POST"])


def find_pool(request: AccountRequest, batch_id: str) -> Pool:
    """Return the account's pool of that id, living or deleted; 404 when there never was one."""
    related = Pool.objects.select_related("size", "vm_image", "image")
    pool: Pool | None = related.find(request.account, batch_id)
    if pool is None:
        raise Http404(f"no pool {batch_id}")
    return pool


@require_safe
@account_page(Role.VIEWER)
def pool_list(request: AccountRequest) -> HttpResponse:
    """List an account's pools, ours and those made elsewhere."""
    tag = poll_tag(request, "pools")
    if is_unchanged(request, tag):
        return unchanged(tag)
    mine = Pool.objects.for_account(request.account)
    filters = PoolFilter(request.GET, queryset=mine.select_related("size", "image__repository"))
    context = {
        "filters": filters,
        "page": page_by_key(filters.qs, "batch_id_lower", "id", query=request.GET),
        "interval": FAST if mine.unsettled().exists() else SLOW,
    }
    return show(request, page="pools/pool_list.html", part="pools/_pool_table.html", context=context, tag=tag)


@form_page
@account_page(Role.OPERATOR)
def pool_create(request: AccountRequest) -> HttpResponse:
    """Ask for what a pool needs, and ask Azure for the pool."""
    blank = Pool(account=request.account)
    if request.method != "POST" or "choices" in request.POST or "add_mount" in request.POST:
        return _pool_form(request, blank, request.POST or request.GET)
    form, rows = PoolForm(request.POST, instance=blank), MountRows(request.account, request.POST)
    if all([form.is_valid(), rows.is_valid()]):
        try:
            operations.create_pool(form.instance, mounts=rows.mounts, actor=request.user, now=timezone.now())
        except (Refused, ValidationError) as error:
            add_errors(form, error)
        else:
            for warning in operations.warnings(form.instance):
                messages.warning(request, warning)
            return redirect("pool_detail", request.account.slug, form.instance.batch_id)
    return render(request, "pools/pool_form.html", _form_context(form, rows), status=422)


def _pool_form(request: AccountRequest, pool: Pool, given: QueryDict) -> HttpResponse:
    """Show the form with what is given so far and without judging it."""
    sent = request.POST if request.method == "POST" else None
    again = _asked_again(request)
    rows = MountRows(
        request.account,
        sent,
        extra=1 if sent and "add_mount" in sent else 0,
        like=list(again.mounts.all()) if again else None,
    )
    form = PoolForm(instance=pool, initial={**(answers_of(again) if again else {}), **given.dict()})
    return render(request, "pools/pool_form.html", _form_context(form, rows))


def _asked_again(request: AccountRequest) -> Pool | None:
    """Return the pool that the form is to be filled in from, when the address names one (`again`)."""
    mark = asked_again(request)
    pools = Pool.objects.select_related("image__repository__registry")
    found: Pool | None = pools.made_by(request.account, mark) if mark else None
    return found


def _form_context(form: PoolForm, rows: MountRows) -> dict[str, Any]:
    return {
        "form": form,
        "picker": form.picker,
        "rows": rows,
        "scaling_choices": SCALING_CHOICES,
        **_summary(form, rows),
    }


def _summary(form: PoolForm, rows: MountRows) -> dict[str, Any]:
    """Say what a form asks for; the JSON is there once the form is valid."""
    # Both are validated, whatever the other says: a row's values are there only after that.
    is_complete = form.is_bound and all([form.is_valid(), rows.is_valid()])
    body = pool_json(form.instance, rows.mounts) if is_complete else None
    return {
        "draft": form.instance if form.is_bound else None,
        "warnings": operations.warnings(form.instance) if form.is_bound else [],
        "mounts": rows.mounts if form.is_bound else [],
        "wire": json.dumps(body, indent=2) if body else "",
        "is_complete": is_complete,
    }


@require_POST
@account_page(Role.OPERATOR)
def pool_summary(request: AccountRequest) -> HttpResponse:
    """Show what the form being filled in would ask for; nothing is asked yet."""
    form, rows = (
        PoolForm(request.POST, instance=Pool(account=request.account)),
        MountRows(request.account, request.POST),
    )
    return render(request, "pools/_pool_summary.html", {"form": form, **_summary(form, rows)})


@require_safe
@account_page(Role.OPERATOR)
def pool_images(request: AccountRequest) -> HttpResponse:
    """Show which repositories and tags can be chosen next."""
    form = PoolForm(instance=Pool(account=request.account), initial=request.GET.dict())
    return render(request, "pools/_pool_images.html", {"form": form, "picker": form.picker})


@require_safe
@account_page(Role.VIEWER)
def pool_detail(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Show a pool: its state, nodes, configuration and what was asked of it."""
    tag = poll_tag(request, f"pool:{batch_id}", "pools")
    if is_unchanged(request, tag):
        return unchanged(tag)
    pool = find_pool(request, batch_id)
    in_flight = Operation.objects.filter(account=request.account).of("pool", pool.batch_id).unsettled()
    nodes = pool.nodes.alive()
    context = {
        "pool": pool,
        "nodes": nodes[:NODES_SHOWN],
        "node_total": nodes.count(),
        "mounts": pool.mounts.select_related("storage"),
        "jobs": pool.jobs.alive()[:10],
        "operations": Operation.objects.filter(account=request.account)
        .of("pool", pool.batch_id)
        .newest_first()[:8],
        "in_flight": in_flight,
        "refused": Pool.objects.refused(pool, asker=request.user, now=timezone.now()),
        "can_change": _can_change(request, pool),
        "can_end": _can_end(request, pool),
        "interval": _pool_interval(pool, in_flight.exists()),
    }
    return show(
        request, page="pools/pool_detail.html", part="pools/_pool_live.html", context=context, tag=tag
    )


def _can_end(request: AccountRequest, pool: Pool) -> bool:
    return request.may_change and not (pool.is_deleted or pool.deletion_asked_at)


def _can_change(request: AccountRequest, pool: Pool) -> bool:
    return _can_end(request, pool) and not pool.was_never_made


def _pool_interval(pool: Pool, has_operation: bool) -> str:
    if has_operation or not pool.is_settled:
        return FAST
    return "" if pool.is_deleted else SLOW


@form_page
@account_page(Role.OPERATOR)
def pool_resize(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Ask for another fixed number of nodes; autoscale is switched off by it."""
    pool = find_pool(request, batch_id)
    initial = {
        "dedicated": pool.target_dedicated_nodes or 0,
        "low_priority": pool.target_low_priority_nodes or 0,
    }
    form = ResizeForm(posted(request), initial=initial)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        wish = f"Resize of {pool} to {values['dedicated']} dedicated and {values['low_priority']} low-priority nodes"
        if _asked(request, form, wish, operations.resize_pool, pool, **values):
            return redirect("pool_detail", request.account.slug, pool.batch_id)
    status = 422 if form.errors else 200
    return render(request, "pools/pool_resize.html", {"pool": pool, "form": form}, status=status)


@form_page
@account_page(Role.OPERATOR)
def pool_autoscale(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Ask for a formula that sets the number of nodes."""
    pool = find_pool(request, batch_id)
    formula = pool.auto_scale_formula or pool.formula or pending_tasks_formula(max(pool.target_nodes, 1))
    initial = {"formula": formula, "minutes": pool.evaluation_minutes}
    form = AutoscaleForm(posted(request), initial=initial)
    if request.method == "POST" and form.is_valid():
        wish = f"Autoscale of {pool}"
        if _asked(request, form, wish, operations.set_autoscale, pool, **form.cleaned_data):
            return redirect("pool_detail", request.account.slug, pool.batch_id)
    status = 422 if form.errors else 200
    return render(request, "pools/pool_autoscale.html", {"pool": pool, "form": form}, status=status)


@form_page
@account_page(Role.OPERATOR)
def pool_fix(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Ask to switch autoscale off: the pool keeps the nodes it has."""
    pool = find_pool(request, batch_id)
    text = (
        f"The pool keeps its nodes, {pool.current_nodes} now, until it is resized. "
        "Nodes are billed while they exist."
    )
    return _confirm(request, pool, "Disable autoscale", operations.disable_autoscale, "player-pause", text)


@form_page
@account_page(Role.OPERATOR)
def pool_stop_resize(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Ask to end a resize where it is."""
    pool = find_pool(request, batch_id)
    text = "The pool keeps the nodes it has when Azure stops, and is asked for no more. Nodes are billed while they exist."
    return _confirm(request, pool, "Stop resize", operations.stop_resize, "player-stop", text)


def _confirm(
    request: AccountRequest, pool: Pool, action: str, operation: Any, icon_name: str, text: str
) -> HttpResponse:
    """Ask for a change that needs nothing but a yes and perhaps a reason."""
    form = ReasonForm(posted(request))
    is_given = request.method == "POST" and form.is_valid()
    if is_given and _asked(request, form, f"{action} of {pool}", operation, pool, **form.cleaned_data):
        return redirect("pool_detail", request.account.slug, pool.batch_id)
    context = {"pool": pool, "form": form, "action": action, "icon_name": icon_name, "text": text}
    return render(request, "pools/pool_confirm.html", context, status=422 if form.errors else 200)


@form_page
@account_page(Role.OPERATOR)
def pool_delete(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Ask for a pool's deletion, once its name has been typed."""
    pool = find_pool(request, batch_id)
    form = ConfirmForm(posted(request), expected=pool.batch_id)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        if _asked(request, form, f"Deletion of {pool}", operations.delete_pool, pool, reason=reason):
            return redirect("pool_detail", request.account.slug, pool.batch_id)
    active = pool.jobs.alive().filter(state="active")
    context = {
        "pool": pool,
        "form": form,
        "active_jobs": active,
        "running_tasks": sum(job.tasks_running for job in active),
    }
    return render(request, "pools/pool_delete.html", context, status=422 if form.errors else 200)


@form_page
@account_page(Role.OPERATOR)
def node_reboot(request: AccountRequest, batch_id: str, node_id: str) -> HttpResponse:
    """Ask for a node's reboot; its tasks are queued again."""
    pool = find_pool(request, batch_id)
    node = get_object_or_404(Node.objects.alive(), pool=pool, batch_id=node_id)
    form = ReasonForm(posted(request))
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        if _asked(request, form, f"Reboot of {node}", operations.reboot_node, node, reason=reason):
            return redirect("pool_detail", request.account.slug, pool.batch_id)
    context = {"pool": pool, "node": node, "form": form}
    return render(request, "pools/node_reboot.html", context, status=422 if form.errors else 200)


def _asked(
    request: AccountRequest, form: BaseForm, wish: str, operation: Any, subject: Any, **values: Any
) -> bool:
    """Call an operation and say so; a refusal becomes the form's error."""
    try:
        operation(subject, actor=request.user, now=timezone.now(), **values)
    except (Refused, ValidationError) as error:
        add_errors(form, error)
    else:
        messages.success(request, f"{wish} is asked for.")
        return True
    return False
