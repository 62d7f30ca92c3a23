"""Others beside a child that does not answer: what it does late does no harm, and what it opens late is closed."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.translators.cluster.bench import Bench, afr_of, awaiting, clients, healed, locks_left, mirror
from tests.translators.cluster.laggard_bench import LONG, SOON, healed_in_time, hung
from volgraph.graph import (
    ROOT_GFID,
    Call,
    Coming,
    Fd,
    Flock,
    Loc,
    LockCommand,
    LockType,
    fail,
)
from volgraph.testing.fated import failing
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import Person, stage
from volgraph.translators.cluster.afr.locks import METADATA_RANGE_START

pytestmark = pytest.mark.anyio


async def write(bench: Bench) -> None:
    fd = await bench.open("f")
    await bench.top.writev(bench.call, fd, b"new", 0)
    await bench.top.flush(bench.call, fd)


# --- others beside a laggard -----------------------------------------------------------------------------------------

LATE_SECONDS = 30.0


@pytest.mark.parametrize("laggard", range(3))
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_comes_late_does_not_land_on_what_another_client_has_written(laggard: int, backend: str) -> None:
    """The late writer keeps its lock; the other client leaves that copy out, and waits for it once."""

    async def play() -> None:
        async with stage(3, clients=2, laggard_timeout=1.0) as (one, two):
            fd = await one.make(b"f", b"-----")
            other = await two.open(b"f")
            one.connections[laggard].before["writev"] = LATE_SECONDS
            began = anyio.current_time()
            await one.write_and_flush(fd, b"late!")
            await two.write_and_flush(other, b"newer")
            assert anyio.current_time() - began < 5
            assert two.on_disk(laggard, b"f") == b"-----"
            assert not two.afr.laggards.fenced  # it answers that other client
            await anyio.sleep(LATE_SECONDS)
            assert not one.afr.laggards.fenced
            assert two.on_disk(laggard, b"f") == b"late!"
            assert await one.read(fd) == await two.read(other) == b"newer"
            assert (await two.afr.heal()).clean
            assert two.alike
            assert not two.marked
            assert two.locks == 0

    run(play, 0, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_heal_beside_a_late_write_keeps_nobody_from_writing(backend: str) -> None:
    async def play() -> None:
        async with stage(3, clients=2, laggard_timeout=1.0) as (one, two):
            fd = await one.make(b"f", b"-----")
            one.connections[1].before["writev"] = LATE_SECONDS
            await one.write_and_flush(fd, b"late!")
            began = anyio.current_time()
            async with anyio.create_task_group() as group:
                group.start_soon(awaiting, two.afr.heal)
                await anyio.lowlevel.checkpoint()
                await one.write_and_flush(fd, b"newer")
            assert anyio.current_time() - began < 10
            assert two.marked
            await anyio.sleep(LATE_SECONDS)
            assert (await two.afr.heal()).clean
            assert two.alike
            assert two.on_disk(1, b"f") == b"newer"

    run(play, 0, backend)


async def test_a_lock_that_is_granted_late_is_given_back() -> None:
    async with mirror(laggard_timeout=SOON) as bench:
        await bench.write("f", b"old")
        gate = hung(bench, "finodelk")
        with anyio.fail_after(LONG):
            await write(bench)
        assert [brick.locks.held for brick in bench.bricks] == [0, 1]
        gate.open()

        assert locks_left(bench) == 0
        assert afr_of(bench).up == {0, 1}


async def test_a_second_hang_on_the_way_back_is_waited_for_too() -> None:
    async with mirror(laggard_timeout=SOON) as bench:
        await bench.write("f", b"old")
        write_gate = hung(bench, "writev")
        with anyio.fail_after(LONG):
            await write(bench)
        unlock_gate = hung(bench, "finodelk")
        write_gate.let_go()

        assert unlock_gate.busy
        assert set(afr_of(bench).laggards.fenced) == {1}
        unlock_gate.open()
        assert not afr_of(bench).laggards.fenced
        await healed_in_time(bench)


@pytest.mark.parametrize("backend", BACKENDS)
def test_changes_of_other_files_do_not_wait_for_a_child_that_is_fenced(backend: str) -> None:
    async def play() -> None:
        async with stage(3, laggard_timeout=1.0) as (one,):
            fds = [await one.make(name, b"old") for name in (b"f", b"g", b"h")]
            one.connections[1].before["writev"] = LATE_SECONDS
            began = anyio.current_time()
            for fd in fds:
                await one.write_and_flush(fd, b"new")
            await one.make(b"i", b"new")

            assert anyio.current_time() - began == pytest.approx(1.0)

    run(play, 0, backend)


async def test_a_caller_cancelled_while_a_laggard_is_waited_for_leaves_nothing_half_done() -> None:
    async with mirror(laggard_timeout=SOON) as bench:
        await bench.write("f", b"old")
        gate = hung(bench, "writev")
        async with gate.holding(write, bench) as group:
            group.cancel_scope.cancel()
        with anyio.fail_after(LONG):
            while not afr_of(bench).laggards.fenced:  # noqa: ASYNC110 (nothing tells)
                await anyio.sleep(0.01)
            await bench.top.flush(bench.call, await bench.open("f"))

        assert "trusted.afr.b1" in bench.marks()[0]
        gate.open()
        await healed_in_time(bench)


async def test_an_error_of_all_that_answer_is_the_callers_and_leaves_marks() -> None:
    async with mirror(3, laggard_timeout=SOON) as bench:
        await bench.write("f", b"old")
        gate = hung(bench, "writev")
        for number in (0, 2):
            bench.switches[number].refuse = lambda name, args: fail(errno.ENOSPC) if name == "writev" else None
        with anyio.fail_after(LONG), pytest.raises(OSError) as caught:
            await write(bench)

        assert caught.value.errno == errno.ENOSPC
        assert any(bench.marks())
        gate.open()
        for number in (0, 2):
            bench.switches[number].refuse = lambda name, args: None
        await healed_in_time(bench)


async def test_a_lock_of_an_application_is_held_on_those_that_answer_and_given_back_on_all() -> None:
    async with mirror(3, laggard_timeout=SOON) as bench:
        gfid = await bench.mkdir("d")
        gate = hung(bench, "inodelk")
        with anyio.fail_after(LONG):
            await bench.top.inodelk(bench.call, "app", Loc(gfid), LockCommand.SET, Flock())
            await bench.top.inodelk(bench.call, "app", Loc(gfid), LockCommand.SET, Flock(LockType.UNLOCK))
        assert [brick.locks.held for brick in bench.bricks] == [0, 1, 0]
        gate.open()

        assert locks_left(bench) == 0


async def test_who_waits_on_a_laggard_for_a_lock_that_its_fence_keeps_does_not_keep_the_fence() -> None:
    """Two changes of one name: the first is late on the laggard, and the second waits there for its lock."""
    async with mirror(laggard_timeout=SOON) as bench:
        gate = hung(bench, "mkdir", child=0)
        async with anyio.create_task_group() as group:
            with anyio.fail_after(LONG):
                group.start_soon(bench.mkdir, "d")
                while not gate.busy:
                    await anyio.lowlevel.checkpoint()
                with pytest.raises(FileExistsError):
                    await bench.mkdir("d")
        assert set(afr_of(bench).laggards.fenced) == {0}
        gate.open()

        assert not afr_of(bench).laggards.fenced
        assert locks_left(bench) == 0


async def test_an_application_that_waits_on_a_laggard_for_a_lock_of_another_does_not_keep_the_fence() -> None:
    async with mirror(3, laggard_timeout=SOON) as bench:
        gfid = await bench.mkdir("d")
        first, second = Call(client="a", lk_owner=b"a"), Call(client="b", lk_owner=b"b")
        lock, unlock = Flock(), Flock(LockType.UNLOCK)
        await bench.top.inodelk(first, "app", Loc(gfid), LockCommand.SET, lock)
        async with anyio.create_task_group() as group:
            with anyio.fail_after(LONG):
                await bench.switches[0].inodelk(first, "app", Loc(gfid), LockCommand.SET, unlock)
                group.start_soon(awaiting, bench.top.inodelk, second, "app", Loc(gfid), LockCommand.WAIT, lock)
                while not bench.bricks[1].locks.waiting:
                    await anyio.lowlevel.checkpoint()
                gate = hung(bench, "mkdir")
                await bench.mkdir("e")
                assert set(afr_of(bench).laggards.fenced) == {1}
                await bench.top.inodelk(first, "app", Loc(gfid), LockCommand.SET, unlock)
        gate.open()
        assert not afr_of(bench).laggards.fenced
        await bench.top.inodelk(second, "app", Loc(gfid), LockCommand.SET, unlock)

        assert locks_left(bench) == 0


async def test_a_lock_that_was_granted_just_before_it_was_withdrawn_is_not_taken_for_held() -> None:
    """The grant is on its way still when the lock is given back."""
    async with clients(copies=2, laggard_timeout=SOON) as (one, two):
        await one.write("f", b"base")
        fd, other = await one.open("f"), await two.open("f")
        somebody, whole = Call(client="somebody", lk_owner=b"somebody"), METADATA_RANGE_START
        brick, switch = one.bricks[0], one.switches[0]
        await brick.inodelk(somebody, "mirror", Loc(fd.gfid), LockCommand.SET, Flock(length=whole))
        grant: Coming[Any] = Coming()
        waits: list[Coming[Any]] = []
        relay = switch.relay

        def slow(fop: Any, *args: Any, **kwargs: Any) -> Any:
            answer = relay(fop, *args, **kwargs)
            if fop.__name__ == "finodelk" and args[3] == LockCommand.WAIT:
                waits.append(answer)
                return grant
            return answer

        switch.relay = slow  # type: ignore[method-assign]
        switch.seen.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(awaiting, one.top.writev, one.call, fd, b"AAAA", 0)
            with anyio.fail_after(LONG):
                while not waits:
                    await anyio.lowlevel.checkpoint()
                await brick.inodelk(
                    somebody, "mirror", Loc(fd.gfid), LockCommand.SET, Flock(LockType.UNLOCK, length=whole)
                )
                assert brick.locks.held == 1, "granted"
                while brick.locks.held:
                    await anyio.lowlevel.checkpoint()
            grant.resolve(waits[0].result())

        assert "writev" not in switch.seen
        await one.top.flush(one.call, fd)
        await two.top.writev(two.call, other, b"CC", 0)
        await two.top.flush(two.call, other)
        await healed(one)
        assert await two.read("f") == b"CCAA"


async def test_two_clients_that_fence_the_same_child_both_get_on() -> None:
    async with clients(copies=3, laggard_timeout=SOON, post_op_delay=0) as (one, two):
        await one.write("f", b"old")
        await two.open("f")
        gates = [hung(bench, "writev") for bench in (one, two)]
        with anyio.fail_after(LONG):
            await write(one)
            await two.write("f", b"two")
            await one.write("f", b"one")
        for gate in gates:
            gate.open()

        with anyio.fail_after(LONG):
            while not (await afr_of(one).heal()).clean:
                await anyio.lowlevel.checkpoint()
        assert one.images_equal()
        assert locks_left(one) == 0
        assert await two.read("f") == b"one"


# --- files that a laggard opens late ---------------------------------------------------------------------------------


async def opened(one: Person) -> Fd:
    return await one.open(b"f")


async def opened_as_directory(one: Person) -> Fd:
    fd = Fd(ROOT_GFID, is_dir=True)
    await one.afr.opendir(one.call, Loc(ROOT_GFID), fd)
    return fd


async def created(one: Person) -> Fd:
    fd = Fd(one.afr.seams.new_gfid(), os.O_RDWR)
    making = one.call.with_xdata({"gfid-req": fd.gfid})
    await one.afr.create(making, one.at(b"new"), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644, 0, fd)
    return fd


async def followed(one: Person) -> Fd:
    """It was away when the file was opened, and is asked to open it when that is next used."""
    one.connections[2].go_down()
    fd = await one.open(b"f")
    one.connections[2].come_up()
    await one.read(fd)
    return fd


async def refused_to_open(one: Person) -> Fd:
    """Nobody else opens it: so it is open nowhere."""
    fd = Fd((await one.find(b"f")).gfid, os.O_RDWR)
    for connection in one.connections[:2]:
        connection.refuses["open"] = failing(errno.EMFILE)
    with pytest.raises(OSError) as caught:
        await one.afr.open(one.call, Loc(fd.gfid), os.O_RDWR, fd)
    assert caught.value.errno == errno.EMFILE
    return fd


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("fop", "opens"),
    [
        ("open", opened),
        ("opendir", opened_as_directory),
        ("create", created),
        ("open", followed),
        ("open", refused_to_open),
    ],
)
@pytest.mark.parametrize("after", [0.0, 60.0], ids=["before it opens it", "after it has opened it"])
def test_what_a_laggard_opens_late_is_closed_there_when_nobody_has_it_open(
    fop: str, opens: Callable[[Person], Awaitable[Fd]], after: float, backend: str
) -> None:
    async def play() -> None:
        async with stage(3, laggard_timeout=1.0, post_op_delay=0) as (one,):
            one.afr.release(await one.make(b"f", b"text"))
            one.connections[2].before[fop] = 30.0
            fd = await opens(one)
            assert one.afr.laggards.fenced == {2}
            await anyio.sleep(after)
            if opens is not refused_to_open:
                one.afr.release(fd)
            await anyio.sleep(60.0)

            assert not one.afr.laggards.fenced
            stores = [brick.store for brick in one.bricks]
            left = [inode.open_fds for store in stores for inode in (*store.inodes.values(), *store.unlinked.values())]
            assert not any(left)

    run(play, seed=0, backend=backend)
