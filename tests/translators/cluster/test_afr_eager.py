"""Writes of one file share a lock and a pre-op; both are given back in time, and what was missed is on record."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import Bench, Gate, Switch, afr_of, awaiting, clients, locks_left, mirror
from volgraph.graph import Fd, Loc, NewAttributes, Translator, fail
from volgraph.testing.fated import OK
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import Person, stage

pytestmark = pytest.mark.anyio

FOR_EVER = 3600


def asked_since(bench: Bench, began: list[int]) -> list[list[str]]:
    return [switch.seen[start:] for switch, start in zip(bench.switches, began, strict=True)]


def moment(bench: Bench) -> list[int]:
    return [len(switch.seen) for switch in bench.switches]


async def asked_by(bench: Bench, fop: Awaitable[object]) -> list[list[str]]:
    """What each child is asked to do for it."""
    began = moment(bench)
    await fop
    return asked_since(bench, began)


async def opened(bench: Bench, content: bytes = b"0123456789", flags: int = os.O_RDWR) -> Fd:
    await bench.write("f", content)
    return await bench.open("f", flags)


async def test_the_second_write_costs_one_round() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)

        assert await asked_by(bench, bench.top.writev(bench.call, fd, b"B", 1)) == [["writev"], ["writev"]]


async def test_reading_what_is_being_written_costs_one_round_on_one_copy() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        await bench.top.readv(bench.call, fd, 10, 0)
        began = moment(bench)

        assert bytes((await bench.top.readv(bench.call, fd, 10, 0)).data) == b"A123456789"
        assert sorted(asked_since(bench, began)) == [[], ["readv"]]


@pytest.mark.parametrize("how", ["flush", "fsync", "release"])
async def test_closing_the_file_leaves_no_lock_and_no_mark(how: str) -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        assert locks_left(bench) == 2
        if how == "release":
            bench.top.release(fd)
            while locks_left(bench):
                await anyio.lowlevel.checkpoint()
        else:
            await getattr(bench.top, how)(bench.call, fd)

        assert locks_left(bench) == 0
        assert bench.marks() == [{}, {}]


async def test_an_idle_file_is_given_back_after_the_delay() -> None:
    async with mirror(post_op_delay=0.02) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        assert bench.marks() == [{"trusted.afr.dirty": (1, 0, 0)}] * 2
        with anyio.fail_after(5):
            while locks_left(bench):  # noqa: ASYNC110 (nothing tells)
                await anyio.sleep(0.01)

        assert bench.marks() == [{}, {}]


def listening(person: Person) -> list[str]:
    """The names of the fops that go over its connections from now on."""
    asked: list[str] = []
    for connection in person.connections:
        connection.decide = lambda moment: asked.append(moment.fop) or OK  # type: ignore[func-returns-value]
    return asked


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_in_use_stays_locked_until_one_to_two_delays_after_its_last_write(backend: str) -> None:
    async def play() -> None:
        async with stage(post_op_delay=1.0) as (one,):
            fd = await one.make(b"f", b"0123456789")
            asked = listening(one)
            for _ in range(10):
                await one.write(fd, b"A")
                await anyio.sleep(0.4)
            assert asked.count("finodelk") == 2, "locked once, on each copy"
            await one.write(fd, b"A")
            await anyio.sleep(0.99)
            assert one.locks == 2
            await anyio.sleep(1.01)
            assert one.locks == 0
            assert not one.marked

    run(play, 0, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_a_delay_the_last_of_several_writes_at_once_gives_the_file_back(backend: str) -> None:
    async def play() -> None:
        async with stage(post_op_delay=0) as (one,):
            fd = await one.make(b"f", b"0123456789")
            asked = listening(one)
            for connection in one.connections:
                connection.before["writev"] = 1.0
            async with anyio.create_task_group() as group:
                for place in range(5):
                    group.start_soon(one.write, fd, b"A", place)
            await anyio.sleep(0.1)
            assert one.locks == 0
            assert not one.marked
            assert asked.count("fxattrop") == 4, "one pre-op and one post-op, on each copy"

    run(play, 0, backend)


async def test_without_eager_lock_each_write_gives_all_back_before_it_answers() -> None:
    async with mirror(eager_lock=False, post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)

        assert locks_left(bench) == 0
        assert bench.marks() == [{}, {}]


async def test_another_client_gets_the_lock_at_once() -> None:
    async with clients(post_op_delay=FOR_EVER) as (one, two):
        fd = await opened(one)
        await one.top.writev(one.call, fd, b"A", 0)
        other = await two.open("f")
        with anyio.fail_after(5):
            await two.top.writev(two.call, other, b"B", 1)
            await one.top.writev(one.call, fd, b"C", 2)

        assert await two.read("f") == b"ABC3456789"
        assert one.images_equal()


async def test_two_clients_that_write_all_the_time_both_get_on() -> None:
    async with clients(post_op_delay=FOR_EVER) as benches:
        await opened(benches[0])

        async def write(bench: Bench, at: int) -> None:
            fd = await bench.open("f")
            for number in range(20):
                await bench.top.writev(bench.call, fd, b"%d" % (number % 10), at)
                await anyio.lowlevel.checkpoint()
            await bench.top.flush(bench.call, fd)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for at, bench in enumerate(benches):
                    group.start_soon(write, bench, at)

        assert await benches[0].read("f") == b"9923456789"
        assert benches[0].images_equal()
        assert benches[0].marks() == [{}, {}]


async def test_a_healer_gets_the_lock_at_once() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        with bench.without(1):
            await bench.top.writev(bench.call, fd, b"A", 0)
        await bench.top.writev(bench.call, fd, b"B", 1)
        with anyio.fail_after(5):
            assert (await afr_of(bench).heal()).clean

        assert bench.images_equal()
        assert await bench.read("f") == b"AB23456789"


async def test_attributes_are_changed_without_giving_the_file_back() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        with anyio.fail_after(5):
            await bench.top.setattr(bench.call, Loc(fd.gfid), NewAttributes(mode=0o600))

        assert await asked_by(bench, bench.top.writev(bench.call, fd, b"B", 1)) == [["writev"], ["writev"]]


# --- who missed something ---------------------------------------------------------------------------------------------


async def test_a_copy_that_fails_is_blamed_before_the_write_is_acked_and_is_not_written_again() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        bench.switches[0].refuse = lambda name, args: fail(errno.EIO) if name == "writev" else None
        await bench.top.writev(bench.call, fd, b"B", 1)
        assert bench.marks()[1]["trusted.afr.b0"] == (1, 0, 0)

        assert await asked_by(bench, bench.top.writev(bench.call, fd, b"C", 2)) == [[], ["writev"]]
        assert await bench.read("f") == b"ABC3456789"


async def test_writes_without_a_copy_cost_one_round_too() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        bench.switches[0].turn(False)
        await bench.top.writev(bench.call, fd, b"A", 0)

        assert await asked_by(bench, bench.top.writev(bench.call, fd, b"B", 1)) == [[], ["writev"]]


async def test_a_copy_that_comes_back_is_written_again_and_stays_blamed() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        with bench.without(0):
            await bench.top.writev(bench.call, fd, b"A", 0)
        await bench.top.writev(bench.call, fd, b"B", 1)
        await bench.top.flush(bench.call, fd)

        assert bench.bricks[0].image()["/f"].content == b"0B23456789"
        assert bench.marks()[1] == {"trusted.afr.b0": (1, 0, 0)}
        assert await bench.read("f") == b"AB23456789"


async def test_a_child_that_was_away_for_a_moment_has_lost_its_lock_and_takes_no_further_part() -> None:
    async with mirror(3, post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        gate = Gate(bench.switches[1], "writev")
        async with gate.holding(bench.top.writev, bench.call, fd, b"A", 0):
            bench.switches[2].turn(False)
            bench.switches[2].turn(True)
            began = moment(bench)
            gate.open()
        await bench.top.flush(bench.call, fd)

        assert "fxattrop" not in asked_since(bench, began)[2]
        assert bench.marks()[2] == {"trusted.afr.dirty": (1, 0, 0)}


async def test_two_writes_under_one_lock_that_each_miss_another_copy_are_not_both_acked() -> None:
    """F04: the second would be only on copies that the first has left behind."""
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        gates = [Gate(switch, "writev") for switch in bench.switches]
        errors: list[OSError] = []

        async def write(data: bytes, at: int) -> None:
            try:
                await bench.top.writev(bench.call, fd, data, at)
            except OSError as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            for at, data in ((1, b"B"), (2, b"C")):
                group.start_soon(write, data, at)
            while not all(gate.count == 2 for gate in gates):
                await anyio.lowlevel.checkpoint()
            gates[0].fail(0, fail(errno.EIO))
            gates[1].fail(1, fail(errno.EIO))
            for gate in gates:
                gate.open()

        assert len(errors) == 1
        assert (await bench.read("f")).startswith(b"AB")


# --- order ------------------------------------------------------------------------------------------------------------


async def test_writes_that_overlap_are_made_one_after_the_other_and_others_at_once() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        gate = Gate(bench.switches[1], "writev")
        began = moment(bench)
        async with anyio.create_task_group() as group:
            for data, at in ((b"BB", 1), (b"CC", 2), (b"D", 5)):
                group.start_soon(awaiting, bench.top.writev, bench.call, fd, data, at)
                await anyio.wait_all_tasks_blocked()
            assert asked_since(bench, began)[0] == ["writev"] * 2
            gate.open()

        assert bench.images_equal()
        assert await bench.read("f") == b"ABCC4D6789"


@pytest.mark.parametrize("stale", [False, True])
async def test_appended_bytes_stand_at_one_place_on_all_copies(stale: bool) -> None:
    """F61: a copy that has missed something ends elsewhere."""
    async with clients(post_op_delay=FOR_EVER) as benches:
        await benches[0].write("f", b"one ")
        if stale:
            benches[0].switches[1].turn(False)
            await benches[0].write("f", b"one, longer ")
            benches[0].switches[1].turn(True)
        start = await benches[0].read("f")

        async def append(bench: Bench) -> None:
            fd = await bench.open("f", os.O_RDWR | os.O_APPEND)
            for _ in range(5):
                await bench.top.writev(bench.call, fd, b"more ", 0)
            await bench.top.flush(bench.call, fd)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for bench in benches:
                    group.start_soon(append, bench)

        assert await benches[0].read("f") == start + b"more " * 10
        assert benches[0].images_equal() or stale
        assert (await afr_of(benches[0]).heal()).clean
        assert benches[0].images_equal()


@pytest.mark.parametrize("failures", [1, 2])
async def test_an_append_asks_the_next_copy_for_the_end_of_the_file_when_one_fails(failures: int) -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench, flags=os.O_RDWR | os.O_APPEND)
        failed: list[OSError] = []

        def refuse(name: str, _: object) -> OSError | None:
            if name != "fstat" or len(failed) == failures:
                return None
            failed.append(fail(errno.EIO, "fstat"))
            return failed[-1]

        for switch in bench.switches:
            switch.refuse = refuse
        if failures == 1:
            await bench.top.writev(bench.call, fd, b"A", 0)
        else:
            with pytest.raises(OSError, match="Input/output error"):
                await bench.top.writev(bench.call, fd, b"A", 0)
        await bench.top.flush(bench.call, fd)

        assert len(failed) == failures
        assert await bench.read("f") == b"0123456789" + b"A" * (failures == 1)
        assert bench.images_equal()
        assert locks_left(bench) == 0


@pytest.mark.parametrize("later", ["flush", "write over it", "append"])
async def test_a_cancelled_write_keeps_its_place_until_it_is_done(later: str) -> None:
    """It may reach a copy at any time: what is acked after it must not be overtaken, nor the marks be cleared."""
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        appending = await bench.open("f", os.O_RDWR | os.O_APPEND)
        await bench.top.writev(bench.call, fd, b"first", 0)
        switch, arrives = bench.switches[1], anyio.Event()

        def late(fop: Any, *args: Any, **kwargs: Any) -> Any:
            async def act() -> Any:
                await arrives.wait()
                return await Switch.relay(switch, fop, *args, **kwargs)

            return act() if fop.__name__ == "writev" else Switch.relay(switch, fop, *args, **kwargs)

        switch.relay = late  # type: ignore[method-assign]
        with anyio.move_on_after(0.01):
            await bench.top.writev(bench.call, fd, b"AAAAA", 0)
        del switch.__dict__["relay"]
        ended: list[str] = []

        async def after() -> None:
            if later == "flush":
                await bench.top.flush(bench.call, fd)
            elif later == "append":
                await bench.top.writev(bench.call, appending, b"BBB", 0)
            else:
                await bench.top.writev(bench.call, fd, b"BBB", 0)
            ended.append(later)

        async with anyio.create_task_group() as group:
            group.start_soon(after)
            await anyio.wait_all_tasks_blocked()
            assert ended == []
            assert any(bench.marks())
            arrives.set()
        await bench.top.flush(bench.call, fd)

        wanted = {"flush": b"AAAAA56789", "write over it": b"BBBAA56789", "append": b"AAAAA56789BBB"}
        assert await bench.read("f") == wanted[later]
        assert bench.images_equal()
        assert bench.marks() == [{}, {}]


# --- durability -------------------------------------------------------------------------------------------------------


async def test_what_was_overwritten_is_on_the_disks_before_its_marks_are_cleared() -> None:
    async with mirror(post_op_delay=FOR_EVER) as bench:
        fd = await opened(bench)
        began = moment(bench)
        await bench.top.writev(bench.call, fd, b"A", 0)
        await bench.top.flush(bench.call, fd)

        assert asked_since(bench, began)[0] == [
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
        began = moment(bench)
        await bench.top.writev(bench.call, fd, b"A", 10 if why == "appended" else 0)
        await bench.top.flush(bench.call, fd)

        assert "fsync" not in asked_since(bench, began)[0]


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
