"""The storage account: its keys and content, and what the nodes of pools do with it."""

import base64
import hmac
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from emulator.blob import names, sas
from emulator.blob.access import CREATE, LIST, READ, Access, Need
from emulator.blob.errors import BlobError, bad_header
from emulator.blob.facts import DEFAULT_CONTENT, Facts
from emulator.blob.names import Place
from emulator.blob.storage import Blob, Storage
from emulator.clock import Clock
from emulator.identity.state import IdentityState
from emulator.store import Store

ACCOUNT = "zoobatchdemo"
KEY_BYTES = 64


class BlobState:
    """One storage account; its key outlives restarts."""

    def __init__(self, data_dir: Path, store: Store, clock: Clock, *, identity: IdentityState) -> None:
        self.base_url = ""
        self.account = ACCOUNT
        self.clock = clock
        self.identity = identity
        self.storage = Storage(data_dir / "blob", ACCOUNT, store, clock)
        self._store = store

    @property
    def url(self) -> str:
        """Return the address of the account."""
        return f"{self.base_url}/{self.account}"

    @cached_property
    def key(self) -> str:
        """Return the account's key."""
        return self._store.remember("blob_account_key", _new_key)

    @cached_property
    def keys(self) -> sas.Keys:
        """Return what signatures of the account are made with."""
        secret = self._store.remember("blob_delegation_secret", _new_key)
        return sas.Keys(self.account, self.key, secret, self.identity.tenant)

    def accepts_key(self, account: str, key: str) -> bool:
        """Tell whether this is the account and its key."""
        return account == self.account and hmac.compare_digest(key.encode(), self.key.encode())

    def accepts_sas(self, container: str, signature: str) -> bool:
        """Tell whether a signature (a query string) lets its bearer list the container."""
        try:
            query = names.query(signature.removeprefix("?"))
            self.check_signature(Place(self.account, container), query, Need("container", LIST))
        except BlobError:
            return False
        return True

    def check_signature(self, place: Place, query: Mapping[str, str], need: Need) -> Access:
        """Return what a signature lets its bearer do at a place; one that is missing is refused like a wrong one."""
        if not sas.is_present(query):
            raise BlobError("NoAuthenticationInformation")
        asked = sas.Asked(place, need, query, self.clock.now(), headers={})
        return sas.check(self.keys, asked)

    def owns(self, url: str) -> bool:
        """Tell whether an address is one of this account."""
        try:
            return names.address(url)[0].account == self.account
        except BlobError:
            return False

    def folder(self, container: str) -> Path:
        """Return the folder of a container; its files are the container's blobs."""
        return self.storage.folder(container)

    def set_owner(self, owner: tuple[int, int] | None) -> None:
        """Let a user and group (those of tasks) write in all containers, None to leave files as they are made."""
        self.storage.set_owner(owner)

    def upload(self, container_url: str, name: str, source: Path, *, content_type: str | None = None) -> None:
        """Write a file to a container as a node does with a task's output: allowed by the signature in the URL."""
        place, query = names.address(container_url)
        if place.account != self.account or place.level != "container":
            raise BlobError("InvalidUri")
        access = self.check_signature(replace(place, blob=name), query, Need("blob", CREATE))
        if content_type and not (content_type.isprintable() and content_type.isascii()):
            raise bad_header("Content-Type", content_type)

        def check(blob: Blob | None) -> None:
            if blob is not None:
                access.check_overwrite()

        content = {"Content-Type": content_type} if content_type else DEFAULT_CONTENT
        self.storage.folder(place.container)
        with self.storage.incoming() as path, source.open("rb") as original:
            with os.fdopen(self.storage.create_incoming(path), "wb") as target:
                shutil.copyfileobj(original, target)
            self.storage.put(place.container, name, path, Facts(content=content), check)

    def download(self, url: str, target: Path) -> None:
        """Write a blob to a file as a node does with a resource file: allowed by the signature in the URL."""
        place, query = names.address(url)
        if place.account != self.account or place.level != "blob":
            raise BlobError("InvalidUri")
        self.check_signature(place, query, Need("blob", READ))
        descriptor, _ = self.storage.open(place.container, place.blob)
        with os.fdopen(descriptor, "rb") as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
