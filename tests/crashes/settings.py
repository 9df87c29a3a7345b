"""The product's settings for worker processes that tests start, kill and start again."""

from tests.settings import *  # noqa: F403
from tests.settings import CELERY_BEAT_SCHEDULE

ZOOBATCH_LEASE_SECONDS = 2
ZOOBATCH_DISPATCH_GRACE_SECONDS = 1
CELERY_BEAT_SCHEDULE = {**CELERY_BEAT_SCHEDULE, "tick": {"task": "activity.tick", "schedule": 0.5}}
ZOOBATCH_STEP_HOOK = "tests.crashes.hook.die_at_step"
