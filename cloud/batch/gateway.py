"""The Batch gateway: one class, its methods in one module per kind of thing."""

from typing import Self

from cloud.batch.files import FileCalls
from cloud.batch.jobs import JobCalls
from cloud.batch.pools import PoolCalls
from cloud.batch.session import BatchSession
from cloud.batch.tasks import TaskCalls
from cloud.config import BatchConnection


class BatchGateway(PoolCalls, JobCalls, TaskCalls, FileCalls):
    """One Batch account, in typed plain values; every failure is a CloudError. Safe between threads."""

    def __init__(self, connection: BatchConnection) -> None:
        self.session = BatchSession(connection)

    def check(self) -> None:
        """Make the cheapest call that needs a valid credential."""
        next(self.session.pages("/pools", select="id", maxresults="1"))

    def close(self) -> None:
        """Close the connections that are kept open."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
