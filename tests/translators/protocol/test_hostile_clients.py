"""What a server does about bytes that no honest client would send. In virtual time."""

import errno

import pytest

from tests.translators.protocol.simulated import (
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
    Fd,
    Flock,
    Gfid,
    Loc,
    LockType,
)
from volgraph.translators.protocol.wire import dicts, rpc
from volgraph.translators.protocol.wire.procedures import BY_FOP, PROCEDURES
from volgraph.translators.protocol.wire.rpc import Accept
from volgraph.translators.protocol.wire.table import ROWS

pytestmark = both_backends

DOMAIN = "domain"
WRITE = Flock(LockType.WRITE)


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
        peer = await RawPeer(world.network).connect()
        await peer.attach()
        async with world.client() as graph:
            assert await graph.up(10)
            fd = await made(client_of(graph))
            assert (await peer.fop("readv", Fd(fd.gfid), 2**32 - 1, 0, 0))[2].endswith(b"contents")
        assert sizes == [world.server.reply_bytes_max]

    in_a_world(test, backend)
