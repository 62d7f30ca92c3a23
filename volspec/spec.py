"""A volume spec as a value: volumes in order, their options and subvolumes, and where each word stood."""

from __future__ import annotations

import attrs

from .errors import Problem
from .printer import to_vol, to_yaml
from .source import Position, Source


@attrs.define
class Word:
    """A token's text, and where it stood (None if it was made in Python). Words are equal if their texts are.

    Bytes that are no UTF-8 are in `text` as lone surrogates (`surrogateescape`), so that any file name survives.
    """

    text: str
    position: Position | None = attrs.field(default=None, eq=False)

    def __str__(self) -> str:
        return self.text


@attrs.define
class Option:
    """One `option KEY VALUE` line."""

    key: Word
    value: Word


@attrs.define
class Volume:
    """One volume, as it is written: nothing is known yet of its type or of what its options mean."""

    name: Word
    type: Word
    options: tuple[Option, ...] = ()
    subvolumes: tuple[Word, ...] = ()

    @property
    def option_map(self) -> dict[str, str]:
        """The options as text, in order."""
        return {option.key.text: option.value.text for option in self.options}


@attrs.define(eq=False)
class Spec:
    """The volumes of a graph, children before parents. `top` is the one that is used: the last, as a rule.

    Two specs are equal if they have the same volumes in the same order and the same top, wherever they were written.
    """

    volumes: dict[str, Volume]
    top: str = attrs.field(default=attrs.Factory(lambda self: next(reversed(self.volumes)), takes_self=True))
    filename: str = "<python>"
    source: Source | None = attrs.field(default=None, repr=False)
    unused_params: frozenset[str] = frozenset()
    """Parameters that were given, and that the text has not."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Spec):
            return NotImplemented
        return self.top == other.top and list(self.volumes.values()) == list(other.volumes.values())

    __hash__ = None  # type: ignore[assignment]

    def to_vol(self) -> str:
        """This spec as a volfile; `parse` reads it back equal."""
        return to_vol(self.volumes.values())

    def to_yaml(self) -> str:
        """This spec as YAML; `parse_yaml` reads it back equal."""
        return to_yaml(self.volumes.values())

    def problem(
        self, message: str, position: Position | None = None, volume: str | None = None, hint: str | None = None
    ) -> Problem:
        """A problem with this spec at a word's position, for whoever checks what the text alone cannot tell."""
        line = self.source.line(position) if self.source is not None else None
        return Problem(message, self.filename, position, volume, hint, line)
