"""Healing what one object holds: the bytes of a file, and attributes."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping

import anyio.lowlevel

from ....graph import Data, Fd, NewAttributes, Outcome, Translator, Written, fail
from .changelog import Kind
from .healing import Healing
from .verdict import best_file

BLOCK_BYTES = 1024 * 1024


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


async def _copy_attributes(healing: Healing, source: int, sink: int) -> None:
    wanted, present = _own_xattrs(healing, source), _own_xattrs(healing, sink)
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


def _own_xattrs(healing: Healing, child: int) -> Mapping[str, bytes]:
    """The attributes to be alike: not the brick's own, nor this afr's changelog (another afr's are like any other)."""
    return {
        name: value
        for name, value in healing.xattrs[child].items()
        if isinstance(value, bytes)
        and "." in name
        and not name.startswith(BRICKS_OWN)
        and not healing.afr.keys.owned(name)
    }
