"""What a server tells its clients of its volumes, and whose turn it is. In virtual time."""

import errno
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import attrs
import pytest

from tests.translators.protocol.simulated import (
    CALL,
    World,
    both_backends,
    client_of,
    fails,
    in_a_world,
)
from volgraph.graph import (
    ROOT_LOC,
    Buffer,
    Call,
    ChildDown,
    ChildUp,
    Flock,
    Graph,
    Loc,
    LockCommand,
    LockType,
    State,
)
from volgraph.testing.loop import run
from volgraph.testing.seams import simulated
from volgraph.translators import Memory, Server
from volgraph.translators.protocol import serving as serving_module
from volgraph.translators.protocol.session import Session
from volgraph.translators.protocol.wire import handshake, rpc

pytestmark = both_backends

DOMAIN = "domain"
WRITE = Flock(LockType.WRITE)
UNLOCK = Flock(LockType.UNLOCK)


def test_a_client_hears_that_the_volume_behind_its_server_went_down_and_up(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.connected() as (graph, client):
            world.brick.rise(ChildDown(world.brick, "its disk is gone"))
            await anyio.sleep(1)
            assert client.state is State.DOWN
            with fails(errno.ENOTCONN):
                client.stat(CALL, ROOT_LOC)
            async with world.client("late") as late:
                await late.heard_from_top(10)
                assert client_of(late).state is State.DOWN
                world.brick.rise(ChildUp(world.brick))
                assert await graph.up(1)
                assert await late.up(1)
            assert (await client.stat(CALL, ROOT_LOC)).iatt.is_dir

    in_a_world(test, backend)


def test_a_server_is_up_while_one_of_its_volumes_is(backend: str) -> None:
    async def main() -> list[State]:
        bricks = [Memory("a"), Memory("b")]
        async with Graph(Server("server", bricks, auth={}), simulated(1)) as graph:
            states = [graph.top.state]
            for event in (ChildDown(bricks[0], "gone"), ChildDown(bricks[1], "gone"), ChildUp(bricks[1])):
                event.source.rise(event)
                states.append(graph.top.state)
            return states

    assert run(main, 1, backend).value == [State.UP, State.UP, State.DOWN, State.UP]


# --- whose turn it is ------------------------------------------------------------------------------------------------


def test_a_client_with_many_calls_gives_the_loop_its_turn(backend: str) -> None:
    """Of three hundred calls that come at once, sixty-four are answered before anybody else gets a chance."""

    async def test(world: World) -> None:
        connection = Sent()
        session = Session(world.server, connection, 77)
        ping = rpc.plain_call(1, rpc.DUMP_PROGRAM, rpc.DUMP_VERSION, handshake.PING, b"")
        session.received(ping * 300)
        assert connection.count == 64
        await anyio.sleep(1)
        assert connection.count == 300
        session.received(ping * 20000)
        session.received(ping)
        assert session.over  # more than may wait

    in_a_world(test, backend)


@attrs.define(eq=False)
class Sent:
    """A connection that counts what is sent."""

    peer: str = "10.0.0.1:1"
    count: int = 0

    def send(self, buffers: Sequence[Buffer]) -> None:
        self.count += 1

    def close(self) -> None:
        pass


def test_too_many_calls_under_way_are_refused_and_unlocks_still_pass(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "OUTSTANDING_MAX", 3)

    async def test(world: World) -> None:
        go_on = anyio.Event()
        real = world.brick.stat

        async def slow(call: Call, loc: Loc) -> object:
            await go_on.wait()
            return await real(call, loc)

        world.brick.__dict__["stat"] = slow
        async with world.connected() as (_, client):
            one, two = CALL.owned_by(b"one"), CALL.owned_by(b"two")
            await client.inodelk(one, DOMAIN, ROOT_LOC, LockCommand.SET, WRITE)
            waiting = [
                client.inodelk(CALL.owned_by(b"%d" % number), DOMAIN, ROOT_LOC, LockCommand.WAIT, WRITE)
                for number in range(10)
            ]
            await client.inodelk(one, DOMAIN, ROOT_LOC, LockCommand.SET, UNLOCK)
            await waiting[0]
            busy = [client.stat(two, ROOT_LOC) for _ in range(3)]
            with fails(errno.EBUSY):
                await client.stat(two, ROOT_LOC)
            go_on.set()
            for answer in busy:
                assert (await answer).iatt.is_dir

    in_a_world(test, backend)
