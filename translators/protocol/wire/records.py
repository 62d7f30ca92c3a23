"""Record marking: the bytes of a stream in pieces of any size, and the whole records in them."""

from __future__ import annotations

from ....graph import Buffer, ProtocolError

LAST = 0x80000000
LENGTH = 0x7FFFFFFF
FRAGMENTS_MAX = 64
RECORD_BYTES_MAX = 16 * 1024 * 1024 + 64 * 1024
"""GlusterFS's clients send 1 MiB at most unless an application writes more in one call."""


class Records:
    """Feed it what arrives. Memory is taken only for bytes that have come, never for bytes that were announced."""

    __slots__ = ("_fragments", "_last", "_mark", "_record", "_wanted", "limit")

    def __init__(self, limit: int = RECORD_BYTES_MAX) -> None:
        self.limit = limit
        self._mark = b""
        self._record: bytearray | None = None
        self._wanted = 0
        self._last = False
        self._fragments = 0

    @property
    def partial(self) -> bool:
        """A record has begun and is not complete."""
        return self._record is not None or bool(self._mark)

    def feed(self, data: Buffer) -> list[Buffer]:
        """Take bytes, which need to be valid only during the call; return the records they complete, copied."""
        position, end = 0, len(data)
        if self._record is None and not self._mark and 4 < end <= self.limit:
            announced = int.from_bytes(data[:4], "big")
            if announced == LAST | end - 4:  # exactly one record, as with one call on its way at a time
                return [bytes(data[4:])]
        records: list[Buffer] = []
        while position < end:
            if self._wanted:
                position = self._fill(data, position, end)
            else:
                mark = self._mark + bytes(data[position : position + 4 - len(self._mark)])
                position += len(mark) - len(self._mark)
                if len(mark) < 4:
                    self._mark = mark
                    break
                self._mark = b""
                self._begin(int.from_bytes(mark, "big"))
                if self._record is None and self._last and position + self._wanted <= end:
                    records.append(bytes(data[position : position + self._wanted]))
                    position += self._wanted
                    self._wanted = self._fragments = 0
                    continue
                if self._record is None:
                    self._record = bytearray()
            if not self._wanted and self._last and self._record is not None:
                records.append(memoryview(self._record))
                self._record = None
                self._fragments = 0
        return records

    def _begin(self, mark: int) -> None:
        """The next fragment."""
        self._last = bool(mark & LAST)
        self._wanted = mark & LENGTH
        self._fragments += 1
        total = self._wanted + (len(self._record) if self._record is not None else 0)
        if total > self.limit:
            raise ProtocolError(f"a record of {total} bytes; {self.limit} at most")
        if self._fragments > FRAGMENTS_MAX:
            raise ProtocolError(f"a record in more than {FRAGMENTS_MAX} fragments")

    def _fill(self, data: Buffer, position: int, end: int) -> int:
        assert self._record is not None
        until = min(end, position + self._wanted)
        self._record += memoryview(data)[position:until]
        self._wanted -= until - position
        return until


def mark(length: int) -> int:
    """The word before a record of that many bytes: one fragment, the last."""
    return LAST | length
