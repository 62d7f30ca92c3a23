"""The simulated network: order, delay, and each kind of fault, in virtual time."""

import errno
from collections.abc import Awaitable, Callable

import anyio
import attrs
import pytest

from volgraph.graph import Buffer, Coming
from volgraph.graph.network import Connection
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.network import SimNetwork

both_backends = pytest.mark.parametrize("backend", BACKENDS)


@attrs.define(eq=False)
class Ear:
    """A receiver that keeps what it hears."""

    heard: bytearray = attrs.field(factory=bytearray)
    pieces: int = 0
    over: list[OSError | None] = attrs.field(factory=list)
    ended: Coming[None] = attrs.field(factory=Coming)

    def received(self, data: Buffer) -> None:
        self.heard += data
        self.pieces += 1

    def lost(self, error: OSError | None) -> None:
        self.over.append(error)
        self.ended.resolve(None)


@attrs.define(eq=False)
class Line:
    """One connection from host `c` to host `s`."""

    network: SimNetwork
    near: Connection
    near_ear: Ear
    far: Connection
    far_ear: Ear


async def connected(network: SimNetwork) -> Line:
    near_ear, far_ear, taken = Ear(), Ear(), list[Connection]()

    def accept(connection: Connection) -> Ear:
        taken.append(connection)
        return far_ear

    listener = await network.at("s").listen("0.0.0.0", 0, accept)
    near = await network.at("c").connect("s", listener.port, near_ear)
    return Line(network, near, near_ear, taken[0], far_ear)


def on_a_line(test: Callable[[Line], Awaitable[None]], backend: str, seed: int = 1) -> float:
    async def main() -> None:
        await test(await connected(SimNetwork(seed)))

    return run(main, seed, backend).seconds


@both_backends
def test_bytes_arrive_in_order_in_both_directions(backend: str) -> None:
    async def test(line: Line) -> None:
        for number in range(200):
            line.near.send([b"%d," % number, b"a;"])
            line.far.send([b"%d;" % number])
            if number % 10 == 0:
                await anyio.sleep(0.001)
        await anyio.sleep(10)

        assert line.far_ear.heard == b"".join(b"%d,a;" % number for number in range(200))
        assert line.near_ear.heard == b"".join(b"%d;" % number for number in range(200))
        assert line.far_ear.pieces > 200  # some in two pieces

    on_a_line(test, backend)


@both_backends
def test_nothing_arrives_in_the_turn_it_was_sent(backend: str) -> None:
    async def test(line: Line) -> None:
        line.near.send([b"x"])
        assert not line.far_ear.heard
        await anyio.sleep(1)
        assert line.far_ear.heard == b"x"

    assert on_a_line(test, backend) > 1


@both_backends
def test_a_buffer_is_spoiled_once_it_was_received(backend: str) -> None:
    class Keeper(Ear):
        kept: Buffer = b""

        def received(self, data: Buffer) -> None:
            self.kept = data

    async def main() -> None:
        network, keeper = SimNetwork(1), Keeper()
        listener = await network.at("s").listen("", 0, lambda _: keeper)
        connection = await network.at("c").connect("s", listener.port, Ear())
        connection.send([b"x"])
        await anyio.sleep(1)
        assert bytes(keeper.kept) == b"\xdd"

    run(main, 1, backend)


@both_backends
def test_closing_ends_both_sides_in_order(backend: str) -> None:
    async def test(line: Line) -> None:
        line.near.send([b"last words"])
        line.near.close()
        line.near.send([b"too late"])
        await line.far_ear.ended
        await line.near_ear.ended

        assert line.far_ear.heard == b"last words"
        assert line.far_ear.over == [None]
        assert line.near_ear.over == [None]

    on_a_line(test, backend)


@both_backends
def test_a_cut_breaks_both_sides_and_loses_what_is_under_way(backend: str) -> None:
    async def test(line: Line) -> None:
        line.near.send([b"lost"])
        line.network.cut("s", "c")
        await line.near_ear.ended
        await line.far_ear.ended

        assert not line.far_ear.heard
        assert [error.errno for error in (*line.near_ear.over, *line.far_ear.over) if error] == [errno.ECONNRESET] * 2

    on_a_line(test, backend)


@both_backends
def test_a_cut_leaves_other_hosts_alone(backend: str) -> None:
    async def test(line: Line) -> None:
        line.network.cut("c", "another")
        line.near.send([b"x"])
        await anyio.sleep(1)
        assert line.far_ear.heard == b"x"

    on_a_line(test, backend)


