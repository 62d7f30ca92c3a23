"""What a server does for its clients: open files and locks. In virtual time."""

import errno
from typing import Any

import anyio
import anyio.lowlevel

from tests.translators.protocol.simulated import (
    CALL,
    PORT,
    RawPeer,
    World,
    both_backends,
    client_of,
    fails,
    in_a_world,
    made,
)
from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    Call,
    Contention,
    EntryLockCommand,
    Fd,
    Flock,
    Graph,
    Loc,
    LockCommand,
    LockType,
    State,
)
from volgraph.testing.seams import simulated
from volgraph.translators import Client, Memory, Server

pytestmark = both_backends

DOMAIN = "domain"
WRITE = Flock(LockType.WRITE)
UNLOCK = Flock(LockType.UNLOCK)


def brick_of(world: World) -> Memory:
    assert isinstance(world.brick, Memory)
    return world.brick


# --- open files ------------------------------------------------------------------------------------------------------


def test_the_lowest_free_number_is_given_and_wrong_ones_are_refused(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.attach()

        async def opened() -> int:
            _, _, result = await peer.fop("opendir", ROOT_LOC)
            return int.from_bytes(result[-8:], "big")

        assert [await opened() for _ in range(3)] == [0, 1, 2]
        for number in (1, 2, 0):
            assert (await peer.fop("releasedir", Fd(ROOT_GFID), number=number))[0] == 0
        assert [await opened() for _ in range(3)] == [0, 1, 2]
        for number in (-1, 3, -3, 1 << 40):
            assert (await peer.fop("fstat", Fd(ROOT_GFID), number=number))[:2] == (-1, errno.EBADF)
            assert (await peer.fop("release", Fd(ROOT_GFID), number=number))[:2] == (-1, errno.EBADF)
        assert (await peer.fop("fstat", Fd(ROOT_GFID), number=-2))[0] == 0

    in_a_world(test, backend)


def test_a_number_of_another_connection_opens_nothing(backend: str) -> None:
    async def test(world: World) -> None:
        one, two = await RawPeer(world.network).connect(), await RawPeer(world.network, "two").connect()
        await one.attach()
        await two.attach()
        assert (await one.fop("opendir", ROOT_LOC))[0] == 0
        assert (await two.fop("fstat", Fd(ROOT_GFID), number=0))[:2] == (-1, errno.EBADF)

    in_a_world(test, backend)


def test_everything_is_released_when_a_client_is_gone(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.client("watcher") as watching:
            watcher = client_of(watching)
            assert await watching.up(10)
            async with world.client() as graph:
                assert await graph.up(10)
                fd = await made(client_of(graph))
                asked = CALL.with_xdata({"glusterfs.open-fd-count": 0})
                assert (await watcher.stat(asked, Loc(fd.gfid))).xdata == {"glusterfs.open-fd-count": 1}
            await anyio.sleep(1)
            assert (await watcher.stat(asked, Loc(fd.gfid))).xdata == {"glusterfs.open-fd-count": 0}

    in_a_world(test, backend)


def test_a_file_that_is_released_while_it_is_read_stays_open_until_it_was(backend: str) -> None:
    async def test(world: World) -> None:
        released: list[Fd] = []
        go_on = anyio.Event()
        real, give_back = world.brick.fstat, world.brick.release

        async def slow(call: Call, fd: Fd) -> object:
            await go_on.wait()
            assert not released
            return await real(call, fd)

        def releasing(fd: Fd) -> None:
            released.append(fd)
            give_back(fd)

        world.brick.__dict__.update(fstat=slow, release=releasing)
        async with world.connected() as (_, client):
            fd = await made(client)
            answer = client.fstat(CALL, fd)
            client.release(fd)
            await anyio.sleep(1)
            assert not released
            go_on.set()
            assert (await answer).iatt.size == 8
            assert len(released) == 1

    in_a_world(test, backend)


def test_what_one_message_cannot_carry_is_cut_or_refused(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (_, client):
            fd = await made(client)
            most = 16 * 1024 * 1024
            assert (await client.writev(CALL, fd, bytes(most), 0)).count == most
            with fails(errno.EMSGSIZE):
                client.writev(CALL, fd, bytes(most + 1), 0)
            await client.ftruncate(CALL, fd, 2 * most)
            assert len((await client.readv(CALL, fd, 2 * most, 0)).data) == most
            assert client.state is State.UP

    in_a_world(test, backend)


# --- locks -----------------------------------------------------------------------------------------------------------


def test_the_locks_of_a_client_that_is_gone_are_free(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.client("other") as others:
            other = client_of(others)
            assert await others.up(10)
            fd = await made(other)
            async with world.connected() as (_, client):
                await client.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, WRITE)
                await client.entrylk(CALL, DOMAIN, ROOT_LOC, b"f", EntryLockCommand.TRY, LockType.WRITE)
                await client.lk(CALL, Fd(fd.gfid), LockCommand.SET, WRITE)
                with fails(errno.EAGAIN):  # the same lock owner, but another client
                    await other.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, WRITE)
                waiting = other.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.WAIT, WRITE)
                world.cut("client")
            await waiting
            await other.entrylk(CALL, DOMAIN, ROOT_LOC, b"f", EntryLockCommand.TRY, LockType.WRITE)
            await other.lk(CALL, fd, LockCommand.SET, WRITE)

    in_a_world(test, backend)


def test_a_lock_that_is_on_its_way_when_its_client_goes_is_not_granted_to_the_dead(backend: str) -> None:
    async def test(world: World) -> None:
        on_its_way, go_on = anyio.Event(), anyio.Event()
        real = world.brick.inodelk

        async def slow(*args: Any) -> object:
            on_its_way.set()
            await go_on.wait()
            return await real(*args)

        async with world.connected() as (_, client):
            fd = await made(client)
            world.brick.__dict__["inodelk"] = slow
            lost = client.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, WRITE)
            await on_its_way.wait()
            world.cut("client")
            with fails(errno.ENOTCONN):
                await lost
            await anyio.sleep(1)
            go_on.set()
            await anyio.sleep(1)
            assert brick_of(world).locks.holders(fd.gfid) == []

    in_a_world(test, backend)


