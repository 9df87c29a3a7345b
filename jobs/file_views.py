"""Pages of what tasks write: live logs, files on the node, results in storage. They alone wait for Azure."""

from collections.abc import Callable, Iterator
from posixpath import basename

from django.http import Http404, HttpResponse, HttpResponseBadRequest, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from activity.pages import AccountRequest, Role, account_page
from cloud.errors import CloudError
from jobs import files, log_parts
from jobs.logs import NotNow
from jobs.models import Job, Task
from jobs.views import find_job

LOGS = ("stdout.txt", "stderr.txt")
LONGEST_COUNT = 15


def find_task(job: Job, task_id: str) -> Task:
    """Return a task of a job; 404 when there is none."""
    task = get_object_or_404(job.tasks, batch_id=task_id)
    task.job = job
    return task


@require_safe
@account_page(Role.VIEWER)
def task_detail(request: AccountRequest, batch_id: str, task_id: str) -> HttpResponse:
    """Lead to the job's page with this task's log open."""
    job = find_job(request, batch_id)
    return redirect(f"{reverse('job_detail', args=[request.account.slug, job.batch_id])}?task={task_id}")


@require_safe
@never_cache
@account_page(Role.VIEWER)
def task_log(request: AccountRequest, batch_id: str, task_id: str, name: str) -> HttpResponse:
    """Answer a part of a task's output, as `_log_part` says."""
    job = find_job(request, batch_id)
    task = job.tasks.filter(batch_id=task_id).first()
    if name not in LOGS:
        raise Http404(name)
    if task is None or not task.has_files:
        return _quiet(is_end=job.is_finished or job.is_deleted)
    attempt = f"{task.retry_count}.{task.requeue_count}"
    return _log_part(
        request, job, log_parts.task_log(job, task, name), is_over=task.is_settled, attempt=attempt
    )


@require_safe
@never_cache
@account_page(Role.VIEWER)
def preparation_log(request: AccountRequest, batch_id: str, node_id: str, name: str) -> HttpResponse:
    """Answer a part of what the preparation task wrote on a node, as `_log_part` says."""
    job = find_job(request, batch_id)
    preparation = get_object_or_404(job.preparations, node_id=node_id)
    if name not in LOGS:
        raise Http404(name)
    log, is_over = log_parts.preparation_log(preparation, name), preparation.state == "completed"
    return _log_part(request, job, log, is_over=is_over, attempt=str(preparation.retry_count))


def _log_part(
    request: AccountRequest, job: Job, log: log_parts.LogFile, *, is_over: bool, attempt: str
) -> HttpResponse:
    """Answer a part of a log as it is: from `?offset=` on, the last `?tail=` bytes, or the part that ends at `?before=`.

    The last two begin where a line does, if one does near there. Headers tell where the part begins
    (X-Log-Start) and the next one does (X-Log-Offset), that there is more to read at once (X-Log-More), how
    long the log is where this reading has shown it (X-Log-Size), which try wrote it (X-Log-Attempt: a new try
    begins anew), and that no more will come (X-Log-End). 204 when nothing is there, 400 when what is asked for
    is no number, 503 when Azure does not answer.
    """
    try:
        asked = _asked(request.GET)
    except ValueError as error:
        return HttpResponseBadRequest(str(error), content_type="text/plain; charset=utf-8")
    try:
        part = log_parts.read_log(job, log, asked, is_over=is_over)
    except NotNow as error:
        return _unavailable(str(error), error.seconds)
    except CloudError as error:
        if error.is_missing:
            return _quiet(is_end=is_over, note="The node that held this file is gone, and no copy was kept.")
        return _unavailable(f"{error.code}: {error.message}", error.retry_after or 10)
    response = HttpResponse(
        part.data, content_type="text/plain; charset=utf-8", status=200 if part.data else 204
    )
    response["X-Log-Start"] = str(part.start)
    response["X-Log-Offset"] = str(part.next_offset)
    response["X-Log-More"] = "1" if part.has_more else "0"
    if part.size is not None:
        response["X-Log-Size"] = str(part.size)
    response["X-Log-Source"] = part.source
    response["X-Log-Attempt"] = attempt
    response["X-Log-End"] = "1" if is_over and not part.data else "0"
    return response


