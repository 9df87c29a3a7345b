"""Stop a worker at a named step, as a crash there would, and let another take over."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from activity.models import Operation
from tests.worker import InlineWorker

_stopping_at: list[str] = []


class Stopped(BaseException):
    """The worker is gone: nothing of what it would still have done happens."""


def reached(step: str) -> None:
    """Stop at the chosen step; settings.ZOOBATCH_STEP_HOOK names this function."""
    if step in _stopping_at:
        raise Stopped(step)


@contextmanager
def stopped_at(step: str) -> Iterator[None]:
    """Expect that whoever works within stops at this step."""
    _stopping_at.append(step)
    try:
        with override_settings(ZOOBATCH_STEP_HOOK="tests.stops.reached"), pytest.raises(Stopped, match=step):
            yield
    finally:
        _stopping_at.remove(step)


def crash_at(worker: InlineWorker, step: str) -> None:
    """Let a worker die at this step, and its lease run out."""
    with stopped_at(step):
        worker.run_operations()
    abandoned = Operation.objects.filter(state=Operation.State.RUNNING)
    assert abandoned.update(lease_until=timezone.now() - timedelta(seconds=1)) == 1
