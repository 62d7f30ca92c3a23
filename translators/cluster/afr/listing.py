"""What one child has in a directory, read whole."""

from __future__ import annotations

import errno

import anyio.lowlevel

from ....graph import Call, Entry, Fd, Gfid, Iatt, Loc, Translator

LISTING_BYTES = 128 * 1024


async def entries_of(child: Translator, call: Call, gfid: Gfid, attributes: bool = False) -> list[Entry]:
    """All names of a directory, with `attributes` where the child can tell them."""
    fd = Fd(gfid, is_dir=True)
    await child.opendir(call, Loc(gfid), fd)
    entries: list[Entry] = []
    offset = 0
    try:
        while True:
            reply = await (child.readdirp if attributes else child.readdir)(call, fd, LISTING_BYTES, offset)
            entries += reply.entries
            if reply.end or not reply.entries:
                return entries
            offset = reply.entries[-1].offset
            await anyio.lowlevel.checkpoint()  # bricks that answer at once would keep everybody else waiting
    finally:
        child.release(fd)


async def list_directory(child: Translator, call: Call, gfid: Gfid) -> list[tuple[bytes, Iatt]]:
    """All names of a directory, with their attributes; but not of files that were put there by hand and have no gfid
    yet: the first lookup of such a name gives it one."""
    listing: list[tuple[bytes, Iatt]] = []
    for entry in await entries_of(child, call, gfid, attributes=True):
        iatt = entry.iatt or await _attributes_of(child, call, Loc(parent=gfid, name=entry.name))
        if iatt is not None:
            listing.append((entry.name, iatt))
    return listing


async def _attributes_of(child: Translator, call: Call, loc: Loc) -> Iatt | None:
    try:
        return (await child.lookup(call, loc)).iatt
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        raise
