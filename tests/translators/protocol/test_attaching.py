"""Who may attach to a served volume, and what a client gets before it has. In virtual time."""

import errno
from pathlib import Path

import pytest

from tests.translators.protocol.simulated import (
    CALL,
    PORT,
    RawPeer,
    World,
    both_backends,
    client_of,
    fails,
    in_a_world,
)
from volgraph.graph import (
    ROOT_LOC,
    Graph,
)
from volgraph.testing.seams import simulated
from volgraph.translators import Memory, Server
from volgraph.translators.protocol import server as server_module
from volgraph.translators.protocol.attach import fetch_spec
from volgraph.translators.protocol.session import HANDSHAKE_SECONDS, RECORD_SECONDS
from volgraph.translators.protocol.wire import dicts, handshake, rpc
from volgraph.translators.protocol.wire.procedures import BY_FOP
from volgraph.translators.protocol.wire.records import mark
from volgraph.translators.protocol.wire.rpc import Accept

pytestmark = both_backends


# --- who may attach --------------------------------------------------------------------------------------------------


def test_a_volume_that_nothing_is_said_about_is_closed(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        op_ret, op_errno, said = await peer.attach()
        assert (op_ret, op_errno) == (-1, errno.EACCES)
        assert "auth.addr.brick.allow" in (dicts.old_text(said, "ERROR") or "")

    in_a_world(test, backend, auth={})


def test_an_attempt_says_what_is_wrong_with_it(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        assert (await peer.attach(volume=""))[:2] == (-1, errno.EINVAL)
        assert (await peer.attach(volume="none"))[:2] == (-1, errno.ENOENT)
        assert (await peer.attach(volume="served"))[:2] == (-1, errno.ENOENT)  # the server itself is no volume
        assert (await peer.attach(process_uuid=""))[:2] == (-1, errno.EINVAL)
        assert (await peer.attach(fops_version="400"))[:2] == (-1, errno.EINVAL)
        op_ret, _, said = await peer.attach()
        assert op_ret == 0
        assert {key: dicts.old_text(said, key) for key in ("ERROR", "child_up")} == {
            "ERROR": "Success",
            "child_up": "1",
        }
        assert (await peer.attach())[:2] == (-1, errno.EBUSY)

    in_a_world(test, backend)


def test_a_login_opens_what_the_address_does_not(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        assert (await peer.attach())[1] == errno.EACCES
        assert (await peer.attach(username="u", password="wrong"))[1] == errno.EACCES
        assert (await peer.attach(username="other", password="secret"))[1] == errno.EACCES
        assert (await peer.attach(username="u", password="secret"))[0] == 0

    in_a_world(test, backend, auth={}, auth_login={"brick": "u,v"}, auth_password={"u": "secret"})


def test_before_a_client_has_attached_it_gets_the_handshake_and_nothing_else(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        body = BY_FOP["stat"].encode_request([ROOT_LOC], lambda fd: -2, None)
        assert await peer.call(rpc.FOPS_PROGRAM, 400, 1, body) == (Accept.GARBAGE_ARGUMENTS, b"")
        assert await peer.call(rpc.DUMP_PROGRAM, 1, handshake.PING, b"") == (Accept.SUCCESS, handshake.PONG)
        assert await peer.call(4711, 1, 1, b"") == (Accept.PROGRAM_UNKNOWN, b"")
        assert (await peer.call(rpc.FOPS_PROGRAM, 330, 1, body))[0] == Accept.VERSION_UNKNOWN
        assert await peer.call(rpc.HANDSHAKE_PROGRAM, 2, 77, b"") == (Accept.PROCEDURE_UNKNOWN, b"")
        assert await peer.call(rpc.HANDSHAKE_PROGRAM, 2, 1, b"\0\0\0\7") == (Accept.GARBAGE_ARGUMENTS, b"")
        peer.send(mark(1 << 20).to_bytes(4, "big"))  # longer than any handshake
        await peer.ended()

    in_a_world(test, backend)


def test_a_client_that_does_not_attach_is_dropped(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.ended()

    assert HANDSHAKE_SECONDS <= in_a_world(test, backend) < HANDSHAKE_SECONDS + 6


def test_a_client_that_does_not_end_a_record_is_dropped(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.attach()
        peer.send(b"\x80\0\0\x64abc")
        await peer.ended()

    assert RECORD_SECONDS <= in_a_world(test, backend) < RECORD_SECONDS + 6


def test_more_clients_than_there_is_room_for_are_turned_away(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS_MAX", 2)

    async def test(world: World) -> None:
        peers = [await RawPeer(world.network, f"host{number}").connect() for number in range(3)]
        await peers[2].ended()
        assert (await peers[0].attach())[0] == (await peers[1].attach())[0] == 0

    in_a_world(test, backend)


# --- the spec --------------------------------------------------------------------------------------------------------


def test_a_spec_is_handed_out_under_its_key(backend: str, tmp_path: Path) -> None:
    common, special = tmp_path / "common.vol", tmp_path / "special.vol"
    common.write_text("volume common\n")
    special.write_text("volume special\n")

    async def test(world: World) -> None:
        network = world.network.at("client")
        assert await fetch_spec(network, "server", "anything", PORT) == "volume common\n"
        assert await fetch_spec(network, "server", "special", PORT) == "volume special\n"
        async with world.client() as graph:
            assert await graph.up(10)
            assert (await client_of(graph).getspec(CALL, "special")).text == "volume special\n"
        special.unlink()
        with fails(errno.ENOENT):
            await fetch_spec(network, "server", "special", PORT)

    in_a_world(test, backend, volume_filename=str(common), volume_filenames={"special": str(special)})


def test_a_server_without_a_spec_says_so(backend: str) -> None:
    async def test(world: World) -> None:
        with fails(errno.ENOENT):
            await fetch_spec(world.network.at("client"), "server", "volume", PORT)

    in_a_world(test, backend)


def test_a_port_that_is_taken_fails_the_whole_graph_and_names_the_address(backend: str) -> None:
    async def test(world: World) -> None:
        other = Server("other", [Memory("b")], listen_port=PORT, auth={})
        with fails(errno.EADDRINUSE) as caught:
            async with Graph(other, simulated(1, "server", world.network)):
                pass
        assert any(f":{PORT}" in note for note in caught.value.__notes__)

    in_a_world(test, backend)
