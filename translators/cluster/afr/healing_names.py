"""Healing the names of a directory: what good copies have is made on the others, what they lack is removed there."""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection

import attrs

from ....graph import Call, Fd, Gfid, Iatt, Loc, NewAttributes, Translator, XattropKind
from .changelog import Kind, Record
from .healing import ABSENT, Healing, NotNow, SplitBrain
from .verdict import conflict

LISTING_BYTES = 128 * 1024

Names = dict[bytes, dict[int, Iatt]]
"""By name, what each child has there."""


@attrs.frozen
class Wanted:
    """What is to stand at a name, and the good copies that have it."""

    iatt: Iatt
    holders: tuple[int, ...]


async def heal_names(healing: Healing, found: Callable[[Gfid], None]) -> None:
    """With copies that nobody blames: they decide. Where even they may differ, the union of their names counts."""
    direction = healing.direct(Kind.ENTRY)
    sources, sinks = set(direction.sources), set(direction.sinks)
    changing = sources | sinks if healing.in_doubt(Kind.ENTRY, sources) else sinks
    holders = await _names(healing, sources | sinks)
    wanted = {name: good for name in holders if (good := _wanted(holders[name], sources)) is not None}
    problems: list[str] = []
    for step in (_move, _clear, _fill):  # what only changed its name is kept; then room is made; then all is there
        for name in sorted(holders):
            try:
                await step(healing, name, holders, wanted, found)
            except (OSError, NotNow) as error:
                problems.append(f"{name.decode(errors='replace')}: {error}")
    if problems:
        raise NotNow("; ".join(problems[:5]))
    await _restore_times(healing, min(sources), changing)
    await healing.absolve(Kind.ENTRY, sources | sinks)


def _wanted(holders: dict[int, Iatt], sources: Collection[int]) -> Wanted | None:
    """What is to stand at a name everywhere: what good copies have; None where they have nothing."""
    good = {child: iatt for child, iatt in holders.items() if child in sources}
    if not good:
        return None
    why = conflict(list(good.values()))
    if why:
        raise SplitBrain(why)
    return Wanted(next(iter(good.values())), tuple(good))


async def _move(
    healing: Healing, name: bytes, holders: Names, wanted: dict[bytes, Wanted], found: Callable[[Gfid], None]
) -> None:
    """An object that a sink has under an old name in this directory is renamed, not made anew."""
    if name not in wanted:
        return
    for child in range(len(healing.afr.children)):
        if child in holders[name]:
            continue
        for old, holding in holders.items():
            there = holding.get(child)
            if there is not None and _same(there, wanted[name].iatt) and not _right(there, wanted.get(old)):
                place, new = Loc(parent=healing.gfid, name=old), Loc(parent=healing.gfid, name=name)
                await healing.child(child).rename(healing.call, place, new)
                holders[name][child] = holding.pop(child)
                healing.progress = True
                break


async def _clear(
    healing: Healing, name: bytes, holders: Names, wanted: dict[bytes, Wanted], found: Callable[[Gfid], None]
) -> None:
    """What should not stand at a name is removed."""
    for child, iatt in list(holders[name].items()):
        if not _right(iatt, wanted.get(name)):
            await _remove(healing, child, healing.gfid, name, iatt)
            del holders[name][child]
            healing.progress = True


async def _fill(
    healing: Healing, name: bytes, holders: Names, wanted: dict[bytes, Wanted], found: Callable[[Gfid], None]
) -> None:
    """What is missing at a name is made."""
    if name not in wanted:
        return
    for child in range(len(healing.afr.children)):
        if child not in holders[name]:
            await _make(healing, child, name, wanted[name])
            found(wanted[name].iatt.gfid)
            healing.progress = True


def _same(one: Iatt, other: Iatt) -> bool:
    return (one.gfid, one.kind) == (other.gfid, other.kind)


def _right(iatt: Iatt, wanted: Wanted | None) -> bool:
    return wanted is not None and _same(iatt, wanted.iatt)


async def _names(healing: Healing, children: Collection[int]) -> Names:
    """Every name of the directory, and what each child has there."""
    names: Names = {}
    for child in sorted(children):
        for name, iatt in await list_directory(healing.child(child), healing.call, healing.gfid):
            names.setdefault(name, {})[child] = iatt
    return names


