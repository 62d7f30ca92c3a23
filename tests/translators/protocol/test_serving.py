"""What a server does for, and against, its clients. In virtual time."""

import errno
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from tests.translators.protocol.simulated import (
    CALL,
    PORT,
    RawPeer,
    World,
    both_backends,
    client_of,
    in_a_world,
    made,
)
from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    Call,
    ChildDown,
    ChildUp,
    Contention,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Graph,
    Loc,
    LockCommand,
    LockType,
    State,
)
from volgraph.testing.loop import run
from volgraph.testing.seams import simulated
from volgraph.translators import Client, Memory, Server
from volgraph.translators.protocol import server as server_module
from volgraph.translators.protocol import serving as serving_module
from volgraph.translators.protocol.attach import fetch_spec
from volgraph.translators.protocol.session import HANDSHAKE_SECONDS, RECORD_SECONDS
from volgraph.translators.protocol.wire import dicts, handshake, rpc
from volgraph.translators.protocol.wire.procedures import BY_FOP, PROCEDURES
from volgraph.translators.protocol.wire.records import mark
from volgraph.translators.protocol.wire.rpc import Accept
from volgraph.translators.protocol.wire.table import ROWS

pytestmark = both_backends

DOMAIN = "domain"
WRITE = Flock(LockType.WRITE)
UNLOCK = Flock(LockType.UNLOCK)


def fails(code: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == code)


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


# --- hostile clients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"", errno.EINVAL),
        (b".", errno.EINVAL),
        (b"..", errno.EINVAL),
        (b"a/b", errno.EPERM),
        (b"../../etc/passwd", errno.EPERM),
        (b"a\0b", errno.EINVAL),
        (b"n" * 256, errno.ENAMETOOLONG),
    ],
)
def test_names_that_are_none_do_not_get_past_the_server(backend: str, name: bytes, code: int) -> None:
    loc, good = Loc(parent=ROOT_GFID, name=name), Loc(parent=ROOT_GFID, name=b"good")

    async def test(world: World) -> None:
        for fop in ("mkdir", "rename", "unlink", "link", "lookup"):  # what gets past it is a bug
            world.brick.__dict__[fop] = lambda *args: pytest.fail(f"{args}")
        peer = await RawPeer(world.network).connect()
        await peer.attach()
        assert (await peer.fop("mkdir", loc, 0o755, 0))[:2] == (-1, code)
        assert (await peer.fop("unlink", loc, 0))[:2] == (-1, code)
        assert (await peer.fop("rename", loc, good))[:2] == (-1, code)
        assert (await peer.fop("rename", good, loc))[:2] == (-1, code)
        assert (await peer.fop("link", Loc(ROOT_GFID), loc))[:2] == (-1, code)
        if name:
            assert (await peer.fop("lookup", loc))[:2] == (-1, code)

    in_a_world(test, backend)


def test_a_fop_that_is_not_supported_is_answered_in_full(backend: str) -> None:
    """A bare "procedure unknown" would reach an application as ENOTCONN."""

    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.attach()
        for row in ROWS:
            if not row.fop:
                accepted, result = await peer.call(rpc.FOPS_PROGRAM, 400, row.number, b"whatever is in it")
                assert (accepted, result) == (0, PROCEDURES[row.number].encode_failure(errno.EOPNOTSUPP))
        assert (await peer.fop("ipc", 3))[:2] == (-1, errno.EOPNOTSUPP)
        assert (await peer.call(rpc.FOPS_PROGRAM, 400, 57, b""))[0] == Accept.PROCEDURE_UNKNOWN
        assert (await peer.call(rpc.FOPS_PROGRAM, 400, 0, b""))[0] == Accept.SUCCESS

    in_a_world(test, backend)


