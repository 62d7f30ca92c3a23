"""Our client works on a brick that a real glusterfsd serves."""

import errno
import hashlib
import os
import stat
import zlib
from collections.abc import Callable
from typing import Any

import pytest

import volgraph
from tests.interop.real_gluster import Brick, Gluster
from volgraph.graph import (
    ROOT_GFID,
    ROOT_LOC,
    SEEK_DATA,
    SEEK_HOLE,
    Call,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Graph,
    Loc,
    LockCommand,
    LockType,
    NewAttributes,
    State,
    XattropKind,
)
from volgraph.translators import Client

pytestmark = [pytest.mark.interop, pytest.mark.anyio]

CALL = Call(pid=77)
DOMAIN = "mirror"


@pytest.fixture
def brick(gluster: Gluster) -> Brick:
    return gluster.brick("b0")


def client(brick: Brick, **options: Any) -> Client:
    return Client(
        "far",
        remote_host="127.0.0.1",
        remote_port=brick.port,
        remote_subvolume=str(brick.directory),
        reconnect_interval=0.05,
        **options,
    )


def failing(code: int) -> Any:
    def matches(error: OSError) -> bool:
        return error.errno == code

    return pytest.raises(OSError, check=matches)


async def made(far: Client, name: bytes, contents: bytes = b"") -> tuple[Gfid, Fd]:
    """A new file in the root, open for reading and writing."""
    gfid = far.seams.new_gfid()
    fd = Fd(flags=os.O_RDWR)
    call = CALL.with_xdata({"gfid-req": gfid})
    reply = await far.create(call, Loc(parent=ROOT_GFID, name=name), os.O_RDWR | os.O_EXCL, 0o644, 0, fd)
    assert reply.iatt.gfid == gfid
    fd.gfid = gfid
    if contents:
        assert (await far.writev(CALL, fd, contents, 0)).count == len(contents)
    return gfid, fd


async def test_files_and_directories_through_the_volume(brick: Brick) -> None:
    data = os.urandom(2_000_003)
    async with volgraph.open(client(brick)) as vol:
        await vol.mkdir("/d")
        await vol.write_bytes("/d/f", data)
        assert await vol.read_bytes("/d/f") == data
        assert (brick.directory / "d/f").read_bytes() == data
        await vol.rename("/d/f", "/g")
        await vol.symlink("g", "/s")
        assert sorted(await vol.listdir("/")) == ["d", "g", "s"]
        assert os.readlink(brick.directory / "s") == "g"
        assert (await vol.stat("/g")).st_size == len(data)
        await vol.chmod("/g", 0o600)
        assert stat.S_IMODE((brick.directory / "g").stat().st_mode) == 0o600
        await vol.rmdir("/d")
        await vol.unlink("/g")
        await vol.unlink("/s")
        assert await vol.listdir("/") == []
    assert os.listdir(brick.directory) == [".glusterfs"]


