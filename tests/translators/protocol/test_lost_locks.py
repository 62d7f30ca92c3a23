"""A lock goes with its connection, and whoever held it is told: the fd through which it was taken is bad (F72, I21)."""

import errno
import os
from collections.abc import Awaitable

import anyio
import pytest

from tests.translators.protocol.simulated import CALL, World, both_backends, client_of, fails, in_a_world, made
from volgraph.graph import Call, ChildDown, ChildUp, Fd, Flock, Graph, Loc, LockCommand, LockType, State
from volgraph.translators import Client, Memory

pytestmark = both_backends

ONE, TWO = CALL.owned_by(b"one"), CALL.owned_by(b"two")
WHOLE = Flock(LockType.WRITE)


def unlocked(start: int = 0, length: int = 0) -> Flock:
    return Flock(LockType.UNLOCK, start, length)


async def cut_and_back(world: World, graph: Graph, host: str = "client") -> None:
    world.cut(host)
    await anyio.sleep(1)
    assert client_of(graph).state is State.DOWN
    assert await graph.up(10)


async def one_waits_for_the_other(first: Graph, second: Graph) -> tuple[Fd, Fd, Awaitable[object]]:
    """The fds of two clients: the first has a lock that the second waits for; and the answer to that."""
    assert await first.up(10)
    assert await second.up(10)
    one, two = client_of(first), client_of(second)
    mine = await made(one)
    theirs = Fd(mine.gfid, os.O_RDWR)
    await two.open(TWO, Loc(mine.gfid), os.O_RDWR, theirs)
    await one.lk(ONE, mine, LockCommand.SET, WHOLE)
    return mine, theirs, two.lk(TWO, theirs, LockCommand.WAIT, WHOLE)


async def is_bad(client: Client, fd: Fd, call: Call = ONE) -> bool:
    """Does whatever goes through it fail, and with EBADFD?"""
    told = set()
    for fop in (
        lambda: client.readv(call, fd, 1, 0),
        lambda: client.writev(call, fd, b"c", 0),
        lambda: client.fstat(call, fd),
        lambda: client.lk(call, fd, LockCommand.SET, Flock(LockType.WRITE, 50, 1)),
        lambda: client.lk(call, fd, LockCommand.SET, unlocked(50, 1)),
    ):
        try:
            await fop()
        except OSError as error:
            told.add(error.errno)
        else:
            told.add(0)
    assert told in ({0}, {errno.EBADFD})
    return told == {errno.EBADFD}


