"""Healing the names of a directory: what good copies have is made on the others, what they lack is removed there."""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection

from ....graph import Call, Fd, Gfid, Iatt, Loc, NewAttributes, Translator, XattropKind
from .changelog import Kind, Record
from .healing import ABSENT, Healing, NotNow, SplitBrain
from .verdict import conflict

LISTING_BYTES = 128 * 1024


async def heal_names(healing: Healing, found: Callable[[Gfid], None]) -> None:
    """With copies that nobody blames: they decide. Where even they may differ, the union of their names counts."""
    direction = healing.direct(Kind.ENTRY)
    sources, sinks = set(direction.sources), set(direction.sinks)
    doubted = healing.in_doubt(Kind.ENTRY, sources)
    names = await _names(healing, sources | sinks)
    problems: list[str] = []
    for name, holders in sorted(names.items()):
        try:
            await _heal_name(healing, name, holders, sources, found)
        except (OSError, NotNow, SplitBrain) as error:
            problems.append(f"{name.decode(errors='replace')}: {error}")
            if isinstance(error, SplitBrain):
                raise SplitBrain(problems[-1]) from error
    if problems:
        raise NotNow("; ".join(problems[:5]))
    await _restore_times(healing, min(sources), sinks if not doubted else sources | sinks)
    await healing.absolve(Kind.ENTRY, sources | sinks)


async def _names(healing: Healing, children: Collection[int]) -> dict[bytes, dict[int, Iatt]]:
    """Every name of the directory, and what each child has there."""
    names: dict[bytes, dict[int, Iatt]] = {}
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


async def _heal_name(
    healing: Healing, name: bytes, holders: dict[int, Iatt], sources: Collection[int], found: Callable[[Gfid], None]
) -> None:
    good = {child: iatt for child, iatt in holders.items() if child in sources}
    if not good:
        for child, iatt in holders.items():
            await _remove(healing, child, healing.gfid, name, iatt)
        return
    why = conflict(list(good.values()))
    if why:
        raise SplitBrain(why)
    source, wanted = next(iter(good.items()))
    for child in range(len(healing.afr.children)):
        present = holders.get(child)
        if present is not None and (present.gfid, present.kind) == (wanted.gfid, wanted.kind):
            continue
        if present is not None:
            await _remove(healing, child, healing.gfid, name, present)
        await _make(healing, source, child, name, wanted, set(good) - {child})
        found(wanted.gfid)


async def _make(
    healing: Healing, source: int, sink: int, name: bytes, wanted: Iatt, witnesses: Collection[int]
) -> None:
    """Put a name on a sink. Its contents and attributes are owed to it, which is said before it exists."""
    node, loc = healing.child(sink), Loc(parent=healing.gfid, name=name)
    if await _has(node, healing.call, wanted.gfid):
        if wanted.is_dir:
            raise NotNow("still stands at its old place there")
        await node.link(healing.call, Loc(wanted.gfid), loc)
        return
    contents = Kind.DATA if wanted.is_file else Kind.ENTRY if wanted.is_dir else None
    owed = healing.afr.keys.new_object([sink], contents)
    for witness in sorted(witnesses):
        await healing.child(witness).xattrop(healing.call, Loc(wanted.gfid), XattropKind.ADD_ARRAY, owed)
    healing.afr.doubted(wanted.gfid)
    making = healing.call.with_xdata({"gfid-req": wanted.gfid})
    mode = stat.S_IMODE(wanted.mode)
    if wanted.is_dir:
        await node.mkdir(making, loc, mode, 0)
    elif wanted.is_symlink:
        target = await healing.child(source).readlink(healing.call, Loc(wanted.gfid), 65536)
        await node.symlink(making, target.target, loc, 0)
    else:
        await node.mknod(making, loc, stat.S_IFMT(wanted.mode) | mode, wanted.rdev, 0)


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
