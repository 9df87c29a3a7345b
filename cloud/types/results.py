"""What became of a request to create something."""

from dataclasses import dataclass
from typing import Literal

from cloud.errors import CloudError


@dataclass(frozen=True, slots=True)
class Created:
    """It did not exist and was created by this call."""


@dataclass(frozen=True, slots=True)
class AlreadyOurs:
    """It exists because an earlier attempt of the same operation created it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The id belongs to something else; `operation` is its mark, None when it was made elsewhere."""

    id: str
    operation: str | None


Creation = Created | AlreadyOurs | Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAddResult:
    """What became of one task of a collection; `error` is set when it was taken or failed."""

    task_id: str
    status: Literal["created", "already_ours", "taken", "failed"]
    error: CloudError | None = None

    @property
    def is_there(self) -> bool:
        """Whether the task now exists as we asked for it."""
        return self.status in {"created", "already_ours"}
