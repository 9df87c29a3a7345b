"""The one error the gateway raises, whatever service and whatever fault."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ErrorKind = Literal[
    "authentication",  # who we are was not accepted
    "permission",  # we are known but may not
    "clock",  # this machine's clock is off
    "not_found",
    "conflict",  # exists already, or its state forbids the call
    "quota",
    "invalid",  # the request itself is wrong
    "throttled",
    "timeout",
    "unreachable",  # refused, reset, no such host
    "tls",  # the certificate is not trusted
    "server",  # Azure's fault
    "unknown",
]


@dataclass(eq=False, kw_only=True)
class CloudError(Exception):
    """Any failure of a call to Azure.

    `is_passing` says that the same call may succeed later; `retry_after` is in seconds where the
    service named it; `values` are Azure's own details (property name, reason and so on).
    """

    code: str
    message: str
    is_passing: bool = False
    kind: ErrorKind = "unknown"
    values: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None  # HTTP status, None when no answer came
    request_id: str | None = None
    retry_after: float | None = None
    advice: str = ""  # what a person can do about it

    def __str__(self) -> str:
        """Say it in one line, for logs and operations."""
        details = "".join(f" {name}: {value}." for name, value in self.values.items())
        number = f" (request {self.request_id})" if self.request_id else ""
        advice = f" {self.advice}" if self.advice else ""
        return f"{self.code}: {self.message}{details}{advice}{number}"

    @property
    def is_missing(self) -> bool:
        """Whether the thing asked for does not exist."""
        return self.kind == "not_found"
