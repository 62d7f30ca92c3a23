"""After the power went everywhere: what the copies differ in is put on record, for nobody else may know of it.

Each copy has kept of what was not fsynced what its disk had got to, marks included. So where copies differ that no mark
speaks against, the difference is one of unknown outcome: it is marked, and healed by the same rule as what an operation
left that ended in the dark (see `healing_names` and `healing_contents`).
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    fail,
    fan_out,
)
from .changelog import Kind, Record, about, packed
from .healing_contents import device, other_targets, own_xattrs
from .listing import list_directory
from .reading import ABSENT
from .verdict import Copy, conflict, direction

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

BLOCK_BYTES = 1 << 20


async def doubt_what_differs(afr: ReplicaSet) -> None:
    """Mark every object of which copies differ that the marks leave good. Errors of a child are raised; EBUSY an
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
    for node in afr.afrs_below:
        if not (await node.heal(full=True)).clean:
            raise fail(errno.EBUSY, f"{node.name} is not healed yet")


async def _compared(afr: ReplicaSet, gfid: Gfid) -> list[Iatt]:
    """Compare the copies of one object that there are (its directory tells of those that are missing), those with each
    other that the marks leave good; what is inside, if it is a directory."""
    await anyio.lowlevel.checkpoint()  # bricks that answer at once would keep everybody else waiting
    asking = afr.crawler.call().with_xdata({**afr.keys.asked, "list-xattr": 1})
    outcomes = await fan_out(afr.children, Translator.lookup, asking, Loc(gfid))
    found = {afr.index[outcome.child]: reply for outcome in outcomes if (reply := _reply_of(outcome)) is not None}
    copies = {child: Copy(reply.iatt, Record.read(afr.keys, reply.xdata)) for child, reply in found.items()}

    def good(kind: Kind) -> list[int]:
        return sorted(direction(copies, kind, afr.quorum.majority).sources)

    iatts = [copy.iatt for copy in copies.values()]
    inside: list[Iatt] = []
    different: set[Kind] = set()
    if _differ([_attributes(afr, found[child]) for child in good(Kind.METADATA)]):
        different.add(Kind.METADATA)
    if conflict(iatts):  # nor can what they hold be compared
        pass
    elif iatts and iatts[0].is_dir:
        listings = {child: dict(await list_directory(afr.children[child], afr.crawler.call(), gfid)) for child in found}
        inside = [iatt for listing in listings.values() for iatt in listing.values()]
        names = [{name: (iatt.gfid, iatt.kind) for name, iatt in listings[child].items()} for child in good(Kind.ENTRY)]
        if _differ(names):
            different.add(Kind.ENTRY)
    elif (
        iatts and iatts[0].is_file and await _other_bytes(afr, {child: copies[child].iatt for child in good(Kind.DATA)})
    ):
        different.add(Kind.DATA)
    elif iatts and iatts[0].is_symlink and await other_targets(afr.crawler.call(), _nodes(afr, copies), gfid):
        different.add(Kind.METADATA)
    doubted = {kind for kind in different if any(any(about(copy.record.dirty, kind)) for copy in copies.values())}
    await _doubt(afr, _nodes(afr, copies), gfid, different - doubted)
    return inside


def _nodes(afr: ReplicaSet, children: Iterable[int]) -> list[Translator]:
    return [afr.children[child] for child in sorted(children)]


def _reply_of(outcome: Outcome[LookedUp]) -> LookedUp | None:
    if outcome.error is not None and outcome.errno not in ABSENT:
        raise outcome.error
    return outcome.value


def _differ(things: Sequence[object]) -> bool:
    return any(thing != things[0] for thing in things)


def _attributes(afr: ReplicaSet, copy: LookedUp) -> object:
    """Without the times, which no two bricks agree on."""
    iatt = copy.iatt
    return iatt.kind, iatt.mode, device(iatt), iatt.uid, iatt.gid, own_xattrs(afr.keys, copy.xdata or {})


async def _other_bytes(afr: ReplicaSet, iatts: Mapping[int, Iatt]) -> bool:
    if len(iatts) < 2:
        return False
    if _differ([iatt.size for iatt in iatts.values()]):
        return True
    nodes, iatt = _nodes(afr, iatts), iatts[min(iatts)]
    for offset in range(0, iatt.size, BLOCK_BYTES):
        length = min(BLOCK_BYTES, iatt.size - offset)
        sums = await fan_out(nodes, Translator.rchecksum, afr.crawler.call(), Fd(iatt.gfid), offset, length)
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
