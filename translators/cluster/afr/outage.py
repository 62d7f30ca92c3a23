"""After the power went everywhere: what the copies differ in is put on record, for nobody else may know of it.

Each copy has kept of what was not fsynced what its disk had got to, marks included. So where copies differ and no mark
says so, the difference is one of unknown outcome: it is marked, and healed by the same rule as what an operation left
that ended in the dark (see `healing_names` and `healing_contents`).
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import anyio.lowlevel

from ....graph import (
    ROOT_GFID,
    Fd,
    Gfid,
    Iatt,
    Loc,
    LookedUp,
    Outcome,
    Translator,
    XattropKind,
    children_first,
    fail,
    fan_out,
)
from .changelog import Kind, Record, packed
from .healing import ABSENT, list_directory
from .healing_contents import device, other_targets, own_xattrs
from .verdict import conflict

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

BLOCK_BYTES = 1 << 20


async def doubt_what_differs(afr: ReplicaSet) -> None:
    """Mark every object whose copies differ, where no mark says anything of it. Errors of a child are raised; EBUSY an
    afr below is not of one mind yet."""
    await _healed_below(afr)
    seen, waiting = {ROOT_GFID}, [ROOT_GFID]
    while waiting:
        gfid = waiting.pop()
        for iatt in await _compared(afr, gfid):
            if iatt.gfid not in seen:
                seen.add(iatt.gfid)
                waiting.append(iatt.gfid)


async def _healed_below(afr: ReplicaSet) -> None:
    """An afr below whose bricks have lost their power shows now this copy and now that one, until it is healed."""
    from .replica_set import ReplicaSet

    for node in children_first(afr):
        if isinstance(node, ReplicaSet) and node is not afr and not (await node.heal(full=True)).clean:
            raise fail(errno.EBUSY, f"{node.name} is not healed yet")


async def _compared(afr: ReplicaSet, gfid: Gfid) -> list[Iatt]:
    """Compare the copies of one object that there are (its directory tells of those that are missing); what is inside,
    if it is a directory."""
    await anyio.lowlevel.checkpoint()  # bricks that answer at once would keep everybody else waiting
    asking = afr.crawler.call().with_xdata({**afr.keys.asked, "list-xattr": 1})
    outcomes = await fan_out(afr.children, Translator.lookup, asking, Loc(gfid))
    copies = {outcome.child: reply for outcome in outcomes if (reply := _told(outcome)) is not None}
    iatts, holders = [copy.iatt for copy in copies.values()], list(copies)
    inside: list[Iatt] = []
    different: set[Kind] = set()
    if _differ([_attributes(afr, copy) for copy in copies.values()]):
        different.add(Kind.METADATA)
    if conflict(iatts):  # nor can what they hold be compared
        pass
    elif iatts and iatts[0].is_dir:
        listings = [dict(await list_directory(child, afr.crawler.call(), gfid)) for child in holders]
        inside = [iatt for listing in listings for iatt in listing.values()]
        if _differ([{name: (iatt.gfid, iatt.kind) for name, iatt in listing.items()} for listing in listings]):
            different.add(Kind.ENTRY)
    elif iatts and iatts[0].is_file and await _other_bytes(afr, holders, iatts):
        different.add(Kind.DATA)
    elif iatts and iatts[0].is_symlink and await other_targets(afr.crawler.call(), holders, gfid):
        different.add(Kind.METADATA)
    records = [Record.read(afr.keys, copy.xdata) for copy in copies.values()]
    told = [kind for kind in different if any(record.tells(kind) for record in records)]
    await _doubt(afr, holders, gfid, different.difference(told))
    return inside


def _told(outcome: Outcome[LookedUp]) -> LookedUp | None:
    if outcome.error is not None and outcome.errno not in ABSENT:
        raise outcome.error
    return outcome.value


def _differ(things: Sequence[object]) -> bool:
    return any(thing != things[0] for thing in things)


def _attributes(afr: ReplicaSet, copy: LookedUp) -> object:
    """Without the times, which no two bricks agree on."""
    iatt = copy.iatt
    return iatt.kind, iatt.mode, device(iatt), iatt.uid, iatt.gid, own_xattrs(afr.keys, copy.xdata or {})


async def _other_bytes(afr: ReplicaSet, holders: Sequence[Translator], iatts: Sequence[Iatt]) -> bool:
    if _differ([iatt.size for iatt in iatts]):
        return True
    size, fd = iatts[0].size, Fd(iatts[0].gfid)
    for offset in range(0, size, BLOCK_BYTES):
        length = min(BLOCK_BYTES, size - offset)
        sums = await fan_out(holders, Translator.rchecksum, afr.crawler.call(), fd, offset, length)
        if _differ([outcome.reply.strong for outcome in sums]):
            return True
    return False


async def _doubt(afr: ReplicaSet, holders: Sequence[Translator], gfid: Gfid, kinds: Collection[Kind]) -> None:
    for kind in kinds:
        doubt = {afr.keys.dirty: packed(kind, 1)}
        call = afr.crawler.call()
        for outcome in await fan_out(holders, Translator.xattrop, call, Loc(gfid), XattropKind.ADD_ARRAY, doubt):
            if outcome.error is not None:
                raise outcome.error
        afr.doubted(gfid)