async def test_what_the_volume_does_not_show(brick: Brick) -> None:
    async with Graph(far := client(brick)) as graph:
        assert await graph.up(10)
        gfid, fd = await made(far, b"f", b"0123456789")

        assert bytes((await far.readv(CALL, fd, 4, 3)).data) == b"3456"
        end = await far.readv(CALL, fd, 100, 4)
        assert (bytes(end.data), end.end) == (b"456789", True)
        assert (await far.fstat(CALL, fd)).iatt.size == 10
        assert (await far.stat(CALL, Loc(gfid))).iatt.nlink == 1
        assert (await far.link(CALL, Loc(gfid), Loc(parent=ROOT_GFID, name=b"h"))).iatt.nlink == 2
        changed = await far.setattr(CALL, Loc(gfid), NewAttributes(mode=0o600, mtime_ns=1_000_000_000_000_000_123))
        assert changed.post is not None
        assert (changed.post.mode & 0o777, changed.post.mtime_ns) == (0o600, 1_000_000_000_000_000_123)
        assert (await far.ftruncate(CALL, fd, 5)).post.size == 5  # type: ignore[union-attr]
        assert (await far.truncate(CALL, Loc(gfid), 8)).post.size == 8  # type: ignore[union-attr]
        assert (await far.fallocate(CALL, fd, 0, 0, 65536)).post.size == 65536  # type: ignore[union-attr]
        await far.writev(CALL, fd, bytes(65536), 0)
        await far.discard(CALL, fd, 4096, 8192)
        assert (await far.seek(CALL, fd, 4096, SEEK_DATA)).offset == 12288
        assert (await far.seek(CALL, fd, 0, SEEK_HOLE)).offset == 4096
        await far.zerofill(CALL, fd, 0, 4096)
        sums = await far.rchecksum(CALL, fd, 0, 4096)
        assert (sums.weak, sums.strong) == (zlib.adler32(bytes(4096), 0), hashlib.md5(bytes(4096)).digest())
        await far.flush(CALL, fd)
        await far.fsync(CALL, fd, 1)
        await far.access(CALL, Loc(gfid), os.R_OK)
        assert (await far.statfs(CALL, ROOT_LOC)).blocks > 0
        made_fifo = CALL.with_xdata({"gfid-req": far.seams.new_gfid()})
        fifo = await far.mknod(made_fifo, Loc(parent=ROOT_GFID, name=b"p"), stat.S_IFIFO | 0o600, 0, 0)
        assert stat.S_ISFIFO(fifo.iatt.mode)
        far.release(fd)


async def test_xattrs_are_kept_and_counters_are_added(brick: Brick) -> None:
    async with Graph(far := client(brick)) as graph:
        assert await graph.up(10)
        gfid, fd = await made(far, b"f")

        await far.setxattr(CALL, Loc(gfid), {"user.colour": b"green\0", "trusted.x": b"1"})
        assert os.getxattr(brick.directory / "f", "user.colour") == b"green\0"
        assert (await far.getxattr(CALL, Loc(gfid), "user.colour")).values == {"user.colour": b"green\0"}
        assert {"user.colour", "trusted.x"} <= set((await far.fgetxattr(CALL, fd, None)).values)
        await far.removexattr(CALL, Loc(gfid), "user.colour")
        with failing(errno.ENODATA):
            await far.getxattr(CALL, Loc(gfid), "user.colour")

        one = (1).to_bytes(4, "big") + bytes(8)
        for count in (1, 2):
            reply = await far.xattrop(CALL, Loc(gfid), XattropKind.ADD_ARRAY, {"trusted.afr.dirty": one})
            assert reply.values["trusted.afr.dirty"] == count.to_bytes(4, "big") + bytes(8)
        asked = CALL.with_xdata({"trusted.afr.dirty": 12, "glusterfs.open-fd-count": 0})
        found = await far.lookup(asked, Loc(parent=ROOT_GFID, name=b"f"))
        assert found.xdata is not None
        assert found.xdata["trusted.afr.dirty"] == (2).to_bytes(4, "big") + bytes(8)
        assert found.xdata["glusterfs.open-fd-count"] == 1
        far.release(fd)


async def test_listings_go_on_where_they_stopped(brick: Brick) -> None:
    async with Graph(far := client(brick)) as graph:
        assert await graph.up(10)
        for number in range(300):
            (brick.directory / f"file-{number}").touch()
        for listing in (far.readdir, far.readdirp):
            names: list[bytes] = []
            fd = Fd(ROOT_GFID, is_dir=True)
            await far.opendir(CALL, ROOT_LOC, fd)
            offset, pieces = 0, 0
            while True:
                piece = await listing(CALL, fd, 4096, offset)
                names += [entry.name for entry in piece.entries]
                pieces += 1
                if piece.end:
                    break
                offset = piece.entries[-1].offset
            far.release(fd)
            assert sorted(names) == sorted(b"file-%d" % number for number in range(300))
            assert pieces > 1


