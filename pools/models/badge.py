"""The one word and colour family a page shows for an object's combined state."""

from dataclasses import dataclass
from typing import Literal

Family = Literal["run", "ok", "idle", "trans", "bad", "lost", "wait", "off"]


@dataclass(frozen=True, slots=True)
class Badge:
    """A state as a person reads it; `reason` is a sentence when the word alone is not enough."""

    family: Family
    word: str
    reason: str = ""
