"""Read what the services' error answers say: four JSON shapes, one XML shape, and the headers."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree

import orjson
from azure.core.exceptions import AzureError

from cloud.redaction import mask_structure, mask_text

_REQUEST_ID_HEADERS = ("request-id", "x-ms-request-id", "x-ms-correlation-request-id", "client-request-id")
_AADSTS = re.compile(r"AADSTS\d+")
_LONGEST_MESSAGE = 2000


@dataclass(kw_only=True)
class Facts:
    """What one error answer says."""

    code: str
    message: str
    values: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    request_id: str | None = None
    retry_after: float | None = None


def read_facts(response: Any, *, fallback: str) -> Facts:
    """Read an HTTP error answer; `fallback` is the message when its body says nothing."""
    code, message, values = parse_body(_body(response))
    code = code or response.headers.get("x-ms-error-code") or f"Http{response.status_code}"
    return Facts(
        code=code,
        message=mask_text((message or fallback)[:_LONGEST_MESSAGE]),
        values=mask_structure(values),
        status=response.status_code,
        request_id=next((response.headers[h] for h in _REQUEST_ID_HEADERS if response.headers.get(h)), None),
        retry_after=_retry_after(response),
    )


def parse_body(body: bytes) -> tuple[str | None, str | None, dict[str, str]]:
    """Return code, message and details of an error body in any of the services' shapes."""
    body = body.removeprefix(codecs.BOM_UTF8).lstrip()
    if body.startswith(b"<"):
        return _parse_xml(body)
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, None, {}
    return parse_error(data) if isinstance(data, dict) else (None, None, {})


def parse_error(data: Mapping[str, Any]) -> tuple[str | None, str | None, dict[str, str]]:
    """Return code, message and details of a decoded error object."""
    if isinstance(data.get("errors"), list) and data["errors"]:  # registry
        first = data["errors"][0]
        return first.get("code"), first.get("message"), _registry_details(first.get("detail"))
    if isinstance(data.get("error"), Mapping):  # resource manager
        return parse_error(data["error"])
    if isinstance(data.get("error"), str):  # OAuth
        text = str(data.get("error_description") or data["error"])
        found = _AADSTS.search(text)
        return found.group() if found else data["error"], text.splitlines()[0], {}
    message = data.get("message")
    if isinstance(message, Mapping):  # Batch
        message = message.get("value")
    lines = [ln for ln in str(message or "").splitlines() if not ln.startswith(("RequestId:", "Time:"))]
    details = {str(item.get("key")): str(item.get("value")) for item in data.get("values") or []}
    return data.get("code"), " ".join(lines) or None, details


def _registry_details(detail: Any) -> dict[str, str]:
    if isinstance(detail, list):
        detail = detail[0] if detail else None
    if isinstance(detail, Mapping):
        return {str(name): str(value) for name, value in detail.items()}
    return {"detail": str(detail)} if detail else {}


def _parse_xml(body: bytes) -> tuple[str | None, str | None, dict[str, str]]:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return None, None, {}
    texts = {child.tag: (child.text or "").strip() for child in root}
    message = texts.pop("Message", "").split("\n")[0].removeprefix("\ufeff")
    return texts.pop("Code", None), message or None, texts


def _body(response: Any) -> bytes:
    """Return an error answer's body, also when the call was a streamed one."""
    try:
        if hasattr(response, "read"):
            response.read()
        return bytes(response.content if hasattr(response, "content") else response.body())
    except (AzureError, AttributeError, ValueError):
        return b""


def _retry_after(response: Any) -> float | None:
    """Read how long the service asks to wait: milliseconds, seconds, or a date."""
    try:
        if milliseconds := response.headers.get("x-ms-retry-after-ms") or response.headers.get(
            "retry-after-ms"
        ):
            return float(milliseconds) / 1000
        text = response.headers.get("Retry-After") or ""
        if text.strip().isdigit():
            return float(text)
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()) if text else None
    except (ValueError, TypeError):
        return None
