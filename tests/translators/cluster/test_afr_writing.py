"""Writing through afr: every copy has it, or is known to have missed it."""

from __future__ import annotations

import errno
import os

import pytest

from tests.translators.cluster.bench import Gate, afr_of, awaiting, mirror
from volgraph.graph import NOW_NS, Fd, Loc, NewAttributes, fail

pytestmark = pytest.mark.anyio


async def test_a_write_reaches_every_copy_and_leaves_no_mark() -> None:
    async with mirror() as bench:
        await bench.mkdir("d")
        await bench.write("d/f", b"hello")

        assert await bench.read("d/f") == b"hello"
        assert bench.images_equal()
        assert bench.marks() == [{}, {}]


async def test_a_copy_that_was_down_is_blamed_and_not_read() -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        with bench.without(1):
            await bench.write("f", b"new!")

        assert await bench.read("f") == b"new!"
        assert bench.marks() == [{"trusted.afr.b1": (1, 0, 0)}, {}]


async def test_a_copy_that_fails_the_fop_is_blamed_by_the_other_and_never_by_itself() -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        bench.switches[0].refuse = lambda name, args: fail(errno.EIO) if name == "writev" else None
        fd = await bench.open("f")
        await bench.top.writev(bench.call, fd, b"new", 0)
        bench.switches[0].refuse = lambda name, args: None
        await bench.top.flush(bench.call, fd)

        assert bench.marks() == [{"trusted.afr.dirty": (1, 0, 0)}, {"trusted.afr.b0": (1, 0, 0)}]
        assert await bench.read("f") == b"new"


async def test_the_same_error_everywhere_blames_nobody() -> None:
    async with mirror() as bench:
        await bench.create("f")
        with pytest.raises(FileExistsError):
            await bench.create("f")

        assert bench.marks() == [{}, {}]


async def test_a_new_file_that_a_copy_missed_is_owed_its_contents_and_attributes() -> None:
    async with mirror() as bench:
        bench.switches[1].turn(False)
        await bench.create("f")

        assert bench.bricks[0].marks()[(await bench.find("f")).gfid]["trusted.afr.b1"] == (1, 1, 0)


async def test_below_quorum_nothing_is_written() -> None:
    async with mirror(quorum_type="fixed", quorum_count=2) as bench:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        bench.switches[1].turn(False)
        with pytest.raises(OSError) as caught:
            await bench.top.writev(bench.call, fd, b"new", 0)

        assert caught.value.errno == errno.ENOTCONN
        bench.switches[1].turn(True)
        assert await bench.read("f") == b"old"


async def test_mutual_blame_is_reported_and_answered_with_eio() -> None:
    async with mirror() as bench:
        await bench.write("f", b"old")
        gfid = (await bench.find("f")).gfid
        with bench.without(1):
            await bench.write("f", b"only on 0")
        with bench.without(0):
            await bench.write("f", b"and only on 1")
        with pytest.raises(OSError) as caught:
            await bench.read("f")
        assert caught.value.errno == errno.EIO
        report = await bench.top.heal()  # type: ignore[attr-defined]

        assert [item.gfid for item in report.split_brain] == [gfid]
        assert {brick.image()["/f"].content for brick in bench.bricks} == {b"only on 0", b"and only on 1"}


async def test_the_present_time_is_one_time_on_all_copies() -> None:
    async with mirror() as bench:
        await bench.write("f", b"x")
        gfid = (await bench.find("f")).gfid
        await bench.top.setattr(bench.call, Loc(gfid), NewAttributes(mtime_ns=NOW_NS, atime_ns=NOW_NS))
        first, second = [(await brick.stat(bench.call, Loc(gfid))).iatt for brick in bench.bricks]

        assert (first.mtime_ns, first.atime_ns) == (second.mtime_ns, second.atime_ns)


async def test_create_that_empties_a_file_takes_its_place_among_the_writes() -> None:
    async with mirror() as bench:
        await bench.write("f", b"0123456789")
        appending = await bench.open("f", os.O_RDWR | os.O_APPEND)
        await bench.top.writev(bench.call, appending, b"more", 0)
        writing = await bench.open("f")
        gate = Gate(bench.switches[1], "writev")
        async with gate.holding(bench.top.writev, bench.call, writing, b"WWWW", 0) as group:
            flags, fd = os.O_RDWR | os.O_CREAT | os.O_TRUNC, Fd(flags=os.O_RDWR)
            loc = await bench.loc("f")
            group.start_soon(awaiting, bench.top.create, bench.requesting(), loc, flags, 0o644, 0, fd)
            gate.open()
        await bench.top.writev(bench.call, appending, b"abc", 0)
        await bench.top.flush(bench.call, appending)

        assert await bench.read("f") == b"abc"
        assert bench.images_equal()
        assert bench.marks() == [{}, {}]


async def test_create_that_finds_a_file_owes_nobody_its_contents() -> None:
    """Only for a new one has the copy that failed missed them all: of this one it may be the only good copy."""
    async with mirror() as bench:
        await bench.write("f", b"old")
        with bench.without(0):
            await bench.write("f", b"new")
        bench.switches[1].refuse = lambda name, args: fail(errno.ENOSPC) if name == "create" else None
        flags, fd = os.O_RDWR | os.O_CREAT, Fd(flags=os.O_RDWR)
        await bench.top.create(bench.requesting(), await bench.loc("f"), flags, 0o644, 0, fd)
        bench.switches[1].refuse = lambda name, args: None

        assert await bench.read("f") == b"new"
        assert (await afr_of(bench).heal()).clean


async def test_that_a_stale_copy_lacks_a_name_is_no_answer() -> None:
    async with mirror() as bench:
        with bench.without(1):
            await bench.write("f", b"here")
        bench.switches[0].refuse = lambda name, args: fail(errno.ENOTCONN) if name == "entrylk" else None
        with pytest.raises(OSError) as caught:
            await bench.unlink("f")
        bench.switches[0].refuse = lambda name, args: None

        assert caught.value.errno == errno.ENOTCONN
        assert await bench.read("f") == b"here"
