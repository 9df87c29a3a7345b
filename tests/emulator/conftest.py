"""Clients of the emulated Batch: Microsoft's own, and a raw one for what that would never send."""

from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest
import requests
from azure.batch import BatchClient

from emulator.batch import auth
from tests.emulator.batch import connect

Ask = Callable[..., requests.Response]
VERSION = "2025-06-01"


@pytest.fixture
def client(emulator: dict[str, Any]) -> Iterator[BatchClient]:
    """Return Microsoft's client for the shared emulator."""
    with connect(emulator) as found:
        yield found


@pytest.fixture(scope="module")
def module_client(emulator: dict[str, Any]) -> Iterator[BatchClient]:
    """Return a client for what the tests of one module share."""
    with connect(emulator) as found:
        yield found


@pytest.fixture
def ask(module_ask: Ask) -> Ask:
    """Return a function that sends one signed request: ask(method, path, json=..., query=..., headers=...)."""
    return module_ask


@pytest.fixture(scope="module")
def module_ask(emulator: dict[str, Any]) -> Iterator[Ask]:
    """Return the same function for what the tests of one module share."""
    batch = emulator["batch"]
    session = requests.Session()
    session.verify = emulator["ca"]

    def send(
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        version: str | None = VERSION,
        headers: dict[str, str] | None = None,
        key: str = batch["key"],
        account: str = batch["account"],
        date: str | None = None,
        **more: Any,
    ) -> requests.Response:
        parameters = {**({"api-version": version} if version else {}), **(query or {})}
        sent = {"ocp-date": date or formatdate(usegmt=True), **(headers or {})}
        request = requests.Request(method, batch["url"] + path, params=parameters, headers=sent, **more)
        prepared = session.prepare_request(request)
        raw_path, _, text = prepared.path_url.partition("?")
        lowered = {name.lower(): str(value) for name, value in prepared.headers.items()}
        to_sign = auth.string_to_sign(method, account, raw_path, text, lowered)
        prepared.headers["Authorization"] = f"SharedKey {account}:{auth.sign(key, to_sign)}"
        return session.send(prepared, timeout=30)

    with session:
        yield send
