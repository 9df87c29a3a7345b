"""Clients of the emulated storage account: Microsoft's own, and signed or bare requests beside it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
from azure.core.credentials import AzureNamedKeyCredential
from azure.identity import ClientSecretCredential
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient

VERSION = "2024-11-04"
BLOCK = 64 * 1024


def service(endpoints: dict[str, Any], credential: Any = None, **options: Any) -> BlobServiceClient:
    """Return Microsoft's client; it cuts uploads into small blocks and does not repeat failed requests."""
    blob = endpoints["blob"]
    return BlobServiceClient(
        blob["url"],
        credential=credential or AzureNamedKeyCredential(blob["account"], blob["key"]),
        connection_verify=endpoints["ca"],
        retry_total=0,
        max_single_put_size=BLOCK,
        max_block_size=BLOCK,
        **options,
    )


def container_with(endpoints: dict[str, Any], name: str, signature: str) -> ContainerClient:
    """Return a client of a container that has nothing but a signature."""
    url = f"{endpoints['blob']['url']}/{name}?{signature}"
    return ContainerClient.from_container_url(url, connection_verify=endpoints["ca"], retry_total=0)


def blob_with(endpoints: dict[str, Any], container: str, name: str, signature: str) -> BlobClient:
    """Return a client of a blob that has nothing but a signature."""
    return BlobClient(
        endpoints["blob"]["url"],
        container,
        name,
        credential=signature,
        connection_verify=endpoints["ca"],
        retry_total=0,
    )


def application(endpoints: dict[str, Any]) -> ClientSecretCredential:
    """Return the credential of the application that may do everything."""
    identity = endpoints["identity"]
    return ClientSecretCredential(
        identity["tenant"],
        identity["client_id"],
        identity["client_secret"],
        authority=identity["authority"],
        disable_instance_discovery=True,
        connection_verify=endpoints["ca"],
    )


def bare(endpoints: dict[str, Any], method: str, path: str, **more: Any) -> requests.Response:
    """Send a request without a credential to a path below the service's address."""
    base = endpoints["blob"]["url"].removesuffix(f"/{endpoints['blob']['account']}")
    return requests.request(method, base + path, verify=endpoints["ca"], timeout=30, **more)


def folder(endpoints: dict[str, Any], container: str) -> Path:
    """Return the folder that holds a container's blobs."""
    return Path(endpoints["ca"]).parent / "blob" / endpoints["blob"]["account"] / container


def soon() -> datetime:
    """Return an instant until which a test is surely over."""
    return datetime.now(UTC) + timedelta(hours=1)
