"""A client and a server on hosts of their own, in virtual time."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import pytest

from volgraph.graph import ROOT_GFID, Buffer, Call, Coming, Fd, Graph, Loc, Translator
from volgraph.graph.network import Connection
from volgraph.testing.loop import BACKENDS, run
from volgraph.testing.network import SimNetwork
from volgraph.testing.seams import simulated
from volgraph.translators import Client, Memory, Server
from volgraph.translators.protocol.wire import handshake, rpc
from volgraph.translators.protocol.wire.procedures import BY_FOP, RESULT
from volgraph.translators.protocol.wire.records import Records
from volgraph.translators.protocol.wire.xdr import Reader

both_backends = pytest.mark.parametrize("backend", BACKENDS)
PORT = 24007
SECONDS_MAX = 2000
CALL = Call(pid=77)


@attrs.define(eq=False)
class World:
    """`server.example` exports `brick`; `new_client` makes clients on hosts of their own."""

    network: SimNetwork
    server: Server
    brick: Translator
    seed: int = 1

    def client(self, host: str = "client", **options: Any) -> Graph:
        options = {"remote_port": PORT, "ping_timeout": 10.0, **options}
        client = Client(host, remote_host="server", remote_subvolume=self.brick.name, **options)
        return Graph(client, simulated(self.seed, host, self.network))

    @asynccontextmanager
    async def connected(self, host: str = "client", **options: Any) -> AsyncIterator[tuple[Graph, Client]]:
        """A client that is up."""
        async with self.client(host, **options) as graph:
            assert await graph.up(10)
            yield graph, client_of(graph)

    def cut(self, host: str = "client") -> None:
        self.network.cut(host, "server")


def serving(
    network: SimNetwork, brick: Translator, seed: int = 1, auth: Mapping[str, str] | None = None, **options: Any
) -> Graph:
    allowed = {brick.name: "*"} if auth is None else auth
    server = Server("served", [brick], listen_port=PORT, auth=allowed, **options)
    return Graph(server, simulated(seed, "server", network))


def in_a_world(test: Callable[[World], Awaitable[None]], backend: str, seed: int = 1, **options: Any) -> float:
    """Run a test on a served memory brick; how many virtual seconds it took."""

    async def main() -> None:
        network = SimNetwork(seed)
        brick = Memory("brick")
        async with serving(network, brick, seed, **options) as graph:
            server = graph.top
            assert isinstance(server, Server)
            with anyio.fail_after(SECONDS_MAX):  # virtual ones
                await test(World(network, server, brick, seed))

    return run(main, seed, backend).seconds


def fails(code: int) -> "pytest.RaisesExc[OSError]":
    """For `with`: an OSError of that errno must come."""
    return pytest.raises(OSError, check=lambda error: error.errno == code)


def client_of(graph: Graph) -> Client:
    client = graph.top
    assert isinstance(client, Client)
    return client


async def made(client: Client, name: bytes = b"f", contents: bytes = b"contents", flags: int = os.O_RDWR) -> Fd:
    """A new file in the root, open."""
    fd = Fd(flags=flags)
    gfid = client.seams.new_gfid()
    call = CALL.with_xdata({"gfid-req": gfid})
    await client.create(call, Loc(parent=ROOT_GFID, name=name), flags, 0o644, 0, fd)
    fd.gfid = gfid
    await client.writev(CALL, fd, contents, 0)
    return fd


@attrs.define(eq=False)
class RawPeer:
    """A client that sends whatever bytes it is told to."""

    network: SimNetwork
    host: str = "raw"
    records: list[bytes] = attrs.field(factory=list)
    over: bool = False
    _parts: Records = attrs.field(factory=Records)
    _connection: Connection | None = None
    _heard: Coming[None] = attrs.field(factory=Coming)

    async def connect(self) -> "RawPeer":
        self._connection = await self.network.at(self.host).connect("server", PORT, self)
        return self

    def received(self, data: Buffer) -> None:
        self.records += [bytes(record) for record in self._parts.feed(data)]
        self._wake()

    def lost(self, error: OSError | None) -> None:
        self.over = True
        self._wake()

    def _wake(self) -> None:
        heard, self._heard = self._heard, Coming()
        heard.resolve(None)

    def send(self, raw: bytes) -> None:
        assert self._connection is not None
        self._connection.send((raw,))

    async def answer(self) -> bytes:
        """The next record that comes. EOFError: the connection was closed."""
        while not self.records:
            if self.over:
                raise EOFError
            await self._heard
        return self.records.pop(0)

    async def ended(self) -> None:
        while not self.over:
            await self._heard

    async def call(self, program: int, version: int, procedure: int, body: bytes) -> tuple[int, bytes]:
        """(accept status, result) of one call."""
        self.send(rpc.plain_call(9, program, version, procedure, body))
        reader = Reader(await self.answer())
        xid, kind, accepted = rpc.parse_reply(reader)
        assert (xid, kind) == (9, rpc.REPLY)
        return accepted, bytes(reader.rest())

    async def fop(self, name: str, *args: Any, number: int = -2) -> tuple[int, int, bytes]:
        """(op_ret, op_errno, the whole result) of one file operation; `number` is what it says of any fd."""
        procedure = BY_FOP[name]
        body = procedure.encode_request(args, lambda fd: number, None)
        payload = args[procedure.payload] if procedure.payload is not None else b""
        accepted, result = await self.call(rpc.FOPS_PROGRAM, rpc.FOPS_VERSION, procedure.number, body + payload)
        assert accepted == rpc.Accept.SUCCESS
        op_ret, op_errno = RESULT.unpack_from(result)
        return op_ret, op_errno, result

    async def attach(self, volume: str = "brick", **options: str) -> tuple[int, int, dict[str, bytes]]:
        said = {
            "remote-subvolume": volume,
            "fops-version": str(rpc.FOPS_PROGRAM),
            "process-uuid": "raw",
            **{key.replace("_", "-"): value for key, value in options.items()},
        }
        body = handshake.setvolume_request({key: value for key, value in said.items() if value})
        accepted, result = await self.call(rpc.HANDSHAKE_PROGRAM, rpc.HANDSHAKE_VERSION, handshake.SETVOLUME, body)
        assert accepted == rpc.Accept.SUCCESS
        return handshake.read_setvolume_reply(Reader(result))
