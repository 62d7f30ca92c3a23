"""The changelog on disk: for each copy, what it knows the others have missed.

Child i stores under `trusted.afr.<name of child j>` three counters, "operations that j missed and I did not", for data,
metadata and entries; and under the dirty key the same three for operations of unknown outcome. All is big-endian, and
changed only by xattrop, so that concurrent clients add up.

An object that is moved from one directory to another is told of in two records, which no xattrop changes at once. So a
copy that missed the move is blamed on the object itself first, under `trusted.afr.<name of child j>.volgraph-moved`. It
is taken back when both are told; where that never comes, it decides in both.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum

import attrs

from ....graph import Xdata

COUNTERS = struct.Struct(">3I")
MOVED_SUFFIX = ".volgraph-moved"
ZEROS = bytes(COUNTERS.size)


class Kind(IntEnum):
    """Which counter of the three."""

    DATA = 0
    METADATA = 1
    ENTRY = 2


Counters = tuple[int, int, int]
NONE: Counters = (0, 0, 0)


def packed(kind: Kind, amount: int) -> bytes:
    """The xattrop value that adds `amount` (which may be negative: the counters wrap at 32 bits) to one counter."""
    values = [0, 0, 0]
    values[kind] = amount % 2**32
    return COUNTERS.pack(*values)


def one_change(kind: Kind) -> Counters:
    """What the dirty counters say while one change of that kind is announced."""
    return int(kind is Kind.DATA), int(kind is Kind.METADATA), int(kind is Kind.ENTRY)


def one_miss(kind: Kind) -> Counters:
    """What one more missed operation adds to a blame. A directory's names are counted twice, also in its data counter:
    to a healer of GlusterFS that says "compare all names"; otherwise it looks only at those that an index of its own
    lists (granular entry heal), and finds none that we changed."""
    return (1, 0, 1) if kind is Kind.ENTRY else (int(kind is Kind.DATA), int(kind is Kind.METADATA), 0)


def about(counters: Counters, kind: Kind) -> Counters:
    """The part of the counters that speaks of this kind of change."""
    data, metadata, entry = counters
    if kind is Kind.ENTRY:
        return data, 0, entry
    return (data, 0, 0) if kind is Kind.DATA else (0, metadata, 0)


def added(counters: Counters, more: Counters) -> Counters:
    return counters[0] + more[0], counters[1] + more[1], counters[2] + more[2]


def taken_back(counters: Counters) -> bytes:
    """The xattrop value that subtracts what was read."""
    return COUNTERS.pack(*(-count % 2**32 for count in counters))


def unpacked(value: object) -> Counters:
    """Counters as stored; what is absent, or is not a changelog at all, counts as zeros."""
    if value is not None and isinstance(value, (bytes, bytearray, memoryview)) and len(value) == COUNTERS.size:
        data, metadata, entry = COUNTERS.unpack(value)
        return data, metadata, entry
    return NONE


@attrs.frozen
class Keys:
    """The xattr names that one afr owns: one per child, in order, the dirty key, and who its children are."""

    pending: tuple[str, ...]
    dirty: str
    identity: str = ""
    moved: tuple[str, ...] = attrs.field(init=False)
    asked: dict[str, int] = attrs.field(init=False)
    """What a lookup's xdata must hold to be told all counters (as GlusterFS asks: the size)."""
    _begun: Sequence[dict[str, bytes]] = attrs.field(init=False)
    """By kind of change, what a pre-op says."""
    _ended: Sequence[dict[str, bytes]] = attrs.field(init=False)
    """The same for a post-op, where nobody missed anything."""

    @moved.default
    def _of_moves(self) -> tuple[str, ...]:
        return tuple(f"{name}{MOVED_SUFFIX}" for name in self.pending)

    @asked.default
    def _of_counters(self) -> dict[str, int]:
        return dict.fromkeys((*self.pending, self.dirty), COUNTERS.size)

    @_begun.default
    def _said_before(self) -> Sequence[dict[str, bytes]]:
        zeros = dict.fromkeys(self.pending, ZEROS)
        return [{self.dirty: packed(kind, 1), **zeros} for kind in Kind]

    @_ended.default
    def _said_after(self) -> Sequence[dict[str, bytes]]:
        return [{self.dirty: packed(kind, -1)} for kind in Kind]

    def owned(self, name: str) -> bool:
        return name == self.dirty or name in self.pending or name == self.identity or name in self.moved

    @property
    def asked_moves(self) -> dict[str, int]:
        """The same for what is said of an object's moves."""
        return dict.fromkeys(self.moved, COUNTERS.size)

    def pre_op(self, kind: Kind) -> dict[str, bytes]:
        """Something is about to change. The zeros read what is already known about each copy."""
        return self._begun[kind]

    def post_op(self, kind: Kind, failed: Collection[int]) -> dict[str, bytes]:
        """The change is over, and `failed` missed it: told in one xattrop, so that no crash comes between."""
        return {**self._ended[kind], **self.owed(failed, (kind,))} if failed else self._ended[kind]

    def owed(self, failed: Collection[int], kinds: Sequence[Kind]) -> dict[str, bytes]:
        """What adds to the blame of the copies `failed` that they missed one change of each kind."""
        owed = NONE
        for kind in kinds:
            owed = added(owed, one_miss(kind))
        return {self.pending[child]: COUNTERS.pack(*owed) for child in failed}

    def owed_move(self, failed: Collection[int], amount: int = 1) -> dict[str, bytes]:
        """What says, on an object, that the copies `failed` missed that it went to another directory; -1 takes it
        back. Counted as metadata, whatever the object is: to a count of entries, a brick may add one of its own."""
        return {self.moved[child]: packed(Kind.METADATA, amount) for child in failed}


@attrs.define
class Record:
    """What one copy says: `pending[j]` about each child j, and its own dirty counters."""

    pending: list[Counters]
    dirty: Counters = NONE

    @classmethod
    def read(cls, keys: Keys, values: Xdata | Mapping[str, bytes] | None) -> Record:
        values = values or {}
        return cls([unpacked(values.get(name)) for name in keys.pending], unpacked(values.get(keys.dirty)))

    @classmethod
    def of_moves(cls, keys: Keys, values: Xdata | Mapping[str, bytes] | None) -> Record:
        """What the copy says of the object's moves, as the metadata counters."""
        return cls([unpacked((values or {}).get(name)) for name in keys.moved])

    @property
    def everything(self) -> list[Counters]:
        return [*self.pending, self.dirty]

    @property
    def accuses(self) -> bool:
        """Does it blame anybody, for anything?"""
        return any(map(any, self.pending))

    @property
    def marked(self) -> bool:
        return self.accuses or any(self.dirty)

    def speaks_of(self, kind: Kind) -> bool:
        """Is there anything about this kind of change, of whomever?"""
        return any(any(about(counters, kind)) for counters in (self.dirty, *self.pending))

    def blames(self, child: int, kinds: Sequence[Kind]) -> bool:
        return any(self.pending[child][kind] for kind in kinds)
