"""storage/posix: contents of files."""

import errno
import hashlib
import os
import stat
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.translators.storage.bricks import fails, in_both_modes, running
from tests.translators.storage.sick import SlowPool
from volgraph.graph import ROOT_GFID, SEEK_DATA, SEEK_HOLE, Call, Done, Fd, Loc, Seams
from volgraph.graph.disk import Disk
from volgraph.graph.pool import Pool
from volgraph.translators.storage.posix.buffers import REUSED_MIN
from volgraph.translators.storage.posix.contents import READ_MAX

pytestmark = [pytest.mark.anyio, in_both_modes]


async def test_what_is_written_is_read_with_the_end_told(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        fd = await hand.opened(gfid)
        written = await hand.brick.writev(Call(), fd, memoryview(b"0123456789"), 0)
        assert (written.count, written.pre and written.pre.size, written.post and written.post.size) == (10, 0, 10)

        for size, offset, data, end in ((4, 0, b"0123", False), (4, 6, b"6789", True), (9, 6, b"6789", True)):
            reply = await hand.brick.readv(Call(), fd, size, offset)
            assert (bytes(reply.data), reply.end) == (data, end)
            assert reply.iatt is not None
            assert reply.iatt.size == 10
        for offset in (10, 99):
            reply = await hand.brick.readv(Call(), fd, 4, offset)
            assert (bytes(reply.data), reply.end) == (b"", True)
        quiet = await hand.brick.readv(Call(attributes=False), fd, 100, 2)
        assert (bytes(quiet.data), quiet.iatt, quiet.end) == (b"23456789", None, True)
        assert (await hand.brick.writev(Call(attributes=False), fd, b"x", 0)).post is None
        hand.brick.release(fd)


async def test_an_anonymous_fd_reads_and_writes_by_gfid(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"abc")
        assert (await hand.brick.writev(Call(), Fd(gfid), b"X", 1)).count == 1
        assert await hand.read(gfid) == b"aXc"
        assert (await hand.brick.fstat(Call(), Fd(gfid))).iatt.size == 3
        unknown = Fd(hand.gfid())
        with fails(errno.ESTALE):
            hand.brick.readv(Call(), unknown, 1, 0)
        with fails(errno.ESTALE):
            hand.brick.writev(Call(), unknown, b"x", 0)
        with fails(errno.ESTALE):
            hand.brick.fstat(Call(), unknown)


async def test_an_fd_does_only_what_it_was_opened_for(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid, folder = await hand.file(b"f", b"abc"), await hand.dir(b"d")
        reader, writer = await hand.opened(gfid, os.O_RDONLY), await hand.opened(gfid, os.O_WRONLY)
        with fails(errno.EBADF):
            hand.brick.writev(Call(), reader, b"x", 0)
        with fails(errno.EBADF):
            hand.brick.ftruncate(Call(), reader, 0)
        with fails(errno.EBADF):
            hand.brick.readv(Call(), writer, 1, 0)
        with fails(errno.EISDIR):
            await hand.opened(folder, os.O_RDWR)
        with fails(errno.EISDIR):
            hand.brick.readv(Call(), Fd(folder), 1, 0)
        with fails(errno.EISDIR):
            hand.brick.writev(Call(), Fd(folder), b"x", 0)
        with fails(errno.EISDIR):
            hand.brick.truncate(Call(), Loc(folder), 0)
        with fails(errno.EINVAL):
            await hand.brick.open(Call(), Loc(gfid), os.O_RDONLY, reader)
        for fd in (reader, writer):
            hand.brick.release(fd)


async def test_a_fifo_is_never_opened(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        made = await hand.brick.mknod(hand.call(), Loc(parent=ROOT_GFID, name=b"p"), stat.S_IFIFO | 0o644, 0, 0)
        fifo = made.iatt.gfid
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
            with fails(errno.ENXIO):
                await hand.opened(fifo, flags)
        with fails(errno.ENXIO):
            hand.brick.readv(Call(), Fd(fifo), 1, 0)
        assert stat.S_ISFIFO((await hand.brick.stat(Call(), Loc(fifo))).iatt.mode)


async def test_appends_go_to_the_end_whoever_else_writes(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f", b"12345")
        one, two = [await hand.opened(gfid, os.O_RDWR | os.O_APPEND) for _ in range(2)]
        asked = Call(xdata={"glusterfs.write-is-append": 1})
        for fd, data in ((one, b"a"), (two, b"b"), (one, b"c")):
            written = await brick.writev(asked, fd, data, 0)
            assert written.xdata == {"glusterfs.write-is-append": 1}
        anonymous = Fd(gfid, os.O_RDWR | os.O_APPEND)
        await brick.writev(Call(), anonymous, b"d", 0)
        assert await hand.read(gfid) == b"12345abcd"

        plain = await hand.opened(gfid)
        inside = await brick.writev(asked, plain, b"X", 0)
        at_end = await brick.writev(asked, plain, b"e", 9)
        assert (inside.xdata, at_end.xdata) == (None, {"glusterfs.write-is-append": 1})
        for fd in (one, two, plain):
            brick.release(fd)


async def test_fsync_is_made_at_the_blocking_seam_and_a_release_meanwhile_does_no_harm(
    tmp_path: Path, mode: str
) -> None:
    pool = SlowPool()
    async with running(tmp_path, mode, Seams(blocking=pool)) as hand:
        gfid = await hand.file(b"f", b"x")
        fd = await hand.opened(gfid)
        answer = hand.brick.fsync(Call(), fd)
        directory = hand.brick.fsyncdir(Call(), Fd(ROOT_GFID))
        hand.brick.release(fd)
        assert len(pool.kept) == 2
        pool.go_on()
        changed = await answer
        assert changed.post is not None
        assert changed.post.size == 1
        await directory


async def test_a_read_that_would_wait_goes_to_the_blocking_seam(tmp_path: Path, mode: str) -> None:
    class Cold(Disk):
        """Nothing is in the page cache."""

        def preadv(self, fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
            assert flags == os.RWF_NOWAIT
            raise BlockingIOError(errno.EAGAIN, "not cached")

    seams = Seams()
    assert isinstance(seams.blocking, Pool)
    seams.blocking.disk = Cold()
    async with running(tmp_path, mode, seams) as hand:
        gfid = await hand.file(b"f", b"cold data")
        fd = await hand.opened(gfid)
        answer = hand.brick.readv(Call(), fd, 100, 5)
        hand.brick.release(fd)
        assert not isinstance(answer, Done)
        reply = await answer
        assert (bytes(reply.data), reply.end) == (b"data", True)
        assert bytes((await hand.brick.readv(Call(), Fd(gfid), 4, 0)).data) == b"cold"


async def test_a_write_that_is_synchronous_is_made_at_the_blocking_seam(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        fd = await hand.opened(gfid, os.O_RDWR | os.O_DSYNC)
        call = Call(xdata={"glusterfs.open-fd-count": 1})
        answer = hand.brick.writev(call, fd, b"durable", 0)
        assert not isinstance(answer, Done)
        written = await answer
        assert (written.count, written.xdata) == (7, {"glusterfs.open-fd-count": 1})
        hand.brick.release(fd)


async def test_what_is_written_through_is_on_the_disk_before_the_answer(tmp_path: Path, mode: str) -> None:
    made: list[str] = []

    class Watched(Disk):
        """Notes, in their order, the changes of contents and the syncs."""

        def __getattribute__(self, name: str) -> Any:
            call = super().__getattribute__(name)
            if name not in ("pwrite", "fallocate", "copy_file_range", "fsync"):
                return call

            def noted(*args: Any) -> Any:
                made.append(name)
                return call(*args)

            return noted

    seams = Seams()
    assert isinstance(seams.blocking, Pool)
    seams.blocking.disk = Watched()
    async with running(tmp_path, mode, seams) as hand:
        gfid = await hand.file(b"f", b"some data")
        through, plain = await hand.opened(gfid, os.O_RDWR | os.O_SYNC), await hand.opened(gfid)
        anonymous, brick, call = Fd(gfid, os.O_SYNC), hand.brick, Call()
        for expected, change in (
            (["pwrite", "fsync"], lambda: brick.writev(call, through, b"1", 0)),
            (["pwrite", "fsync"], lambda: brick.writev(call, anonymous, b"2", 0)),
            (["pwrite", "fsync"], lambda: brick.writev(call, plain, b"4", 0, os.O_SYNC)),
            (["pwrite", "fsync"], lambda: brick.writev(call, plain, b"5", 0, os.O_DSYNC)),
            (["pwrite", "fsync"], lambda: brick.writev(call, Fd(gfid), b"6", 0, os.O_DSYNC)),
            (["fallocate", "fsync"], lambda: brick.fallocate(call, through, 0, 0, 4096)),
            (["fallocate", "fsync"], lambda: brick.fallocate(call, anonymous, 0, 0, 4096)),
            (["fallocate", "fsync"], lambda: brick.discard(call, anonymous, 0, 4096)),
            (["fallocate", "fsync"], lambda: brick.zerofill(call, anonymous, 0, 4096)),
            (["copy_file_range", "fsync"], lambda: brick.copy_file_range(call, plain, 0, anonymous, 4096, 4)),
            (["copy_file_range", "fsync"], lambda: brick.copy_file_range(call, plain, 0, through, 4096, 4)),
            (["pwrite"], lambda: brick.writev(call, plain, b"3", 0)),
        ):
            made.clear()
            assert (await answered_or_refused(change), made) in ((True, expected), (False, expected[:1]))
        hand.brick.release(through)
        hand.brick.release(plain)


async def answered_or_refused(change: Callable[[], Awaitable[object]]) -> bool:
    """False where the file system does not do it."""
    try:
        await change()
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True


async def test_a_buffer_that_somebody_holds_is_not_read_into_again(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        size = 2 * REUSED_MIN
        gfid = await hand.file(b"f", b"a" * size + b"b" * size)
        fd = await hand.opened(gfid)
        first = (await hand.brick.readv(Call(), fd, size, 0)).data
        second = memoryview((await hand.brick.readv(Call(), fd, size, size)).data)[:100]
        third = (await hand.brick.readv(Call(), fd, size, 0)).data
        assert (first, third) == (b"a" * size, b"a" * size)
        assert second == b"b" * 100
        place = id(third)
        del third
        again = (await hand.brick.readv(Call(), fd, size, size)).data
        assert (id(again), again) == (place, b"b" * size)
        hand.brick.release(fd)


async def test_attributes_looked_at_late_are_those_of_the_fop(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        fd = await hand.opened(gfid)
        written = await hand.brick.writev(Call(), fd, b"four", 0)
        read = await hand.brick.readv(Call(), fd, 4, 0)
        await hand.brick.ftruncate(Call(), fd, 100)
        hand.brick.release(fd)
        assert [iatt and (iatt.gfid, iatt.size, iatt.nlink) for iatt in (written.pre, written.post, read.iatt)] == [
            (gfid, 0, 1),
            (gfid, 4, 1),
            (gfid, 4, 1),
        ]
        assert read.with_data(b"FOUR").iatt == read.iatt


async def test_a_huge_read_is_cut_and_says_that_it_is_not_the_end(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        await hand.brick.truncate(Call(), Loc(gfid), READ_MAX + 1)
        reply = await hand.brick.readv(Call(), Fd(gfid), 1 << 40, 0)
        assert (len(reply.data), reply.end) == (READ_MAX, False)
        with fails(errno.EINVAL):
            hand.brick.readv(Call(), Fd(gfid), -1, 0)


async def test_rchecksum_is_adler32_from_zero_and_md5(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"abcdef")
        sums = await hand.brick.rchecksum(Call(), Fd(gfid), 1, 4)
        assert sums.weak == zlib.adler32(b"bcde", 0)
        assert sums.strong == hashlib.md5(b"bcde").digest()


async def test_seek_finds_data_and_holes(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        fd = await hand.opened(gfid)
        await hand.brick.ftruncate(Call(), fd, 3 << 20)
        await hand.brick.writev(Call(), fd, b"x" * 4096, 1 << 20)
        await hand.brick.fsync(Call(), fd)
        assert (await hand.brick.seek(Call(), fd, 0, SEEK_DATA)).offset == 1 << 20
        assert (await hand.brick.seek(Call(), fd, 1 << 20, SEEK_HOLE)).offset == (1 << 20) + 4096
        with fails(errno.ENXIO):
            hand.brick.seek(Call(), fd, 2 << 20, SEEK_DATA)
        hand.brick.release(fd)
