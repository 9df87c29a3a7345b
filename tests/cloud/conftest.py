"""Fixtures of the gateway's tests."""

from collections.abc import Iterator

import pytest

from tests.cloud.stub import Stub, serving


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Return a server on a free port that answers what the test says."""
    with serving() as server:
        yield server
