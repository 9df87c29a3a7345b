"""Receiving bodies: large ones go to a file as they come, small ones into memory."""

import base64
import hashlib
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from emulator.blob.crc64 import Crc64
from emulator.blob.errors import BlobError
from emulator.blob.http import Received
from emulator.blob.storage import Storage

WRITE_BYTES = 1024 * 1024
MOST_SMALL_BYTES = 16 * 1024 * 1024  # a list of 50,000 blocks with the longest ids has half of that


class _Writer:
    """Write and hash what comes in; used by one thread at a time."""

    def __init__(self, storage: Storage, path: Path, *, with_crc64: bool) -> None:
        self._file = os.fdopen(storage.create_incoming(path), "wb", buffering=0)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc64 = Crc64() if with_crc64 else None
        self._path, self._size = path, 0

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._md5.update(data)
        if self._crc64 is not None:
            self._crc64.update(data)
        self._size += len(data)

    def close(self) -> None:
        self._file.close()

    def received(self) -> Received:
        md5 = base64.b64encode(self._md5.digest()).decode()
        return Received(self._path, self._size, md5, self._crc64.base64() if self._crc64 else "")


class Body:
    """The body of one request, which is read once."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._is_read = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is left of the body; ClientDisconnect when it ends too early."""
        if not self._is_read:
            async for chunk in self._request.stream():
                yield chunk
            self._is_read = True

    async def to_file(self, storage: Storage, path: Path) -> Received:
        """Write the body to a new file, a megabyte at a time."""
        with_crc64 = "x-ms-content-crc64" in self._request.headers
        writer = await run_in_threadpool(partial(_Writer, storage, path, with_crc64=with_crc64))
        try:
            pending = bytearray()
            async for chunk in self.chunks():
                pending += chunk
                if len(pending) >= WRITE_BYTES:
                    await run_in_threadpool(writer.write, bytes(pending))
                    pending.clear()
            await run_in_threadpool(writer.write, bytes(pending))
        finally:
            writer.close()
        return writer.received()

    async def to_memory(self) -> bytes:
        """Return a small body."""
        content = bytearray()
        async for chunk in self.chunks():
            content += chunk
            if len(content) > MOST_SMALL_BYTES:
                raise BlobError("RequestBodyTooLarge", MaxLimit=MOST_SMALL_BYTES)
        return bytes(content)

    async def drain(self) -> bool:
        """Drop what is left, so that the connection can be used again; false when it is not to be waited for.

        A client that waits to be told to go on has sent nothing, and has no need to any more.
        """
        if "expect" in self._request.headers and not self._is_read:
            return False
        async for _ in self.chunks():
            pass
        return True
