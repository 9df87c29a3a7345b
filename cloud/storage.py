"""Azure Blob Storage: containers, blobs as streams, and signatures that let others reach them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Self

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import (
    BlobProperties,
    BlobServiceClient,
    ContainerSasPermissions,
    ContentSettings,
    UserDelegationKey,
    generate_container_sas,
)

from cloud.config import SharedKey, StorageConnection
from cloud.credentials import named_key, token_credential
from cloud.errors import CloudError
from cloud.transport import Caller, Deadline, one_try
from cloud.types import BlobSnapshot

_PAGE = 1000
_CLOCK_TOLERANCE = timedelta(minutes=5)  # a SAS begins a little earlier than now
_LONGEST_DELEGATION = timedelta(days=7)  # Azure's limit for user delegation keys


class StorageGateway:
    """One storage account, in typed plain values; every failure is a CloudError. Safe between threads."""

    def __init__(self, connection: StorageConnection) -> None:
        credential, limits = connection.credential, connection.limits
        self._account = connection.account
        self._endpoint = connection.endpoint.rstrip("/")
        self._key = credential.key if isinstance(credential, SharedKey) else None
        self._caller = Caller("storage", self._endpoint, limits)
        options: dict[str, Any] = (
            {"connection_verify": connection.trust.ca_bundle} if connection.trust.ca_bundle else {}
        )
        self._client = BlobServiceClient(
            self._endpoint,
            credential=named_key(credential)
            if isinstance(credential, SharedKey)
            else token_credential(credential, connection.trust),
            connection_timeout=limits.connect_timeout,
            read_timeout=limits.read_timeout,
            retry_total=limits.retry_total,
            initial_backoff=1,
            increment_base=2,
            **options,
        )

    def container_url(self, container: str) -> str:
        """Return a container's address, without a signature."""
        return self._client.get_container_client(container).url

    def ensure_container(self, container: str) -> bool:
        """Create a container; False when it was there already."""
        with self._caller.calling():
            try:
                self._client.create_container(container)
            except ResourceExistsError:
                return False
        return True

    def properties(self, container: str, blob: str, *, timeout: float | None = None) -> BlobSnapshot | None:
        """Read a blob's facts, None when it does not exist; with `timeout` (seconds) it is asked once."""
        with self._caller.calling(patience=timeout):
            try:
                client = self._client.get_blob_client(container, blob)
                return _snapshot(client.get_blob_properties(**one_try(timeout)))
            except ResourceNotFoundError:
                return None

    def upload(
        self,
        container: str,
        blob: str,
        data: bytes | IO[bytes],
        *,
        overwrite: bool = True,
        content_type: str | None = None,
    ) -> None:
        """Write a blob from bytes or from a stream, in blocks when it is large."""
        settings = ContentSettings(content_type=content_type) if content_type else None
        with self._caller.calling():
            client = self._client.get_blob_client(container, blob)
            client.upload_blob(data, overwrite=overwrite, content_settings=settings)

    def download(self, container: str, blob: str) -> Iterator[bytes]:
        """Read a blob in parts."""
        with self._caller.calling():
            stream = self._client.get_blob_client(container, blob).download_blob()
            parts = stream.chunks()
        while True:
            with self._caller.calling():
                part = next(parts, None)
            if part is None:
                return
            yield part

    def read(self, container: str, blob: str, *, start: int, limit: int, timeout: float = 5.0) -> bytes:
        """Read at most `limit` bytes of a blob from `start` on; empty when it ends there."""
        deadline = Deadline(timeout)
        try:
            with self._caller.calling(patience=timeout):
                client = self._client.get_blob_client(container, blob)
                data: bytes = client.download_blob(start, limit, **one_try(timeout)).readall()
                deadline.check()
                return data
        except CloudError as error:
            if error.status == 416:
                return b""
            raise

    def list_blobs(self, container: str, *, prefix: str = "") -> Iterator[list[BlobSnapshot]]:
        """List a container's blobs whose names begin with `prefix`, page by page."""
        listing = self._client.get_container_client(container).list_blobs(
            name_starts_with=prefix or None, results_per_page=_PAGE
        )
        pages = listing.by_page()
        while True:
            with self._caller.calling():
                page = next(pages, None)
                items = None if page is None else [_snapshot(blob) for blob in page]
            if items is None:
                return
            yield items

    def container_sas(self, container: str, *, permissions: str, expires_at: datetime) -> str:
        """Return a container's address signed for `permissions` (letters such as `rwl`) until then."""
        token = generate_container_sas(
            self._account,
            container,
            permission=ContainerSasPermissions.from_string(permissions),
            **self._signing(expires_at),
        )
        return f"{self.container_url(container)}?{token}"

    def check(self) -> None:
        """Make the cheapest call that needs a valid credential."""
        with self._caller.calling():
            next(self._client.list_containers(results_per_page=1).by_page(), None)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _signing(self, expires_at: datetime) -> dict[str, Any]:
        """Sign with the account's key, or with a key that Azure delegates to our identity."""
        start = datetime.now(UTC) - _CLOCK_TOLERANCE
        options: dict[str, Any] = {"start": start, "expiry": expires_at.astimezone(UTC), "protocol": "https"}
        if self._key is not None:
            return {**options, "account_key": self._key}
        return {**options, "user_delegation_key": self._delegation_key(start, expires_at)}

    def _delegation_key(self, start: datetime, expires_at: datetime) -> UserDelegationKey:
        if expires_at - start > _LONGEST_DELEGATION:
            raise CloudError(
                code="SasTooLong",
                kind="invalid",
                message="A signature made with an identity lives seven days at most.",
                advice="Shorten the task's wall clock limit, or let the pool's identity write the files.",
            )
        with self._caller.calling():
            return self._client.get_user_delegation_key(start, expires_at)


def _snapshot(blob: BlobProperties) -> BlobSnapshot:
    return BlobSnapshot(
        name=blob.name,
        size=blob.size,
        content_type=blob.content_settings.content_type,
        last_modified=blob.last_modified,
        etag=blob.etag,
    )
