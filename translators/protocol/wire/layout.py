"""Layouts: how the fields of one message stand on the wire, compiled into as few struct calls as possible.

A layout is written as `name:kind name:kind`. Neighbours of fixed size are packed by one precompiled `Struct`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as StructError
from typing import Any, Final

import attrs

from ....graph import fail
from .xdr import Reader


@attrs.frozen
class Kind:
    """How one kind of field stands on the wire. `zero` is the value that a failed fop sends in its place.

    A fixed one has a struct `format`, and converters where the plain number or bytes are not the value itself;
    one that varies in length turns into bytes and reads itself.
    """

    zero: Any
    format: str = ""
    pack: Callable[[Any], Any] | None = None
    unpack: Callable[[Any], Any] | None = None


@attrs.frozen
class Step:
    """One struct call for the values from `first` up to `last`, or one value of its own length.

    `packs` count from `first`, `unpacks` from the beginning of the message.
    """

    first: int
    last: int
    form: Struct | None
    packs: tuple[tuple[int, Callable[[Any], Any]], ...] = ()
    unpacks: tuple[tuple[int, Callable[[Any], Any]], ...] = ()


class Layout:
    def __init__(self, fields: str, kinds: dict[str, Kind]) -> None:
        self.names: Final = [field.split(":")[0] for field in fields.split()]
        self.kinds: Final = [kinds[field.split(":")[1]] for field in fields.split()]
        self._steps = list(_steps(self.kinds))

    def encode(self, values: Sequence[Any]) -> bytes:
        """EINVAL for a number that its field cannot hold."""
        parts: list[bytes] = []
        try:
            for step in self._steps:
                if step.form is None:
                    _, pack = step.packs[0]
                    parts.append(pack(values[step.first]))
                elif step.packs:
                    run = list(values[step.first : step.last])
                    for place, pack in step.packs:
                        run[place] = pack(run[place])
                    parts.append(step.form.pack(*run))
                else:
                    parts.append(step.form.pack(*values[step.first : step.last]))
        except (StructError, ValueError) as error:
            raise fail(errno.EINVAL, f"not for the wire: {error}") from error
        return b"".join(parts)

    def decode(self, reader: Reader) -> list[Any]:
        """ProtocolError for what cannot be read; OSError for a value that makes no sense."""
        values: list[Any] = []
        for step in self._steps:
            if step.form is None:
                values.append(step.unpacks[0][1](reader))
            else:
                values += reader.fixed(step.form)
                for place, unpack in step.unpacks:
                    values[place] = unpack(values[place])
        return values

    def zeros(self) -> list[Any]:
        """The values of a failed fop."""
        return [kind.zero for kind in self.kinds]


def _steps(kinds: Sequence[Kind]) -> Sequence[Step]:
    steps: list[Step] = []
    first = 0
    while first < len(kinds):
        last = first
        while last < len(kinds) and kinds[last].format:
            last += 1
        if last == first:
            kind = kinds[first]
            assert kind.pack is not None
            assert kind.unpack is not None
            steps.append(Step(first, first + 1, None, ((0, kind.pack),), ((0, kind.unpack),)))
            first += 1
            continue
        run = list(enumerate(kinds[first:last]))
        steps.append(
            Step(
                first,
                last,
                Struct(">" + "".join(kind.format for _, kind in run)),
                tuple((place, kind.pack) for place, kind in run if kind.pack is not None),
                tuple((first + place, kind.unpack) for place, kind in run if kind.unpack is not None),
            )
        )
        first = last
    return steps
