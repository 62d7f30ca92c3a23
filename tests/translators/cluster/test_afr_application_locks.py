"""Applications' fcntl locks over several children: they outlive children that go and come one after the other; a lock
that another client could have is lost, and its fd says so (I21, F72). In virtual time."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from volgraph.graph import Coming, Fd, Flock, LockCommand, LockType, NewAttributes
from volgraph.testing.fated import REQUEST_LOST
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.stage import Person, stage

SET, WAIT, GET = LockCommand.SET, LockCommand.WAIT, LockCommand.GET
WHOLE = Flock(LockType.WRITE)
UNLOCK = Flock(LockType.UNLOCK)
SECONDS_MAX = 600


def in_virtual_time(play: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is run by the simulated loops of both backends."""

    @pytest.mark.parametrize("backend", BACKENDS)
    def test(backend: str) -> None:
        async def bounded() -> None:
            with anyio.fail_after(SECONDS_MAX):
                await play()

        run(bounded, 0, backend)

    test.__name__, test.__doc__ = play.__name__, play.__doc__
    return test


async def refusal(answer: Awaitable[object]) -> int:
    """The errno of a fop; 0 if it succeeds."""
    try:
        await answer
    except OSError as error:
        return error.errno or errno.EIO
    return 0


async def lock(person: Person, fd: Fd, flock: Flock = WHOLE, command: LockCommand = SET) -> int:
    return await refusal(person.afr.lk(person.call, fd, command, flock))


async def go(child: int, *people: Person) -> None:
    for person in people:
        person.connections[child].go_down()
    await anyio.sleep(0.1)


async def come(child: int, *people: Person) -> None:
    for person in people:
        person.connections[child].come_up()
    await anyio.sleep(0.1)


async def both(one: Person, two: Person) -> tuple[Fd, Fd]:
    """A file that both have open."""
    return await one.make(b"f", b"text"), await two.open(b"f")


def held_by(person: Person, fd: Fd) -> list[int]:
    """How many locks this client holds, brick by brick."""
    return [sum(lock.owner == person.call.lk_owner for lock in b.locks.holders(fd.gfid)) for b in person.bricks]


async def is_lost(person: Person, fd: Fd) -> bool:
    """Is everything that goes through it EBADFD? Else nothing is."""
    call, afr = person.call, person.afr
    fops: list[Callable[[], Awaitable[Any]]] = [
        lambda: afr.readv(call, fd, 1, 0),
        lambda: afr.writev(call, fd, b"T", 0),
        lambda: afr.ftruncate(call, fd, 4),
        lambda: afr.fsync(call, fd),
        lambda: afr.fsetattr(call, fd, NewAttributes(mode=0o644)),
        lambda: afr.fstat(call, fd),
        lambda: afr.lk(call, fd, GET, WHOLE),
        lambda: afr.lk(call.owned_by(b"another"), fd, SET, UNLOCK),
    ]
    told = {await refusal(fop()) for fop in fops}
    assert told in ({0}, {errno.EBADFD})
    return told == {errno.EBADFD}


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


# --- locks that are lost ---------------------------------------------------------------------------------------------


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


def waiting(person: Person, fd: Fd, flock: Flock = WHOLE) -> Coming[int]:
    return person.afr.tasks.start(lock(person, fd, flock, WAIT))


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
