"""Read everything from Azure once, by hand."""

from argparse import ArgumentParser
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from activity.models import Account, SyncRun, SyncTarget
from dashboard.watching import watch


class Command(BaseCommand):
    """Read an account's targets now, in this process, and say what was seen."""

    help = "Read accounts from Azure once, without a worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take an account and kinds of things to read."""
        parser.add_argument("account", nargs="?", help="slug of one account (default: every account)")
        parser.add_argument(
            "--kind", action="append", help="only targets of this kind, such as pools; repeatable"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read each target; a target that a worker is reading is left to it. Ends with 1 when any reading failed."""
        accounts = Account.objects.all()
        if options["account"]:
            accounts = accounts.filter(slug=options["account"])
            if not accounts:
                raise CommandError(f"There is no account {options['account']!r}.")
        for account in accounts:
            watch(account, now=timezone.now())
        targets = SyncTarget.objects.filter(account__in=accounts, is_active=True).select_related("account")
        if options["kind"]:
            targets = targets.filter(kind__in=options["kind"])
        failed = sum(not self._read(target) for target in targets)
        if failed:
            raise CommandError(f"{failed} of {len(targets)} could not be read.")

    def _read(self, target: SyncTarget) -> bool:
        """Read one target and print how it went; return False when it failed."""
        last = SyncRun.objects.filter(target=target).values_list("pk", flat=True).first() or 0
        current_app.tasks[target.task_name](target_id=target.pk)
        run = SyncRun.objects.filter(target=target, pk__gt=last).first()
        where = f"{target.account.slug}: {target}"
        if run is None:
            self.stdout.write(f"{where}: a worker is reading it")
            return True
        if run.state == SyncRun.State.FAILED:
            self.stderr.write(f"{where}: {run.error}")
            return False
        self.stdout.write(
            f"{where}: {run.seen} seen, {run.created} new, {run.changed} changed, {run.vanished} vanished"
        )
        return True
