"""Open fds follow children that come and go.

An fd that was opened while a child was away, or that the child refused to open, is opened there when it is next used
and children have come or gone since. Until then, and where it cannot be opened (the file is not there, or not yet), the
child acts on the gfid. A child that was there when the fd was opened opens it again by itself, with its connection; but
not if something was ever locked through it. Then it is asked whether the fd is good there, and if not, it is closed and
opened anew. What is locked through it is locked there again before it counts as open (see `application_locks`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from ....graph import Call, Coming, Fd, Flock, Loc, LockCommand, Outcome, Translator, fail, wind

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
    unsure: Missing = frozenset()
    """Those of them where it may be open all the same; but what is locked through it is not locked there."""
    generation: int = 0
    """Of the afr, when that was last tried to be changed."""
    following: Coming[None] | None = None
    """It is being opened where it is missing."""
    lost: bool = False
    """What was locked through it may be locked by somebody else: it is good for nothing any more."""

    def doubt(self, children: Collection[int]) -> None:
        """It was open there, or is, with what is locked through it or without."""
        self.unsure |= frozenset(children) - self.missing
        self.missing |= frozenset(children)


def not_open(afr: ReplicaSet, outcomes: Collection[Outcome[Any]]) -> Missing:
    """The children that have not opened, or were not asked to."""
    return frozenset(range(len(afr.children))) - {afr.index[outcome.child] for outcome in outcomes if outcome.ok}


ANONYMOUS = OpenFd(os.O_RDWR)
"""Of an fd that was not opened at this afr: it may do everything."""


def opened_for(afr: ReplicaSet, fd: Fd, access: int) -> OpenFd:
    """How the fd was opened. EBADF: for something else. Not left to the children: where it is not open, they let it do
    everything. EBADFD: a lock was lost that was taken through it."""
    slot: OpenFd = fd.slots.get(afr, ANONYMOUS)
    if slot.flags & os.O_ACCMODE not in (access, os.O_RDWR):
        raise fail(errno.EBADF, fd.gfid)
    if slot.lost:
        refuse_lost(afr, fd)
    return slot


def refuse_lost(afr: ReplicaSet, fd: Fd) -> None:
    """EBADFD: a lock was lost that was taken through it."""
    slot: OpenFd = fd.slots.get(afr, ANONYMOUS)
    if slot.lost:
        raise fail(errno.EBADFD, f"{afr.name}: what was locked through this fd may be locked by somebody else")


async def usable(afr: ReplicaSet, fd: Fd, access: int) -> None:
    """Before it is read or written: see that it is open wherever it can be."""
    opened_for(afr, fd, access)
    await caught_up(afr, fd)


async def caught_up(afr: ReplicaSet, fd: Fd) -> None:
    """The same for what may be done however it was opened."""
    await followed(afr, fd)
    refuse_lost(afr, fd)


async def followed(afr: ReplicaSet, fd: Fd) -> None:
    """The same for what may be done though a lock be lost."""
    slot: OpenFd = fd.slots.get(afr, ANONYMOUS)
    if slot.missing and not slot.lost:
        await follow(afr, fd, slot)


async def follow(afr: ReplicaSet, fd: Fd, slot: OpenFd, again: bool = False) -> None:
    """Open the fd on the children that are up, and on which it is not open; if any have come or gone since this was
    last tried, or if asked to do it `again`. Whoever is cancelled meanwhile leaves the rest to the graph."""
    if slot.following is None and (again or slot.generation != afr.generation):
        slot.generation = afr.generation
        slot.following = afr.tasks.start(_follow(afr, fd, slot))
    if slot.following is not None:
        await slot.following


async def _follow(afr: ReplicaSet, fd: Fd, slot: OpenFd) -> None:
    since = list(afr.departures)
    try:
        there = await _open_there(afr, fd, slot)
        there = await afr.application_locks.retake(fd, there)
        stayed = {child for child in there if afr.departures[child] == since[child]}
        slot.missing -= there if slot.flags & os.O_DIRECTORY else stayed
        slot.unsure &= slot.missing
    finally:
        slot.following = None
    if fd.slots.get(afr) is not slot:  # released meanwhile
        for node in afr.children:
            node.release(fd)
        afr.openings.released(fd)


async def _open_there(afr: ReplicaSet, fd: Fd, slot: OpenFd) -> frozenset[int]:
    """The children that are up, and where the fd is open now that it was missing. Those on which it is open need not
    wait for a laggard among the others."""
    wanted = slot.missing & afr.up
    good, others = afr.known_readable(fd.gfid) or frozenset(afr.up), afr.up - wanted
    unsure = slot.unsure & wanted
    asked = wind(_nodes(afr, unsure), Translator.lk, FOLLOWING, fd, LockCommand.GET, Flock())
    sure = frozenset[int]()
    for outcome in await afr.laggards.outcomes(asked, good, others):
        child = afr.index[outcome.child]
        if outcome.errno == errno.EBADFD:
            outcome.child.release(fd)
            slot.unsure -= {child}
            afr.application_locks.bad_on(fd, child)
        elif outcome.ok:
            sure |= {child}
    wanted, loc = (wanted & afr.up) - slot.unsure, Loc(fd.gfid)
    if slot.flags & os.O_DIRECTORY:
        answers = wind(_nodes(afr, wanted), Translator.opendir, FOLLOWING, loc, fd)
    else:
        flags = slot.flags & ~(NOT_FOR_CHILDREN | ONCE)
        answers = wind(_nodes(afr, wanted), Translator.open, FOLLOWING, loc, flags, fd)
    opened = wanted - not_open(afr, await afr.laggards.outcomes(answers, good, others))
    afr.openings.expect_late(fd, wanted & afr.laggards.fenced)
    slot.unsure |= opened
    return opened | sure


def _nodes(afr: ReplicaSet, children: Collection[int]) -> list[Translator]:
    return [afr.children[child] for child in sorted(children)]
