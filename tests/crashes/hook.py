"""Kills the process that reaches the step named in CRASH_AT."""

import os
import signal


def die_at_step(step: str) -> None:
    """Die without any chance to tidy up, as from a power cut."""
    if step == os.environ["CRASH_AT"]:
        os.kill(os.getpid(), signal.SIGKILL)
