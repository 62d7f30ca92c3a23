"""Where a spec's text came from, and what may be in it."""

from __future__ import annotations

import re
from functools import cached_property
from typing import NamedTuple

FILE_SIZE_MAX = 64 << 20
"""Longest spec: bytes (characters, where it was given as a str)."""
WORD_SIZE_MAX = 1 << 20
"""Longest name or value, in characters."""

KEYWORDS = frozenset(["volume", "type", "option", "subvolumes", "subvolumeS", "end-volume"])
"""The words of the volfile that must be quoted where a name or a value is meant."""

# What no name or value may hold. A lone surrogate is allowed only where it stands for an undecodable byte
# (surrogateescape): any other could not be written to a file.
FORBIDDEN_CLASS = "\0\r\n\ud800-\udc7f\udd00-\udfff"
UNDECODABLE = re.compile("[\udc80-\udcff]")  # bytes that are no UTF-8, as `surrogateescape` keeps them
FORBIDDEN = re.compile(f"[{FORBIDDEN_CLASS}]")

VOLFILE_LINE_END = re.compile("\n")
YAML_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # as YAML 1.1 counts lines


class Position(NamedTuple):
    """A place in a text. Both count from 1; a column is a character (an undecodable byte counts as one)."""

    line: int
    column: int


FIRST = Position(1, 1)


class Source:
    """A text with the name of its file; remembers it so that an error can show its line."""

    def __init__(self, filename: str, text: str, line_end: re.Pattern[str] = VOLFILE_LINE_END) -> None:
        self.filename = filename
        self.text = text
        self._line_end = line_end

    @cached_property
    def _lines(self) -> list[str]:
        return self.split(self.text)

    def split(self, text: str) -> list[str]:
        """`text` in lines, counted as in this source."""
        return self._line_end.split(text)

    def line(self, position: Position | None) -> str | None:
        """The whole line at `position`, or None where there is none."""
        if position is None or not 1 <= position.line <= len(self._lines):
            return None
        return self._lines[position.line - 1]


def forbidden(text: str) -> str | None:
    """What stands in `text` that no name or value may hold, in words; None if nothing does."""
    found = FORBIDDEN.search(text)
    if found is None:
        return None
    names = {"\0": "a NUL", "\r": "a carriage return", "\n": "a line feed"}
    return names.get(found[0], f"the lone surrogate U+{ord(found[0]):04X}")


def canonical(text: str) -> str:
    """`text` with bytes that, put together, are UTF-8 after all as the characters that they are."""
    if UNDECODABLE.search(text) is None:
        return text
    return text.encode(errors="surrogateescape").decode(errors="surrogateescape")