def test_a_holder_hears_that_somebody_waits(backend: str) -> None:
    heard: list[Contention] = []

    async def test(world: World) -> None:
        async with world.client("other") as others, world.client() as graph:
            client, other = client_of(graph), client_of(others)
            assert await graph.up(10)
            assert await others.up(10)
            fd = await made(client)
            client.__dict__["rise"] = heard.append
            await client.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, WRITE)
            await client.entrylk(CALL, DOMAIN, ROOT_LOC, b"f", EntryLockCommand.TRY, LockType.WRITE)
            one = other.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.WAIT, WRITE)
            two = other.entrylk(CALL, DOMAIN, ROOT_LOC, b"f", EntryLockCommand.LOCK, LockType.WRITE)
            await anyio.sleep(1)
            assert [(each.gfid, each.domain, each.name) for each in heard] == [
                (fd.gfid, DOMAIN, None),
                (ROOT_GFID, DOMAIN, b"f"),
            ]
            await client.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, UNLOCK)
            await client.entrylk(CALL, DOMAIN, ROOT_LOC, b"f", EntryLockCommand.UNLOCK, LockType.WRITE)
            await one
            await two
            del client.__dict__["rise"]

    in_a_world(test, backend)


def test_a_server_in_between_gives_back_the_locks_of_its_own_clients(backend: str) -> None:
    """client -> server in between -> client of that -> served brick: the inner connection stays."""

    async def test(world: World) -> None:
        inner = Client("inner", remote_host="server", remote_port=PORT, remote_subvolume="brick")
        between = Server("between", [inner], listen_port=PORT, auth={"inner": "*"})

        def outer(host: str) -> Graph:
            client = Client(host, remote_host="between", remote_port=PORT, remote_subvolume="inner")
            return Graph(client, simulated(1, host, world.network))

        async with Graph(between, simulated(1, "between", world.network)) as graph:
            assert await graph.up(10)
            async with outer("two") as seconds:
                two = client_of(seconds)
                assert await seconds.up(10)
                fd = await made(two)
                async with outer("one") as firsts:
                    one = client_of(firsts)
                    assert await firsts.up(10)
                    await one.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, WRITE)
                    await one.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, WRITE)  # they stack
                    await one.entrylk(CALL, DOMAIN, ROOT_LOC, None, EntryLockCommand.LOCK, LockType.WRITE)
                    await one.lk(CALL, Fd(fd.gfid), LockCommand.SET, Flock(LockType.WRITE, 5, 10))
                    with fails(errno.EAGAIN):
                        await two.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, WRITE)
                    third = two.inodelk(CALL.owned_by(b"third"), "third", Loc(fd.gfid), LockCommand.SET, WRITE)
                    await third
                    waits = one.inodelk(CALL, "third", Loc(fd.gfid), LockCommand.WAIT, WRITE)
                with fails(errno.ENOTCONN):
                    await waits
                await anyio.sleep(1)
                await two.inodelk(CALL, DOMAIN, Loc(fd.gfid), LockCommand.SET, WRITE)
                await two.entrylk(CALL, DOMAIN, ROOT_LOC, b"x", EntryLockCommand.TRY, LockType.WRITE)
                await two.lk(CALL, fd, LockCommand.SET, WRITE)
                await two.inodelk(CALL.owned_by(b"third"), "third", Loc(fd.gfid), LockCommand.SET, UNLOCK)
                await two.inodelk(CALL, "third", Loc(fd.gfid), LockCommand.SET, WRITE)  # nobody waits any more

    in_a_world(test, backend)


