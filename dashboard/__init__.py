"""The project: settings, root routes, and whatever belongs to no single app."""

from dashboard.celery import app as celery_app

__all__ = ["celery_app"]
