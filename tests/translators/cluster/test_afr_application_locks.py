"""Applications' fcntl locks over several children: they outlive children that go and come one after the other, and are
taken once more on each (I21, F72). In virtual time."""

from __future__ import annotations

import errno
import os

import anyio
import pytest

from tests.translators.cluster.lock_play import (
    GET,
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
from volgraph.testing.fated import REQUEST_LOST
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import stage

# --- children that go and come one after the other -----------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("copies", [2, 3])
def test_a_lock_is_taken_once_more_on_each_child_that_comes_back(copies: int, backend: str) -> None:
    async def play() -> None:
        async with stage(copies, clients=2) as (one, two):
            mine, theirs = await both(one, two)
            assert await lock(one, mine, Flock(LockType.WRITE, 0, 10)) == 0
            assert await lock(one, mine, Flock(LockType.READ, 20, 10)) == 0
            for child in [*range(copies)] * 2:
                await go(child, one, two)
                assert await lock(two, theirs, Flock(LockType.READ, 5, 1)) == errno.EAGAIN
                await come(child, two)  # who hears of it first
                assert await lock(two, theirs, Flock(LockType.READ, 5, 1)) == errno.EAGAIN
                await come(child, one)
                assert held_by(one, mine) == [2] * copies
                assert await lock(two, theirs, Flock(LockType.READ, 5, 1)) == errno.EAGAIN
                assert await lock(two, theirs, Flock(LockType.WRITE, 25, 1)) == errno.EAGAIN
                assert await lock(two, theirs, Flock(LockType.READ, 25, 1)) == 0
                assert await lock(two, theirs, UNLOCK) == 0
            assert not await is_lost(one, mine)

            assert await lock(one, mine, UNLOCK) == 0
            assert await lock(two, theirs) == 0
            assert held_by(one, mine) == [0] * copies

    run(play, 0, backend)


@in_virtual_time
async def test_whoever_asks_what_is_in_the_way_is_told_of_a_lock_that_one_child_has_forgotten() -> None:
    async with stage(3, clients=2, read_subvolume="b0") as (one, two):
        mine, theirs = await both(one, two)
        await lock(one, mine, Flock(LockType.WRITE, 3, 4))
        await go(0, one)
        answer = (await two.afr.lk(two.call, theirs, GET, WHOLE)).flock

        assert (answer.type, answer.start, answer.length) == (LockType.WRITE, 3, 4)
        assert (await one.afr.lk(one.call, mine, GET, WHOLE)).flock.type == LockType.UNLOCK


@in_virtual_time
async def test_only_what_is_still_locked_is_taken_once_more() -> None:
    async with stage(3, clients=2) as (one, two):
        mine, theirs = await both(one, two)
        await lock(one, mine, Flock(LockType.WRITE, 0, 100))
        await go(2, one, two)
        await lock(one, mine, Flock(LockType.UNLOCK, 10, 80))
        await lock(one, mine, Flock(LockType.READ, 95, 5))
        await come(2, one, two)

        found = [sorted((x.start, x.end, x.exclusive) for x in brick.locks.holders(mine.gfid)) for brick in one.bricks]
        assert found == [[(0, 10, True), (90, 95, True), (95, 100, False)]] * 3
        assert await lock(two, theirs, Flock(LockType.WRITE, 10, 80)) == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", ["flush", "release", "disconnect"])
def test_what_was_given_back_otherwise_is_not_taken_once_more(how: str, backend: str) -> None:
    async def play() -> None:
        async with stage(3, clients=2) as (one, two):
            mine, theirs = await both(one, two)
            await lock(one, mine)
            await go(1, one, two)
            if how == "flush":
                await one.afr.flush(one.call, mine)
            elif how == "release":
                one.afr.release(mine)
            else:
                one.afr.disconnect(one.call.client)
            await come(1, one, two)

            assert one.locks == 0
            assert len(one.afr.application_locks.held) == 0
            assert await lock(two, theirs) == 0

    run(play, 0, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", ["unlock", "flush", "release", "disconnect"])
def test_what_is_given_back_while_it_is_taken_once_more_is_left_nowhere(how: str, backend: str) -> None:
    async def play() -> None:
        async with stage(3, clients=2) as (one, two):
            mine, theirs = await both(one, two)
            await lock(one, mine)
            await go(1, one, two)
            one.connections[1].before["lk"] = 5.0
            await come(1, one, two)
            if how == "unlock":
                assert await lock(one, mine, UNLOCK) == 0
            elif how == "flush":
                await one.afr.flush(one.call, mine)
            elif how == "release":
                one.afr.release(mine)
            else:
                one.afr.disconnect(one.call.client)
            await anyio.sleep(30)

            assert one.locks == 0
            assert await lock(two, theirs) == 0

    run(play, 0, backend)


@in_virtual_time
async def test_an_fd_that_was_opened_while_a_child_was_away_is_locked_there_when_it_is_back() -> None:
    async with stage(3, clients=2) as (one, two):
        _, theirs = await both(one, two)
        await go(0, one)
        mine = await one.open(b"f")
        assert await lock(one, mine) == 0
        await come(0, one)
        assert held_by(one, mine) == [1, 1, 1]

        one.afr.release(mine)  # gives back what was locked through it, on the child where it was opened late as well
        assert one.locks == 0
        assert await lock(two, theirs) == 0


@in_virtual_time
async def test_a_lock_is_taken_on_a_child_as_soon_as_it_has_the_file() -> None:
    async with stage(3, clients=1) as (one,):
        await go(2, one)
        fd = await one.make(b"f", b"text")
        assert await lock(one, fd) == 0
        await come(2, one)
        assert held_by(one, fd) == [1, 1, 0]
        assert (await one.afr.heal()).clean
        await anyio.sleep(100)

        assert held_by(one, fd) == [1, 1, 1]


@in_virtual_time
async def test_a_write_that_comes_with_the_child_goes_there_through_an_fd_that_is_locked() -> None:
    """No copy is blamed for the moment in which it has come back."""
    async with stage(3, clients=1) as (one,):
        fd = await one.make(b"f", b"text")
        await lock(one, fd)
        await go(1, one)
        one.connections[1].come_up()
        await one.write_and_flush(fd, b"TEXT")

        assert one.alike
        assert not one.marked


# --- children that go while a lock is asked for ----------------------------------------------------------------------


@in_virtual_time
async def test_what_a_child_gave_and_has_forgotten_since_is_asked_for_again_before_who_waits_is_told() -> None:
    """Two of three let it in, and one of them went and came while it waited for the third."""
    async with stage(3, clients=2) as (one, two):
        mine, theirs = await both(one, two)
        for connection in one.connections:
            await connection.lk(one.call, mine, SET, WHOLE)
        answer = waiting(two, theirs)
        await anyio.sleep(1)
        for connection in one.connections[:2]:
            await connection.lk(one.call, mine, SET, UNLOCK)
        await anyio.sleep(1)
        assert held_by(two, theirs) == [1, 1, 0]
        for child in (0, 1):
            await go(child, two)
            await come(child, two)
        await one.connections[2].lk(one.call, mine, SET, UNLOCK)

        assert await answer == 0
        assert held_by(two, theirs) == [1, 1, 1]


@in_virtual_time
async def test_who_was_let_in_by_a_quorum_that_stays_is_granted_and_gets_the_rest_later() -> None:
    async with stage(3, clients=2) as (one, two):
        mine, theirs = await both(one, two)
        await lock(one, mine)
        answer = waiting(two, theirs)
        await anyio.sleep(1)
        await go(0, two)
        await come(0, two)
        await anyio.sleep(1)
        await lock(one, mine, UNLOCK)

        assert await answer == 0
        await anyio.sleep(5)
        assert held_by(two, theirs) == [1, 1, 1]


@in_virtual_time
async def test_a_lock_whose_answer_is_lost_counts_as_held_only_once_it_is_there() -> None:
    async with stage(3, clients=2) as (one, two):
        mine, theirs = await both(one, two)
        one.connections[1].refuses["lk"] = REQUEST_LOST
        assert await lock(one, mine) == 0
        assert held_by(one, mine) == [1, 0, 1]
        one.connections[1].refuses.clear()
        await anyio.sleep(5)

        assert held_by(one, mine) == [1, 1, 1]
        assert await lock(two, theirs) == errno.EAGAIN


# --- clusters of clusters, and limits --------------------------------------------------------------------------------


@in_virtual_time
async def test_an_fd_of_hundreds_of_ranges_keeps_them_all() -> None:
    async with stage(3, clients=1) as (one,):
        fd = await one.make(b"f", b"text")
        for number in range(200):
            assert await lock(one, fd, Flock(LockType.WRITE, 2 * number, 1)) == 0
        await go(1, one)
        await come(1, one)
        await anyio.sleep(5)

        assert held_by(one, fd) == [200] * 3
        await lock(one, fd, Flock(LockType.WRITE, 0, 400))
        assert held_by(one, fd) == [1] * 3
        assert len(one.afr.application_locks.held) == 1


@in_virtual_time
async def test_hundreds_of_files_are_locked_once_more() -> None:
    async with stage(3, clients=1) as (one,):
        fds = [await one.make(b"%d" % number) for number in range(200)]
        for fd in fds:
            await lock(one, fd)
        await go(1, one)
        await come(1, one)
        await anyio.sleep(5)

        assert one.locks == 600
        for fd in fds:
            await one.afr.flush(one.call, fd)
            one.afr.release(fd)
        assert one.locks == 0
        assert not one.afr.application_locks._users


@in_virtual_time
async def test_the_locks_of_two_owners_through_two_fds_are_kept_apart() -> None:
    async with stage(3, clients=1) as (one,):
        first = await one.make(b"f", b"text")
        second = await one.open(b"f", os.O_RDWR)
        other = one.call.owned_by(b"other")
        await lock(one, first, Flock(LockType.READ, 0, 10))
        await one.afr.lk(other, second, SET, Flock(LockType.READ, 5, 10))
        await go(1, one)
        await come(1, one)
        assert one.locks == 6
        one.afr.release(second)
        await one.afr.flush(other, Fd(first.gfid))

        assert held_by(one, first) == [1, 1, 1]
        assert one.locks == 3
        assert not await is_lost(one, first)


@in_virtual_time
async def test_a_lock_that_no_child_can_give_fails_as_it_does_there() -> None:
    async with stage(3, clients=1) as (one,):
        fd = await one.make(b"f", b"text")
        nobody = one.call.owned_by(bytes(8))
        assert await refusal(one.afr.lk(nobody, fd, SET, WHOLE)) == errno.EINVAL
        assert await refusal(one.afr.lk(nobody, fd, WAIT, WHOLE)) == errno.EINVAL
        assert await refusal(one.afr.lk(one.call, fd, SET, Flock(LockType.WRITE, -1))) == errno.EINVAL
        assert one.locks == 0
