"""What a pool's nodes mount: containers of the emulated storage account, checked as blobfuse would find out."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from emulator.blob.errors import BlobError

Volumes = list[tuple[str, Path]]
"""Pairs of the path below the mounts' folder and the real folder behind it."""


class Blobs(Protocol):
    """What the storage service offers here."""

    @property
    def account(self) -> str:
        """The name of its account."""

    def folder(self, container: str) -> Path:
        """Return a container's folder, or raise BlobError."""

    def accepts_key(self, account: str, key: str) -> bool:
        """Tell whether this is the account's key."""

    def accepts_sas(self, container: str, sas: str) -> bool:
        """Tell whether a signature lets its bearer list the container."""


class MountFailed(Exception):
    """A mount that the node could not make; `details` are pairs for the node's error."""

    def __init__(self, message: str, details: Mapping[str, str]) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details)


def volumes(blobs: Blobs, configuration: Sequence[Mapping[str, Any]] | None) -> Volumes:
    """Return what a node mounts, or raise MountFailed at the first one that cannot be."""
    return [_volume(blobs, *next(iter(entry.items()))) for entry in configuration or ()]


def _volume(blobs: Blobs, kind: str, mount: Mapping[str, Any]) -> tuple[str, Path]:
    path = str(mount.get("relativeMountPath", ""))
    details = {"RelativeMountPath": path, "MountType": kind}
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise MountFailed("The path of a mount has to lie below the mounts' folder", details)
    if kind != "azureBlobFileSystemConfiguration":
        raise MountFailed("The local Azure mounts containers of its own storage account only", details)
    account, container = str(mount["accountName"]), str(mount["containerName"])
    details |= {"AccountName": account, "ContainerName": container}
    if account != blobs.account:
        raise MountFailed(f"There is no storage account {account} here", details)
    if not _is_allowed(blobs, account, container, mount):
        raise MountFailed("The storage account refuses the mount's key or signature", details)
    try:
        return str(PurePosixPath(path)), blobs.folder(container)
    except BlobError as error:
        raise MountFailed(f"The container could not be mounted: {error}", details) from error


def _is_allowed(blobs: Blobs, account: str, container: str, mount: Mapping[str, Any]) -> bool:
    if key := mount.get("accountKey"):
        return blobs.accepts_key(account, str(key))
    if sas := mount.get("sasKey"):
        return blobs.accepts_sas(container, str(sas))
    return "identityReference" in mount
