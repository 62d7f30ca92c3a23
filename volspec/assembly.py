"""Volumes to a Spec: what must hold between the words of a spec, in whichever form it was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import attrs

from .errors import PROBLEMS_MAX, Problem, Problems, shown
from .source import FIRST, WORD_SIZE_MAX, Position, Source, canonical, forbidden
from .spec import Option, Spec, Volume, Word

VolumeValues = tuple[str, str, Mapping[str, str], Sequence[str]]


@attrs.define
class Draft:
    """A volume while it is read."""

    name: Word | None  # None: it could not be read
    type: Word | None = None
    options: list[Option] = attrs.field(factory=list)
    subvolumes: list[Word] = attrs.field(factory=list)
    flawed: bool = False  # something in it could not be read: what seems absent may have stood there


class Assembly:
    """Takes drafts in the order of the file; checks names and references; gives the Spec."""

    def __init__(self, problems: Problems, *, start: Position | None = FIRST, last_option_wins: bool = False) -> None:
        self.volumes: dict[str, Volume] = {}
        self.name_lost = False  # a volume's name could not be read: a subvolume not found may be that volume
        self._problems = problems
        self._start = start  # where to report that there is nothing
        self._last_option_wins = last_option_wins
        self._undefined: list[tuple[Problem, str]] = []
        self._flawed: set[str] = set()

    def add(self, draft: Draft) -> None:
        """Check a volume that was read to its end, and define it."""
        self._problems.volume = draft.name.text if draft.name is not None else None
        options = self._options(draft.options)
        self._check_subvolumes(draft)
        if draft.name is None:
            self.name_lost = True
            return
        name = draft.name.text
        if draft.flawed:
            self._flawed.add(name)
        if draft.type is None and not draft.flawed:
            hint = "say first what it is: `type storage/posix`, for example"
            self._problems.add(f"volume {shown(name)} has no type", draft.name.position, hint)
        if (first := self.volumes.get(name)) is not None:
            hint = f"the first is {_at(first.name.position)}; give this one another name"
            self._problems.add(f"volume {shown(name)} is defined again", draft.name.position, hint)
            return
        self.volumes[name] = Volume(draft.name, draft.type or Word(""), options, tuple(draft.subvolumes))

    def _options(self, options: list[Option]) -> tuple[Option, ...]:
        """The options, each key once."""
        kept: dict[str, Option] = {}
        for option in options:
            key = option.key.text
            if (first := kept.get(key)) is not None and not self._last_option_wins:
                hint = f"its value is already given {_at(first.key.position)}; keep one of them"
                self._problems.add(f"option {shown(key)} is given twice", option.key.position, hint)
            kept[key] = option
        return tuple(kept.values())

    def _check_subvolumes(self, draft: Draft) -> None:
        own_name = draft.name.text if draft.name is not None else None
        seen = set()
        for word in draft.subvolumes:
            name = word.text
            if name in seen:
                hint = "write each subvolume once: a child is told apart by its name"
                self._problems.add(f"subvolume {shown(name)} is named twice", word.position, hint)
            elif name == own_name:
                hint = "name the volumes below it, which stand earlier in the file"
                self._problems.add(f"volume {shown(name)} has itself as a subvolume", word.position, hint)
            elif name not in self.volumes and not self.name_lost:
                problem = self._problems.add(f"subvolume {shown(name)} is not defined before its use", word.position)
                if len(self._undefined) < PROBLEMS_MAX:
                    self._undefined.append((problem, name))
            seen.add(name)

    def finish(self) -> Spec:
        """The Spec; raises `SpecError` with all that was found wrong."""
        self._problems.volume = None
        if not self.volumes and not self._problems.found:
            self._problems.add("no volume in this spec", self._start, "write at least one `volume NAME`")
        for problem, name in self._undefined:
            problem.hint = self._where_is(name)
        source = self._problems.source
        top = next(reversed(self.volumes), "")
        spec = Spec(self.volumes, top, filename=source.filename, source=source)
        self._problems.raise_found(spec, frozenset(self._flawed))
        return spec

    def _where_is(self, name: str) -> str:
        if (later := self.volumes.get(name)) is not None:
            return f"it is defined {_at(later.name.position)}; move that volume above this one"
        near = self._problems.nearest(name, reversed(self.volumes))
        if near is not None:
            return f"did you mean {shown(near)}?"
        return "define that volume above this one"


def build(volumes: Iterable[VolumeValues], filename: str = "<python>") -> Spec:
    """A Spec from plain values: `(name, type, options, subvolumes)` for each volume, children before parents.

        build([("a", "storage/posix", {"directory": "/srv/a"}, []), ("top", "debug/trace", {}, ["a"])])

    The values are taken as they are: no parameters, no commands. Raises `SpecError`, without positions.
    """
    problems = Problems(Source(filename, ""))
    assembly = Assembly(problems, start=None)
    for name, kind, options, subvolumes in volumes:
        problems.volume = name
        for text in chain((name, kind), options.keys(), options.values(), subvolumes):
            if wrong := forbidden(text):
                problems.add(f"{wrong} in {shown(text)}", None, "no name or value can hold it")
            elif len(text) > WORD_SIZE_MAX:
                problems.add(f"a word of {len(text)} characters; {WORD_SIZE_MAX} at most", None)
        drawn = [Option(_word(key), _word(value)) for key, value in options.items()]
        assembly.add(Draft(_word(name), _word(kind), drawn, [_word(child) for child in subvolumes]))
    return assembly.finish()


def _at(position: Position | None) -> str:
    return f"at line {position.line}" if position is not None else "earlier"


def _word(text: str) -> Word:
    return Word(text if forbidden(text) else canonical(text))
