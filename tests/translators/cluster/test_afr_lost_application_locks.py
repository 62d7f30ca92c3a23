"""Applications' fcntl locks over several children: one that another client could have is lost, and its fd says so; who
waits for one gets its turn (I21, F72). In virtual time."""

from __future__ import annotations

import errno

import anyio
import pytest

from tests.translators.cluster.lock_play import (
    SET,
    UNLOCK,
    WAIT,
    WHOLE,
    both,
    come,
    go,
    held_by,
    in_virtual_time,
    is_lost,
    lock,
    refusal,
    waiting,
)
from volgraph.graph import Fd, Flock, LockType
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import Person, stage


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("first_back", [0, 1, 2])
def test_a_lock_that_a_quorum_has_forgotten_is_lost_though_nobody_took_it(first_back: int, backend: str) -> None:
    async def play() -> None:
        async with stage(3, clients=2) as (one, two):
            mine, plain = await both(one, two), await one.open(b"f")
            fd, theirs = mine
            await lock(one, fd)
            left = {0, 1, 2} - {first_back}
            for child in left:
                await go(child, one)
            assert await refusal(one.afr.writev(one.call, fd, b"x", 0)) in (errno.ENOTCONN, errno.EBADFD)
            for child in left:
                await come(child, one)

            assert await is_lost(one, fd)
            assert not await is_lost(one, plain)
            assert one.locks == 0, "on the child that kept it, it is in nobody's way any more"
            assert await lock(two, theirs) == 0
            assert await refusal(one.afr.flush(one.call, fd)) == errno.EBADFD
            one.afr.release(fd)
            assert held_by(two, theirs) == [1, 1, 1]
            again = await one.open(b"f")
            assert await lock(one, again) == errno.EAGAIN
            assert not await is_lost(two, theirs)

    run(play, 0, backend)


@in_virtual_time
async def test_of_two_copies_that_are_both_needed_one_that_keeps_the_lock_is_enough() -> None:
    async with stage(2, clients=2, quorum_type="fixed", quorum_count=2) as (one, two):
        mine, theirs = await both(one, two)
        await lock(one, mine)
        await go(1, one, two)
        assert await refusal(one.afr.writev(one.call, mine, b"x", 0)) == errno.ENOTCONN
        assert await lock(one, mine, Flock(LockType.WRITE, 0, 1)) == errno.ENOTCONN
        await come(1, one, two)
        assert await lock(two, theirs) == errno.EAGAIN
        assert not await is_lost(one, mine)
        assert held_by(one, mine) == [1, 1]

        await go(0, one)
        await go(1, one)
        await come(0, one)
        await come(1, one)
        assert await is_lost(one, mine)


@in_virtual_time
async def test_where_one_copy_is_enough_the_last_one_that_keeps_the_lock_decides() -> None:
    async with stage(2, clients=2, quorum_type="none") as (one, two):
        mine, theirs = await both(one, two)
        await lock(one, mine)
        for child in (0, 1, 0):
            await go(child, one, two)
            await come(child, one, two)
            assert await lock(two, theirs) == errno.EAGAIN
        assert not await is_lost(one, mine)
        await go(0, one, two)
        await go(1, one, two)
        await come(1, two)
        assert await lock(two, theirs) == 0
        await come(1, one)

        assert await is_lost(one, mine)
        assert held_by(two, theirs) == [0, 1]


@in_virtual_time
async def test_where_one_copy_is_enough_who_meets_another_holder_has_lost_its_lock() -> None:
    """A partition: each held it on one side. Who comes second to the other's copy hears of it."""
    async with stage(2, clients=2, quorum_type="none") as (one, two):
        mine, theirs = await both(one, two)
        await go(1, two)
        await go(0, one)
        assert await lock(two, theirs) == 0
        assert await lock(one, mine) == 0
        await come(0, one)
        await anyio.sleep(30)

        assert await is_lost(one, mine)
        assert not await is_lost(two, theirs)
        assert held_by(one, mine) == [0, 0]


@in_virtual_time
async def test_nothing_is_written_for_a_holder_while_the_child_that_decides_is_silent() -> None:
    """It may have been started anew, and have given the lock to somebody else, long before its connection is cut."""
    async with stage(3, clients=2, laggard_timeout=1.0) as (one, two):
        mine, theirs = await both(one, two)
        await go(2, one)
        assert await lock(one, mine) == 0
        one.connections[1].lose_locks()
        await go(0, two)
        assert await lock(two, theirs) == 0
        await come(2, one)
        for fop in ("writev", "ftruncate", "finodelk", "fxattrop", "lk", "flush"):
            one.connections[1].before[fop] = 300.0
        assert await refusal(one.afr.writev(one.call, mine, b"mine", 0)) == errno.ENOTCONN
        assert await refusal(one.afr.ftruncate(one.call, mine, 0)) == errno.ENOTCONN
        assert await refusal(two.afr.writev(two.call, theirs, b"text", 0)) == 0
        await go(1, one)

        assert await is_lost(one, mine)
        assert await refusal(two.afr.writev(two.call, theirs, b"text", 0)) == 0


