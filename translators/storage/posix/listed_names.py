"""The names that one listing of a directory shows, from its beginning to its end."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate

_TAIL = 2
"""Bytes behind each name: NUL, which no name has and which comes before all else as names are sorted; and the kind."""


class ListedNames:
    """Names with their dirent types, sorted: a reader without an open directory comes back to a new listing.

    They are kept as one text. An object for each takes ten times as much; and because what the brick remembers of the
    objects is made among them, Python could give little of that back when the directory is closed.
    """

    __slots__ = ("_ends", "_text")

    def __init__(self, named: Iterable[tuple[bytes, int]]) -> None:
        pieces = sorted(b"%b\0%c" % each for each in named)
        self._text = b"".join(pieces)
        self._ends = array("Q", accumulate(map(len, pieces)))

    def behind(self, number: int) -> Iterator[tuple[bytes, int]]:
        """All but the first so many."""
        ends, text = self._ends, self._text
        start = ends[number - 1] if 0 < number <= len(ends) else 0
        for at in range(number, len(ends)):
            end = ends[at]
            yield text[start : end - _TAIL], text[end - 1]
            start = end
