"""Healing what one object holds: the bytes of a file, and attributes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Mapping, Sequence

import anyio.lowlevel

from ....graph import Call, Data, Fd, Gfid, Iatt, Loc, NewAttributes, Outcome, Translator, Written, Xdata, fail, fan_out
from .changelog import Keys, Kind
from .healing import Healing, SplitBrain
from .verdict import best_file

BLOCK_BYTES = 1024 * 1024
PATH_MAX = 65536


async def heal_data(healing: Healing) -> None:
    """Copy the whole file from a good copy to those that are blamed, or that nobody can vouch for."""
    found = healing.direct(Kind.DATA)
    sources, sinks = set(found.sources), set(found.sinks)
    sizes = {healing.copies[child].iatt.size for child in sources}
    source = min(sources)
    if len(sizes) > 1 or healing.in_doubt(Kind.DATA, sources):
        source = best_file(healing.copies, sources)
        sinks |= sources - {source}
        sources = {source}
    await healing.blame(Kind.DATA, sources, sinks)
    healed = await _copy(healing, source, sinks)
    await healing.absolve(Kind.DATA, sources | healed)
    left = sorted(sinks - healed)
    if left:
        raise fail(errno.EIO, f"not healed on {', '.join(map(healing.name, left))}")


async def _copy(healing: Healing, source: int, sinks: Collection[int]) -> set[int]:
    """Make the sinks' bytes the source's. Returns the sinks where every step succeeded."""
    if not sinks:
        return set()
    fd, size, offset = Fd(healing.gfid, os.O_RDWR), healing.copies[source].iatt.size, 0
    healed = await healing.done_on(sinks, Translator.ftruncate, healing.call, fd, size)
    while offset < size and healed:
        await anyio.lowlevel.checkpoint()  # bricks that answer at once would keep everybody else waiting
        block = await healing.child(source).readv(healing.call, fd, min(BLOCK_BYTES, size - offset), offset)
        if not len(block.data):
            raise fail(errno.EIO, f"{healing.name(source)} ends at {offset} of {size} bytes")
        healed = await _write(healing, fd, block, offset, healed)
        offset += len(block.data)
    healed = await healing.done_on(healed, Translator.fsync, healing.call, fd, 0)
    return await healing.restore_times(source, healed)


async def _write(healing: Healing, fd: Fd, block: Data, offset: int, sinks: set[int]) -> set[int]:
    """One block. Zeros beyond what a sink ever held are left out: a hole stays a hole."""
    unheld = {child for child in sinks if healing.copies[child].iatt.size <= offset}
    sparse = set() if any(block.data) else unheld
    outcomes = await healing.on_each(sinks - sparse, Translator.writev, healing.call, fd, block.data, offset)
    return sparse | {child for child, outcome in outcomes.items() if wrote_all(outcome, len(block.data))}


def wrote_all(outcome: Outcome[Written], size: int) -> bool:
    """A short write is a failed one."""
    return outcome.value is not None and outcome.value.count == size


async def heal_metadata(healing: Healing) -> None:
    """Make mode, owner, times and extended attributes those of a good copy."""
    found = healing.direct(Kind.METADATA)
    sources, sinks = set(found.sources), set(found.sinks)
    source = min(sources)
    await _require_one_nature(healing)
    if healing.in_doubt(Kind.METADATA, sources):
        sinks |= sources - {source}
        sources = {source}
    await healing.blame(Kind.METADATA, sources, sinks)
    healed = set()
    errors: list[OSError] = []
    for sink in sorted(sinks):
        try:
            await _copy_attributes(healing, source, sink)
            healed.add(sink)
        except OSError as error:
            errors.append(error)
    await healing.absolve(Kind.METADATA, sources | healed)
    if errors:
        raise errors[0]


async def _require_one_nature(healing: Healing) -> None:
    """What an object is made with, no fop can change: a symlink's target, a device's number."""
    iatts = [copy.iatt for copy in healing.copies.values()]
    if len({device(iatt) for iatt in iatts}) > 1:
        raise SplitBrain("the copies are different devices")
    children = [healing.child(child) for child in healing.copies]
    if iatts[0].is_symlink and await other_targets(healing.call, children, healing.gfid):
        raise SplitBrain("the copies have different targets")


def device(iatt: Iatt) -> int:
    """Its number; 0 of anything else, whatever its file system says."""
    return iatt.rdev if stat.S_ISBLK(iatt.mode) or stat.S_ISCHR(iatt.mode) else 0


async def other_targets(call: Call, children: Sequence[Translator], gfid: Gfid) -> bool:
    """Do the copies of a symlink lead to different places?"""
    outcomes = await fan_out(children, Translator.readlink, call, Loc(gfid), PATH_MAX)
    return len({outcome.reply.target for outcome in outcomes}) > 1


async def _copy_attributes(healing: Healing, source: int, sink: int) -> None:
    wanted, present = (own_xattrs(healing.afr.keys, healing.xattrs[each]) for each in (source, sink))
    child = healing.child(sink)
    for name in present.keys() - wanted.keys():
        await child.removexattr(healing.call, healing.loc, name)
    changed = {name: value for name, value in wanted.items() if present.get(name) != value}
    if changed:
        await child.setxattr(healing.call, healing.loc, changed)
    iatt = healing.copies[source].iatt
    new = NewAttributes(iatt.mode & 0o7777, iatt.uid, iatt.gid, None, iatt.atime_ns, iatt.mtime_ns)
    if iatt.is_symlink:
        new.mode = None
    await child.setattr(healing.call, healing.loc, new)


BRICKS_OWN = ("trusted.gfid", "trusted.glusterfs.", "trusted.pgfid.", "glusterfs.", "link-count")


def own_xattrs(keys: Keys, xdata: Xdata) -> Mapping[str, bytes]:
    """Of what a lookup tells of one copy, the attributes to be alike: not the brick's own, nor this afr's changelog
    (another afr's are like any other)."""
    return {
        name: value
        for name, value in xdata.items()
        if isinstance(value, bytes) and "." in name and not name.startswith(BRICKS_OWN) and not keys.owned(name)
    }
