"""Open fds follow children that come and go: what was opened while a child was away is open there once it is back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.translators.cluster.bench import Bench, Gate, Switch, afr_of, awaiting, locks_left, mirror
from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    Call,
    Coming,
    Fd,
    Flock,
    Gfid,
    Loc,
    LockCommand,
    LockType,
    NewAttributes,
    fail,
)

pytestmark = pytest.mark.anyio

SOMEBODY = Call(client="test", lk_owner=b"somebody", uid=1000, gid=1000)


def open_fds(bench: Bench, child: int, gfid: Gfid) -> int:
    inode = bench.bricks[child].store.inodes.get(gfid) or bench.bricks[child].store.unlinked[gfid]
    return inode.open_fds


def flags_at(bench: Bench, child: int, fd: Fd) -> int:
    flags: int = fd.slots[bench.bricks[child]].flags
    return flags


async def opened_while_away(bench: Bench, child: int, flags: int = os.O_RDWR) -> Fd:
    """A file that all copies have, opened while one is away; the child is back now."""
    await bench.write("f", b"0123456789")
    with bench.without(child):
        return await bench.open("f", flags)


@pytest.mark.parametrize("child", [0, 1])
async def test_a_write_opens_the_file_where_it_is_not_open_and_goes_there(child: int) -> None:
    async with mirror() as bench:
        fd = await opened_while_away(bench, child)
        assert open_fds(bench, child, fd.gfid) == 0

        await bench.top.writev(bench.call, fd, b"new", 0)
        await bench.top.flush(bench.call, fd)

        assert [open_fds(bench, each, fd.gfid) for each in (0, 1)] == [1, 1]
        assert bench.images_equal()
        assert not any(bench.marks())
        bench.top.release(fd)
        assert [open_fds(bench, each, fd.gfid) for each in (0, 1)] == [0, 0]


async def test_the_flags_of_the_fd_hold_there_too_but_for_those_that_have_done_their_work() -> None:
    """O_DSYNC above all: no fsync comes after what is written through it."""
    once = os.O_CREAT | os.O_EXCL | os.O_TRUNC | os.O_APPEND
    async with mirror() as bench:
        with bench.without(0):
            fd, loc = Fd(flags=os.O_RDWR), await bench.loc("f")
            flags = os.O_RDWR | os.O_DSYNC | os.O_DIRECT | os.O_NOATIME | once
            made = await bench.top.create(bench.requesting(), loc, flags, 0o644, 0, fd)
            fd.gfid = made.iatt.gfid
            await bench.top.writev(bench.call, fd, b"one ", 0)
        assert (await afr_of(bench).heal()).clean
        await bench.top.writev(bench.call, fd, b"two", 0)
        await bench.top.flush(bench.call, fd)

        assert [brick.image()["/f"].content for brick in bench.bricks] == [b"one two"] * 2
        assert flags_at(bench, 0, fd) & (os.O_DSYNC | os.O_DIRECT | os.O_NOATIME | once) == (
            os.O_DSYNC | os.O_DIRECT | os.O_NOATIME
        )


async def test_whoever_could_write_when_it_opened_the_file_can_write_it_there() -> None:
    async with mirror() as bench:
        await bench.write("f", b"0123456789")
        gfid = (await bench.find("f")).gfid
        await bench.top.setattr(Call(), Loc(gfid), NewAttributes(mode=0o600, uid=1000, gid=1000))
        with bench.without(1):
            fd = Fd(gfid, os.O_RDWR)
            await bench.top.open(SOMEBODY, Loc(gfid), os.O_RDWR, fd)
        await bench.top.setattr(Call(), Loc(gfid), NewAttributes(mode=0o400, uid=0, gid=0))

        await bench.top.writev(SOMEBODY, fd, b"new", 0)
        await bench.top.flush(SOMEBODY, fd)

        assert bench.images_equal()
        assert not any(bench.marks())
        bench.switches[0].turn(False)
        assert bytes((await bench.top.readv(SOMEBODY, fd, 10, 0)).data) == b"new3456789"


async def test_an_fd_for_reading_is_opened_for_reading_there() -> None:
    async with mirror(read_subvolume="b1") as bench:
        fd = await opened_while_away(bench, 1, os.O_RDONLY)

        assert bytes((await bench.top.readv(bench.call, fd, 10, 0)).data) == b"0123456789"

        assert flags_at(bench, 1, fd) & os.O_ACCMODE == os.O_RDONLY
        with pytest.raises(OSError) as caught:
            await bench.top.writev(bench.call, fd, b"x", 0)
        assert caught.value.errno == errno.EBADF


async def test_a_directory_is_opened_there_and_listed_from_there() -> None:
    async with mirror(read_subvolume="b1") as bench:
        await bench.mkdir("d")
        with bench.without(1):
            fd = Fd(ROOT_GFID, is_dir=True)
            await bench.top.opendir(bench.call, ROOT_LOC, fd)

        reply = await bench.top.readdir(bench.call, fd, 1 << 16, 0)

        assert [entry.name for entry in reply.entries] == [b"d"]
        assert [open_fds(bench, each, ROOT_GFID) for each in (0, 1)] == [1, 1]
        bench.top.release(fd)
        assert [open_fds(bench, each, ROOT_GFID) for each in (0, 1)] == [0, 0]


async def test_a_file_that_was_unlinked_while_the_child_was_away_is_written_and_read_on() -> None:
    """The child has the name still, until it is healed; then the file is nowhere but in the fds."""
    async with mirror(3) as bench:
        await bench.write("f", b"0123456789")
        with bench.without(2):
            fd = await bench.open("f")
            await bench.unlink("f")
        await bench.top.writev(bench.call, fd, b"one", 0)
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()
        await bench.top.writev(bench.call, fd, b"two", 3)

        assert bytes((await bench.top.readv(bench.call, fd, 10, 0)).data) == b"onetwo6789"
        await bench.top.flush(bench.call, fd)
        bench.top.release(fd)
        await afr_of(bench).streams.close(fd.gfid)
        assert not any(brick.store.unlinked for brick in bench.bricks)
        assert not any(bench.marks())


async def test_a_file_that_the_child_never_had_and_that_is_gone_is_written_and_read_on() -> None:
    async with mirror(3) as bench:
        with bench.without(2):
            fd = await bench.create("f")
            await bench.unlink("f")
        await bench.top.writev(bench.call, fd, b"text", 0)

        assert bytes((await bench.top.readv(bench.call, fd, 10, 0)).data) == b"text"
        await bench.top.flush(bench.call, fd)
        bench.top.release(fd)
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()
        assert not any(bench.marks())


async def test_where_a_child_refuses_the_fd_is_tried_again_when_children_come_or_go_and_not_before() -> None:
    async with mirror() as bench:
        fd = await opened_while_away(bench, 1)
        bench.switches[1].refuse = lambda name, args: fail(errno.EMFILE) if name == "open" else None
        for _ in range(3):
            await bench.top.writev(bench.call, fd, b"x", 0)
        assert bench.switches[1].seen.count("open") == 1
        bench.switches[1].refuse = lambda name, args: None
        bench.switches[0].turn(False)
        bench.switches[0].turn(True)
        await bench.top.writev(bench.call, fd, b"y", 0)

        assert open_fds(bench, 1, fd.gfid) == 1


async def test_an_fd_released_while_it_is_being_opened_is_left_open_nowhere() -> None:
    async with mirror() as bench:
        fd = await opened_while_away(bench, 1)
        gate = Gate(bench.switches[1], "open")
        async with gate.holding(bench.top.readv, bench.call, fd, 10, 0):
            bench.top.release(fd)
            gate.open()

        assert [open_fds(bench, each, fd.gfid) for each in (0, 1)] == [0, 0]


async def test_two_uses_at_once_open_it_there_once() -> None:
    async with mirror() as bench:
        fd = await opened_while_away(bench, 1)
        gate = Gate(bench.switches[1], "open")
        async with anyio.create_task_group() as group:
            for place in (0, 5):
                group.start_soon(awaiting, bench.top.writev, bench.call, fd, b"x", place)
            await gate.arrival()
            gate.open()

        assert open_fds(bench, 1, fd.gfid) == 1


@pytest.mark.parametrize("fop", ["readv", "writev"])
async def test_a_child_that_hangs_while_it_opens_the_fd_keeps_nobody(fop: str) -> None:
    async with mirror(3, laggard_timeout=0.05) as bench:
        fd = await opened_while_away(bench, 2)
        gate = Gate(bench.switches[2], "open")
        with anyio.fail_after(10):
            if fop == "readv":
                assert bytes((await bench.top.readv(bench.call, fd, 3, 0)).data) == b"012"
            else:
                await bench.top.writev(bench.call, fd, b"new", 0)
                await bench.top.flush(bench.call, fd)
        assert set(afr_of(bench).laggards.fenced) == {2}
        gate.open()

        await bench.top.writev(bench.call, fd, b"more", 0)
        await bench.top.flush(bench.call, fd)
        assert (await afr_of(bench).heal()).clean
        assert bench.images_equal()
        bench.top.release(fd)
        assert [open_fds(bench, each, fd.gfid) for each in range(3)] == [0, 0, 0]


async def test_nobody_gets_a_lock_that_is_held_where_the_child_was_away() -> None:
    """A quorum has kept it all the time, so the child that forgot it decides nothing."""
    async with mirror(3) as bench:
        await bench.write("f", b"text")
        with bench.without(2):
            fd, flock = await bench.open("f"), Flock(LockType.WRITE, 0, 0)
            await bench.top.lk(bench.call, fd, LockCommand.SET, flock)

        with pytest.raises(OSError) as caught:
            await bench.top.lk(SOMEBODY, fd, LockCommand.SET, flock)
        assert caught.value.errno == errno.EAGAIN


class Late:
    """Holds back what is asked of one child until `arrive`."""

    def __init__(self, switch: Switch, name: str) -> None:
        self.asked: list[tuple[Coming[Any], Callable[[], Any]]] = []

        def relay(fop: Any, *args: Any, **kwargs: Any) -> Any:
            if fop.__name__ != name:
                return Switch.relay(switch, fop, *args, **kwargs)
            coming: Coming[Any] = Coming()
            self.asked.append((coming, lambda: Switch.relay(switch, fop, *args, **kwargs).value))
            return coming

        switch.relay = relay  # type: ignore[method-assign]

    def arrive(self) -> None:
        for coming, ask in self.asked:
            coming.resolve(ask())


@pytest.mark.parametrize("fop", ["create", "open", "opendir"])
async def test_an_fd_whose_opening_was_cancelled_is_given_back_where_it_is_opened_late(fop: str) -> None:
    async with mirror() as bench:
        await bench.write("old", b"")
        late, fd = Late(bench.switches[1], fop), Fd(flags=os.O_RDWR)
        args: tuple[Any, ...] = (bench.requesting(), await bench.loc("new"), os.O_RDWR | os.O_CREAT, 0o644, 0, fd)
        if fop == "open":
            fd.gfid = (await bench.find("old")).gfid
            args = bench.call, Loc(fd.gfid), os.O_RDWR, fd
        elif fop == "opendir":
            fd = Fd(ROOT_GFID, is_dir=True)
            args = bench.call, Loc(ROOT_GFID), fd
        async with anyio.create_task_group() as group:
            group.start_soon(awaiting, getattr(bench.top, fop), *args)
            with anyio.fail_after(5):
                while not late.asked:
                    await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        late.arrive()
        await bench.graph.tasks.finish()

        assert not fd.slots
        assert not afr_of(bench).under_way
        assert not locks_left(bench)
