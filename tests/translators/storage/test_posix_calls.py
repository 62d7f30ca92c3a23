"""storage/posix: what is remembered spares system calls, and is never believed against the disk."""

import errno
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.translators.storage.bricks import fails, in_both_modes, running
from volgraph.graph import ROOT_GFID, Call, Gfid, Loc, Seams, XattropKind
from volgraph.graph.disk import Disk
from volgraph.translators.storage.heal_index import XATTROP_INDEX_GFID
from volgraph.translators.storage.posix import brick as brick_module

pytestmark = [pytest.mark.anyio, in_both_modes]

ONE, MINUS = b"\0\0\0\1" * 3, b"\xff\xff\xff\xff" * 3
ADD = XattropKind.ADD_ARRAY


class Counting(Disk):
    """Counts what is called, by name."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("_") and name != "calls":
            self.calls[name] += 1
        return object.__getattribute__(self, name)


def counting() -> tuple[Seams, Counter[str]]:
    seams, disk = Seams(), Counting()
    seams.blocking.disk = disk
    return seams, disk.calls


async def test_a_file_that_was_met_before_is_looked_up_by_stat_alone(tmp_path: Path, mode: str) -> None:
    seams, calls = counting()
    async with running(tmp_path, mode, seams) as hand:
        gfid = await hand.file(b"f")
        assert await hand.find(b"f") == gfid
        calls.clear()
        assert await hand.find(b"f") == gfid
        assert dict(calls) == {"stat": 2, "fstat": 1}  # the name, the handle, the parent


async def test_what_was_remembered_is_not_believed_without_the_handle(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid, other = await hand.file(b"f", b"f"), await hand.file(b"g", b"g")
        assert [await hand.find(b"f"), await hand.find(b"g")] == [gfid, other]
        os.unlink(hand.handle(gfid))
        assert await hand.find(b"f") == gfid  # by what the object says, or the sidecar: the handle is made again
        assert os.path.samefile(hand.handle(gfid), tmp_path / "f")

        os.unlink(hand.handle(gfid))
        os.unlink(tmp_path / "f")
        for name, remembered in (("new", gfid), ("newer", other)):
            put_in(hand.brick.brick, tmp_path / name, remembered)
            with fails(errno.ENODATA):  # the inode number is remembered, but the file is another one
                hand.brick.lookup(Call(), Loc(parent=ROOT_GFID, name=name.encode()))
        assert await hand.find(b"g") == other


def put_in(brick: brick_module.Brick, path: Path, remembered: Gfid) -> None:
    """A file made beside the brick, with the inode number of one that was known."""
    path.write_bytes(b"from outside")
    brick._gfids[path.stat().st_ino] = remembered


async def test_no_more_is_remembered_than_the_limit(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brick_module, "INODES_MAX", 10)
    async with running(tmp_path, mode) as hand:
        gfids = {b"%d" % number: await hand.file(b"%d" % number) for number in range(25)}
        for name, gfid in gfids.items():
            assert await hand.find(name) == gfid
            assert len(hand.brick.brick._gfids) <= 10


async def test_a_pre_op_of_an_object_that_is_listed_asks_for_no_list_of_its_attributes(
    tmp_path: Path, mode: str
) -> None:
    seams, calls = counting()
    async with running(tmp_path, mode, seams) as hand:
        gfid = await hand.file(b"f")
        brick, here = hand.brick, Loc(gfid)
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.a": ONE, "trusted.afr.b": ONE})
        calls.clear()
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.a": ONE})
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.a": MINUS, "trusted.afr.b": ONE})
        assert calls["listxattr"] == 0
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.a": MINUS})
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.b": MINUS})
        assert len(await hand.entries(XATTROP_INDEX_GFID)) == 1
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.b": MINUS})
        assert await hand.entries(XATTROP_INDEX_GFID) == []


async def test_a_mark_that_cannot_be_written_lists_nothing(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.afr.a": bytes(12)})
        with fails(errno.EEXIST):
            hand.brick.setxattr(Call(), Loc(gfid), {"trusted.afr.a": ONE}, os.XATTR_CREATE)
        assert await hand.entries(XATTROP_INDEX_GFID) == []
