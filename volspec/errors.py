"""What is wrong with a spec, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

import attrs

from .source import Position, Source

if TYPE_CHECKING:
    from .spec import Spec

PROBLEMS_MAX = 1000
CANDIDATES_MAX = 1000
COMPARISONS_MAX = 50_000
LINE_WIDTH_MAX = 100


@attrs.define
class Problem:
    """One thing that is wrong.

    `str()` gives `file:line:column: message`; `render()` adds the line itself, a caret under the place, the volume
    and the hint (what to write instead). A problem of a graph built in Python has no position.
    """

    message: str
    file: str
    position: Position | None = None
    volume: str | None = None
    hint: str | None = None
    source_line: str | None = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        place = printable(self.file)
        if self.position is not None:
            place += f":{self.position.line}:{self.position.column}"
        return f"{place}: {self.message}"

    def render(self) -> str:
        lines = [str(self)]
        if self.position is not None and self.source_line is not None and self.source_line.strip():
            lines += _excerpt(self.source_line, self.position.column)
        if self.volume is not None:
            lines.append(f"  in volume {shown(self.volume)}")
        if self.hint is not None:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class SpecError(ValueError):
    """A spec that cannot be used. `problems` holds all that is wrong with it, in order of position.

    `partial` is the rest of the spec, as far as it could be read, for whoever looks for more that is wrong with it;
    what seems absent in a volume of `flawed` may have stood where nothing could be read.
    """

    def __init__(
        self, problems: Iterable[Problem], partial: Spec | None = None, flawed: frozenset[str] = frozenset()
    ) -> None:
        self.problems = list(problems)
        self.partial = partial
        self.flawed = flawed
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(problem.render() for problem in self.problems)


class Problems:
    """Collects what is wrong with one source, up to a limit."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.volume: str | None = None  # the volume being read
        self.found: list[Problem] = []
        self.muted = False  # while what is read makes no sense anyway
        self._left_out = False
        self._comparisons = COMPARISONS_MAX

    def add(self, message: str, position: Position | None, hint: str | None = None) -> Problem:
        """Note a problem in the volume being read."""
        problem = Problem(message, self.source.filename, position, self.volume, hint)
        if self.muted:
            return problem
        if len(self.found) < PROBLEMS_MAX:
            problem.source_line = self.source.line(position)
            self.found.append(problem)
        else:
            self._left_out = True
        return problem

    def nearest(self, word: str, candidates: Iterable[str]) -> str | None:
        """The candidate that `word` was probably meant to be. Bounded: gives up (None) after much comparing."""
        if self._comparisons <= 0:
            return None
        weighed = list(islice(candidates, CANDIDATES_MAX))
        self._comparisons -= len(weighed)
        return nearest(word, weighed)

    def raise_found(self, partial: Spec | None = None, flawed: frozenset[str] = frozenset()) -> None:
        """Raise `SpecError` if anything was found."""
        if not self.found:
            return
        found = sorted(self.found, key=lambda problem: problem.position or Position(0, 0))
        if self._left_out:
            last = found[-1].position
            found.append(Problem(f"there are more errors; the first {PROBLEMS_MAX} are shown", found[-1].file, last))
        raise SpecError(found, partial, flawed)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, if any is like it at all. Looks at the first `CANDIDATES_MAX` candidates."""
    alike = [
        candidate
        for candidate in islice(candidates, CANDIDATES_MAX)
        if abs(len(candidate) - len(word)) <= 3 and len(candidate) <= 100
    ]
    close = difflib.get_close_matches(word, alike, n=1, cutoff=0.6)
    return close[0] if close else None


def shown(text: str) -> str:
    """`text` in quotes for a message: printable whatever it holds, and short."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def printable(text: str) -> str:
    """`text` with `?` for each character that a terminal might act on or refuse."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _excerpt(line: str, column: int) -> list[str]:
    """The part of `line` around `column`, and a line with a caret under that column."""
    start = max(0, column - 1 - LINE_WIDTH_MAX // 2) if len(line) > LINE_WIDTH_MAX else 0
    part = line[start : start + LINE_WIDTH_MAX].rstrip("\r").replace("\t", " ")
    lead = "..." if start else ""
    trail = "..." if start + LINE_WIDTH_MAX < len(line) else ""
    return [f"    {lead}{printable(part)}{trail}", " " * (4 + len(lead) + column - 1 - start) + "^"]
