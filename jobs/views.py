"""Pages of jobs: the list, submission, and one job with its tasks."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import BaseForm
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
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
from jobs import operations
from jobs.filters import JobFilter
from jobs.forms import JobForm, answers_of
from jobs.models import Job, JobDefinition, Task
from jobs.preview import rendered
from pools.models import Pool

TASKS_SHOWN = 200
form_page = require_http_methods(["GET", "HEAD", "POST"])


def find_job(request: AccountRequest, batch_id: str) -> Job:
    """Return the account's job of that id, living or deleted; 404 when there never was one."""
    related = ("pool", "storage", "image__repository", "revision__definition", "created_by")
    job: Job | None = Job.objects.select_related(*related).find(request.account, batch_id)
    if job is None:
        raise Http404(f"no job {batch_id}")
    return job


@require_safe
@account_page(Role.VIEWER)
def job_list(request: AccountRequest) -> HttpResponse:
    """List an account's jobs, newest first, ours and those made elsewhere."""
    tag = poll_tag(request, "jobs", "pools")
    if is_unchanged(request, tag):
        return unchanged(tag)
    mine = Job.objects.for_account(request.account)
    related = mine.select_related("pool__size", "revision__definition", "created_by")
    filters = JobFilter(request.GET, queryset=related)
    context = {
        "filters": filters,
        "page": page_by_key(filters.qs, "-created_at", "-id", query=request.GET),
        "now": timezone.now(),
        "interval": FAST if mine.unsettled().exists() else SLOW,
    }
    return show(request, page="jobs/job_list.html", part="jobs/_job_table.html", context=context, tag=tag)


@require_safe
@account_page(Role.SUBMITTER)
def job_new(request: AccountRequest) -> HttpResponse:
    """Offer the definitions that can be submitted."""
    definitions = JobDefinition.objects.offered().filter(current__isnull=False).select_related("current")
    pool = request.GET.get("pool", "")
    return render(request, "jobs/job_new.html", {"definitions": definitions, "pool": pool})


def _blank_job(request: AccountRequest, definition: str) -> Job:
    found = get_object_or_404(
        JobDefinition.objects.offered().select_related("current"), slug=definition, current__isnull=False
    )
    revision = found.current
    assert revision is not None
    revision.definition = found
    return Job(account=request.account, revision=revision)


@form_page
@account_page(Role.SUBMITTER)
def job_create(request: AccountRequest, definition: str) -> HttpResponse:
    """Ask what a definition needs to know, and submit the job."""
    job = _blank_job(request, definition)
    if request.method != "POST":
        form = JobForm(instance=job, initial={"batch_id": job.batch_id, **_again(request), **_given(request)})
        return render(request, "jobs/job_form.html", {"form": form, "job": job})
    form = JobForm(request.POST, instance=job)
    if form.is_valid():
        try:
            operations.create_job(form.instance, actor=request.user, now=timezone.now())
        except (Refused, ValidationError) as error:
            add_errors(form, error)
        else:
            messages.success(request, f"{form.instance.name} is being submitted.")
            return redirect("job_detail", request.account.slug, form.instance.batch_id)
    return render(request, "jobs/job_form.html", {"form": form, "job": job, **rendered(form)}, status=422)


def _again(request: AccountRequest) -> dict[str, Any]:
    """Return the answers of the job that the address names (`again`), to be changed and submitted once more."""
    before = Job.objects.select_related("revision").made_by(request.account, asked_again(request))
    return answers_of(before) if before else {}


def _given(request: AccountRequest) -> dict[str, Any]:
    """Return what the address fills in: a pool by its id, and any field by its name."""
    given: dict[str, Any] = request.GET.dict()
    pool = Pool.objects.find(request.account, given.pop("pool", "") or "")
    return {**given, "pool": pool.pk} if pool else given


@require_POST
@account_page(Role.SUBMITTER)
def job_preview(request: AccountRequest, definition: str) -> HttpResponse:
    """Show the commands and settings that the form being filled in would lead to; nothing is submitted."""
    form = JobForm(request.POST, instance=_blank_job(request, definition))
    return render(request, "jobs/_job_preview.html", {"form": form, **rendered(form)})