@pytest.mark.parametrize(
    ("code", "fop"),
    [
        (errno.ESTALE, lambda far: far.stat(CALL, Loc(far.seams.new_gfid()))),
        (errno.ENOENT, lambda far: far.lookup(CALL, Loc(far.seams.new_gfid()))),
        (errno.ESTALE, lambda far: far.lookup(CALL, Loc(parent=far.seams.new_gfid(), name=b"x"))),
        (errno.ENOENT, lambda far: far.unlink(CALL, Loc(parent=ROOT_GFID, name=b"none"))),
        (errno.EINVAL, lambda far: far.mkdir(CALL, Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0)),
        (errno.EINVAL, lambda far: far.readlink(CALL, ROOT_LOC, 100)),
    ],
)
async def test_a_brick_s_errors_come_back_as_they_are(brick: Brick, code: int, fop: Callable[[Client], Any]) -> None:
    async with Graph(far := client(brick)) as graph:
        assert await graph.up(10)
        with failing(code):
            await fop(far)


async def test_locks_between_two_clients(brick: Brick) -> None:
    one, two = client(brick), client(brick)
    async with Graph(one) as first, Graph(two) as second:
        assert await first.up(10)
        assert await second.up(10)
        gfid, fd = await made(one, b"f")
        lock = Flock(LockType.WRITE, 0, 100)
        mine = CALL.owned_by(b"12345678")
        await one.inodelk(mine, DOMAIN, Loc(gfid), LockCommand.SET, lock)
        with failing(errno.EAGAIN):
            await two.inodelk(mine, DOMAIN, Loc(gfid), LockCommand.SET, lock)
        waiting = two.inodelk(mine, DOMAIN, Loc(gfid), LockCommand.WAIT, lock)
        await one.inodelk(mine, DOMAIN, Loc(gfid), LockCommand.SET, Flock(LockType.UNLOCK, 0, 100))
        await waiting
        await two.entrylk(mine, DOMAIN, ROOT_LOC, b"name", EntryLockCommand.TRY, LockType.WRITE)
        with failing(errno.EAGAIN):
            await one.entrylk(mine, DOMAIN, ROOT_LOC, b"name", EntryLockCommand.TRY, LockType.WRITE)
        held = await one.lk(mine, fd, LockCommand.SET, Flock(LockType.WRITE, 0, 10, owner=b"12345678"))
        assert held.flock.type == LockType.WRITE
        one.release(fd)


async def test_a_client_comes_back_with_its_open_files(brick: Brick) -> None:
    async with Graph(far := client(brick)) as graph:
        assert await graph.up(10)
        _, fd = await made(far, b"f", b"before")
        directory = Fd(ROOT_GFID, is_dir=True)
        await far.opendir(CALL, ROOT_LOC, directory)

        brick.kill()
        with failing(errno.ENOTCONN):
            while True:
                await far.fstat(CALL, fd)
        assert far.state is State.DOWN
        brick.start()
        assert await graph.up(20)

        assert bytes((await far.readv(CALL, fd, 100, 0)).data) == b"before"
        await far.writev(CALL, fd, b"after!", 0)
        assert (brick.directory / "f").read_bytes() == b"after!"
        assert [entry.name for entry in (await far.readdir(CALL, directory, 4096, 0)).entries][-1:] == [b"f"]
        asked = CALL.with_xdata({"glusterfs.open-fd-count": 0})
        found = await far.stat(asked, Loc(fd.gfid))
        assert found.xdata == {"glusterfs.open-fd-count": 1}
        far.release(fd)
        far.release(directory)


async def test_a_volume_that_the_brick_does_not_have(brick: Brick) -> None:
    far = Client("far", remote_host="127.0.0.1", remote_port=brick.port, remote_subvolume="/none")
    async with Graph(far) as graph:
        await graph.heard_from_top(10)

        assert far.state is State.DOWN
        with failing(errno.ENOTCONN):
            await far.stat(CALL, ROOT_LOC)


async def test_a_brick_that_hangs_costs_one_timeout(brick: Brick) -> None:
    async with Graph(far := client(brick, ping_timeout=1.0)) as graph:
        assert await graph.up(10)
        _, fd = await made(far, b"f")
        brick.freeze()
        began = far.seams.clock.monotonic()
        try:
            with failing(errno.ENOTCONN):
                await far.writev(CALL, fd, b"x", 0)
            assert 1.0 <= far.seams.clock.monotonic() - began < 1.9  # GlusterFS's own client may take twice the timeout
        finally:
            brick.thaw()
