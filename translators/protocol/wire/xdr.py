"""XDR as GlusterFS speaks it: big-endian words, lengths before bytes, padding to four.

A `Reader` goes once through one record; every length is checked against what is left before it is used.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import Any

from ....graph import Buffer, ProtocolError

WORD = Struct(">I")
PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""What follows n bytes, by n % 4."""


class Reader:
    """A position in one record. What runs over the end, or is padded with anything but zeros, is a ProtocolError."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: Buffer, position: int = 0) -> None:
        self.data = data
        self.end = len(data)
        self.position = position

    @property
    def left(self) -> int:
        return self.end - self.position

    def fixed(self, form: Struct) -> tuple[Any, ...]:
        start = self.position
        try:
            values = form.unpack_from(self.data, start)
        except StructError:
            raise ProtocolError(f"{form.size} bytes wanted, {self.end - start} left") from None
        self.position = start + form.size
        return values

    def word(self) -> int:
        start = self.position
        after = start + 4
        if after > self.end:
            raise ProtocolError(f"4 bytes wanted, {self.end - start} left")
        self.position = after
        return int.from_bytes(self.data[start:after], "big")

    def take(self, count: int) -> bytes:
        start = self.position
        after = start + count
        if after > self.end:
            raise ProtocolError(f"{count} bytes wanted, {self.end - start} left")
        self.position = after
        return bytes(self.data[start:after])

    def opaque(self, limit: int) -> bytes:
        """A length, so many bytes, and their padding."""
        count = self.word()
        if count > limit:
            raise ProtocolError(f"{count} bytes, {limit} allowed")
        value = self.take(count)
        if count & 3 and self.take(-count & 3) != PADDING[count & 3]:
            raise ProtocolError("padding that is not zero")
        return value

    def rest(self) -> Buffer:
        """All that is left, not copied."""
        start, self.position = self.position, self.end
        return self.data[start:]

    def done(self) -> None:
        """Nothing may be left."""
        if self.position != self.end:
            raise ProtocolError(f"{self.end - self.position} bytes too many")


def opaque(value: bytes) -> bytes:
    """A length, the bytes, and their padding."""
    return WORD.pack(len(value)) + value + PADDING[len(value) & 3]


def text(value: str) -> bytes:
    """The bytes of a text; those that are no UTF-8 came as surrogates and leave as they came."""
    return value.encode("utf-8", "surrogateescape")


def from_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