@require_safe
@account_page(Role.VIEWER)
def job_detail(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Show a job: its state, tasks, preparation, log and files."""
    tag = poll_tag(request, f"job:{batch_id}", "jobs", "pools")
    if is_unchanged(request, tag):
        return unchanged(tag)
    job = find_job(request, batch_id)
    in_flight = Operation.objects.filter(account=request.account).of("job", job.batch_id).unsettled()
    tasks = list(job.tasks.alive()[:TASKS_SHOWN])
    preparations = list(job.preparations.alive()[:TASKS_SHOWN])
    chosen = chosen_task(request, job, tasks)
    context = {
        "job": job,
        "tasks": tasks,
        "preparations": preparations,
        "chosen": chosen,
        "log": chosen_log(request, job, chosen, [row.node_id for row in preparations]),
        "operations": Operation.objects.filter(account=request.account)
        .of("job", job.batch_id)
        .newest_first()[:8],
        "in_flight": in_flight,
        "now": timezone.now(),
        "refused": Job.objects.refused(job, asker=request.user, now=timezone.now()),
        "can_end": _can_end(request, job),
        "interval": _job_interval(job, has_operation=in_flight.exists()),
    }
    return show(request, page="jobs/job_detail.html", part="jobs/_job_live.html", context=context, tag=tag)


def chosen_task(request: AccountRequest, job: Job, tasks: list[Task]) -> str:
    """Return the id of the task whose files are shown: the one asked for, else the first there is or will be."""
    planned = [task["id"] for task in (job.plan or {}).get("tasks", ())]
    known = [task.batch_id for task in tasks] or planned
    asked = request.GET.get("task", "")
    return asked if asked in known else next(iter(known), "")


@dataclass(frozen=True)
class LogChoice:
    """The log that a page shows: what it is called, where it is read, and where the file is, if it can be had."""

    title: str
    address: str
    download: str = ""


def chosen_log(request: AccountRequest, job: Job, task: str, nodes: list[str]) -> LogChoice | None:
    """Return the log that is asked for: a node's preparation, else the chosen task's; None without either."""
    slug, node = request.account.slug, request.GET.get("preparation", "")
    if node in nodes:
        address = reverse("preparation_log", args=[slug, job.batch_id, node, "stdout.txt"])
        return LogChoice(f"preparation on {node}", address)
    if not task:
        return None
    return LogChoice(
        task,
        reverse("task_log", args=[slug, job.batch_id, task, "stdout.txt"]),
        reverse("task_file", args=[slug, job.batch_id, task, "stdout.txt"]),
    )


def _can_end(request: AccountRequest, job: Job) -> bool:
    if not request.may_change or job.is_deleted or job.deletion_asked_at:
        return False
    is_own = job.created_by_id == request.user.pk and request.role != Role.VIEWER
    return is_own or request.role in (Role.OPERATOR, Role.ADMIN)


def _job_interval(job: Job, *, has_operation: bool) -> str:
    if has_operation or not job.is_settled:
        return FAST
    is_final = job.is_deleted or (job.is_finished and job.has_final_tasks)
    return "" if is_final else SLOW


@form_page
@account_page(Role.SUBMITTER)
def job_terminate(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Ask for a job's end; its files stay."""
    job = find_job(request, batch_id)
    if request.method != "POST" and (job.is_finished or job.is_deleted):
        messages.info(request, f"{job.name} has ended already.")
        return redirect("job_detail", request.account.slug, job.batch_id)
    form = ReasonForm(posted(request))
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        if _asked(request, form, f"Termination of {job.name}", operations.terminate_job, job, reason=reason):
            return redirect("job_detail", request.account.slug, job.batch_id)
    return render(
        request, "jobs/job_terminate.html", {"job": job, "form": form}, status=422 if form.errors else 200
    )


@form_page
@account_page(Role.SUBMITTER)
def job_delete(request: AccountRequest, batch_id: str) -> HttpResponse:
    """Ask for a job's removal, once its id has been typed."""
    job = find_job(request, batch_id)
    form = ConfirmForm(posted(request), expected=job.batch_id)
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        if _asked(request, form, f"Deletion of {job.name}", operations.delete_job, job, reason=reason):
            return redirect("job_detail", request.account.slug, job.batch_id)
    return render(
        request, "jobs/job_delete.html", {"job": job, "form": form}, status=422 if form.errors else 200
    )


def _asked(
    request: AccountRequest, form: BaseForm, wish: str, operation: Any, job: Job, **values: Any
) -> bool:
    """Call an operation and say so; a refusal becomes the form's error."""
    try:
        operation(job, actor=request.user, now=timezone.now(), **values)
    except (Refused, ValidationError) as error:
        add_errors(form, error)
        return False
    messages.success(request, f"{wish} is asked for.")
    return True
