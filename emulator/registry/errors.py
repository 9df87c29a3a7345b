"""The refusals of the registry: the codes of Docker's protocol, and Azure's own ones."""

from collections.abc import Mapping
from typing import Any

LOGIN_HELP = "authentication required, visit https://aka.ms/acr/authorization for more information."
LOCK_HELP = (
    "The operation is disallowed on this registry, repository or image. View troubleshooting steps at "
    "https://aka.ms/acr/faq/#why-does-my-pull-or-push-request-fail-with-disallowed-operation"
)
# code: (status, message)
CATALOGUE: Mapping[str, tuple[int, str]] = {
    "BAD_REQUEST": (400, "the request is not valid"),
    "BLOB_UNKNOWN": (404, "blob unknown to registry"),
    "BLOB_UPLOAD_INVALID": (404, "blob upload invalid"),
    "BLOB_UPLOAD_UNKNOWN": (404, "blob upload unknown to registry"),
    "DIGEST_INVALID": (400, "provided digest did not match uploaded content"),
    "INTERNAL_ERROR": (500, "the registry encountered an internal error"),
    "MANIFEST_BLOB_UNKNOWN": (400, "blob unknown to registry"),
    "MANIFEST_INVALID": (400, "manifest invalid"),
    "MANIFEST_UNKNOWN": (404, "manifest unknown"),
    "NAME_INVALID": (400, "invalid repository name"),
    "NAME_UNKNOWN": (404, "repository name not known to registry"),
    "NOT_FOUND": (404, "the address does not represent any resource of the registry"),
    "PAGINATION_NUMBER_INVALID": (400, "invalid number of results requested"),
    "RANGE_INVALID": (416, "the requested range is outside of the content"),
    "REGISTRY_DISALLOWED_OPERATION": (405, LOCK_HELP),
    "TAG_INVALID": (400, "manifest tag did not match URI"),
    "TAG_UNKNOWN": (404, "the specified tag does not exist"),
    "TOOMANYREQUESTS": (429, "another request is writing to this upload"),
    "UNAUTHORIZED": (401, LOGIN_HELP),
    "UNSUPPORTED": (405, "the operation is unsupported"),
}


class RegistryError(Exception):
    """Refuse a request with one of the registry's codes."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        detail: object = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        usual, sentence = CATALOGUE[code]
        self.code = code
        self.message = message or sentence
        self.detail = detail
        self.status = status or usual
        self.headers = dict(headers or {})
        super().__init__(f"{code}: {self.message}")

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            error["detail"] = self.detail
        return {"errors": [error]}


def unknown_manifest(reference: str) -> RegistryError:
    """Say that no manifest has this digest or tag."""
    if ":" in reference:
        return RegistryError("MANIFEST_UNKNOWN", f"manifest {reference} is not found")
    return RegistryError(
        "MANIFEST_UNKNOWN", f'manifest tagged by "{reference}" is not found', detail={"Tag": reference}
    )


def unknown_repository(name: str) -> RegistryError:
    """Say that no repository has this name."""
    return RegistryError("NAME_UNKNOWN", detail={"name": name})