def _asked(query: QueryDict) -> log_parts.Asked:
    """Read which part of a log is wanted; raises ValueError with words for whoever asked."""
    given = [way for way in log_parts.WAYS if way in query]
    if len(given) > 1:
        raise ValueError("Ask for one of offset, tail and before only.")
    way: log_parts.Way = given[0] if given else "offset"
    text = query.get(way, "0")
    if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_COUNT):
        raise ValueError(f"{way} is a whole number of bytes, of {LONGEST_COUNT} digits at most.")
    return log_parts.Asked(way, int(text))


def _quiet(*, is_end: bool, note: str = "") -> HttpResponse:
    response = HttpResponse(status=204)
    response["X-Log-End"] = "1" if is_end else "0"
    response["X-Log-Note"] = note
    return response


def _unavailable(message: str, seconds: float) -> HttpResponse:
    response = HttpResponse(message, content_type="text/plain; charset=utf-8", status=503)
    response["Retry-After"] = str(max(1, round(seconds)))
    return response


@require_safe
@never_cache
@account_page(Role.VIEWER)
def task_files(request: AccountRequest, batch_id: str, task_id: str) -> HttpResponse:
    """List a task's files on its node."""
    job = find_job(request, batch_id)
    task = find_task(job, task_id)
    rows, problem = [], ""
    try:
        rows = files.task_files(task) if task.has_files else []
    except NotNow as error:
        problem = str(error)
    except CloudError as error:
        problem = (
            "The node that held these files is gone."
            if error.is_missing
            else f"{error.code}: {error.message}"
        )
    context = {"job": job, "task": task, "rows": rows, "problem": problem}
    return _files_page(request, "jobs/task_files.html", "jobs/_task_files.html", context)


@require_safe
@never_cache
@account_page(Role.VIEWER)
def job_results(request: AccountRequest, batch_id: str) -> HttpResponse:
    """List what a job has left in storage."""
    job = find_job(request, batch_id)
    rows, problem = [], ""
    try:
        rows = files.result_files(job)
    except NotNow as error:
        problem = str(error)
    except CloudError as error:
        problem = f"{error.code}: {error.message}"
    context = {
        "job": job,
        "rows": rows,
        "problem": problem,
        "folder": files.job_folder(job) if job.results_path else "",
    }
    return _files_page(request, "jobs/job_results.html", "jobs/_job_results.html", context)


def _files_page(request: AccountRequest, page: str, part: str, context: dict[str, object]) -> HttpResponse:
    response = render(request, part if request.htmx else page, context)
    response["Vary"] = "HX-Request"
    return response


@require_safe
@never_cache
@account_page(Role.VIEWER)
def task_file(
    request: AccountRequest, batch_id: str, task_id: str, path: str
) -> HttpResponse | StreamingHttpResponse:
    """Download a file of a task from its node."""
    job = find_job(request, batch_id)
    return _download(path, lambda: files.open_task_file(find_task(job, task_id), path))


@require_safe
@never_cache
@account_page(Role.VIEWER)
def job_result(request: AccountRequest, batch_id: str, path: str) -> HttpResponse | StreamingHttpResponse:
    """Download a file that a job has left in storage."""
    job = find_job(request, batch_id)
    return _download(path, lambda: files.open_result(job, path))


def _download(path: str, read: Callable[[], Iterator[bytes]]) -> HttpResponse | StreamingHttpResponse:
    """Answer a file as an attachment that browsers neither show nor guess about."""
    if not files.is_safe(path):
        raise Http404(path)
    try:
        pieces = read()
    except NotNow as error:
        return _unavailable(str(error), error.seconds)
    except CloudError as error:
        if error.is_missing:
            raise Http404(path) from None
        return _unavailable(f"{error.code}: {error.message}", error.retry_after or 10)
    response = StreamingHttpResponse(pieces, content_type=files.content_type(path))
    response["Content-Disposition"] = (
        content_disposition_header(as_attachment=True, filename=basename(path)) or "attachment"
    )
    response["X-Content-Type-Options"] = "nosniff"
    return response