def test_a_server_in_between_tells_the_client_that_holds(backend: str) -> None:
    heard: list[Contention] = []

    async def test(world: World) -> None:
        inner = Client("inner", remote_host="server", remote_port=PORT, remote_subvolume="brick")
        between = Server("between", [inner], listen_port=PORT, auth={"inner": "*"})
        outer = Client("outer", remote_host="between", remote_port=PORT, remote_subvolume="inner")
        async with (
            Graph(between, simulated(1, "between", world.network)) as graph,
            Graph(outer, simulated(1, "outer", world.network)) as outside,
            world.client("other") as others,
        ):
            assert await graph.up(10)
            assert await outside.up(10)
            assert await others.up(10)
            outer.__dict__["rise"] = heard.append
            await outer.entrylk(CALL, DOMAIN, ROOT_LOC, b"f", EntryLockCommand.TRY, LockType.WRITE)
            other = client_of(others)
            waiting = other.entrylk(CALL, DOMAIN, ROOT_LOC, None, EntryLockCommand.LOCK, LockType.WRITE)
            await anyio.sleep(1)
            assert [(each.gfid, each.domain, each.name) for each in heard] == [(ROOT_GFID, DOMAIN, b"f")]
            del outer.__dict__["rise"]
            await outer.entrylk(CALL, DOMAIN, ROOT_LOC, b"f", EntryLockCommand.UNLOCK, LockType.WRITE)
            await waiting

    in_a_world(test, backend)


def test_a_server_in_between_withdraws_a_request_of_a_client_that_holds_and_is_gone(backend: str) -> None:
    async def test(world: World) -> None:
        inner = Client("inner", remote_host="server", remote_port=PORT, remote_subvolume="brick")
        between = Server("between", [inner], listen_port=PORT, auth={"inner": "*"})
        outer = Client("outer", remote_host="between", remote_port=PORT, remote_subvolume="inner")
        async with Graph(between, simulated(1, "between", world.network)) as graph, world.client("other") as others:
            assert await graph.up(10)
            assert await others.up(10)
            other = client_of(others)
            fd = await made(other)
            await other.lk(CALL, fd, LockCommand.SET, Flock(LockType.WRITE, 5, 5))
            async with Graph(outer, simulated(1, "outer", world.network)) as outside:
                assert await outside.up(10)
                await outer.lk(CALL, Fd(fd.gfid), LockCommand.SET, Flock(LockType.WRITE, 0, 5))
                outer.lk(CALL, Fd(fd.gfid), LockCommand.WAIT, Flock(LockType.WRITE, 5, 5))
                await anyio.sleep(1)
                assert brick_of(world).locks.lk_count(fd.gfid) == 3
            await anyio.sleep(1)
            assert [(lock.start, lock.end) for lock in brick_of(world).locks.holders(fd.gfid)] == [(5, 10)]
            assert brick_of(world).locks.lk_count(fd.gfid) == 1

    in_a_world(test, backend)
