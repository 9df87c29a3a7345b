"""What the engine asks a node to run, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class Work:
    """One command for one node; `body`, `pool` and `job` are wire objects with their secrets."""

    kind: Literal["starttask", "jobpreparation", "jobrelease", "task"]
    account: str
    pool_id: str
    node_id: str
    job_id: str | None
    task_id: str | None
    body: Mapping[str, Any]
    pool: Mapping[str, Any]
    job: Mapping[str, Any] | None
    attempt: int

    @property
    def folder(self) -> str:
        """Where the command's files lie, below the node's root."""
        return "startup" if self.job_id is None else f"workitems/{self.job_id}/job-1/{self.task_id}"


@dataclass(frozen=True)
class Outcome:
    """How a command ended; without a `failure` it succeeded, without an `exit_code` it never ran to an end."""

    started_at: datetime
    ended_at: datetime
    exit_code: int | None = None
    failure: dict[str, Any] | None = None
    container_info: dict[str, Any] | None = None
