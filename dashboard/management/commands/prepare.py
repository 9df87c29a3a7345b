"""Bring data folder, keys and database up to date; starts nothing and may be repeated."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from jobs.operations import install_definitions


class Command(BaseCommand):
    """Prepare everything that must be there before the processes start."""

    help = "Make the data folder and its keys and bring the database up to date. Starts nothing; may be repeated."

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate and install the job definitions; folder and keys were made when the settings were read."""
        call_command("migrate", verbosity=0, interactive=False)
        install_definitions()
        self.stdout.write(f"Ready in {settings.ZOOBATCH_DATA_DIR}")
