"""What a client does when its server, or the network, does not do what it should. In virtual time."""

import errno
import os
import random
from contextlib import suppress

import anyio
import pytest

from tests.translators.protocol.simulated import (
    CALL,
    PORT,
    World,
    both_backends,
    client_of,
    fails,
    in_a_world,
    made,
    serving,
)
from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    Call,
    Fd,
    Flock,
    Gfid,
    Graph,
    Loc,
    LockCommand,
    LockType,
    NewAttributes,
    State,
)
from volgraph.graph.seams import Clock
from volgraph.testing.loop import run
from volgraph.testing.network import SimNetwork
from volgraph.testing.seams import simulated
from volgraph.translators import Client, Memory

pytestmark = both_backends


def test_a_cut_connection_fails_what_is_on_its_way_and_comes_back(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            answer = client.stat(CALL, ROOT_LOC)
            world.cut()
            with fails(errno.ENOTCONN):
                await answer
            assert client.state is State.DOWN
            with fails(errno.ENOTCONN):
                client.stat(CALL, ROOT_LOC)

            assert await graph.up(10)
            assert (await client.stat(CALL, ROOT_LOC)).iatt.is_dir

    assert 3 < in_a_world(test, backend) < 4  # the reconnect interval, and the latency of a few messages


def test_open_files_and_directories_are_open_again_after_a_reconnect(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            fd = await made(client, flags=os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_TRUNC)
            directory = Fd(ROOT_GFID, is_dir=True)
            await client.opendir(CALL, ROOT_LOC, directory)
            world.cut()
            await anyio.sleep(1)
            assert client.state is State.DOWN
            assert await graph.up(10)

            asked = CALL.with_xdata({"glusterfs.open-fd-count": 0})
            assert (await client.fstat(asked, fd)).xdata == {"glusterfs.open-fd-count": 1}
            assert bytes((await client.readv(CALL, fd, 100, 0)).data) == b"contents"
            assert [entry.name for entry in (await client.readdir(CALL, directory, 4096, 0)).entries] == [b"f"]
            client.release(fd)
            client.release(directory)
            assert not fd.slots

    in_a_world(test, backend)


def test_a_read_only_file_that_its_maker_is_writing_is_open_to_it_again(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            await client.setattr(CALL, ROOT_LOC, NewAttributes(mode=0o777))
            maker = Call(1234, 1234, xdata={"gfid-req": Gfid(b"r" * 16)})
            fd, flags = Fd(Gfid(b"r" * 16), os.O_RDWR), os.O_RDWR | os.O_CREAT | os.O_EXCL
            await client.create(maker, Loc(parent=ROOT_GFID, name=b"r"), flags, 0o400, 0, fd)
            await client.setattr(CALL, Loc(fd.gfid), NewAttributes(uid=0))  # now it is not even its owner
            world.cut()
            await anyio.sleep(1)
            assert await graph.up(10)

            assert (await client.writev(Call(1234, 1234), fd, b"more", 0)).count == 4
            with fails(errno.EACCES):
                await client.open(Call(1234, 1234), Loc(fd.gfid), os.O_WRONLY, Fd(fd.gfid))
            client.release(fd)

    in_a_world(test, backend)


@pytest.mark.parametrize("seed", range(12))
def test_whenever_the_connection_is_cut_it_is_up_only_while_it_works(backend: str, seed: int) -> None:
    async def test(world: World) -> None:
        rng = random.Random(seed)
        async with world.connected(reconnect_interval=0.001) as (graph, client):
            fd = await made(client)
            for _ in range(60):
                await anyio.sleep(rng.uniform(0, 0.012))
                world.cut()
                assert (client.state is State.UP) is (client._session is not None)
                await anyio.sleep(rng.uniform(0, 0.004))
                if client.state is State.UP:
                    with suppress(OSError):
                        await client.fstat(CALL, fd)
            assert await graph.up(10)
            assert bytes((await client.readv(CALL, fd, 100, 0)).data) == b"contents"

    in_a_world(test, backend, seed)


def test_what_cannot_be_opened_again_says_so(backend: str) -> None:
    """The server comes back with another brick."""

    async def main() -> None:
        network = SimNetwork(1)
        stopped = anyio.Event()

        async def serve_the_first() -> None:
            async with serving(network, Memory("brick")):
                await stopped.wait()

        client = Client("client", remote_host="server", remote_port=PORT, remote_subvolume="brick")
        async with anyio.create_task_group() as tasks, Graph(client, simulated(1, "client", network)) as graph:
            tasks.start_soon(serve_the_first)
            assert await graph.up(10)
            fd = await made(client)
            stopped.set()
            await anyio.sleep(1)
            assert client.state is State.DOWN
            async with serving(network, Memory("brick")):
                assert await graph.up(10)
                with fails(errno.EBADFD):
                    await client.readv(CALL, fd, 100, 0)
                assert (await client.stat(CALL, ROOT_LOC)).iatt.is_dir
                client.release(fd)

    run(main, 1, backend)


def test_with_strict_locks_an_fd_that_held_locks_is_lost_with_them(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected(strict_locks=True) as (graph, client):
            locked, other = await made(client, b"locked"), await made(client, b"other")
            await client.lk(CALL, locked, LockCommand.SET, Flock(LockType.WRITE, 0, 10))
            world.cut()
            await anyio.sleep(1)
            assert await graph.up(10)

            with fails(errno.EBADFD):
                await client.fstat(CALL, locked)
            assert (await client.fstat(CALL, other)).iatt.size == 8

    in_a_world(test, backend)


def test_a_silent_server_costs_one_timeout(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected(ping_timeout=8.0) as (graph, client):
            await anyio.sleep(101.3)  # silence alone is no fault
            assert client.state is State.UP
            world.network.black_hole("client", "server")
            began = client.seams.clock.monotonic()
            with fails(errno.ENOTCONN):
                await client.stat(CALL, ROOT_LOC)
            assert 8.0 <= client.seams.clock.monotonic() - began < 8.1
            assert "no answer for 8 s" in client.down_reason
            assert await graph.up(10)

    in_a_world(test, backend)


def test_a_server_that_falls_silent_in_the_middle_costs_one_timeout_too(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.client(ping_timeout=8.0) as graph, world.client("other") as others:
            client, other = client_of(graph), client_of(others)
            assert await graph.up(10)
            assert await others.up(10)
            fd = await made(other)
            mine = CALL.owned_by(b"one")
            await other.inodelk(mine, "domain", _loc(fd), LockCommand.SET, Flock(LockType.WRITE))
            waiting = client.inodelk(mine, "domain", _loc(fd), LockCommand.WAIT, Flock(LockType.WRITE))
            await anyio.sleep(61.7)  # the server answers pings meanwhile
            assert client.state is State.UP
            world.network.black_hole("client", "server")
            began = client.seams.clock.monotonic()
            with fails(errno.ENOTCONN):
                await waiting
            assert client.seams.clock.monotonic() - began < 8.1

    in_a_world(test, backend)


class CoarseClock(Clock):
    """A tick is longer than the way to the server and back, as a millisecond is to a server on this machine."""

    def monotonic(self) -> float:
        return super().monotonic() // 0.1 * 0.1


def test_a_server_that_answers_within_one_tick_of_the_clock_is_not_silent(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.client(ping_timeout=8.0) as graph, world.client("other") as others:
            graph.seams.clock = CoarseClock()
            client, other = client_of(graph), client_of(others)
            assert await graph.up(10)
            assert await others.up(10)
            fd = await made(other)
            mine = CALL.owned_by(b"one")
            await other.inodelk(mine, "domain", _loc(fd), LockCommand.SET, Flock(LockType.WRITE))
            waiting = client.inodelk(mine, "domain", _loc(fd), LockCommand.WAIT, Flock(LockType.WRITE))
            await anyio.sleep(100)
            assert client.state is State.UP
            await other.inodelk(mine, "domain", _loc(fd), LockCommand.SET, Flock(LockType.UNLOCK))
            await waiting

    in_a_world(test, backend)


def _loc(fd: Fd) -> Loc:
    return Loc(fd.gfid)


def test_one_call_that_is_not_answered_fails_alone(backend: str) -> None:
    async def test(world: World) -> None:
        world.brick.__dict__["fsync"] = lambda *_: never()
        async with world.connected(frame_timeout=30.0) as (_, client):
            fd = await made(client)
            began = client.seams.clock.monotonic()
            overdue = client.fsync(CALL, fd)
            await anyio.sleep(20)
            assert (await client.fstat(CALL, fd)).iatt.size == 8
            with fails(errno.ENOTCONN):
                await overdue
            assert 30.0 <= client.seams.clock.monotonic() - began < 30.1
            assert client.state is State.UP

    in_a_world(test, backend)


async def never() -> None:
    await anyio.sleep_forever()


def test_a_blocking_lock_may_take_longer_than_any_limit(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected(frame_timeout=30.0) as (_, client):
            fd = await made(client)
            one, two = CALL.owned_by(b"one"), CALL.owned_by(b"two")
            await client.inodelk(one, "domain", _loc(fd), LockCommand.SET, Flock(LockType.WRITE))
            waiting = client.inodelk(two, "domain", _loc(fd), LockCommand.WAIT, Flock(LockType.WRITE))
            await anyio.sleep(500)
            await client.inodelk(one, "domain", _loc(fd), LockCommand.SET, Flock(LockType.UNLOCK))
            await waiting

    in_a_world(test, backend)


def test_a_client_says_down_when_its_first_attempt_fails(backend: str) -> None:
    async def main() -> None:
        client = Client("client", remote_host="server", remote_port=PORT, remote_subvolume="brick")
        async with Graph(client, simulated(1, "client", SimNetwork(1))) as graph:
            await graph.heard_from_top(10)
            assert client.state is State.DOWN
            assert "server: " in client.down_reason
            with fails(errno.ENOTCONN):
                client.stat(CALL, ROOT_LOC)

    assert run(main, 1, backend).seconds < 1


def test_a_host_that_does_not_answer_at_all_is_down_within_the_timeout(backend: str) -> None:
    async def main() -> None:
        network = SimNetwork(1)
        network.partition("client", "server")
        client = Client("client", remote_host="server", remote_port=PORT, remote_subvolume="brick", ping_timeout=5.0)
        async with Graph(client, simulated(1, "client", network)) as graph:
            await graph.heard_from_top(10)
            assert client.state is State.DOWN

    assert run(main, 1, backend).seconds < 5.5


def test_a_refused_client_says_why_and_does_not_hammer(backend: str) -> None:
    network_attempts: list[float] = []

    async def test(world: World) -> None:
        admitted = world.server.admitted

        def counting(peer: str, options: dict[str, bytes]) -> object:
            network_attempts.append(world.server.seams.clock.monotonic())
            return admitted(peer, options)

        world.server.__dict__["admitted"] = counting
        async with world.client() as graph:
            client = client_of(graph)
            await graph.heard_from_top(10)
            assert client.state is State.DOWN
            assert "auth.addr.brick.allow" in client.down_reason
            await anyio.sleep(300)
        assert 5 <= len(network_attempts) <= 6

    in_a_world(test, backend, auth={})


def test_other_failures_are_tried_again_at_each_interval(backend: str) -> None:
    async def main() -> None:
        network = SimNetwork(1)
        client = Client(
            "client", remote_host="server", remote_port=PORT, remote_subvolume="brick", reconnect_interval=2.0
        )
        async with Graph(client, simulated(1, "client", network)) as graph:
            await graph.heard_from_top(10)
            await anyio.sleep(7)
            async with serving(network, Memory("brick")):
                assert await graph.up(2.1)

    run(main, 1, backend)


def test_a_caller_that_gives_up_leaves_the_connection_as_it_was(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (_, client):
            fd = await made(client)
            with anyio.move_on_after(0.0001) as scope:
                await client.writev(CALL, fd, b"CONTENTS", 0)
            assert scope.cancelled_caught
            assert bytes((await client.readv(CALL, fd, 100, 0)).data) == b"CONTENTS"
            assert client.state is State.UP

    in_a_world(test, backend)


def test_an_open_that_was_given_up_and_released_is_closed_at_the_server(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (_, client):
            fd = await made(client)
            client.release(fd)
            again = Fd(fd.gfid)
            answer = client.open(CALL, Loc(fd.gfid), 0, again)
            client.release(again)  # before the server has answered
            await answer
            await anyio.sleep(1)
            asked = CALL.with_xdata({"glusterfs.open-fd-count": 0})
            assert (await client.stat(asked, Loc(fd.gfid))).xdata == {"glusterfs.open-fd-count": 0}

    in_a_world(test, backend)


def test_the_graph_closes_while_calls_are_on_their_way(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (_, client):
            answer = client.stat(CALL, ROOT_LOC)
        with fails(errno.ENOTCONN):
            await answer

    in_a_world(test, backend)
