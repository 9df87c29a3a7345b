"""How long the emulated machinery takes, in emulated seconds (the clock's scale shortens them)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Delays:
    """Seconds at a time scale of 1; the real service is about twenty times slower."""

    allocation: float = 2.0
    creation: float = 1.0
    boot: float = 2.0
    reboot: float = 2.0
    reimage: float = 3.0
    leaving: float = 1.0
    deletion: float = 0.5
    job_transition: float = 0.3
    # How long a job without tasks and with `onAllTasksComplete: terminatejob` waits for its first task. The
    # service's figure is not documented, but clients that create such a job and then add its task get by.
    empty_job: float = 30.0
