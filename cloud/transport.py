"""How every call travels: time-outs, retries, trust, and a limit on calls open at once per account."""

import binascii
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import RetryPolicy

from cloud.config import Limits, Trust
from cloud.errors import CloudError
from cloud.faults import Service, translate

_RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class BoundedRetry(RetryPolicy):
    """Retry passing faults a few times; never sleep longer than the caller allows.

    azure-core would retry any error that carries Retry-After (413 included) and sleep as long as it
    says; a long pause belongs to the caller's own schedule, which the raised error tells about.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(
            retry_total=limits.retry_total,
            retry_connect=limits.retry_total,
            retry_read=limits.retry_total,
            retry_status=limits.retry_total,
            retry_backoff_factor=0.4,
            retry_backoff_max=limits.longest_pause,
        )
        self._longest_pause = limits.longest_pause

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """Decide whether an answer is worth another try within this call."""
        if response.http_response.status_code not in _RETRIED_STATUSES or settings["total"] <= 0:
            return False
        if (self.get_retry_after(response) or 0.0) > self._longest_pause:
            return False
        return bool(super().is_retry(settings, response))


def client_options(limits: Limits, trust: Trust) -> dict[str, Any]:
    """Return the keyword arguments that every azure-core client takes from us."""
    options: dict[str, Any] = {
        "connection_timeout": limits.connect_timeout,
        "read_timeout": limits.read_timeout,
        "retry_policy": BoundedRetry(limits),
    }
    if trust.ca_bundle:
        options["connection_verify"] = trust.ca_bundle
    return options


def one_try(timeout: float | None) -> dict[str, Any]:
    """Return a call's keyword arguments that let it be made once, for `timeout` seconds at most; none for None."""
    if timeout is None:
        return {}
    return {"connection_timeout": timeout, "read_timeout": timeout, "retry_total": 0}


class CallLimit:
    """At most so many calls at once to one account from this process."""

    def __init__(self, concurrent_calls: int) -> None:
        self._slots = threading.BoundedSemaphore(concurrent_calls)

    @contextmanager
    def slot(self, patience: float) -> Iterator[None]:
        """Hold one of the slots; give up after `patience` seconds with a passing error."""
        if not self._slots.acquire(timeout=patience):
            raise CloudError(
                code="TooManyCallsHere",
                kind="throttled",
                is_passing=True,
                message="Too many calls to this account are under way in this process.",
            )
        try:
            yield
        finally:
            self._slots.release()


_limits: dict[str, CallLimit] = {}
_limits_lock = threading.Lock()


def call_limit(endpoint: str, concurrent_calls: int) -> CallLimit:
    """Return the limit that all gateways of one endpoint share; the first one sets its size."""
    with _limits_lock:
        return _limits.setdefault(endpoint, CallLimit(concurrent_calls))


class Caller:
    """One service of one account: opens calls under its limit and translates what goes wrong."""

    def __init__(self, service: Service, endpoint: str, limits: Limits) -> None:
        self._service = service
        self._endpoint = endpoint
        self._limit = call_limit(endpoint, limits.concurrent_calls)
        self._patience = limits.read_timeout

    @contextmanager
    def calling(self, patience: float | None = None) -> Iterator[None]:
        """Run one call; any failure leaves it as a CloudError."""
        with self._limit.slot(self._patience if patience is None else patience):
            try:
                yield
            except AzureError as error:
                raise translate(error, self._service, self._endpoint) from error
            except binascii.Error as error:
                raise CloudError(
                    code="KeyNotBase64",
                    kind="authentication",
                    message="The account key is not base64 text.",
                    advice="Copy the key again, whole.",
                ) from error
            except orjson.JSONDecodeError as error:
                raise CloudError(
                    code="AnswerNotJson",
                    kind="server",
                    is_passing=True,
                    message=f"{self._endpoint} answered something that is not JSON.",
                    advice="Check that the address is the service's own, and any proxy on the way.",
                ) from error


class Deadline:
    """A moment after which a read that dribbles is given up."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def check(self) -> None:
        """Raise a passing time-out error once the moment has gone by."""
        if time.monotonic() > self._at:
            raise CloudError(
                code="ReadTimedOut", kind="timeout", is_passing=True, message="The answer took too long."
            )
