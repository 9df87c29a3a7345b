"""See to it that an account is read."""

from datetime import datetime

import jobs.sync
import pools.sync
from activity.models import Account


def watch(account: Account, *, now: datetime) -> None:
    """Make the sync targets that an account always has, and those that its pools and jobs need."""
    pools.sync.keep_targets(account, now=now)
    jobs.sync.keep_targets(account, now=now)
