"""Addresses of the jobs' pages, below an account's slug."""

from django.urls import path

from activity import converters as _converters  # noqa: F401  (registers them)
from jobs import file_views, views

JOB = "jobs/<subject:batch_id>/"
TASK = f"{JOB}tasks/<batchid:task_id>/"

urlpatterns = [
    path("jobs/", views.job_list, name="job_list"),
    path("jobs/new/", views.job_new, name="job_new"),
    path("jobs/new/<slug:definition>/", views.job_create, name="job_create"),
    path("jobs/new/<slug:definition>/preview/", views.job_preview, name="job_preview"),
    path(JOB, views.job_detail, name="job_detail"),
    path(f"{JOB}terminate/", views.job_terminate, name="job_terminate"),
    path(f"{JOB}delete/", views.job_delete, name="job_delete"),
    path(f"{JOB}results/", file_views.job_results, name="job_results"),
    path(f"{JOB}results/<path:path>", file_views.job_result, name="job_result"),
    path(
        f"{JOB}preparation/<batchid:node_id>/log/<str:name>/",
        file_views.preparation_log,
        name="preparation_log",
    ),
    path(TASK, file_views.task_detail, name="task_detail"),
    path(f"{TASK}log/<str:name>/", file_views.task_log, name="task_log"),
    path(f"{TASK}files/", file_views.task_files, name="task_files"),
    path(f"{TASK}files/<path:path>", file_views.task_file, name="task_file"),
]
