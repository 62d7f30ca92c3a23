"""What a brick in memory has not synced yet, change by change, and what a power loss may leave of it.

Legal is what a journalling file system could leave. The attributes and xattrs of an object are one block, which holds a
state that they had. Writes to a file reach the disk or do not, each for itself. Changes of names are atomic, a rename
too, and come in any order that makes sense: a name is taken over after it was given up, a directory goes after what was
in it, nothing is moved into a directory that is not there, and directories move in turn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from ....graph import Stat
from .inode import Inode
from .sparse import SparseBytes

Keep: TypeAlias = Literal["all", "synced", "prefix", "subset", "torn", "sizes"]
"""What is left of the changes that were not synced: all (the process was killed); none; those up to some moment; any
that may be; those up to the middle of a write; all, but files grew before their data were there."""

JOURNAL_MAX = 65536
"""Changes that are remembered; beyond it the oldest half reaches the disk, as it does on any machine in time."""

Place: TypeAlias = tuple[Inode, bytes, Inode]
"""A directory, a name in it, and what stands there."""


@attrs.define(eq=False)
class Contents:
    """A change of a file's bytes: `how(contents, *args)`."""

    inode: Inode
    how: Callable[..., None]
    args: tuple[Any, ...]

    @property
    def inodes(self) -> tuple[Inode, ...]:
        return (self.inode,)

    @property
    def is_write(self) -> bool:
        return self.how is SparseBytes.write

    def apply(self) -> None:
        assert self.inode.durable is not None
        self.how(self.inode.durable.contents, *self.args)

    def apply_torn(self, length: int) -> None:
        """Of a write only the beginning."""
        offset, data = self.args
        attrs.evolve(self, args=(offset, data[:length])).apply()

    def apply_size(self) -> None:
        """The file grows, the data do not come: they read as zeros, or as what was there."""
        assert self.inode.durable is not None
        offset, data = self.args
        self.inode.durable.contents.extend(offset + len(data))


@attrs.define(eq=False)
class Block:
    """A state of an object's attributes and xattrs."""

    inode: Inode
    st: Stat
    xattrs: dict[str, bytes]

    @property
    def inodes(self) -> tuple[Inode, ...]:
        return (self.inode,)

    def apply(self) -> None:
        assert self.inode.durable is not None
        self.inode.durable.st, self.inode.durable.xattrs = self.st, self.xattrs


@attrs.define(eq=False)
class Names:
    """Names that went and came, at once."""

    gone: Sequence[Place]
    come: Sequence[Place]

    @property
    def inodes(self) -> tuple[Inode, ...]:
        """The directories."""
        return tuple(directory for directory, _, _ in (*self.gone, *self.come))

    @property
    def directories(self) -> tuple[Inode, ...]:
        """What of that which was named is a directory."""
        return tuple(inode for _, _, inode in (*self.gone, *self.come) if inode.is_dir)

    @property
    def removed(self) -> tuple[Inode, ...]:
        stays = {id(inode) for _, _, inode in self.come}
        return tuple(inode for _, _, inode in self.gone if inode.is_dir and id(inode) not in stays)

    def apply(self) -> None:
        for directory, name, inode in self.gone:
            assert directory.durable is not None
            if directory.durable.names.get(name) is inode:
                del directory.durable.names[name]
        for directory, name, inode in self.come:
            assert directory.durable is not None
            directory.durable.names[name] = inode


Change: TypeAlias = Contents | Block | Names


class Journal:
    """The changes that a power loss may take, the oldest first."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def add(self, change: Change) -> None:
        self.changes.append(change)
        if len(self.changes) > JOURNAL_MAX:
            oldest = self.changes[: JOURNAL_MAX // 2]
            del self.changes[: JOURNAL_MAX // 2]
            _apply(oldest)

    def synced(self, inodes: Iterable[Inode]) -> None:
        """These were pinned as they are now: their own changes can be lost no more."""
        pinned = {id(inode) for inode in inodes}
        self.changes = [change for change in self.changes if not any(id(inode) in pinned for inode in change.inodes)]

    def lose(self, keep: Keep, rng: random.Random) -> None:
        """The power goes: bring what is left of the changes into the durable images, and forget them."""
        changes, self.changes = self.changes, []
        if keep == "prefix":
            _apply(changes[: rng.randint(0, len(changes))])
        elif keep == "subset":
            _apply(possible(changes, [rng.random() < 0.5 for _ in changes]))
        elif keep == "torn":
            _tear(changes, rng)
        elif keep == "sizes":
            _grow(changes, rng)


def _apply(changes: Iterable[Change]) -> None:
    for change in changes:
        change.apply()


def _tear(changes: Sequence[Change], rng: random.Random) -> None:
    """Everything up to one write, and the beginning of that."""
    writes = [at for at, change in enumerate(changes) if isinstance(change, Contents) and change.is_write]
    if not writes:
        _apply(changes[: rng.randint(0, len(changes))])
        return
    at = rng.choice(writes)
    _apply(changes[:at])
    last = changes[at]
    assert isinstance(last, Contents)
    last.apply_torn(rng.randrange(len(last.args[1])))


def _grow(changes: Sequence[Change], rng: random.Random) -> None:
    for change in changes:
        if isinstance(change, Contents) and change.is_write and rng.random() < 0.5:
            change.apply_size()
        else:
            change.apply()


def possible(changes: Sequence[Change], wanted: Sequence[bool]) -> list[Change]:
    """Of the changes `wanted` those that can reach the disk without the others."""
    lost: set[Any] = set()
    kept: list[Change] = []
    for change, chosen in zip(changes, wanted, strict=True):
        if isinstance(change, Names):
            if not chosen or _needs(change) & lost:
                lost |= _gives(change)
                continue
        elif not chosen:
            continue
        kept.append(change)
    return kept


def _needs(change: Names) -> set[Any]:
    """What must not be lost if this change is to be kept."""
    needs: set[Any] = {(id(directory), name) for directory, name, _ in (*change.gone, *change.come)}
    needs |= {("made", id(directory)) for directory in change.inodes}
    needs |= {("emptied", id(directory)) for directory in change.removed}
    needs |= {inode.gfid for _, _, inode in change.come}
    if change.directories:
        needs.add("tree")
    return needs


def _gives(change: Names) -> set[Any]:
    """What is lost with this change."""
    gives: set[Any] = {(id(directory), name) for directory, name, _ in (*change.gone, *change.come)}
    gives |= {("emptied", id(directory)) for directory in change.inodes}
    gives |= {("made", id(inode)) for _, _, inode in change.come if inode.is_dir}
    gives |= {inode.gfid for _, _, inode in change.gone}  # no two objects of one gfid
    if change.directories:
        gives.add("tree")
    return gives
