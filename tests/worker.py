"""A worker inside the test: runs the Celery tasks of pending operations and due targets, in order, without a broker."""

from datetime import timedelta

from celery import current_app
from django.utils import timezone

from activity.models import Operation, SyncTarget


class InlineWorker:
    """Carries out what is written down, as a worker would, and returns when nothing is left to do now."""

    def run_operations(self, *, limit: int = 100) -> int:
        """Run every operation that may be claimed now; return how many were run."""
        done = 0
        while done < limit:
            operation = Operation.objects.claimable(timezone.now()).order_by("pk").first()
            if operation is None:
                break
            current_app.tasks[operation.task_name](operation_id=operation.pk)
            done += 1
        return done

    def skip_pauses(self) -> None:
        """Make every waiting operation due now, as if its pause were over."""
        Operation.objects.filter(state=Operation.State.PENDING).update(due_at=timezone.now())

    def pull(self, kind: str | None = None, subject: str | None = None) -> int:
        """Read every active target (of one kind, of one thing) once; return how many were read."""
        now = timezone.now()
        targets = SyncTarget.objects.filter(is_active=True)
        if kind is not None:
            targets = targets.filter(kind=kind)
        if subject is not None:
            targets = targets.filter(subject=subject)
        targets.update(next_due_at=now - timedelta(seconds=1))
        keys = list(targets.order_by("pk").values_list("pk", "task_name"))
        for key, task_name in keys:
            current_app.tasks[task_name](target_id=key)
        return len(keys)
