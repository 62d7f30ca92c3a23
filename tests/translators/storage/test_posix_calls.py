"""storage/posix: what is remembered spares system calls, and is never believed against the disk."""

import errno
import os
from collections import Counter
from pathlib import Path
from stat import S_IFIFO, S_IFREG

import pytest

from tests.translators.storage.bricks import fails, in_both_modes, running
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Loc, Seams, XattropKind
from volgraph.graph.disk import Disk
from volgraph.translators.storage.heal_index import XATTROP_INDEX_GFID
from volgraph.translators.storage.posix import brick as brick_module

pytestmark = [pytest.mark.anyio, in_both_modes]

ONE, MINUS = b"\0\0\0\1" * 3, b"\xff\xff\xff\xff" * 3
ADD = XattropKind.ADD_ARRAY


class Counting(Disk):
    """Counts what is called, by name, and keeps the order."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.order: list[str] = []

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("_") and name not in ("calls", "order"):
            self.calls[name] += 1
            self.order.append(name)
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


async def test_a_file_is_made_moved_and_removed_with_no_call_too_many(tmp_path: Path, mode: str) -> None:
    """Of a caller who wants no attributes. That no other object bears its gfid the making of the handle tells."""
    seams, calls = counting()
    named, moved = Loc(parent=ROOT_GFID, name=b"f"), Loc(parent=ROOT_GFID, name=b"g")
    async with running(tmp_path, mode, seams) as hand:
        await hand.file(b"first")  # the folder of the handles is there from now on
        call, fd = hand.call(), Fd(flags=os.O_RDWR)
        call.attributes = False
        calls.clear()
        await hand.brick.create(call, named, os.O_RDWR | os.O_EXCL, 0o644, 0, fd)
        made = {"stat": 1, "fstat": 3, "getxattr": 1, "open": 1, "link": 1}  # fstat: the parent, the file before, after
        assert dict(calls) == {**made, **({"setxattr": 1} if mode == "xattr" else {})}
        hand.brick.release(fd)
        calls.clear()
        await hand.brick.rename(call, named, moved)
        assert dict(calls) == {"stat": 4, "rename": 1}  # the old name, the handle, the new name, and what is there now
        calls.clear()
        await hand.brick.unlink(call, moved)
        assert dict(calls) == {"stat": 2, "unlink": 2}  # the name, the handle


async def test_only_the_first_change_of_its_names_asks_whether_glusterfs_noted_them_on_a_file(
    tmp_path: Path, mode: str
) -> None:
    names = [Loc(parent=ROOT_GFID, name=name) for name in (b"f", b"g", b"h")]
    async with running(tmp_path, mode) as hand:
        await hand.file(b"f")
    seams, calls = counting()
    async with running(tmp_path, mode, seams) as hand:
        calls.clear()
        await hand.brick.rename(Call(), names[0], names[1])
        assert calls["listxattr"] == (1 if mode == "xattr" else 0)
        await hand.brick.rename(Call(), names[1], names[2])
        assert calls["listxattr"] == (1 if mode == "xattr" else 0)


async def test_a_folder_of_handles_that_went_beside_the_brick_is_made_again(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gone = await hand.file(b"f")
        await hand.brick.unlink(Call(), Loc(parent=ROOT_GFID, name=b"f"))
        hand.handle(gone).parent.rmdir()
        gfid = await hand.file(b"f")
        assert hand.handle(gfid).exists()
        assert hand.handle(gfid).parent == hand.handle(gone).parent


async def test_a_handle_that_was_left_without_a_name_is_not_in_the_way_of_a_new_object(
    tmp_path: Path, mode: str
) -> None:
    async with running(tmp_path, mode) as hand:
        await hand.file(b"first")
        gfid, loc = hand.gfid(), Loc(parent=ROOT_GFID, name=b"f")
        call = Call(xdata={"gfid-req": gfid})
        hand.handle(gfid).write_bytes(b"left by a crash")
        made = await hand.brick.mknod(call, loc, S_IFREG, 0, 0)
        assert (made.iatt.gfid, await hand.read(gfid)) == (gfid, b"")
        with fails(errno.EEXIST):  # and one that has a name is
            hand.brick.mknod(call, Loc(parent=ROOT_GFID, name=b"g"), S_IFREG, 0, 0)


async def test_an_xattrop_reads_once_and_touches_an_index_only_where_an_object_enters_or_leaves_it(
    tmp_path: Path, mode: str
) -> None:
    seams, calls = counting()
    terse, here = Call(attributes=False), Loc(ROOT_GFID)
    pre_op = {"trusted.afr.dirty": ONE, "trusted.afr.a": bytes(12), "trusted.afr.b": bytes(12)}
    post_op = {"trusted.afr.dirty": MINUS}
    changes = {"listxattr": 1, "getxattr": 1, "setxattr": 1} if mode == "xattr" else {}
    async with running(tmp_path, mode, seams) as hand:
        brick = hand.brick
        await brick.xattrop(terse, here, ADD, pre_op)
        await brick.xattrop(terse, here, ADD, post_op)
        for values, listing in ((pre_op, {"link": 1}), (pre_op, {}), (post_op, {}), (post_op, {"unlink": 1})):
            calls.clear()
            await brick.xattrop(terse, here, ADD, values)
            assert dict(calls) == {"fstat": 1, **changes, **listing}


async def test_a_file_is_opened_for_an_xattrop_by_its_gfid(tmp_path: Path, mode: str) -> None:
    seams, calls = counting()
    async with running(tmp_path, mode, seams) as hand:
        gfid, fifo = await hand.file(b"f"), hand.gfid()
        await hand.brick.mknod(Call(xdata={"gfid-req": fifo}), Loc(parent=ROOT_GFID, name=b"p"), S_IFIFO, 0, 0)
        for here, opened in ((gfid, int(mode == "xattr")), (fifo, 0)):
            await hand.brick.xattrop(Call(), Loc(here), ADD, {"trusted.afr.dirty": ONE})
            calls.clear()
            await hand.brick.xattrop(Call(), Loc(here), ADD, {"trusted.afr.dirty": ONE})
            assert (calls["open"], calls["close"]) == (opened, opened)


async def test_an_index_lists_an_object_before_its_mark_is_set_and_until_it_has_ended(
    tmp_path: Path, mode: str
) -> None:
    seams, disk = Seams(), Counting()
    seams.blocking.disk = disk
    async with running(tmp_path, mode, seams) as hand:
        brick, here = hand.brick, Loc(await hand.dir(b"d"))
        for index in ("dirty", "a"):  # the files that the entries are links to are there from now on
            await brick.xattrop(Call(), here, ADD, {f"trusted.afr.{index}": ONE})
            await brick.xattrop(Call(), here, ADD, {f"trusted.afr.{index}": MINUS})
        set_one = ["setxattr"] if mode == "xattr" else []
        for values, order in (
            ({"trusted.afr.dirty": ONE}, ["link", *set_one]),
            ({"trusted.afr.dirty": MINUS, "trusted.afr.a": ONE}, ["link", *set_one, *set_one, "unlink"]),
            ({"trusted.afr.a": MINUS}, [*set_one, "unlink"]),
        ):
            disk.order.clear()
            await brick.xattrop(Call(), here, ADD, values)
            assert [name for name in disk.order if name in ("link", "setxattr", "unlink")] == order


async def test_an_object_is_listed_until_the_last_of_its_counters_is_zero(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick, here = hand.brick, Loc(await hand.file(b"f"))
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.a": ONE, "trusted.afr.b": ONE})
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.a": MINUS, "trusted.afr.b": ONE})
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.b": MINUS})
        assert len(await hand.entries(XATTROP_INDEX_GFID)) == 1
        await brick.xattrop(Call(), here, ADD, {"trusted.afr.b": MINUS})
        assert await hand.entries(XATTROP_INDEX_GFID) == []


async def test_an_object_whose_entry_was_dropped_before_its_marks_is_listed_at_its_next_xattrop(
    tmp_path: Path, mode: str
) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        name = gfid.text.encode()
        await hand.brick.xattrop(Call(), Loc(gfid), ADD, {"trusted.afr.a": ONE})
        await hand.brick.unlink(Call(), Loc(parent=XATTROP_INDEX_GFID, name=name))
        assert await hand.names(XATTROP_INDEX_GFID) == []
        await hand.brick.xattrop(Call(), Loc(gfid), ADD, {"trusted.afr.dirty": ONE})
        assert await hand.names(XATTROP_INDEX_GFID) == [name]


async def test_a_mark_that_cannot_be_written_lists_nothing(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.afr.a": bytes(12)})
        with fails(errno.EEXIST):
            hand.brick.setxattr(Call(), Loc(gfid), {"trusted.afr.a": ONE}, os.XATTR_CREATE)
        assert await hand.entries(XATTROP_INDEX_GFID) == []
