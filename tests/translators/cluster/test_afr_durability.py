"""What was written is on the disks before its marks are cleared; what is on no disk is told."""

from __future__ import annotations

import errno
import os
from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import Switch, afr_of, clients, locks_left, mirror, opened
from volgraph.graph import Translator, fail

pytestmark = pytest.mark.anyio

FOR_EVER = 3600


async def test_what_was_overwritten_is_on_the_disks_before_its_marks_are_cleared() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        began = bench.moment()
        await bench.top.writev(bench.call, fd, b"A", 0)
        await bench.top.flush(bench.call, fd)

        assert bench.asked_since(began)[0] == [
            "finodelk",
            "fxattrop",
            "writev",
            "fsync",
            "fxattrop",
            "finodelk",
            "flush",
        ]


async def test_what_the_caller_has_fsynced_is_not_fsynced_once_more() -> None:
    async with mirror() as bench:
        await bench.write("f", b"base")
        fd = await bench.open("f")
        await bench.top.writev(bench.call, fd, b"over", 0)
        await bench.top.fsync(bench.call, fd)

        assert [switch.seen.count("fsync") for switch in bench.switches] == [1, 1]
        await bench.top.writev(bench.call, fd, b"once", 0)
        await bench.top.flush(bench.call, fd)
        assert [switch.seen.count("fsync") for switch in bench.switches] == [2, 2]


@pytest.mark.parametrize("why", ["appended", "written through", "not asked for"])
async def test_no_fsync_where_none_is_owed(why: str) -> None:
    async with mirror(post_op_delay=FOR_EVER, ensure_durability=why != "not asked for") as bench:
        fd = await opened(bench, flags=os.O_RDWR | (os.O_DSYNC if why == "written through" else 0))
        began = bench.moment()
        await bench.top.writev(bench.call, fd, b"A", 10 if why == "appended" else 0)
        await bench.top.flush(bench.call, fd)

        assert "fsync" not in bench.asked_since(began)[0]


async def test_a_copy_that_cannot_keep_what_was_written_is_blamed() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        bench.switches[0].refuse = lambda name, args: fail(errno.EIO) if name == "fsync" else None
        await bench.top.flush(bench.call, fd)

        assert bench.marks()[1] == {"trusted.afr.b0": (1, 0, 0)}


async def test_where_no_copy_can_keep_what_was_written_the_marks_stay() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)

        def no_fsync(name: str, args: tuple[Any, ...]) -> OSError | None:
            return fail(errno.EIO) if name == "fsync" else None

        for switch in bench.switches:
            switch.refuse = no_fsync
        with pytest.raises(OSError):
            await bench.top.fsync(bench.call, fd)
        await bench.top.writev(bench.call, fd, b"B", 0)
        with pytest.raises(OSError):
            await bench.top.flush(bench.call, fd)

        assert bench.marks() == [{"trusted.afr.dirty": (2, 0, 0)}] * 2


async def test_an_append_behind_a_short_one_leaves_no_hole() -> None:
    async with mirror() as bench:
        await bench.write("f", b"")
        fd = await bench.open("f", os.O_RDWR | os.O_APPEND)
        for switch in bench.switches:
            shorten(switch)
        assert (await bench.top.writev(bench.call, fd, b"12345678", 0)).count == 4
        assert (await bench.top.writev(bench.call, fd, b"5678", 0)).count == 4
        await bench.top.flush(bench.call, fd)

        assert await bench.read("f") == b"12345678"


def shorten(switch: Switch) -> None:
    """A child writes half of the first piece."""

    def relay(fop: Any, *args: Any, **kwargs: Any) -> Any:
        if fop is Translator.writev:
            del switch.relay
            call, fd, data, *rest = args
            args = (call, fd, bytes(data)[: len(data) // 2], *rest)
        return Translator.relay(switch, fop, *args, **kwargs)

    switch.relay = relay  # type: ignore[method-assign]


@pytest.mark.parametrize("how", ["fsync", "flush"])
async def test_that_what_was_written_is_on_no_disk_is_told_to_whoever_asks_next(how: str) -> None:
    """Once, as by a kernel that fails to write back."""
    async with mirror() as bench:
        await bench.write("f", b"0123456789")
        fd = await bench.open("f")
        await bench.top.writev(bench.call, fd, b"lost", 0)
        for switch in bench.switches:
            switch.refuse = lambda name, args: fail(errno.EIO) if name == "fsync" else None
        stream = next(iter(afr_of(bench).streams._streams.values()))
        afr_of(bench).streams.close_all_soon()
        await stream.over
        for switch in bench.switches:
            switch.refuse = lambda name, args: None

        ask: Any = {"fsync": bench.top.fsync, "flush": bench.top.flush}[how]
        with pytest.raises(OSError, match="Input/output error"):
            await ask(bench.call, fd)
        await ask(bench.call, fd)


@pytest.mark.parametrize("lost", ["before the fsync", "in the fsync"])
async def test_less_than_a_quorum_blames_no_copy_that_is_out_of_reach_for_its_fsync(lost: str) -> None:
    """It has taken every write; and those who reach it go on with it."""
    async with clients(2, quorum_type="auto") as (one, other):
        fd = await opened(one)
        await one.top.writev(one.call, fd, b"A", 0)
        if lost == "before the fsync":
            one.switches[0].turn(False)
            while locks_left(one):
                await anyio.lowlevel.checkpoint()
        else:
            one.switches[0].refuse = lambda name, args: fail(errno.ENOTCONN) if name == "fsync" else None
            with pytest.raises(OSError):
                await one.top.flush(one.call, fd)
        assert one.marks() == [{"trusted.afr.dirty": (1, 0, 0)}] * 2
        other.switches[1].turn(False)
        await other.write("f", b"B123456789")
        other.switches[1].turn(True)

        report = await afr_of(other).heal()
        assert report.clean, report
        assert one.images_equal()
        assert await other.read("f") == b"B123456789"


async def test_where_one_copy_is_enough_one_that_is_out_of_reach_for_its_fsync_has_missed_what_was_written() -> None:
    """It may have lost its power; that it has not, nobody can tell. So on both sides of a partition nobody is right."""
    async with clients(2, quorum_type="none") as (one, other):
        fd = await opened(one)
        await one.top.writev(one.call, fd, b"A", 0)
        one.switches[0].turn(False)
        await one.top.flush(one.call, fd)
        assert one.marks()[1] == {"trusted.afr.b0": (1, 0, 0)}
        other.switches[1].turn(False)
        await other.write("f", b"B123456789")
        other.switches[1].turn(True)

        assert (await afr_of(other).heal()).split_brain
        with pytest.raises(OSError, match="Input/output error"):
            await other.read("f")


async def test_less_than_a_quorum_blames_a_copy_that_says_it_cannot_keep_what_was_written() -> None:
    async with mirror(3) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        for switch, code in zip(bench.switches, (errno.EIO, errno.ENOTCONN), strict=False):
            switch.refuse = lambda name, args, code=code: fail(code) if name == "fsync" else None  # type: ignore[misc]
        with pytest.raises(OSError):
            await bench.top.flush(bench.call, fd)

        dirty = {"trusted.afr.dirty": (1, 0, 0)}
        assert bench.marks() == [dirty, *[dirty | {"trusted.afr.b0": (1, 0, 0)}] * 2]
