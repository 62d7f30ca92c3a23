"""A child that has nothing, or nothing to rely on, is made one to be filled: everything is owed to it."""

from __future__ import annotations

import errno
from collections.abc import Collection
from typing import TYPE_CHECKING

import anyio.lowlevel

from ....graph import ROOT_GFID, ROOT_LOC, Call, Fd, Gfid, Iatt, Loc, Translator, XattropKind, fail, fan_out
from .changelog import Record, taken_back
from .identities import Identity, agreeing
from .listing import entries_of
from .locks import InodeLock, held
from .reading import ABSENT
from .verdict import contents_of

if TYPE_CHECKING:
    from .replica_set import ReplicaSet


async def accept(afr: ReplicaSet, name: str) -> None:
    """Have a child filled from the others, as one that has nothing. Killed half-way, it is to be done again.

    One that was kept out is taken for this afr's: first everything is owed to it, then the others know it, and last it
    knows itself, so it takes no part before. What was put into the others by hand, and is recorded nowhere, is copied
    too: so a directory that is full already is mirrored to an empty one.
    """
    child = next((number for number, node in enumerate(afr.children) if node.name == name), None)
    if child is None:
        raise fail(errno.EINVAL, f"{afr.name} has no child '{name}'")
    others = _others(afr, child)
    lock, domain = InodeLock.for_metadata(ROOT_LOC), f"{afr.name}:accept"
    async with held(afr, sorted(others), afr.crawler.call(), lock, domain, wait=True):
        await _record_names(afr, others)
        if child in afr.up:  # a copy like the others, but for what it has not got, or nobody has recorded
            await owe_everything(afr, child, others)
            return
        await owe_everything(afr, child, others, silence=True)
        identity = afr.known.said[min(others)]
        assert identity is not None
        length = max(len(identity.everyone), child + 1)
        everyone = [identity.at(place) for place in range(length)]
        everyone[child] = afr.known.new_id()
        for place in (*sorted(others), child):
            value = Identity(everyone[place], tuple(everyone)).packed
            await _tell_for_good(afr, afr.children[place], {afr.keys.identity: value})
    for place in (*sorted(others), child):
        afr.known.ask(place)


async def _tell_for_good(afr: ReplicaSet, node: Translator, values: dict[str, bytes]) -> None:
    """Set xattrs of a child's root, and have them on its disk."""
    call, root = afr.crawler.call(), Fd(ROOT_GFID, is_dir=True)
    await node.setxattr(call, ROOT_LOC, values)
    await node.opendir(call, ROOT_LOC, root)
    try:
        await node.fsyncdir(call, root)
    finally:
        node.release(root)


def _others(afr: ReplicaSet, child: int) -> frozenset[int]:
    """The children that are right. All must have been heard: what one that is away knows is needed."""
    said, name = afr.known.said, afr.children[child].name
    silent = [node.name for number, node in enumerate(afr.children) if number not in said]
    if silent:
        raise fail(errno.ENOTCONN, f"{afr.name}: {name} can be accepted once {', '.join(silent)} can be asked")
    others = agreeing({number: identity for number, identity in said.items() if number != child}, afr.up)
    if not others:
        raise fail(errno.EINVAL, f"{afr.name}: no other child is known here, so none can fill {name}")
    return others


async def _record_names(afr: ReplicaSet, witnesses: Collection[int]) -> None:
    """What stands on the witnesses without a gfid gets one, the same on all of them."""
    directories, seen = [ROOT_GFID], {ROOT_GFID}
    while directories:
        directory = directories.pop()
        for name in sorted(await _names(afr, witnesses, directory)):
            await anyio.lowlevel.checkpoint()
            iatt = await _recorded(afr, witnesses, Loc(parent=directory, name=name))
            if iatt is not None and iatt.is_dir and iatt.gfid not in seen:
                seen.add(iatt.gfid)
                directories.append(iatt.gfid)


async def _names(afr: ReplicaSet, witnesses: Collection[int], gfid: Gfid) -> set[bytes]:
    found: set[bytes] = set()
    for witness in witnesses:
        try:
            found |= {entry.name for entry in await entries_of(afr.children[witness], afr.crawler.call(), gfid)}
        except OSError as error:
            if error.errno not in ABSENT:
                raise
    return found


async def _recorded(afr: ReplicaSet, witnesses: Collection[int], loc: Loc) -> Iatt | None:
    """What stands at a name, on the first witness that has it."""
    nodes, call = [afr.children[witness] for witness in sorted(witnesses)], afr.crawler.call()
    outcomes = await fan_out(nodes, Translator.lookup, call, loc)
    known = {outcome.value.iatt.gfid for outcome in outcomes if outcome.value is not None}
    if len(known) <= 1 and any(outcome.errno == errno.ENODATA for outcome in outcomes):
        wanted = next(iter(known)) if known else afr.seams.new_gfid()
        outcomes = await fan_out(nodes, Translator.lookup, call.with_xdata({"gfid-req": wanted}), loc)
    return next((outcome.value.iatt for outcome in outcomes if outcome.value is not None), None)


async def owe_everything(afr: ReplicaSet, child: int, witnesses: Collection[int], silence: bool = False) -> None:
    """Put on record, on the witnesses, that a child has missed the making of each object that it has. What it has not
    got is made new when its directory is healed.

    A witness that the child itself blames says nothing of that kind: the child may know better; with `silence` its word
    is taken back.
    """
    directories, seen = [ROOT_GFID], {ROOT_GFID}
    await _owe(afr, child, witnesses, ROOT_GFID, silence)
    while directories:
        for iatt in await _inside(afr, witnesses, directories.pop()):
            if iatt.gfid in seen:
                continue
            seen.add(iatt.gfid)
            await anyio.lowlevel.checkpoint()  # bricks that answer at once would keep everybody else waiting
            await _owe(afr, child, witnesses, iatt.gfid, silence)
            if iatt.is_dir:
                directories.append(iatt.gfid)


async def _inside(afr: ReplicaSet, witnesses: Collection[int], gfid: Gfid) -> list[Iatt]:
    return [iatt for child in sorted(witnesses) for iatt in await afr.crawler.inside(child, gfid)]


async def _owe(afr: ReplicaSet, child: int, witnesses: Collection[int], gfid: Gfid, silence: bool) -> None:
    call, loc, node = afr.crawler.call(), Loc(gfid), afr.children[child]
    try:
        found = await node.lookup(call.with_xdata({**afr.keys.asked, **afr.keys.asked_moves}), loc)
    except OSError as error:
        if error.errno in ABSENT:
            return
        raise
    kinds = contents_of(found.iatt)
    record, moves = Record.read(afr.keys, found.xdata), Record.of_moves(afr.keys, found.xdata)
    if silence and (record.marked or moves.marked):
        said = {**dict(zip(afr.keys.pending, record.pending, strict=True)), afr.keys.dirty: record.dirty}
        said |= dict(zip(afr.keys.moved, moves.pending, strict=True))
        values = {key: taken_back(counters) for key, counters in said.items()}
        await node.xattrop(call, loc, XattropKind.ADD_ARRAY, values)
    for witness in sorted(witnesses):
        missed = [kind for kind in kinds if silence or not record.pending[witness][kind]]
        if missed:
            await _say(afr.children[witness], call, loc, afr.keys.owed([child], missed))
    afr.missed(gfid, [child])


async def _say(node: Translator, call: Call, loc: Loc, values: dict[str, bytes]) -> None:
    """Add to the counters of an object, where it is."""
    try:
        await node.xattrop(call, loc, XattropKind.ADD_ARRAY, values)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
