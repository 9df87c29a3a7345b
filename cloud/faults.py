"""Translate every failure of the SDKs into the one CloudError."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from cloud.advice import advice_for
from cloud.errors import CloudError, ErrorKind
from cloud.faultbodies import Facts, read_facts

Service = Literal["batch", "registry", "storage"]

_PASSING_CONFLICTS = frozenset(
    {"TaskFilesUnavailable", "OperationInvalidForCurrentState", "LeaseAlreadyPresent"}
)
_KIND_BY_STATUS: dict[int, ErrorKind] = {
    401: "authentication",
    403: "permission",
    404: "not_found",
    408: "timeout",
    409: "conflict",
    412: "conflict",
    429: "throttled",
    503: "throttled",
}
_AUTHENTICATION_CODES = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo", "UNAUTHORIZED"})
_WORST_SKEW = 300.0  # seconds; Azure refuses signatures and tokens beyond 5 to 15 minutes


def translate(error: AzureError, service: Service, endpoint: str) -> CloudError:
    """Return the CloudError that says what an SDK exception means."""
    if isinstance(error, IncompleteReadError):
        message = f"{endpoint} closed the connection within its answer."
        return _build(Facts(code="ConnectionLost", message=message), "unreachable", service)
    response = getattr(error, "response", None)
    if response is not None and isinstance(error, HttpResponseError):
        return _answered(error, response, service)
    # azure-identity calls an authority that does not answer a failed authentication; it is an outage like others.
    if any(isinstance(cause, (ServiceRequestError, ServiceResponseError)) for cause in _causes(error)):
        return _unanswered(error, service, endpoint)
    if isinstance(error, ClientAuthenticationError):
        facts = Facts(code=type(error).__name__, message=_first_line(error))
        return _build(facts, "authentication", service)
    return _unanswered(error, service, endpoint)


def kind_of(code: str, status: int | None) -> ErrorKind:
    """Classify an answer by Azure's code first, its HTTP status second."""
    if "Quota" in code:
        return "quota"
    if code in _AUTHENTICATION_CODES:
        return "authentication"
    if code.startswith("TooMany") or code == "ServerBusy":
        return "throttled"
    if status is None:
        return "unknown"
    if status in _KIND_BY_STATUS:
        return _KIND_BY_STATUS[status]
    return "server" if status >= 500 else "invalid"


def is_passing(code: str, kind: ErrorKind) -> bool:
    """Tell whether the same call may succeed later without anybody changing anything."""
    if kind == "conflict":
        return "Being" in code or code in _PASSING_CONFLICTS
    return kind in {"throttled", "timeout", "unreachable", "server"}


def _answered(error: HttpResponseError, response: Any, service: Service) -> CloudError:
    facts = read_facts(response, fallback=_first_line(error))
    kind = kind_of(facts.code, response.status_code)
    if isinstance(error, ClientAuthenticationError) and kind == "invalid":
        kind = "authentication"  # Entra answers 400 for a wrong client or secret
    skew = clock_skew(response) if kind in {"authentication", "permission"} else 0.0
    if abs(skew) > _WORST_SKEW:
        facts.message += f" This machine's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}."
        kind = "clock"
    return _build(facts, kind, service)


def clock_skew(response: Any) -> float:
    """Return by how many seconds our clock is ahead of the answer's Date header (0 if there is none)."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("Date") or "")
    except (ValueError, TypeError):
        return 0.0
    return (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()


def _unanswered(error: AzureError, service: Service, endpoint: str) -> CloudError:
    chain = list(_causes(error))
    text = " ".join(str(link) for link in chain)
    if any(isinstance(link, ssl.SSLError) for link in chain) or "CERTIFICATE_VERIFY_FAILED" in text:
        facts = Facts(
            code="TlsFailed", message=f"The certificate of {endpoint} is not trusted: {_tls_reason(text)}."
        )
        return _build(facts, "tls", service)
    names = {type(link).__name__ for link in chain}
    if any("Timeout" in name and name != "TimeoutStateError" for name in names):
        facts = Facts(code="TimedOut", message=f"{endpoint} did not answer in time.")
        return _build(facts, "timeout", service)
    if "NewConnectionError" in names or isinstance(error, ServiceRequestError):
        reason = _network_reason(text)
        return _build(Facts(code="Unreachable", message=f"{endpoint} {reason}."), "unreachable", service)
    if isinstance(error, ServiceResponseError):
        facts = Facts(code="ConnectionLost", message=f"{endpoint} closed the connection before answering.")
        return _build(facts, "unreachable", service)
    return _build(Facts(code=type(error).__name__, message=_first_line(error)), "unknown", service)


def _build(facts: Facts, kind: ErrorKind, service: Service) -> CloudError:
    return CloudError(
        code=facts.code,
        message=facts.message.strip(),
        kind=kind,
        is_passing=is_passing(facts.code, kind),
        values=facts.values,
        status=facts.status,
        request_id=facts.request_id,
        retry_after=facts.retry_after,
        advice=advice_for(service, kind, facts.code, facts.message),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk an exception, what it was raised from, and what urllib3 hides in `args` and `reason`."""
    seen: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        link = queue.pop(0)
        if not isinstance(link, BaseException) or any(link is one for one in seen):
            continue
        seen.append(link)
        yield link
        inner = [getattr(link, "inner_exception", None), getattr(link, "reason", None), link.__cause__]
        queue += [*inner, link.__context__, *(arg for arg in link.args if isinstance(arg, BaseException))]


def _network_reason(text: str) -> str:
    if "refused" in text:
        return "refused the connection"
    if "resolve" in text or "Name or service not known" in text or "No address" in text:
        return "has no address: the name could not be resolved"
    if "non-TLS" in text:
        return "is not an https address, and tokens are never sent without TLS"
    return "could not be reached"


def _tls_reason(text: str) -> str:
    if "self-signed" in text or "self signed" in text or "local issuer" in text:
        return "it was issued by an authority that is not in the CA bundle"
    if "ostname mismatch" in text or "doesn't match" in text or "IP address mismatch" in text:
        return "it was issued for another host name"
    return "it has expired" if "expired" in text else "the TLS handshake failed"


def _first_line(error: BaseException) -> str:
    message = getattr(error, "message", None) or str(error)
    return str(message).splitlines()[0] if str(message).strip() else type(error).__name__