@both_backends
def test_a_black_hole_stays_silent_but_new_connections_work(backend: str) -> None:
    async def test(line: Line) -> None:
        line.network.black_hole("c", "s")
        line.near.send([b"x"])
        line.far.send([b"y"])
        line.network.mend()
        await anyio.sleep(59)
        assert not line.far_ear.heard
        assert not line.near_ear.heard
        assert not line.near_ear.over

        again = await connected(line.network)
        again.near.send([b"z"])
        await anyio.sleep(1)
        assert again.far_ear.heard == b"z"

    on_a_line(test, backend)


@both_backends
def test_a_partition_holds_bytes_back_until_it_is_mended(backend: str) -> None:
    async def test(line: Line) -> None:
        line.near.send([b"before "])
        line.network.partition("c", "s")
        line.near.send([b"during "])
        await anyio.sleep(59)
        assert not line.far_ear.heard

        line.network.mend("c", "s")
        line.near.send([b"after"])
        await anyio.sleep(1)
        assert line.far_ear.heard == b"before during after"

    on_a_line(test, backend)


@both_backends
@pytest.mark.parametrize("fault", ["partition", "black_hole"])
def test_both_sides_give_up_a_connection_that_is_silent_for_long(backend: str, fault: str) -> None:
    async def test(line: Line) -> None:
        getattr(line.network, fault)("c", "s")
        await anyio.sleep(61)
        for ear in (line.near_ear, line.far_ear):
            assert [error.errno for error in ear.over if error] == [errno.ETIMEDOUT]

    on_a_line(test, backend)


@both_backends
def test_a_connection_outlives_partitions_that_are_mended_in_time(backend: str) -> None:
    async def test(line: Line) -> None:
        for _ in range(3):
            line.network.partition("c", "s")
            await anyio.sleep(40)
            line.network.mend()
        line.near.send([b"x"])
        await anyio.sleep(61)
        assert line.far_ear.heard == b"x"

    on_a_line(test, backend)


@both_backends
def test_connecting_across_a_partition_gets_no_answer_until_it_is_mended(backend: str) -> None:
    async def test(line: Line) -> None:
        listener = await line.network.at("s").listen("", 0, lambda _: Ear())
        line.network.partition("c", "s")
        with anyio.move_on_after(60) as waited:
            await line.network.at("c").connect("s", listener.port, Ear())
        assert waited.cancelled_caught

        line.network.mend()
        await line.network.at("c").connect("s", listener.port, Ear())

    on_a_line(test, backend)


@both_backends
def test_a_partition_matrix_says_who_reaches_whom(backend: str) -> None:
    async def main() -> None:
        network = SimNetwork(1)
        ports = {name: (await network.at(name).listen("", 0, lambda _: Ear())).port for name in ("s0", "s1")}
        network.partition_matrix({"c0": ["s0"], "c1": ["s1"]}, ["s0", "s1"])
        reached = set()
        for client in ("c0", "c1"):
            for server in ("s0", "s1"):
                with anyio.move_on_after(1):
                    await network.at(client).connect(server, ports[server], Ear())
                    reached.add((client, server))
        assert reached == {("c0", "s0"), ("c1", "s1")}

    run(main, 1, backend)


@both_backends
def test_a_refusing_host_and_an_absent_port_refuse(backend: str) -> None:
    async def test(line: Line) -> None:
        listener = await line.network.at("s").listen("", 1234, lambda _: Ear())
        line.network.refuse("s")
        for port in (1234, 4321):
            with pytest.raises(ConnectionRefusedError):
                await line.network.at("c").connect("s", port, Ear())
        line.network.accept_again("s")
        await line.network.at("c").connect("s", 1234, Ear())

        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await line.network.at("c").connect("s", 1234, Ear())

    on_a_line(test, backend)


@both_backends
def test_a_port_is_taken_once(backend: str) -> None:
    async def test(line: Line) -> None:
        await line.network.at("s").listen("", 1234, lambda _: Ear())
        with pytest.raises(OSError) as caught:
            await line.network.at("s").listen("", 1234, lambda _: Ear())
        assert caught.value.errno == errno.EADDRINUSE

    on_a_line(test, backend)


@both_backends
def test_a_crashed_host_loses_its_connections_and_listeners(backend: str) -> None:
    async def test(line: Line) -> None:
        await line.network.at("s").listen("", 1234, lambda _: Ear())
        line.network.crash("s")
        await line.near_ear.ended
        with pytest.raises(ConnectionRefusedError):
            await line.network.at("c").connect("s", 1234, Ear())

    on_a_line(test, backend)


@both_backends
def test_delays_follow_the_seed(backend: str) -> None:
    async def test(line: Line) -> None:
        line.near.send([b"x" * 100])
        await line.network.at("s").listen("", 1234, lambda _: Ear())

    assert on_a_line(test, backend, seed=1) == on_a_line(test, backend, seed=1)
    assert on_a_line(test, backend, seed=1) != on_a_line(test, backend, seed=2)
