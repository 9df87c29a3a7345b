"""Ring for a worker: one message to the broker, which may be away without anything being lost."""

import logging
import time
from typing import Any

from celery import current_app

log = logging.getLogger(__name__)

# A broker that is away costs seconds per try; the rows are swept anyway, so pages need not wait for it each time.
SILENCE = 15.0
_silent_until = 0.0


def ring(task_name: str, *, expires: float | None = None, **keywords: Any) -> bool:
    """Send one Celery task by name; return False when the broker did not take it, or has just not taken another."""
    global _silent_until
    if time.monotonic() < _silent_until:
        return False
    try:
        current_app.send_task(task_name, kwargs=keywords, retry=False, expires=expires)
    except Exception as error:  # each transport raises its own errors
        _silent_until = time.monotonic() + SILENCE
        log.warning("bell=%s event=not_rung error=%r", task_name, error)
        return False
    return True
