"""Which versions of the API are answered: all known ones with the shape of the newest."""

import re
from collections.abc import Mapping

from emulator.errors import BatchError

NEWEST = "2025-06-01"
OLDER = frozenset(
    {
        "2022-01-01.15.0",
        "2022-10-01.16.0",
        "2023-05-01.17.0",
        "2023-11-01.18.0",
        "2024-02-01.19.0",
        "2024-07-01.20.0",
    }
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def check(query: Mapping[str, str]) -> None:
    """Refuse a request without a version or with one that the service does not know."""
    version = query.get("api-version")
    if not version:
        raise BatchError("MissingRequiredQueryParameter", QueryParameterName="api-version")
    if version in OLDER or (_DATE.fullmatch(version) and version >= NEWEST):
        return
    raise BatchError(
        "UnsupportedRequestVersion", QueryParameterName="api-version", QueryParameterValue=version
    )
