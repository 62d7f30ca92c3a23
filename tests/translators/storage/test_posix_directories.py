"""storage/posix: listings."""

import errno
import os
from pathlib import Path

import pytest

from tests.translators.storage.bricks import fails, in_both_modes, running
from volgraph.graph import Call, Fd, Loc

pytestmark = [pytest.mark.anyio, in_both_modes]


async def test_a_listing_in_pieces_shows_each_name_once_whatever_comes_and_goes(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        folder = await hand.dir(b"d")
        names = [b"%03d" % n for n in range(100)]
        for name in names:
            await hand.file(name, parent=folder)
        fd = Fd(folder, os.O_DIRECTORY)
        await brick.opendir(Call(), Loc(folder), fd)
        seen: list[bytes] = []
        offset, pieces, end = 0, 0, False
        while not end:
            piece = await brick.readdir(Call(), fd, 10 * 27, offset)
            seen += [entry.name for entry in piece.entries]
            offset, end = (piece.entries[-1].offset if piece.entries else offset), piece.end
            pieces += 1
            if pieces == 2:
                await brick.unlink(Call(), Loc(parent=folder, name=b"000"))
                await hand.file(b"new", parent=folder)
        assert seen == names
        assert pieces >= 10
        again = await brick.readdir(Call(), fd, 1 << 20, 0)
        assert sorted(entry.name for entry in again.entries) == [*names[1:], b"new"]
        assert {entry.kind for entry in again.entries} == {8}
        assert all(0 < entry.offset < 1 << 32 for entry in again.entries)
        brick.release(fd)
        with fails(errno.ENOTDIR):
            brick.readdir(Call(), Fd(await hand.find(b"001", folder)), 100, 0)


async def test_readdirp_brings_attributes_and_kinds(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        folder, file = await hand.dir(b"d"), await hand.file(b"f", b"123")
        await hand.symlink(b"l", b"f")
        entries = {entry.name: entry for entry in await hand.entries()}

        assert {name: entry.kind for name, entry in entries.items()} == {b"d": 4, b"f": 8, b"l": 10}
        assert (entries[b"d"].gfid, entries[b"f"].gfid) == (folder, file)
        iatt = entries[b"f"].iatt
        assert iatt is not None
        assert (iatt.gfid, iatt.size, iatt.nlink) == (file, 3, 1)
