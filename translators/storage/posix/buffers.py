"""Memory to read into."""

from __future__ import annotations

from sys import getrefcount

REUSED_MIN, REUSED_MAX = 64 << 10, 4 << 20
"""Bytes: a smaller buffer is made as fast as the last one is looked at, and a larger one is not kept."""


class Buffers:
    """The last buffer is given again once nobody holds it any more. A new one is filled with zeros first, which takes a
    quarter of the time of reading into it, or more where the memory comes fresh from the system."""

    __slots__ = ("_last", "_unheld")

    def __init__(self) -> None:
        self._last = bytearray()
        self._unheld = getrefcount(self._last)

    def of(self, size: int) -> bytearray:
        """So many bytes, of any value."""
        if len(self._last) == size and getrefcount(self._last) == self._unheld:
            return self._last
        fresh = bytearray(size)
        if REUSED_MIN <= size <= REUSED_MAX:
            self._last = fresh
        return fresh
