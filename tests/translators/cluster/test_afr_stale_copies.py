"""A copy that has missed something takes part in changes, but what it says and finds does not count."""

from __future__ import annotations

import errno
import os

import pytest

from tests.translators.cluster.bench import healed, mirror
from volgraph.graph import Fd, Loc, NewAttributes, fail

pytestmark = pytest.mark.anyio


async def test_create_opens_the_file_that_good_copies_have_and_not_one_that_a_stale_copy_made() -> None:
    async with mirror() as bench:
        with bench.without(0):
            await bench.write("f", b"precious")
        there = (await bench.find("f")).gfid
        fd = Fd(there, os.O_RDWR)
        made = await bench.top.create(bench.requesting(), await bench.loc("f"), os.O_RDWR | os.O_CREAT, 0o644, 0, fd)
        assert made.iatt.gfid == there
        await healed(bench)
        await bench.top.writev(bench.call, fd, b"P", 0)

        assert bench.images_equal()
        assert await bench.read("f") == b"Precious"


async def test_a_stale_copy_that_renames_another_object_is_blamed_for_both_directories() -> None:
    async with mirror(3) as bench:
        for path in ("s", "t"):
            await bench.mkdir(path)
        await bench.write("s/n", b"old")
        with bench.without(2):
            await bench.unlink("s/n")
            await bench.write("s/n", b"new")
        await bench.rename("s/n", "t/n")
        target = (await bench.find("t")).gfid

        assert bench.bricks[0].marks()[target]["trusted.afr.b2"][2] > 0
        assert await bench.read("t/n") == b"new"
        await healed(bench)
        assert await bench.read("t/n") == b"new"


async def test_attributes_after_a_change_are_those_of_a_good_copy() -> None:
    async with mirror() as bench:
        await bench.write("f", b"x" * 10)
        with bench.without(0):
            await bench.write("f", b"y" * 20)
        fd = await bench.open("f")
        written = await bench.top.writev(bench.call, fd, b"z", 0)
        changed = await bench.top.setattr(bench.call, Loc(fd.gfid), NewAttributes(mode=0o600))

        assert written.post is not None
        assert written.post.size == 20
        assert changed.post is not None
        assert changed.post.size == 20


async def test_that_a_stale_copy_lacks_a_name_is_not_told_when_the_quorum_is_missed() -> None:
    async with mirror(3) as bench:
        with bench.without(2):
            await bench.write("f", b"x")
        bench.switches[1].turn(False)
        with pytest.raises(OSError) as caught:
            await bench.unlink("f")

        assert caught.value.errno == errno.ENOTCONN


async def test_a_new_size_set_as_an_attribute_reaches_a_copy_that_missed_it() -> None:
    async with mirror() as bench:
        await bench.write("f", b"0123456789")
        gfid = (await bench.find("f")).gfid
        with bench.without(1):
            changed = await bench.top.setattr(bench.call, Loc(gfid), NewAttributes(size=3, mode=0o600))
        await healed(bench)

        assert changed.post is not None
        assert (changed.post.size, changed.post.mode & 0o777) == (3, 0o600)
        assert await bench.read("f") == b"012"


async def test_an_object_given_by_its_name_alone_is_the_one_of_good_copies() -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        with bench.without(0):
            await bench.unlink("f")
            await bench.write("f", b"newer")
        place = await bench.loc("f")
        found = await bench.top.stat(bench.call, place)
        await bench.top.truncate(bench.call, place, 1)

        assert found.iatt.size == 5
        assert await bench.read("f") == b"n"
        await healed(bench)


async def test_an_fd_that_could_not_be_opened_is_open_nowhere() -> None:
    async with mirror(quorum_type="fixed", quorum_count=2) as bench:
        await bench.write("f", b"x")
        gfid = (await bench.find("f")).gfid
        bench.switches[1].refuse = lambda name, args: fail(errno.EACCES) if name in ("open", "create") else None
        with pytest.raises(PermissionError):
            await bench.open("f")
        with pytest.raises(PermissionError):
            await bench.create("g")

        assert [brick.store.inodes[gfid].open_fds for brick in bench.bricks] == [0, 0]
        assert all(inode.open_fds == 0 for inode in bench.bricks[0].store.inodes.values())


@pytest.mark.parametrize(("flags", "fop"), [(os.O_RDONLY, "writev"), (os.O_WRONLY, "readv")])
async def test_what_an_fd_is_open_for_holds_on_a_child_too_where_it_is_not_open(flags: int, fop: str) -> None:
    async with mirror() as bench:
        await bench.write("f", b"x")
        with bench.without(1):
            fd = await bench.open("f", flags)
        with pytest.raises(OSError) as caught:
            if fop == "writev":
                await bench.top.writev(bench.call, fd, b"y", 0)
            else:
                await bench.top.readv(bench.call, fd, 1, 0)

        assert caught.value.errno == errno.EBADF
        assert bench.marks() == [{}, {}]


async def test_a_stale_copy_alone_takes_no_change_after_the_good_one_has_failed_the_pre_op() -> None:
    """The first child is a quorum, but its copy is on record as stale on the second child alone; and a mark of a change
    that is left on it makes what is known of the copies look as if it were about to change."""
    async with mirror(quorum_type="auto") as bench:
        await bench.write("f", b"old contents")
        fd = await bench.open("f")
        first, second = bench.switches
        first.refuse = lambda name, args: fail(errno.EIO, "first") if name == "fsync" else None
        await bench.top.writev(bench.call, fd, b"new", 0)
        with pytest.raises(OSError):
            await bench.top.flush(bench.call, fd)
        first.refuse = lambda name, args: None
        second.refuse = lambda name, args: fail(errno.ENOTCONN, "second") if name == "fxattrop" else None
        with pytest.raises(OSError):
            await bench.top.writev(bench.call, fd, b"lost", 0)
        second.refuse = lambda name, args: None

        await healed(bench)
        assert await bench.read("f") in (b"new contents", b"lostcontents")
