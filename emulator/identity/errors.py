"""The refusals of the token service, with Entra's own numbers."""

import uuid
from datetime import datetime
from typing import Any

# name: (number, status, OAuth error, sentence)
CATALOGUE: dict[str, tuple[int, int, str, str]] = {
    "tenant": (
        90002,
        400,
        "invalid_tenant",
        "Tenant '{0}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud.",
    ),
    "client": (
        700016,
        400,
        "unauthorized_client",
        "Application with identifier '{0}' was not found in the directory '{1}'.",
    ),
    "secret": (7000215, 401, "invalid_client", "Invalid client secret provided for app '{0}'."),
    "no_secret": (
        7000218,
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    "assertion": (700027, 401, "invalid_client", "The client assertion is not accepted: {0}."),
    "grant": (70003, 400, "unsupported_grant_type", "The app requested an unsupported grant type '{0}'."),
    "missing": (
        900144,
        400,
        "invalid_request",
        "The request body must contain the following parameter: '{0}'.",
    ),
    "scope": (
        1002012,
        400,
        "invalid_scope",
        "The provided value for scope {0} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
    ),
    "resource": (
        500011,
        400,
        "invalid_resource",
        "The resource principal named {0} was not found in the tenant named {1}.",
    ),
}


class EntraError(Exception):
    """Refuse a token request; `name` is a key of the catalogue."""

    def __init__(self, name: str, *values: str) -> None:
        self.number, self.status, self.error, sentence = CATALOGUE[name]
        self.sentence = f"AADSTS{self.number}: {sentence.format(*values)}"
        super().__init__(self.sentence)

    def body(self, now: datetime) -> dict[str, Any]:
        """Return the answer's body; clients show `error_description` to people."""
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
        told = f" Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
        return {
            "error": self.error,
            "error_description": self.sentence + told,
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
        }
