"""Named points in long work, so that a test can stop a worker exactly there and see what a restart makes of it."""

from django.conf import settings
from django.utils.module_loading import import_string


def reached(step: str) -> None:
    """Say that a step is reached, such as `ledger.claimed` or `pool.created`; does nothing unless a hook is set.

    The hook is settings.ZOOBATCH_STEP_HOOK, a dotted path; no environment variable sets it.
    """
    hook = settings.ZOOBATCH_STEP_HOOK
    if hook is not None:
        import_string(hook)(step)
