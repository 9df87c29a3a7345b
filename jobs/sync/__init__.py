"""Read jobs, tasks and preparation back into rows: the only code that writes observed columns."""

from .jobs import pull_active_jobs, pull_all_jobs
from .schedule import keep_targets, pace_tasks
from .tasks import pull_tasks

__all__ = [
    "keep_targets",
    "pace_tasks",
    "pull_active_jobs",
    "pull_all_jobs",
    "pull_tasks",
]
