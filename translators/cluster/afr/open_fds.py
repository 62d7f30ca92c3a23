"""Open fds follow children that come and go (afr.md 10.14).

An fd that was opened while a child was away, or that the child refused to open, is opened there when it is next used
and children have come or gone since. Until then, and where it cannot be opened (the file is not there, or not yet), the
child acts on the gfid. A child that was there when the fd was opened opens it again by itself, with its connection.
What an application has locked through it is not locked again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from ....graph import Call, Fd, Loc, Outcome, Translator, fail, wind

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

NOT_FOR_CHILDREN = os.O_TRUNC | os.O_APPEND
"""Of the flags of open: emptying is a change like any other, and where the end is, is not for each child to say."""
ONCE = os.O_CREAT | os.O_EXCL
"""Those that have done their work."""
FOLLOWING = Call(pid=-1, attributes=False)
"""Who opens what is open elsewhere. The caller was judged when it opened it; the file's mode may be another by now."""


Missing: TypeAlias = frozenset[int]
"""The children where an fd is not open."""


@attrs.define
class OpenFd:
    """The slot of an fd: the flags it was opened with, and of a directory the child that a listing has begun on."""

    flags: int
    serving: int | None = None
    missing: Missing = frozenset()
    generation: int = 0
    """Of the afr, when that was last tried to be changed."""


def not_open(afr: ReplicaSet, outcomes: Collection[Outcome[Any]]) -> Missing:
    """The children that have not opened, or were not asked to."""
    return frozenset(range(len(afr.children))) - {afr.index[outcome.child] for outcome in outcomes if outcome.ok}


ANONYMOUS = OpenFd(os.O_RDWR)
"""Of an fd that was not opened at this afr: it may do everything."""


def opened_for(afr: ReplicaSet, fd: Fd, access: int) -> OpenFd:
    """How the fd was opened. EBADF: for something else. Not left to the children: where it is not open, they let it do
    everything."""
    slot: OpenFd = fd.slots.get(afr, ANONYMOUS)
    if slot.flags & os.O_ACCMODE not in (access, os.O_RDWR):
        raise fail(errno.EBADF, fd.gfid)
    return slot


async def usable(afr: ReplicaSet, fd: Fd, access: int) -> None:
    """Before it is read or written: see that it is open wherever it can be."""
    slot = opened_for(afr, fd, access)
    if slot.missing:
        await follow(afr, fd, slot)


async def follow(afr: ReplicaSet, fd: Fd, slot: OpenFd) -> None:
    """Open the fd on the children that are up, and on which it is not open; if any have come or gone since this was
    last tried. Those on which it is open need not wait for a laggard among the others."""
    if slot.generation == afr.generation:
        return
    slot.generation = afr.generation
    wanted = slot.missing & afr.up
    slot.missing -= wanted  # nobody else opens it there meanwhile
    nodes, loc = [afr.children[child] for child in sorted(wanted)], Loc(fd.gfid)
    opened: frozenset[int] = frozenset()
    try:
        if slot.flags & os.O_DIRECTORY:
            answers = wind(nodes, Translator.opendir, FOLLOWING, loc, fd)
        else:
            flags = slot.flags & ~(NOT_FOR_CHILDREN | ONCE)
            answers = wind(nodes, Translator.open, FOLLOWING, loc, flags, fd)
        good = afr.known_readable(fd.gfid) or frozenset(afr.up)
        outcomes = await afr.laggards.outcomes(answers, good, afr.up - wanted)
        opened = wanted - not_open(afr, outcomes)
    finally:
        slot.missing |= wanted - opened
    if fd.slots.get(afr) is not slot:  # released meanwhile
        for child in opened:
            afr.children[child].release(fd)
