"""The Django app of pools and catalogue."""

from django.apps import AppConfig


class PoolsConfig(AppConfig):
    """Pools, nodes, registries, sizes and node images."""

    name = "pools"
    default_auto_field = "django.db.models.BigAutoField"