def test_every_failure_is_as_long_as_a_reply(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.attach()
        gone = Loc(Gfid(b"x" * 16))
        assert (await peer.fop("stat", gone))[1:] == (errno.ESTALE, BY_FOP["stat"].encode_failure(errno.ESTALE))
        assert (await peer.fop("readv", Fd(gone.gfid), 10, 0, 0))[1:] == (
            errno.ESTALE,
            BY_FOP["readv"].encode_failure(errno.ESTALE),
        )

    in_a_world(test, backend)


def test_arguments_that_cannot_be_read_are_refused_and_the_next_call_is_served(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.attach()
        for body in (b"", b"short", bytes(15), bytes(200), b"\xff" * 64):
            assert (await peer.call(rpc.FOPS_PROGRAM, 400, 1, body))[0] == Accept.GARBAGE_ARGUMENTS
        body = BY_FOP["writev"].encode_request([Fd(ROOT_GFID), b"12345", 0, 0], lambda fd: -2, None)
        assert (await peer.call(rpc.FOPS_PROGRAM, 400, 13, body + b"123"))[0] == Accept.GARBAGE_ARGUMENTS
        assert (await peer.fop("stat", ROOT_LOC))[0] == 0

    in_a_world(test, backend)


def test_what_is_no_call_ends_the_connection(backend: str) -> None:
    async def test(world: World) -> None:
        for raw in (b"\x80\0\0\0", b"\x80\0\0\4\0\0\0\0", b"\x80\0\0\x28" + b"\xff" * 40, b"\xff\xff\xff\xff"):
            peer = await RawPeer(world.network).connect()
            await peer.attach()
            peer.send(raw)
            await peer.ended()
        peer = await RawPeer(world.network).connect()
        assert (await peer.attach())[0] == 0

    in_a_world(test, backend)


def test_an_unknown_kind_of_credential_is_denied(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.attach()
        head = rpc.CALL_WORDS.pack(5, 0, 2, rpc.FOPS_PROGRAM, 400, 1, 6, 0) + bytes(8) + ROOT_GFID + dicts.NULL_DICT
        peer.send((0x80000000 | len(head)).to_bytes(4, "big") + head)
        assert (await peer.answer())[8:12] == b"\0\0\0\1"

    in_a_world(test, backend)


def test_numbers_out_of_range_are_refused(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.attach()
        assert (await peer.fop("truncate", ROOT_LOC, 1 << 63))[:2] == (-1, errno.EINVAL)
        assert (await peer.fop("readv", Fd(ROOT_GFID), 5, (1 << 64) - 1, 0))[:2] == (-1, errno.EINVAL)
        assert (await peer.fop("inodelk", DOMAIN, ROOT_LOC, 6, WRITE))[:2] == (-1, errno.EINVAL)
        assert (await peer.fop("inodelk", DOMAIN, ROOT_LOC, 1, Flock(9)))[:2] == (-1, errno.EINVAL)

    in_a_world(test, backend)


def test_a_read_of_four_gigabytes_brings_what_one_reply_may_hold(backend: str) -> None:
    sizes: list[int] = []

    async def test(world: World) -> None:
        brick = world.brick
        real = brick.readv

        def watching(call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> object:
            sizes.append(size)
            return real(call, fd, size, offset, flags)

        brick.__dict__["readv"] = watching
        async with world.client() as graph:
            assert await graph.up(10)
            fd = await made(client_of(graph))
            assert bytes((await client_of(graph).readv(CALL, fd, 2**32 - 1, 0)).data) == b"contents"
        assert sizes == [world.server.reply_bytes_max]

    in_a_world(test, backend)


# --- open files ------------------------------------------------------------------------------------------------------


def test_the_lowest_free_number_is_given_and_wrong_ones_are_refused(backend: str) -> None:
    async def test(world: World) -> None:
        peer = await RawPeer(world.network).connect()
        await peer.attach()

        async def opened() -> int:
            _, _, result = await peer.fop("opendir", ROOT_LOC)
            return int.from_bytes(result[-8:], "big")

        assert [await opened() for _ in range(3)] == [0, 1, 2]
        assert (await peer.fop("releasedir", Fd(ROOT_GFID), number=1))[0] == 0
        assert await opened() == 1
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
        async with world.client() as graph:
            client = client_of(graph)
            assert await graph.up(10)
            fd = await made(client)
            answer = client.fstat(CALL, fd)
            client.release(fd)
            await anyio.sleep(1)
            assert not released
            go_on.set()
            assert (await answer).iatt.size == 8
            assert len(released) == 1

    in_a_world(test, backend)


# --- locks -----------------------------------------------------------------------------------------------------------


def test_the_locks_of_a_client_that_is_gone_are_free(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.client("other") as others:
            other = client_of(others)
            assert await others.up(10)
            fd = await made(other)
            async with world.client() as graph:
                client = client_of(graph)
                assert await graph.up(10)
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


# --- up and down -----------------------------------------------------------------------------------------------------


def test_a_client_hears_that_the_volume_behind_its_server_went_down_and_up(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.client() as graph:
            client = client_of(graph)
            assert await graph.up(10)
            world.brick.rise(ChildDown(world.brick, "its disk is gone"))
            await anyio.sleep(1)
            assert client.state is State.DOWN
            with fails(errno.ENOTCONN):
                client.stat(CALL, ROOT_LOC)
            async with world.client("late") as late:
                await late.settled(10)
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


def test_a_client_with_many_calls_does_not_keep_another_waiting(backend: str) -> None:
    async def test(world: World) -> None:
        async with world.client("greedy") as first, world.client("modest") as second:
            greedy, modest = client_of(first), client_of(second)
            assert await first.up(10)
            assert await second.up(10)
            served: list[str] = []
            real = world.brick.stat

            def noting(call: Call, loc: Loc) -> object:
                served.append("modest" if call.uid else "greedy")
                return real(call, loc)

            world.brick.__dict__["stat"] = noting
            many = [greedy.stat(CALL, ROOT_LOC) for _ in range(1000)]
            await anyio.lowlevel.checkpoint()
            one = modest.stat(Call(uid=1), ROOT_LOC)
            await one
            for answer in many:
                await answer
            assert served.index("modest") < 1000

    in_a_world(test, backend)


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
        async with world.client() as graph:
            client = client_of(graph)
            assert await graph.up(10)
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
