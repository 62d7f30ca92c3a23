"""Strict reads: what was read once is never unread (I03), whoever reads and whichever copies it reaches.

The usual rule reads any copy that nobody blames, and remembers for a while who is blamed. So a client may read a copy
that another client has left behind a moment ago; and a write that failed may be seen, vanish, and be seen again. With
`strict-reads` each read first asks all children, and answers only what a quorum holds for certain. What is in the midst
of a change is waited for; what a failed change has left is healed before it is read; what can be neither is EIO.
A file that has lost its last name cannot be looked up, only used by whoever has it open: there the usual rule is kept.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from ....graph import Call, Fd, Flock, Gfid, Loc, LockType, Translator, fail
from . import reading
from .locks import EntryLock, InodeLock, Lock, held
from .verdict import Quorum, certain

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

R = TypeVar("R")


async def read(afr: ReplicaSet, call: Call, target: Loc | Fd, ask: Callable[[Translator], Awaitable[R]]) -> R:
    """Wind a reading fop to a copy that is certain to be good, and to the next where that one fails."""
    good = await _certain_for(afr, call, target)
    first = afr.choose(good, target.gfid)
    order = (first, *sorted(good - {first}))
    return await reading.ask_in_turn(afr, order, ask, fail(errno.EIO, target.gfid))


async def _certain_for(afr: ReplicaSet, call: Call, target: Loc | Fd) -> frozenset[int]:
    try:
        return await certain_copies(afr, call, target.gfid)
    except OSError as error:
        if isinstance(target, Loc) or error.errno not in reading.ABSENT:
            raise
    return await reading.readable_for(afr, call, target)


async def certain_copies(afr: ReplicaSet, call: Call, gfid: Gfid) -> frozenset[int]:
    """The copies that a quorum agrees on. EIO there is no such quorum, and none can be made now. The system itself
    (pid below zero) is told what good copies hold, be they too few: where the others are suspect, only an afr above can
    fill those, and for that it has to see what is here."""
    quorum = afr.quorum if call.pid >= 0 else Quorum(len(afr.children), 1)
    inspection = await reading.inspect(afr, call, gfid)
    if inspection.changing:
        inspection = await _after_the_change(afr, call, inspection, gfid)
    good = certain(inspection.good, inspection.changing, quorum)
    if not good:
        await afr.heal(gfid)
        inspection = await reading.inspect(afr, call, gfid)
        good = certain(inspection.good, inspection.changing, quorum)
    if not good:
        raise fail(errno.EIO, f"{afr.name}: no quorum of the copies of {gfid.text} is known to be good")
    return good


async def _after_the_change(
    afr: ReplicaSet, call: Call, inspection: reading.Inspection, gfid: Gfid
) -> reading.Inspection:
    """Whoever changes the object holds a lock on it. Marks that are still there once we have it were left behind."""
    lock: Lock = InodeLock(Loc(gfid), Flock(LockType.READ))
    if next(iter(inspection.copies.values())).iatt.is_dir:
        lock = EntryLock(Loc(gfid), None, LockType.READ)
    with afr.streams.making_way((gfid,)):
        async with held(afr, sorted(afr.up), Call(lk_owner=afr.new_lock_owner()), lock, afr.name, wait=True):
            return await reading.inspect(afr, call, gfid)
