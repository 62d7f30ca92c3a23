"""Behaviour that users of GlusterFS's replication know, most of it from GlusterFS's own regression tests.

The numbers (p19) are those of the longer list from which these were taken.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import Bench, afr_of, mirror
from volgraph.graph import (
    ROOT_GFID,
    Call,
    Fd,
    Flock,
    Gfid,
    Loc,
    LockCommand,
    NewAttributes,
    State,
    fail,
)
from volgraph.testing.loop import run
from volgraph.testing.simulate import simulate
from volgraph.testing.stage import stage
from volgraph.testing.tree import afr, brick
from volgraph.testing.workload import Do, Fault, Go, Step

in_both_loops = pytest.mark.anyio

BLAME_OF_ATTRIBUTES = b"\0\0\0\0\0\0\0\1\0\0\0\0"


async def code_of(work: Any) -> int:
    """The errno that it ends with, 0 for success."""
    try:
        await work
    except OSError as error:
        return error.errno or -1
    return 0


def counters(bench: Bench, child: int, gfid: Gfid) -> dict[str, tuple[int, ...]]:
    return dict(bench.bricks[child].store.marks().get(gfid, {}))


def turn(bench: Bench, **children: bool) -> None:
    """turn(bench, b0=False): that child goes down."""
    for switch in bench.switches:
        if switch.name in children:
            switch.turn(children[switch.name])


# --- metadata ---------------------------------------------------------------------------------------------------------


@in_both_loops
async def test_p19_a_child_that_refuses_an_xattr_is_blamed_once_more_and_does_not_blame_itself() -> None:
    async with mirror(3) as bench:
        await bench.write("f", b"x")
        loc = Loc((await bench.find("f")).gfid)
        turn(bench, b2=False)
        await bench.top.setattr(bench.call, loc, NewAttributes(uid=7))
        turn(bench, b2=True)
        bench.switches[2].refuse = lambda name, args: fail(errno.EPERM) if name == "setxattr" else None
        await bench.top.setxattr(bench.call, loc, {"user.note": b"x"})

        for child in (0, 1):
            assert counters(bench, child, loc.gfid) == {"trusted.afr.b2": (0, 2, 0)}
        assert "trusted.afr.b2" not in counters(bench, 2, loc.gfid)


@in_both_loops
async def test_p20_contents_are_not_read_where_attributes_are_in_split_brain() -> None:
    async with mirror(2) as bench:
        await bench.write("f", b"text")
        gfid = (await bench.find("f")).gfid
        for here, there in ((0, 1), (1, 0)):
            marks = {f"trusted.afr.b{there}": BLAME_OF_ATTRIBUTES}
            await bench.bricks[here].setxattr(Call(), Loc(gfid), marks)

        assert await code_of(bench.read("f")) == errno.EIO


# --- entries, names, gfids --------------------------------------------------------------------------------------------


@in_both_loops
async def test_p28_copies_with_different_gfids_and_no_blame_cannot_be_looked_up() -> None:
    async with mirror(2) as bench:
        await bench.write("f", b"x")
        place = await bench.loc("f")
        await bench.bricks[1].unlink(Call(), place)
        await bench.bricks[1].mknod(bench.requesting(), place, stat.S_IFREG | 0o644, 0, 0)

        assert await code_of(bench.find("f")) == errno.EIO
        assert await code_of(bench.read("f")) == errno.EIO


@in_both_loops
async def test_p32_a_file_deleted_while_a_child_was_away_is_not_found_on_its_stale_copy() -> None:
    async with mirror(2) as bench:
        await bench.write("f", b"x")
        turn(bench, b0=False)
        await bench.unlink("f")
        turn(bench, b0=True)

        assert await code_of(bench.find("f")) == errno.ENOENT
        assert "/f" in bench.bricks[0].image()


@in_both_loops
@pytest.mark.parametrize(
    ("mode", "owed"),
    [
        (stat.S_IFIFO, (0, 1, 0)),
        (stat.S_IFBLK, (0, 1, 0)),
        (stat.S_IFCHR, (0, 1, 0)),
        (stat.S_IFSOCK, (0, 1, 0)),
        (stat.S_IFREG, (1, 1, 0)),
    ],
)
async def test_p33_new_objects_are_owed_their_attributes_and_only_files_their_contents(
    mode: int, owed: tuple[int, ...]
) -> None:
    async with mirror(2) as bench:
        turn(bench, b0=False)
        made = await bench.top.mknod(bench.requesting(), await bench.loc("new"), mode | 0o600, 0, 0)

        assert counters(bench, 1, made.iatt.gfid) == {"trusted.afr.b0": owed}


# --- split-brain, quorum ----------------------------------------------------------------------------------------------


@in_both_loops
async def test_p41_a_file_written_on_either_side_alone_does_not_open_for_appending() -> None:
    async with mirror(2) as bench:
        await bench.write("f", b"x")
        fd = await bench.open("f")
        for away in (0, 1):
            bench.switches[away].turn(False)
            await bench.top.writev(bench.call, fd, b"only on one", 0)
            await bench.top.flush(bench.call, fd)
            bench.switches[away].turn(True)

        assert await code_of(bench.open("f", os.O_WRONLY | os.O_APPEND)) == errno.EIO


@in_both_loops
async def test_p47_two_of_two_needed_and_one_down_neither_reads_nor_writes() -> None:
    async with mirror(2, quorum_type="fixed", quorum_count=2) as bench:
        fd = await bench.create("f")
        turn(bench, b1=False)

        assert await code_of(bench.top.writev(bench.call, fd, b"x", 0)) == errno.ENOTCONN
        assert await code_of(bench.top.readv(bench.call, fd, 1, 0)) == errno.ENOTCONN


@in_both_loops
@pytest.mark.parametrize(
    ("quorum", "away", "code"),
    [("auto", 0, errno.ENOTCONN), ("auto", 1, 0), ("none", 0, 0), ("none", 1, 0)],
)
async def test_p48_of_two_the_first_decides_where_quorum_is_auto(quorum: str, away: int, code: int) -> None:
    async with mirror(2, quorum_type=quorum) as bench:
        fd = await bench.create("f")
        bench.switches[away].turn(False)

        assert await code_of(bench.top.writev(bench.call, fd, b"x", 0)) == code
        assert await code_of(bench.top.readv(bench.call, fd, 1, 0)) == code


@in_both_loops
@pytest.mark.parametrize(
    ("options", "away", "code"),
    [
        ({"quorum_type": "auto"}, 1, 0),
        ({"quorum_type": "auto"}, 2, errno.ENOTCONN),
        ({"quorum_type": "fixed", "quorum_count": 3}, 1, errno.ENOTCONN),
    ],
)
async def test_p49_three_copies_and_what_is_enough_of_them(options: dict[str, Any], away: int, code: int) -> None:
    async with mirror(3, **options) as bench:
        fd = await bench.create("f")
        for switch in bench.switches[:away]:
            switch.turn(False)

        assert await code_of(bench.top.writev(bench.call, fd, b"x", 0)) == code
        assert await code_of(bench.top.readv(bench.call, fd, 1, 0)) == code


@in_both_loops
@pytest.mark.parametrize(
    ("count", "away", "code"), [(2, [0], errno.ENOTCONN), (1, [0], 0), (1, [0, 1], errno.ENOTCONN)]
)
async def test_p50_an_application_lock_needs_the_quorum(count: int, away: list[int], code: int) -> None:
    async with mirror(2, quorum_type="fixed", quorum_count=count) as bench:
        fd = await bench.create("f")
        for child in away:
            bench.switches[child].turn(False)

        assert await code_of(bench.top.lk(bench.call, fd, LockCommand.SET, Flock())) == code


@in_both_loops
@pytest.mark.parametrize("how", ["known to be down", "refuse the lock"])
async def test_p51_a_rename_below_quorum_leaves_every_child_with_the_old_name(how: str) -> None:
    async with mirror(3) as bench:
        await bench.write("old", b"x")
        for switch in bench.switches[1:]:
            if how == "known to be down":
                switch.turn(False)
            else:
                switch.refuse = lambda name, args: fail(errno.ENOTCONN) if name == "entrylk" else None

        assert await code_of(bench.rename("old", "new")) == errno.ENOTCONN
        for brick_below in bench.bricks:
            assert "/old" in brick_below.image()
            assert "/new" not in brick_below.image()


# --- reads, fds, timing -----------------------------------------------------------------------------------------------


@in_both_loops
@pytest.mark.parametrize("stale", [0, 1])
async def test_p55_a_listing_shows_the_size_that_good_copies_have_whatever_child_is_configured(stale: int) -> None:
    async with mirror(2, read_subvolume="b1") as bench:
        await bench.write("f", bytes(1 << 10))
        bench.switches[stale].turn(False)
        await bench.write("f", bytes(10 << 10))
        bench.switches[stale].turn(True)
        listing = Fd(ROOT_GFID, is_dir=True)
        await bench.top.opendir(bench.call, Loc(ROOT_GFID), listing)
        (entry,) = (await bench.top.readdirp(bench.call, listing, 1 << 16, 0)).entries

        assert entry.iatt is None or entry.iatt.size == 10 << 10
        assert (await bench.find("f")).size == 10 << 10


@in_both_loops
async def test_p56_a_directory_is_listed_from_the_copy_that_missed_nothing() -> None:
    async with mirror(2, read_subvolume="b0") as bench:
        await bench.write("gone", b"x")
        turn(bench, b0=False)
        await bench.unlink("gone")
        await bench.write("new", b"x")
        turn(bench, b0=True)

        assert await bench.names() == ["new"]


@in_both_loops
async def test_p57_a_file_opened_while_a_child_was_away_is_written_there_once_it_is_back() -> None:
    async with mirror(2, self_heal_daemon=True) as bench:
        turn(bench, b0=False)
        fd = await bench.create("f")
        await bench.top.writev(bench.call, fd, b"one ", 0)
        await bench.top.flush(bench.call, fd)
        turn(bench, b0=True)
        await afr_of(bench).crawler.rest()
        assert bench.images_equal()
        await bench.top.writev(bench.call, fd, b"two", 4)
        await bench.top.flush(bench.call, fd)

        assert bytes((await bench.top.readv(bench.call, fd, 100, 0)).data) == b"one two"
        assert bench.bricks[0].image()["/f"].content == b"one two"
        assert not any(bench.marks())


def test_p58_two_fds_that_write_one_file_do_not_wait_for_the_post_op_delay_of_each_other() -> None:
    async def play() -> float:
        async with stage(2, post_op_delay=3.0) as (one,):
            fds = [await one.make(b"f", b"0123456789"), await one.open(b"f")]
            began = anyio.current_time()
            for number in range(10):
                await one.write(fds[number % 2], b"x", number)
            for fd in fds:
                await one.afr.flush(one.call, fd)
            return anyio.current_time() - began

    assert run(play, seed=0).value < 0.1


@in_both_loops
@pytest.mark.parametrize("end", ["fsync", "flush"])
async def test_p59_after_fsync_or_close_no_counter_is_left(end: str) -> None:
    async with mirror(2, post_op_delay=3600) as bench:
        await bench.write("f", b"0123456789")
        fd = await bench.open("f")
        await bench.top.writev(bench.call, fd, b"x", 3)
        await getattr(bench.top, end)(bench.call, fd)

        assert bench.marks() == [{}, {}]


@in_both_loops
async def test_p60_appending_causes_no_fsync() -> None:
    async with mirror(2) as bench:
        fd = await bench.create("f")
        for number in range(20):
            await bench.top.writev(bench.call, fd, bytes(100), 100 * number)
        await bench.top.flush(bench.call, fd)

        assert not [name for switch in bench.switches for name in switch.seen if name == "fsync"]


@in_both_loops
async def test_p62_an_afr_is_down_below_its_quorum_and_up_again_with_it() -> None:
    async with mirror(3) as bench:
        states = [bench.top.state]
        for children in ({"b0": False, "b2": False}, {"b2": True}):
            turn(bench, **children)
            states.append(bench.top.state)

        assert states == [State.UP, State.DOWN, State.UP]


@pytest.mark.parametrize("copies", [2, 3])
def test_p71_a_write_returns_at_once_where_a_connection_is_closed(copies: int) -> None:
    tree = afr("mirror", *(brick(f"b{number}") for number in range(copies)), quorum="auto" if copies == 3 else "none")
    steps = [Step(0.0, Do.CREATE, b"x"), *(Step(1.0, Do.WRITE, b"x", number % 3) for number in range(10))]
    history = simulate(tree, [steps], [Fault(5.5, Go.KILL, "b1")], seed=3)

    writes = [event for event in history.events if event.do is Do.WRITE]
    assert all(event.acked for event in writes)
    assert max(event.returned - event.called for event in writes) < 1.0
