"""What a request needs, and what its credential lets it do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from emulator.blob.errors import BlobError
from emulator.blob.names import Level

READ, LIST, WRITE, DELETE = "r", "l", "w", "d"
CREATE = "cw"  # either letter lets a new blob be written


@dataclass(frozen=True)
class Need:
    """What an operation works on, and the letters of which a signature has to grant one.

    `by_service_sas` is false for operations on containers that only the account's own signatures reach;
    `scheme` names the only scheme that the service takes for an operation.
    """

    level: Level
    letters: str = ""
    by_service_sas: bool = True
    scheme: Literal["", "Bearer"] = ""


@dataclass(frozen=True)
class Access:
    """A verified credential: the account's key and tokens of Entra may do everything (`letters` is None)."""

    letters: frozenset[str] | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    object_id: str = ""

    @property
    def is_whole(self) -> bool:
        """Tell whether the credential reaches everything in the account."""
        return self.letters is None

    def check(self, need: Need) -> None:
        """Refuse what none of the letters grants."""
        if self.letters is not None and need.letters and not self.letters & set(need.letters):
            raise BlobError("AuthorizationPermissionMismatch")

    def check_overwrite(self) -> None:
        """Refuse to replace a blob when the credential only lets new ones be made."""
        if self.letters is not None and WRITE not in self.letters:
            raise BlobError("UnauthorizedBlobOverwrite")
