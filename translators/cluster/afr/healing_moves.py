"""What is said of the moves of objects is taken back, once the directories that it speaks of are healed.

Which directories these are is written nowhere. So the objects wait until everything else that bears marks is healed:
what is on record of a move before that is over.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from ....graph import ROOT_LOC, Call, Gfid, Loc, XattropKind
from .changelog import Record, taken_back
from .healing import Healing
from .locks import InodeLock, held
from .reading import ABSENT, look_for_moves, moved_copies

if TYPE_CHECKING:
    from .replica_set import ReplicaSet


def speaks_of_moves(healing: Healing) -> bool:
    """Does any copy that was inspected say that another missed a move of the object?"""
    return any(Record.of_moves(healing.afr.keys, xattrs).marked for xattrs in healing.xattrs.values())


async def forget_moves(
    afr: ReplicaSet, call: Call, gfids: Collection[Gfid], heal_the_rest: Callable[[], Awaitable[bool]]
) -> None:
    """Take back what is said of the moves of these objects, if `heal_the_rest` leaves nothing that bears marks: it is
    called once that is read. One healer at a time: two would take the same back twice."""
    everywhere, domain = range(len(afr.children)), f"{afr.name}:moves"
    try:
        async with held(afr, everywhere, call, InodeLock.for_metadata(ROOT_LOC), domain, wait=False):
            said = {gfid: await _said(afr, call, gfid) for gfid in sorted(gfids)}
            if await heal_the_rest():
                for gfid, records in said.items():
                    for child, record in records.items():
                        await _take_back(afr, call, gfid, child, record)
    except OSError as error:
        if error.errno != errno.EAGAIN:
            raise


async def _said(afr: ReplicaSet, call: Call, gfid: Gfid) -> dict[int, Record]:
    outcomes = await look_for_moves(afr, call, gfid)
    for outcome in outcomes.values():
        if outcome.error is not None and outcome.errno not in ABSENT:
            raise outcome.error
    return {child: copy.record for child, copy in moved_copies(afr.keys, outcomes).items() if copy.record.marked}


async def _take_back(afr: ReplicaSet, call: Call, gfid: Gfid, child: int, record: Record) -> None:
    said = dict(zip(afr.keys.moved, record.pending, strict=True))
    values = {key: taken_back(counters) for key, counters in said.items() if any(counters)}
    try:
        await afr.children[child].xattrop(call, Loc(gfid), XattropKind.ADD_ARRAY, values)
    except OSError as error:
        if error.errno not in ABSENT:  # it was removed meanwhile, and what was said of it too
            raise