async def list_directory(child: Translator, call: Call, gfid: Gfid) -> list[tuple[bytes, Iatt]]:
    """All names of a directory on one child, with their attributes."""
    fd = Fd(gfid, is_dir=True)
    await child.opendir(call, Loc(gfid), fd)
    listing: list[tuple[bytes, Iatt]] = []
    offset = 0
    try:
        while True:
            reply = await child.readdirp(call, fd, LISTING_BYTES, offset)
            for entry in reply.entries:
                iatt = entry.iatt
                if iatt is None:
                    iatt = (await child.lookup(call, Loc(parent=gfid, name=entry.name))).iatt
                listing.append((entry.name, iatt))
            if reply.end or not reply.entries:
                return listing
            offset = reply.entries[-1].offset
    finally:
        child.release(fd)


async def _make(healing: Healing, sink: int, name: bytes, wanted: Wanted) -> None:
    """Put a name on a sink. Its contents and attributes are owed to it, which is said before it exists."""
    node, loc, iatt = healing.child(sink), Loc(parent=healing.gfid, name=name), wanted.iatt
    if await _has(node, healing.call, iatt.gfid):
        if iatt.is_dir:
            raise NotNow("still stands at its old place there")
        await node.link(healing.call, Loc(iatt.gfid), loc)
        return
    contents = Kind.DATA if iatt.is_file else Kind.ENTRY if iatt.is_dir else None
    owed = healing.afr.keys.new_object([sink], contents)
    for witness in wanted.holders:
        await healing.child(witness).xattrop(healing.call, Loc(iatt.gfid), XattropKind.ADD_ARRAY, owed)
    healing.afr.doubted(iatt.gfid)
    making = healing.call.with_xdata({"gfid-req": iatt.gfid})
    mode = stat.S_IMODE(iatt.mode)
    if iatt.is_dir:
        await node.mkdir(making, loc, mode, 0)
    elif iatt.is_symlink:
        target = await healing.child(wanted.holders[0]).readlink(healing.call, Loc(iatt.gfid), 65536)
        await node.symlink(making, target.target, loc, 0)
    else:
        await node.mknod(making, loc, stat.S_IFMT(iatt.mode) | mode, iatt.rdev, 0)


async def _has(node: Translator, call: Call, gfid: Gfid) -> bool:
    try:
        await node.lookup(call.with_xdata(None), Loc(gfid))
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    return True


async def _remove(healing: Healing, child: int, parent: Gfid, name: bytes, iatt: Iatt) -> None:
    """Take a name away on a child that should not have it, a directory with all below it."""
    node = healing.child(child)
    doomed = [(parent, name, iatt)]
    directories: list[tuple[Gfid, bytes]] = []
    while doomed:
        above, each, attributes = doomed.pop()
        await _refuse_if_it_knows_better(healing, child, attributes.gfid)
        if attributes.is_dir:
            directories.append((above, each))
            below = await list_directory(node, healing.call, attributes.gfid)
            doomed += [(attributes.gfid, inside, its) for inside, its in below]
        else:
            await node.unlink(healing.call, Loc(parent=above, name=each))
    for above, each in reversed(directories):
        await node.rmdir(healing.call, Loc(parent=above, name=each))


async def _refuse_if_it_knows_better(healing: Healing, child: int, gfid: Gfid) -> None:
    """An object that took a change which others missed is not thrown away: two histories met, and a person decides."""
    asking = healing.call.with_xdata(healing.afr.keys.asked)
    reply = await healing.child(child).lookup(asking, Loc(gfid))
    if any(map(any, Record.read(healing.afr.keys, reply.xdata).pending)):
        raise SplitBrain("deleted on one copy, changed on another")


async def _restore_times(healing: Healing, source: int, sinks: Collection[int]) -> None:
    iatt = healing.copies[source].iatt
    times = NewAttributes(atime_ns=iatt.atime_ns, mtime_ns=iatt.mtime_ns)
    for child in sorted(set(sinks) - {source}):
        await healing.child(child).setattr(healing.call, healing.loc, times)
