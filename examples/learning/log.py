"""A log on standard output, written line by line, so that it can be followed while it grows."""

import logging
import os
import sys


def start(*, debug: bool = False) -> logging.Logger:
    """Set logging up for a script and return its logger."""
    handler = logging.StreamHandler(sys.stdout)  # flushes after every record
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
    logger = logging.getLogger("zoobot")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    return logger


def run_name() -> str:
    """Return the run's name or nonce, given as a parameter of the job; empty outside of one."""
    return os.environ.get("ZOOBATCH_RUN_NAME", "")
