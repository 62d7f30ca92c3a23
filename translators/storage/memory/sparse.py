"""The contents of a file in memory: pages that were written, and holes that read as zeros."""

from __future__ import annotations

PAGE = 4096
"""Bytes; also the unit in which holes are told from data, as on most file systems."""


class SparseBytes:
    """Pages are immutable and may be shorter than `PAGE` (zeros follow), so that a copy shares them all."""

    __slots__ = ("pages", "size")

    def __init__(self) -> None:
        self.pages: dict[int, bytes] = {}
        self.size = 0

    def copy(self) -> SparseBytes:
        twin = SparseBytes()
        twin.pages = self.pages.copy()
        twin.size = self.size
        return twin

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; less at the end."""
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        first, start = divmod(offset, PAGE)
        if start + size <= PAGE:
            piece = self.pages.get(first, b"")[start : start + size]
            return piece if len(piece) == size else piece.ljust(size, b"\0")
        last = (offset + size - 1) // PAGE
        whole = b"".join([self.pages.get(page, b"").ljust(PAGE, b"\0") for page in range(first, last + 1)])
        return whole[start : start + size]

    def missing(self, offset: int, size: int) -> int:
        """How many pages a write would add."""
        pages = self.pages
        return sum(1 for page in _touched(offset, size) if page not in pages)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        size = len(data)
        first, start = divmod(offset, PAGE)
        if start + size <= PAGE:
            self._put(first, start, bytes(data))
        else:
            view = memoryview(data)
            done = 0
            while done < size:
                page, start = divmod(offset + done, PAGE)
                piece = bytes(view[done : done + PAGE - start])
                self._put(page, start, piece)
                done += len(piece)
        self.size = max(self.size, offset + size)

    def _put(self, page: int, start: int, piece: bytes) -> None:
        old = self.pages.get(page)
        if not old:
            self.pages[page] = bytes(start) + piece if start else piece
        else:
            self.pages[page] = old[:start].ljust(start, b"\0") + piece + old[start + len(piece) :]

    @property
    def stored(self) -> list[tuple[int, bytes]]:
        """The pages that hold anything, by their number."""
        return [(page, piece) for page, piece in sorted(self.pages.items()) if piece]

    def extend(self, size: int) -> None:
        """Grow to at least `size`, with a hole."""
        self.size = max(self.size, size)

    def resize(self, size: int) -> None:
        if size < self.size:
            self._cut(size)
        self.size = size

    def _cut(self, size: int) -> None:
        """Drop everything from `size` on: what comes back by growing again must read as zeros."""
        last, keep = divmod(size, PAGE)
        for page in [page for page in self.pages if page > last or (page == last and not keep)]:
            del self.pages[page]
        if last in self.pages:
            self.pages[last] = self.pages[last][:keep]

    def punch(self, offset: int, length: int) -> None:
        """Make a hole: whole pages are dropped, the rest zeroed. The size stays."""
        end = min(offset + length, self.size)
        if end <= offset:
            return
        for page in [page for page in self.pages if offset < (page + 1) * PAGE and page * PAGE < end]:
            start, stop = max(offset - page * PAGE, 0), min(end - page * PAGE, PAGE)
            if start == 0 and (stop == PAGE or end == self.size):
                del self.pages[page]
            else:
                self._put(page, start, bytes(stop - start))

    def reserve(self, offset: int, length: int) -> None:
        """Give the range pages of its own, zeros where nothing was. The size stays."""
        for page in _touched(offset, length):
            self.pages.setdefault(page, b"")

    def zero(self, offset: int, length: int) -> None:
        """Zeros that take space, growing the file if need be."""
        self.punch(offset, length)
        self.reserve(offset, length)
        self.size = max(self.size, offset + length)

    def next_data(self, offset: int) -> int | None:
        """The first byte from `offset` on that is not in a hole; None where only a hole follows."""
        page = offset // PAGE
        if page in self.pages:
            return offset
        later = min((each for each in self.pages if each > page), default=None)
        return None if later is None or later * PAGE >= self.size else later * PAGE

    def next_hole(self, offset: int) -> int:
        """The first byte from `offset` on that is in a hole; the end of the file counts as one."""
        page = offset // PAGE
        if page not in self.pages:
            return offset
        while page in self.pages:
            page += 1
        return min(page * PAGE, self.size)


def _touched(offset: int, size: int) -> range:
    return range(offset // PAGE, (offset + size - 1) // PAGE + 1) if size else range(0)
