"""A client against servers that do not keep to the protocol, or know only half of it. In virtual time."""

import errno
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import attrs
import pytest

from tests.translators.protocol.golden import record
from tests.translators.protocol.simulated import CALL, PORT, both_backends, fails
from volgraph.graph import ROOT_GFID, ROOT_LOC, Buffer, ChildDown, Event, Fd, Graph, State
from volgraph.graph.network import Connection
from volgraph.testing.loop import run
from volgraph.testing.network import SimNetwork
from volgraph.testing.seams import simulated
from volgraph.translators import Client
from volgraph.translators.protocol.wire import dicts, handshake, rpc
from volgraph.translators.protocol.wire.handshake import Program
from volgraph.translators.protocol.wire.procedures import BY_FOP
from volgraph.translators.protocol.wire.records import Records
from volgraph.translators.protocol.wire.xdr import WORD, Reader, opaque

pytestmark = both_backends

PORTMAP = (Program("portmap", rpc.PORTMAP_PROGRAM, 1), Program("dump", rpc.DUMP_PROGRAM, 1))
ATTACHED = handshake.setvolume_reply(0, 0, {"ERROR": "Success", "child_up": 1})
Answer = Callable[["Liar", rpc.CallHeader, Reader], bytes | None]


@attrs.define(eq=False)
class Liar:
    """A server. It shakes hands properly, and answers file operations with whole records from `lie`."""

    lie: Answer
    programs: tuple[Program, ...] = handshake.SPOKEN
    attached: bytes = ATTACHED
    behind_it: bytes = b""
    ports: dict[str, int] = attrs.field(factory=dict)
    connection: Connection | None = None
    _records: Records = attrs.field(factory=Records)

    def received(self, data: Buffer) -> None:
        for arrived in self._records.feed(data):
            reader = Reader(arrived)
            header = rpc.parse_call(reader)
            answer = self._handshake(header, reader)
            if answer is not None:
                self.say(rpc.reply(header.xid, len(answer)) + answer + self._behind(header))
            elif header.program == rpc.FOPS_PROGRAM and (said := self.lie(self, header, reader)) is not None:
                self.say(said)

    def _handshake(self, header: rpc.CallHeader, reader: Reader) -> bytes | None:
        if header.program == rpc.DUMP_PROGRAM:
            return handshake.dump_reply(self.programs) if header.procedure == handshake.DUMP else handshake.PONG
        if header.program == rpc.HANDSHAKE_PROGRAM:
            return self.attached
        if header.program == rpc.PORTMAP_PROGRAM:
            port = self.ports.get(reader.opaque(100).decode())
            return handshake.port_reply(0, 0, port) if port else handshake.port_reply(-1, errno.ENOENT, 0)
        return None

    def _behind(self, header: rpc.CallHeader) -> bytes:
        return self.behind_it if header.program == rpc.HANDSHAKE_PROGRAM else b""

    def lost(self, error: OSError | None) -> None:
        pass

    def say(self, raw: bytes) -> None:
        assert self.connection is not None
        self.connection.send((raw,))


def against(lie: Answer, test: Callable[[Client, Graph], Awaitable[None]], backend: str, **options: object) -> None:
    async def main() -> None:
        network = SimNetwork(1)

        def accept(connection: Connection) -> Liar:
            return Liar(lie, connection=connection, **options)  # type: ignore[arg-type]

        await network.at("server").listen("*", PORT, accept)
        client = Client("client", remote_host="server", remote_port=PORT, remote_subvolume="b", ping_timeout=10.0)
        async with Graph(client, simulated(1, "client", network)) as graph:
            await test(client, graph)

    run(main, 1, backend)


def whole(xid: int, result: bytes) -> bytes:
    return rpc.reply(xid, len(result)) + result


def good_iatt() -> bytes:
    return record("lookup reply")[-296:-148]


STAT = bytes(8) + dicts.NULL_DICT + good_iatt()


@pytest.mark.parametrize(
    "lie",
    [
        lambda self, header, reader: whole(header.xid + 77, STAT),  # to a call that was not made
        lambda self, header, reader: whole(header.xid, STAT) * 2,  # twice
        lambda self, header, reader: whole(header.xid, STAT + b"more"),
        lambda self, header, reader: whole(header.xid, STAT[:-1]),
        lambda self, header, reader: whole(header.xid, b""),
        lambda self, header, reader: b"\x80\0\0\2ab",
        lambda self, header, reader: b"\xff\xff\xff\xff",
        lambda self, header, reader: b"\x80\0\0\x18" + WORD.pack(header.xid) + WORD.pack(7) + bytes(16),
    ],
)
def test_what_does_not_follow_the_protocol_ends_the_connection(backend: str, lie: Answer) -> None:
    async def test(client: Client, graph: Graph) -> None:
        assert await graph.up(5)
        with suppress(OSError):  # of two answers the first counts
            await client.stat(CALL, ROOT_LOC)
        await anyio.sleep(0.1)
        assert client.state is State.DOWN
        assert "protocol" in client.down_reason
        assert await graph.up(5)

    against(lie, test, backend)