def test_who_lost_its_lock_writes_no_more_while_another_holds_it(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.client("one") as first, world.client("two") as second:
            one, two = client_of(first), client_of(second)
            mine, theirs, waiting = await one_waits_for_the_other(first, second)
            world.cut("one")
            await waiting
            assert await first.up(10)

            with fails(errno.EBADFD):
                await one.writev(ONE, mine, b"I still hold it", 0)
            assert await is_bad(one, mine)
            await two.writev(TWO, theirs, b"mine now", 0)
            assert bytes((await two.readv(TWO, theirs, 100, 0)).data) == b"mine now"

    in_a_world(test, backend)


def test_the_file_opened_again_is_as_good_as_new(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            lost = await made(client)
            await client.lk(ONE, lost, LockCommand.SET, WHOLE)
            await cut_and_back(world, graph)
            assert await is_bad(client, lost)
            client.release(lost)
            assert not lost.slots

            fd = Fd(lost.gfid, os.O_RDWR)
            await client.open(ONE, Loc(fd.gfid), os.O_RDWR, fd)
            await client.lk(ONE, fd, LockCommand.SET, WHOLE)
            assert not await is_bad(client, fd)

    in_a_world(test, backend)


def test_an_fd_through_which_nothing_is_locked_is_never_lost(backend: str) -> None:
    """Not one that never was, nor one whose locks were all given back, refused, or only asked about."""

    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            holder = await made(client, b"locked")
            await client.lk(TWO, holder, LockCommand.SET, Flock(LockType.WRITE, 0, 10))
            fds = [Fd(holder.gfid, os.O_RDWR) for _ in range(5)]
            for fd in fds:
                await client.open(ONE, Loc(fd.gfid), os.O_RDWR, fd)
            plain, given, flushed, refused, asked = fds
            await client.lk(ONE, given, LockCommand.SET, Flock(LockType.READ, 20, 10))
            await client.lk(ONE, given, LockCommand.SET, Flock(LockType.WRITE, 30, 10))
            await client.lk(ONE, given, LockCommand.SET, unlocked(15, 30))
            owner = CALL.owned_by(b"three")
            await client.lk(owner, flushed, LockCommand.SET, Flock(LockType.WRITE, 60, 10))
            await client.flush(owner, flushed)
            with fails(errno.EAGAIN):
                await client.lk(ONE, refused, LockCommand.SET, WHOLE)
            await client.lk(ONE, asked, LockCommand.GET, WHOLE)
            await cut_and_back(world, graph)

            assert [await is_bad(client, fd) for fd in (plain, given, flushed, refused, asked)] == [False] * 5
            assert await is_bad(client, holder)

    in_a_world(test, backend)


@pytest.mark.parametrize("left", [(0, 10), (90, 10)])
def test_a_lock_of_which_a_part_was_given_back_is_one_still(backend: str, left: tuple[int, int]) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            fd = await made(client)
            await client.lk(ONE, fd, LockCommand.SET, Flock(LockType.WRITE, 0, 100))
            for start in range(0, 100, 10):
                if start != left[0]:
                    await client.lk(ONE, fd, LockCommand.SET, unlocked(start, 10))
            await cut_and_back(world, graph)

            assert await is_bad(client, fd)

    in_a_world(test, backend)


def test_the_locks_of_one_owner_belong_to_the_fds_they_were_taken_through(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            first = await made(client)
            second = Fd(first.gfid, os.O_RDWR)
            await client.open(ONE, Loc(first.gfid), os.O_RDWR, second)
            await client.lk(ONE, first, LockCommand.SET, Flock(LockType.WRITE, 0, 10))
            await client.lk(ONE, second, LockCommand.SET, Flock(LockType.WRITE, 0, 10))  # the same lock, taken over
            await cut_and_back(world, graph)

            assert not await is_bad(client, first)
            assert await is_bad(client, second)

    in_a_world(test, backend)


def test_a_request_that_waits_is_granted_to_nobody_when_its_connection_is_cut(backend: str) -> None:
    """Its caller hears ENOTCONN; the fd held nothing, and works on."""

    async def test(world: World) -> None:
        async with world.client("one") as first, world.client("two") as second:
            one, two = client_of(first), client_of(second)
            mine, theirs, waiting = await one_waits_for_the_other(first, second)
            await anyio.sleep(1)
            world.cut("two")
            with fails(errno.ENOTCONN):
                await waiting
            assert await second.up(10)
            await one.lk(ONE, mine, LockCommand.SET, unlocked())

            assert not await is_bad(two, theirs, TWO)
            await one.lk(ONE, mine, LockCommand.SET, WHOLE)
            assert not await is_bad(one, mine)

    in_a_world(test, backend)


def test_a_volume_that_goes_down_at_its_server_takes_the_locks_with_it(backend: str) -> None:
    """As a brick does that does not answer for too long. The connection stays."""

    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            locked, plain = await made(client, b"locked"), await made(client, b"plain")
            await client.lk(ONE, locked, LockCommand.SET, WHOLE)
            assert isinstance(world.brick, Memory)
            world.brick.locks.close()
            world.brick.rise(ChildDown(world.brick, "it hangs"))
            await anyio.sleep(1)
            assert client.state is State.DOWN
            world.brick.rise(ChildUp(world.brick))
            assert await graph.up(10)

            assert await is_bad(client, locked)
            assert not await is_bad(client, plain)
            client.release(locked)
            await anyio.sleep(1)
            asked = CALL.with_xdata({"glusterfs.open-fd-count": 0})
            assert (await client.stat(asked, Loc(locked.gfid))).xdata == {"glusterfs.open-fd-count": 0}

    in_a_world(test, backend)


def test_without_strict_locks_the_fd_is_opened_again_as_glusterfs_does_unasked(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected(strict_locks=False) as (graph, client):
            fd = await made(client)
            await client.lk(ONE, fd, LockCommand.SET, WHOLE)
            await cut_and_back(world, graph)

            assert not await is_bad(client, fd)

    in_a_world(test, backend)
