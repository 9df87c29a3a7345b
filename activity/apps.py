"""Accounts, roles, operations and sync as a Django app."""

from django.apps import AppConfig


class ActivityConfig(AppConfig):
    """Whose account, who may, what happened."""

    name = "activity"
    verbose_name = "Activity"
