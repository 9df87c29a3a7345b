"""Celery tasks of the system itself: the tick that rings for all that is due, and the daily clean-up."""

from celery import shared_task
from django.utils import timezone

from activity import ledger, targets


@shared_task(name="activity.tick")
def tick() -> None:
    """Ring for operations and sync targets that are due."""
    now = timezone.now()
    ledger.sweep(now=now)
    targets.dispatch_due(now=now)


@shared_task(name="activity.prune")
def prune() -> None:
    """Delete what is older than its retention setting."""
    now = timezone.now()
    targets.prune(now=now)
    ledger.prune(now=now)