def test_a_connection_that_ends_with_the_handshake_never_counts_as_up(backend: str) -> None:
    async def test(client: Client, graph: Graph) -> None:
        told: list[Event] = []

        def hearing(event: Event) -> None:
            told.append(event)
            Client.rise(client, event)

        client.__dict__["rise"] = hearing
        await anyio.sleep(10)
        assert [type(event) for event in told] == [ChildDown]
        with fails(errno.ENOTCONN):
            client.stat(CALL, ROOT_LOC)

    against(lambda self, header, reader: None, test, backend, behind_it=whole(4711, b""))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (rpc.Accept.PROCEDURE_UNKNOWN, errno.EOPNOTSUPP),
        (rpc.Accept.GARBAGE_ARGUMENTS, errno.EINVAL),
        (rpc.Accept.SYSTEM_ERROR, errno.EPROTO),
        (4711, errno.EPROTO),
    ],
)
def test_a_call_that_the_server_did_not_even_try_fails_alone(backend: str, status: int, code: int) -> None:
    async def test(client: Client, graph: Graph) -> None:
        assert await graph.up(5)
        with fails(code):
            await client.stat(CALL, ROOT_LOC)
        assert client.state is State.UP

    against(lambda self, header, reader: rpc.reply(header.xid, 0, status), test, backend)


def test_an_errno_that_is_none_becomes_eio(backend: str) -> None:
    async def test(client: Client, graph: Graph) -> None:
        assert await graph.up(5)
        with fails(errno.EIO):
            await client.stat(CALL, ROOT_LOC)

    against(lambda self, header, reader: whole(header.xid, BY_FOP["stat"].encode_failure(99999)), test, backend)


def test_an_answer_that_comes_too_late_is_dropped(backend: str) -> None:
    overdue: list[int] = []

    def lie(self: Liar, header: rpc.CallHeader, reader: Reader) -> bytes | None:
        if not overdue:
            overdue.append(header.xid)
            return None
        return whole(overdue[0], STAT) + whole(header.xid, STAT)

    async def test(client: Client, graph: Graph) -> None:
        client.frame_timeout = 20.0
        assert await graph.up(5)
        with fails(errno.ENOTCONN):
            await client.stat(CALL, ROOT_LOC)
        assert (await client.stat(CALL, ROOT_LOC)).iatt.gfid == ROOT_GFID
        assert client.state is State.UP

    against(lie, test, backend)


def test_a_listing_with_an_impossible_name_ends_the_connection(backend: str) -> None:
    def lie(self: Liar, header: rpc.CallHeader, reader: Reader) -> bytes:
        entry = b"\0\0\0\1" + bytes(8) + bytes(8) + bytes(8) + opaque(b"../../etc")
        return whole(header.xid, b"\0\0\0\1" + bytes(4) + dicts.NULL_DICT + entry + bytes(4))

    async def test(client: Client, graph: Graph) -> None:
        assert await graph.up(5)
        with fails(errno.ENOTCONN):
            await client.readdir(CALL, Fd(ROOT_GFID, is_dir=True), 4096, 0)

    against(lie, test, backend)


def test_a_server_that_speaks_another_version_is_down_with_that_reason(backend: str) -> None:
    async def test(client: Client, graph: Graph) -> None:
        await graph.heard_from_top(5)
        assert client.state is State.DOWN
        assert "version 4" in client.down_reason

    old = (Program("GlusterFS 3.3", rpc.FOPS_PROGRAM, 330),)
    against(lambda self, header, reader: None, test, backend, programs=old)


def test_callbacks_that_are_not_known_are_left_aside(backend: str) -> None:
    def lie(self: Liar, header: rpc.CallHeader, reader: Reader) -> bytes:
        callbacks = b"".join(
            rpc.plain_call(1, rpc.CALLBACK_PROGRAM, 1, procedure, b"whatever", rpc.AUTH_NULL)
            for procedure in (1, 2, 3, 4, 5, 8, 9, 99)
        )
        return callbacks + rpc.plain_call(1, 4711, 1, 1, b"") + whole(header.xid, STAT)

    async def test(client: Client, graph: Graph) -> None:
        assert await graph.up(5)
        assert (await client.stat(CALL, ROOT_LOC)).iatt.is_dir

    against(lie, test, backend)


def test_without_a_port_the_port_map_is_asked(backend: str) -> None:
    async def main() -> None:
        network = SimNetwork(1)

        def port_map(connection: Connection) -> Liar:
            return Liar(lambda *_: None, PORTMAP, ports={"b": 49152}, connection=connection)

        def brick(connection: Connection) -> Liar:
            return Liar(lambda self, header, reader: whole(header.xid, STAT), connection=connection)

        await network.at("server").listen("*", PORT, port_map)
        await network.at("server").listen("*", 49152, brick)
        clients = [Client(name, remote_host="server", remote_subvolume=name) for name in ("b", "none")]
        for client in clients:
            async with Graph(client, simulated(1, "client", network)) as graph:
                await graph.heard_from_top(5)
                if client.name == "b":
                    assert (await client.stat(CALL, ROOT_LOC)).iatt.is_dir
                else:
                    assert client.state is State.DOWN

    run(main, 1, backend)


def test_without_a_port_a_server_that_speaks_itself_is_used(backend: str) -> None:
    async def main() -> None:
        network = SimNetwork(1)

        def brick(connection: Connection) -> Liar:
            return Liar(lambda self, header, reader: whole(header.xid, STAT), connection=connection)

        await network.at("server").listen("*", PORT, brick)
        client = Client("client", remote_host="server", remote_subvolume="b")
        async with Graph(client, simulated(1, "client", network)) as graph:
            assert await graph.up(5)

    run(main, 1, backend)
