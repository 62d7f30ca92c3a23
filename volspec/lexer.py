"""The words of a volfile.

A bare word is the longest run of characters other than blank, tab, line end, quote and backslash; a string stands in
quotes; `#` at the start of a word begins a comment. A string, and a command in back-ticks, ends on its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from .errors import Problems
from .fill import Filler
from .source import KEYWORDS, WORD_SIZE_MAX, Position
from .spec import Word

_HARD = "\\\\`$\0\ud800-\udfff"  # a word with one of these is read by `Filler`
_TOKEN = re.compile(
    rf"""
      \#.*
    | (?P<word>        [^ \t\r"{_HARD}]++ (?! [{_HARD}] ) )
    | (?P<string>      " [^"\r{_HARD}]*+ " )
    | (?P<hard_string> " (?: [^"\\`]++ | \\. | ` (?: [^`\\]++ | \\. )*+ ` | ` )*+ "
                     | " (?: [^"\\]++ | \\. )*+ " )
    | (?P<open_string> ".* )
    | (?P<hard_word>   (?: [^ \t\r"\\`]++ | \\.? | ` (?: [^`\\]++ | \\. )*+ ` | ` )++ )
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD, _STRING, _HARD_STRING, _OPEN_STRING, _HARD_WORD = range(1, 6)

_STATEMENT = re.compile(r"[ \t\r]*(?:volume|type|option|subvolume[sS]|end-volume)(?![^ \t\r])|[ \t\r]*\Z")


@attrs.define
class Keyword:
    """One of `KEYWORDS`, or the end of the file (with no text)."""

    text: str
    position: Position


class Flawed(Word):
    """A word that could not be read: the problem is noted, and it stands only so that what follows can be read."""


Token = Word | Keyword


def tokens(text: str, filler: Filler, problems: Problems) -> Iterator[Token]:
    """The tokens of a volfile; the last is the end of the file. What is wrong in a word is noted in `problems`."""
    string_open = False
    number = 0
    for number, line in enumerate(text.split("\n"), 1):
        start = 0
        if string_open:
            start, string_open = _inside_open_string(line)
        for found in _TOKEN.finditer(line, start):
            position = Position(number, found.start() + 1)
            kind = found.lastindex
            raw = found[0]
            if kind == _WORD and len(raw) <= WORD_SIZE_MAX:
                yield Keyword(raw, position) if raw in KEYWORDS else Word(raw, position)
            elif kind == _STRING and len(raw) <= WORD_SIZE_MAX:
                yield Word(raw[1:-1], position)
            elif kind == _OPEN_STRING:
                string_open = True
                problems.add("this quote is not closed on its line", position, _how_to_close(raw))
                yield Flawed(raw[:80], position)
            elif kind is not None:
                is_string = kind in (_STRING, _HARD_STRING)
                value = filler.string(raw[1:-1], position) if is_string else filler.bare(raw, position)
                yield Flawed(raw[:80], position) if value is None else Word(value, position)
    yield Keyword("", Position(number + 1, 1))


def _inside_open_string(line: str) -> tuple[int, bool]:
    """Where to read on in a line after one whose string was not closed, and whether the next is like it.

    The string was perhaps meant to go on here: then its rest is skipped, so that it is not reported again. A line that
    begins with a keyword was not.
    """
    if _STATEMENT.match(line):
        return 0, False
    closing = line.find('"')
    return (len(line), True) if closing < 0 else (closing + 1, False)


def _how_to_close(raw: str) -> str:
    words = raw[1:].split()
    if not words:
        return 'write "" for the empty string'
    return f'close it: "{words[0]}"' if len(words[0]) <= 80 and words[0].isprintable() else 'close it with "'