@in_virtual_time
async def test_a_silent_child_that_does_not_decide_keeps_no_holder_from_writing() -> None:
    async with stage(3, clients=2, laggard_timeout=1.0) as (one, two):
        mine, theirs = await both(one, two)
        assert await lock(one, mine) == 0
        one.connections[1].before["writev"] = 300.0

        assert await refusal(one.afr.writev(one.call, mine, b"mine", 0)) == 0
        assert await lock(two, theirs) == errno.EAGAIN


@in_virtual_time
async def test_who_merely_tries_on_a_child_that_has_just_come_back_takes_nothing_away() -> None:
    async with stage(2, clients=2, quorum_type="none") as (one, two):
        mine, theirs = await both(one, two)
        await lock(one, mine)
        await go(0, one, two)
        await come(0, two)
        two.connections[1].before["lk"] = 0.5
        async with anyio.create_task_group() as group:
            group.start_soon(lock, two, theirs)
            await anyio.sleep(0.1)
            assert held_by(two, theirs) == [1, 0]
            await come(0, one)
            assert held_by(one, mine) == [0, 1]
        await anyio.sleep(5)

        assert held_by(one, mine) == [1, 1]
        assert not await is_lost(one, mine)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("copies", [2, 3])
def test_who_waits_holds_nothing_on_a_child_that_has_just_come_back(copies: int, backend: str) -> None:
    """It lets the waiter in, the next one makes it wait: then the holder would never get it back there."""

    async def play() -> None:
        async with stage(copies, clients=2) as (one, two):
            mine, theirs = await both(one, two)
            await lock(one, mine)
            await go(0, one, two)
            await come(0, two)
            answer = waiting(two, theirs)
            await anyio.sleep(1)
            assert held_by(two, theirs) == [0] * copies
            await come(0, one)
            await anyio.sleep(60)
            assert held_by(one, mine) == [1] * copies
            assert not await is_lost(one, mine)
            await lock(one, mine, UNLOCK)

            assert await answer == 0
            assert held_by(two, theirs) == [1] * copies

    run(play, 0, backend)


@in_virtual_time
async def test_of_many_who_wait_each_gets_its_turn() -> None:
    async with stage(3, clients=3) as (one, two, three):
        fds = [(one, await one.make(b"f")), (two, await two.open(b"f")), (three, await three.open(b"f"))]
        ended = []

        async def often(person: Person, fd: Fd) -> None:
            for _ in range(10):
                for connection in person.connections:
                    connection.before["lk"] = 0.01
                assert await lock(person, fd, WHOLE, WAIT) == 0
                assert all(each.locks.held == 1 for each in person.bricks)
                await anyio.sleep(1)
                assert await lock(person, fd, UNLOCK) == 0
            ended.append(person)

        async with anyio.create_task_group() as group:
            for person, fd in fds:
                group.start_soon(often, person, fd)
        assert len(ended) == 3
        assert one.locks == 0


@in_virtual_time
async def test_two_who_wait_for_each_other_are_told() -> None:
    async with stage(3, clients=2) as (one, two):
        mine, theirs = await both(one, two)
        first, second = Flock(LockType.WRITE, 0, 1), Flock(LockType.WRITE, 1, 1)
        await lock(one, mine, first)
        await lock(two, theirs, second)
        answer = waiting(one, mine, second)
        await anyio.sleep(1)
        assert await lock(two, theirs, first, WAIT) == errno.EDEADLK
        await lock(two, theirs, UNLOCK)

        assert await answer == 0
        assert held_by(one, mine) == [1] * 3
        assert two.afr.waiters._waiters == {}


@in_virtual_time
async def test_a_lock_that_could_not_be_made_stronger_is_held_as_before() -> None:
    """One child has let it in: there it goes back to what it was, not to nothing."""
    async with stage(3, clients=2) as (one, two):
        mine, theirs = await both(one, two)
        assert await lock(one, mine, Flock(LockType.READ, 0, 10)) == 0
        await two.connections[1].lk(two.call, theirs, SET, Flock(LockType.READ, 5, 10, 0, two.call.lk_owner))
        assert await lock(one, mine, Flock(LockType.WRITE, 0, 20)) == errno.EAGAIN

        for number, brick in enumerate(one.bricks):
            found = [(x.start, x.end, x.exclusive) for x in brick.locks.holders(mine.gfid) if x.owner == b"client-0"]
            assert found == [(0, 10, False)], number
        assert not await is_lost(one, mine)
