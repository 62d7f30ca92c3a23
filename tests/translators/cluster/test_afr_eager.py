"""Writes of one file share a lock and a pre-op; both are given back in time, and what was missed is on record."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest

from tests.translators.cluster.bench import Bench, Gate, Switch, afr_of, awaiting, clients, locks_left, mirror, opened
from volgraph.graph import Loc, NewAttributes, fail
from volgraph.testing.fated import OK
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import Person, stage

pytestmark = pytest.mark.anyio

FOR_EVER = 3600


async def asked_by(bench: Bench, fop: Awaitable[object]) -> list[list[str]]:
    """What each child is asked to do for it."""
    began = bench.moment()
    await fop
    return bench.asked_since(began)


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
        began = bench.moment()

        assert bytes((await bench.top.readv(bench.call, fd, 10, 0)).data) == b"A123456789"
        assert sorted(bench.asked_since(began)) == [[], ["readv"]]


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
            began = bench.moment()
            gate.open()
        await bench.top.flush(bench.call, fd)

        assert "fxattrop" not in bench.asked_since(began)[2]
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
        began = bench.moment()
        async with anyio.create_task_group() as group:
            for data, at in ((b"BB", 1), (b"CC", 2), (b"D", 5)):
                group.start_soon(awaiting, bench.top.writev, bench.call, fd, data, at)
                await anyio.wait_all_tasks_blocked()
            assert bench.asked_since(began)[0] == ["writev"] * 2
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
