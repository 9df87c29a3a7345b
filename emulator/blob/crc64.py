"""The checksum of `x-ms-content-crc64`, computed only for clients that send it."""

import base64
from functools import cache

_POLYNOMIAL = 0x9A6C9329AC4BC9B5
_ALL = 0xFFFFFFFFFFFFFFFF


class Crc64:
    """A running CRC-64 of the kind that NVMe and Azure Storage use."""

    def __init__(self) -> None:
        self._value = _ALL

    def update(self, data: bytes) -> None:
        """Take in more bytes."""
        table, value = _table(), self._value
        for byte in data:
            value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
        self._value = value

    def base64(self) -> str:
        """Return the checksum as headers carry it."""
        return base64.b64encode((self._value ^ _ALL).to_bytes(8, "little")).decode()


@cache
def _table() -> tuple[int, ...]:
    return tuple(_entry(number) for number in range(256))


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value
