"""The Django app of definitions and jobs."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Definitions, jobs and tasks."""

    name = "jobs"
    default_auto_field = "django.db.models.BigAutoField"
