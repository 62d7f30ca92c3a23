"""The network of production, on every event loop."""

import errno
import os
import socket
import sys
from importlib.util import find_spec

import anyio
import anyio.lowlevel
import attrs
import pytest

from volgraph.graph import Buffer, Coming
from volgraph.graph.network import Connection
from volgraph.graph.sockets import Sockets

pytestmark = pytest.mark.anyio

LOOPS = {"asyncio": ("asyncio", {"use_uvloop": False}), "trio": ("trio", {})}
if find_spec("uvloop") is not None:
    LOOPS["uvloop"] = ("asyncio", {"use_uvloop": True})


@pytest.fixture(scope="module", params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return LOOPS[request.param]


@attrs.define(eq=False)
class Ear:
    heard: bytearray = attrs.field(factory=bytearray)
    pieces: int = 0
    echo: Connection | None = None
    lost_with: list[OSError | None] = attrs.field(factory=list)
    _changed: Coming[None] = attrs.field(factory=Coming)

    def received(self, data: Buffer) -> None:
        self.heard += data
        self.pieces += 1
        if self.echo is not None:
            self.echo.send((bytes(data),))
        self._wake()

    def lost(self, error: OSError | None) -> None:
        self.lost_with.append(error)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, Coming()
        changed.resolve(None)

    async def hears(self, count: int) -> None:
        while len(self.heard) < count:
            await self._changed

    async def ends(self) -> OSError | None:
        while not self.lost_with:
            await self._changed
        return self.lost_with[0]


@attrs.define(eq=False)
class Taker:
    """Accepts, and keeps both ends' receivers."""

    echo: bool = False
    taken: list[tuple[Connection, Ear]] = attrs.field(factory=list)
    _one: Coming[None] = attrs.field(factory=Coming)

    def __call__(self, connection: Connection) -> Ear:
        ear = Ear(echo=connection if self.echo else None)
        self.taken.append((connection, ear))
        self._one.resolve(None)
        return ear

    async def first(self) -> tuple[Connection, Ear]:
        await self._one
        return self.taken[0]


async def test_bytes_arrive_in_order_both_ways() -> None:
    take = Taker(echo=True)
    listener = await Sockets().listen("127.0.0.1", 0, take)
    ear = Ear()
    connection = await Sockets().connect("127.0.0.1", listener.port, ear)
    assert connection.peer == f"127.0.0.1:{listener.port}"
    data = os.urandom(3_000_001)

    connection.send((data[:10], memoryview(data)[10:1000]))
    connection.send((data[1000:],))
    with anyio.fail_after(20):
        await ear.hears(len(data))

    assert bytes(ear.heard) == data
    assert (await take.first())[0].peer.startswith("127.0.0.1:")
    connection.close()
    assert await ear.ends() is None
    await (await take.first())[1].ends()
    listener.close()


async def test_what_is_sent_in_one_turn_arrives_together() -> None:
    take = Taker()
    listener = await Sockets().listen("127.0.0.1", 0, take)
    connection = await Sockets().connect("127.0.0.1", listener.port, Ear())
    _, far = await take.first()

    for number in range(100):
        connection.send((b"%04d" % number,))
    with anyio.fail_after(20):
        await far.hears(400)

    assert bytes(far.heard) == b"".join(b"%04d" % number for number in range(100))
    assert far.pieces <= 3
    connection.close()
    await far.ends()
    listener.close()


async def test_each_side_hears_once_that_the_other_has_closed() -> None:
    take = Taker()
    listener = await Sockets().listen("127.0.0.1", 0, take)
    ear = Ear()
    connection = await Sockets().connect("127.0.0.1", listener.port, ear)
    accepted, far = await take.first()

    accepted.close()
    with anyio.fail_after(20):
        await far.ends()
        await ear.ends()
    connection.send((b"into the void",))
    connection.close()
    accepted.close()
    await anyio.sleep(0.01)

    assert len(far.lost_with) == len(ear.lost_with) == 1
    listener.close()


async def test_a_peer_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("volgraph.graph.sockets", "volgraph.graph.trio_sockets"):
        __import__(name)
        monkeypatch.setattr(sys.modules[name], "SEND_BUFFER_BYTES_MAX", 1 << 20)
    take = Taker()
    listener = await Sockets().listen("127.0.0.1", 0, take)
    with socket.create_connection(("127.0.0.1", listener.port)) as deaf:
        accepted, ear = await take.first()
        with anyio.fail_after(20):
            while not ear.lost_with:
                accepted.send((bytes(1 << 20),))
                await anyio.lowlevel.checkpoint()
        error = await ear.ends()
        assert error is not None
        assert error.errno == errno.ENOBUFS
        del deaf
    listener.close()


async def test_nobody_listens() -> None:
    listener = await Sockets().listen("127.0.0.1", 0, Taker())
    port = listener.port
    listener.close()
    await anyio.lowlevel.checkpoint()

    with pytest.raises(OSError):
        await Sockets().connect("127.0.0.1", port, Ear())


async def test_a_taken_port_says_so() -> None:
    listener = await Sockets().listen("127.0.0.1", 0, Taker())
    with pytest.raises(OSError) as caught:
        await Sockets().listen("127.0.0.1", listener.port, Taker())
    assert caught.value.errno == errno.EADDRINUSE
    listener.close()
