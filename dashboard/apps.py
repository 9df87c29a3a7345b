"""The project as a Django app, for its management commands and template tags."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """What belongs to no single app."""

    name = "dashboard"
