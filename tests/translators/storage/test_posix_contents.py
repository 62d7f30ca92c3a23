"""storage/posix: contents, attributes, extended attributes, listings and locks, in both ways of keeping metadata."""

import errno
import hashlib
import os
import stat
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.translators.storage.bricks import AS_ROOT, fails, in_both_modes, running
from tests.translators.storage.sick import SlowPool
from volgraph.graph import (
    NOW_NS,
    ROOT_GFID,
    SEEK_DATA,
    SEEK_HOLE,
    Call,
    Coming,
    Done,
    EntryLockCommand,
    Fd,
    Flock,
    Loc,
    LockCommand,
    LockType,
    NewAttributes,
    Seams,
    XattropKind,
)
from volgraph.graph.disk import Disk
from volgraph.graph.pool import Pool
from volgraph.translators.storage.heal_index import DIRTY_INDEX_GFID, XATTROP_INDEX_GFID
from volgraph.translators.storage.posix.buffers import REUSED_MIN
from volgraph.translators.storage.posix.contents import READ_MAX

pytestmark = [pytest.mark.anyio, in_both_modes]


# --- contents ---------------------------------------------------------------------------------------------------------


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


# --- attributes -------------------------------------------------------------------------------------------------------


async def test_setattr_changes_what_is_named_and_nothing_else(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f", b"12345")
        changed = await brick.setattr(Call(), Loc(gfid), NewAttributes(mode=0o600, mtime_ns=5_000_000_007))
        assert changed.post is not None
        assert stat.S_IMODE(changed.post.mode) == 0o600
        assert changed.post.mtime_ns == 5_000_000_007
        assert changed.pre is not None
        assert changed.post.atime_ns == changed.pre.atime_ns

        fd = await hand.opened(gfid)
        await brick.fsetattr(Call(), fd, NewAttributes(atime_ns=9, size=2))
        iatt = (await brick.fstat(Call(), fd)).iatt
        assert (iatt.atime_ns, iatt.size) == (9, 2)
        await brick.fsetattr(Call(), fd, NewAttributes(mtime_ns=NOW_NS))
        assert (await brick.fstat(Call(), fd)).iatt.mtime_ns > 5_000_000_007
        same = (await brick.fstat(Call(), fd)).iatt
        await brick.setattr(Call(), Loc(gfid), NewAttributes(uid=same.uid, gid=same.gid))
        folder = await hand.dir(b"d")
        changed = await brick.setattr(Call(), Loc(folder), NewAttributes(mode=0, atime_ns=3, mtime_ns=4))
        assert changed.post is not None
        assert (stat.S_IMODE(changed.post.mode), changed.post.atime_ns, changed.post.mtime_ns) == (0, 3, 4)
        await brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        brick.release(fd)
        with fails(errno.ESTALE):
            brick.setattr(Call(), Loc(hand.gfid()), NewAttributes(mode=0o600))


@pytest.mark.skipif(not AS_ROOT, reason="needs root, to give files away")
async def test_a_new_owner_and_a_set_user_id_mode_are_both_kept(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        link = (await hand.symlink(b"l", b"f")).iatt.gfid
        changed = await hand.brick.setattr(Call(), Loc(gfid), NewAttributes(uid=7, gid=8, mode=0o4755))
        assert changed.post is not None
        assert (changed.post.uid, changed.post.gid, stat.S_IMODE(changed.post.mode)) == (7, 8, 0o4755)
        await hand.brick.setattr(Call(), Loc(link), NewAttributes(uid=9))
        assert (await hand.brick.stat(Call(), Loc(link))).iatt.uid == 9
        assert (await hand.brick.stat(Call(), Loc(gfid))).iatt.uid == 7


async def test_access_judges_by_the_callers_identity(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", mode=0o640)
        st = (await hand.brick.stat(Call(), Loc(gfid))).iatt
        stranger = Call(uid=st.uid + 1, gid=st.gid + 1)
        member = Call(uid=st.uid + 1, gid=1, groups=(st.gid,))
        await hand.brick.access(Call(uid=st.uid, gid=st.gid), Loc(gfid), 6)
        await hand.brick.access(member, Loc(gfid), 4)
        with fails(errno.EACCES):
            hand.brick.access(member, Loc(gfid), 2)
        with fails(errno.EACCES):
            hand.brick.access(stranger, Loc(gfid), 4)
        with fails(errno.EACCES):
            hand.brick.access(Call(uid=0), Loc(gfid), 1)


async def test_statfs_tells_of_the_file_system(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        space = await hand.brick.statfs(Call(), Loc(ROOT_GFID))
        assert space.blocks == os.statvfs(tmp_path).f_blocks
        assert space.namemax == 255


# --- extended attributes ----------------------------------------------------------------------------------------------


async def test_xattrs_are_set_listed_and_removed_on_every_kind_of_object(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        read_only = await hand.file(b"f", mode=0o444)
        folder = await hand.dir(b"d")
        link = (await hand.symlink(b"l", b"f")).iatt.gfid
        fifo = (await brick.mknod(hand.call(), Loc(parent=ROOT_GFID, name=b"p"), stat.S_IFIFO | 0o600, 0, 0)).iatt.gfid
        for gfid in (read_only, folder, link, fifo):
            loc = Loc(gfid)
            await brick.setxattr(Call(), loc, {"trusted.one": b"1", "trusted.two": b""})
            assert (await brick.getxattr(Call(), loc, None)).values == {"trusted.one": b"1", "trusted.two": b""}
            assert (await brick.getxattr(Call(), loc, "trusted.two")).values == {"trusted.two": b""}
            await brick.removexattr(Call(), loc, "trusted.one")
            with fails(errno.ENODATA):
                brick.getxattr(Call(), loc, "trusted.one")
            with fails(errno.ENODATA):
                brick.removexattr(Call(), loc, "trusted.one")
            with fails(errno.EEXIST):
                brick.setxattr(Call(), loc, {"trusted.two": b"2"}, os.XATTR_CREATE)
            with fails(errno.ENODATA):
                brick.setxattr(Call(), loc, {"trusted.one": b"2"}, os.XATTR_REPLACE)
        await brick.setxattr(Call(), Loc(folder), {"user.mine": b"kept on the object"})
        assert os.getxattr(tmp_path / "d", "user.mine") == b"kept on the object"
        with fails(errno.ESTALE):
            brick.getxattr(Call(), Loc(hand.gfid()), None)
        with fails(errno.EOPNOTSUPP):
            brick.setxattr(Call(), Loc(folder), {"nonsense": b"1"})


async def test_the_gfid_can_be_neither_seen_nor_changed_as_an_attribute(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f")
        await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.gfid": bytes(16), "trusted.x": b"1"})
        asked = Call(xdata={"trusted.gfid": 1, "list-xattr": 1})
        found = await hand.brick.lookup(asked, Loc(parent=ROOT_GFID, name=b"f"))
        assert found.iatt.gfid == gfid
        assert found.xdata == {"trusted.x": b"1"}
        with fails(errno.ENODATA):
            hand.brick.getxattr(Call(), Loc(gfid), "trusted.gfid")
        with fails(errno.EPERM):
            hand.brick.removexattr(Call(), Loc(gfid), "trusted.gfid")


async def test_xattrop_adds_and_answers_the_new_value(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick, key = hand.brick, "trusted.afr.other"
        gfid = await hand.file(b"f")
        one, minus = b"\0\0\0\1" * 3, b"\xff\xff\xff\xff" * 3
        added = await brick.xattrop(Call(), Loc(gfid), XattropKind.ADD_ARRAY, {key: one})
        assert added.values == {key: one}
        fd = await hand.opened(gfid)
        added = await brick.fxattrop(Call(), fd, XattropKind.ADD_ARRAY, {key: one, "trusted.afr.dirty": bytes(12)})
        assert added.values == {key: b"\0\0\0\2" * 3, "trusted.afr.dirty": bytes(12)}
        assert added.post is not None
        brick.release(fd)
        assert (await brick.getxattr(Call(), Loc(gfid), None)).values == {key: b"\0\0\0\2" * 3}
        for _ in range(2):
            await brick.xattrop(Call(), Loc(gfid), XattropKind.ADD_ARRAY, {key: minus})
        assert (await brick.getxattr(Call(), Loc(gfid), key)).values == {key: bytes(12)}
        with fails(errno.EINVAL):
            brick.xattrop(Call(), Loc(gfid), XattropKind.ADD_ARRAY, {"trusted.y": b"\0\0\0\1", key: one * 2})
        with fails(errno.ENODATA):
            brick.getxattr(Call(), Loc(gfid), "trusted.y")


@pytest.mark.parametrize(
    ("kind", "stored", "sent", "answer", "kept"),
    [
        (XattropKind.ADD_ARRAY64, b"\0" * 7 + b"\5", b"\0" * 7 + b"\2", b"\0" * 7 + b"\7", b"\0" * 7 + b"\7"),
        (XattropKind.GET_AND_SET, b"old", b"new", b"old", b"new"),
        (XattropKind.ADD_ARRAY_WITH_DEFAULT, None, b"\0\0\0\1\0\0\0\7", b"\0\0\0\10", b"\0\0\0\10"),
        (XattropKind.ADD_ARRAY_WITH_DEFAULT, b"\0\0\0\2", b"\0\0\0\1\0\0\0\7", b"\0\0\0\3", b"\0\0\0\3"),
    ],
)
async def test_xattrop_adds_long_counters_exchanges_and_adds_with_a_default(
    tmp_path: Path, mode: str, kind: XattropKind, stored: bytes | None, sent: bytes, answer: bytes, kept: bytes
) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.dir(b"d")
        if stored is not None:
            await hand.brick.setxattr(Call(), Loc(gfid), {"trusted.k": stored})
        assert (await hand.brick.xattrop(Call(), Loc(gfid), kind, {"trusted.k": sent})).values == {"trusted.k": answer}
        assert (await hand.brick.getxattr(Call(), Loc(gfid), "trusted.k")).values == {"trusted.k": kept}


async def test_the_heal_index_lists_exactly_what_bears_a_counter(tmp_path: Path, mode: str) -> None:
    one, minus = b"\0\0\0\1" * 3, b"\xff\xff\xff\xff" * 3
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        file, folder = await hand.file(b"f"), await hand.dir(b"d")
        root = Loc(ROOT_GFID)
        keys = ("glusterfs.xattrop_index_gfid", "glusterfs.xattrop_dirty_gfid")
        assert [(await brick.getxattr(Call(), root, key)).values[key] for key in keys] == [
            XATTROP_INDEX_GFID,
            DIRTY_INDEX_GFID,
        ]
        add = XattropKind.ADD_ARRAY
        await brick.xattrop(Call(), Loc(file), add, {"trusted.afr.a": one, "trusted.afr.b": one})
        await brick.xattrop(Call(), Loc(folder), add, {"trusted.afr.dirty": one})
        await brick.setxattr(Call(), Loc(folder), {"trusted.afr.m.volgraph-id": one})

        assert [entry.name for entry in await hand.entries(XATTROP_INDEX_GFID)] == [file.text.encode()]
        assert [entry.name for entry in await hand.entries(DIRTY_INDEX_GFID)] == [folder.text.encode()]
        asked = Call(xdata={"link-count": "glusterfs.xattrop_index_count"})
        assert (await brick.lookup(asked, root)).xdata == {"link-count": 1}
        assert (tmp_path / ".glusterfs/indices/xattrop" / file.text).exists()

        await brick.xattrop(Call(), Loc(file), add, {"trusted.afr.a": minus})
        assert len(await hand.entries(XATTROP_INDEX_GFID)) == 1, "the other counter keeps it"
        await brick.removexattr(Call(), Loc(file), "trusted.afr.b")
        assert await hand.entries(XATTROP_INDEX_GFID) == []
        await brick.xattrop(Call(), Loc(file), add, {"trusted.afr.a": one})

    async with running(tmp_path, mode) as hand:
        fd = Fd(XATTROP_INDEX_GFID)
        await hand.brick.opendir(Call(), Loc(XATTROP_INDEX_GFID), fd)
        names = [entry.name for entry in (await hand.brick.readdir(Call(), fd, 1 << 20, 0)).entries]
        hand.brick.release(fd)
        assert names == [file.text.encode()], "it is there after a restart"
        await hand.brick.unlink(Call(), Loc(parent=XATTROP_INDEX_GFID, name=names[0]))
        assert await hand.entries(XATTROP_INDEX_GFID) == []
        with fails(errno.ENOENT):
            hand.brick.unlink(Call(), Loc(parent=XATTROP_INDEX_GFID, name=names[0]))
        with fails(errno.EPERM):
            hand.brick.mkdir(hand.call(), Loc(parent=XATTROP_INDEX_GFID, name=b"x"), 0o755, 0)
        await hand.brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"d"))
        assert await hand.entries(DIRTY_INDEX_GFID) == [], "what is removed needs no healing"


async def test_lookup_answers_the_keys_asked_for(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f", b"small")
        await brick.setxattr(Call(), Loc(gfid), {"trusted.afr.a": bytes(12), "trusted.b": b"2"})
        fd = await hand.opened(gfid)
        me = Call(client="c", lk_owner=b"1")
        await brick.inodelk(me, "dom", Loc(gfid), LockCommand.SET, Flock(LockType.WRITE))
        await brick.entrylk(me, "dom", Loc(ROOT_GFID), b"f", EntryLockCommand.TRY, LockType.WRITE)
        asked = Call(
            xdata={
                "trusted.afr.a": 12,
                "trusted.none": 1,
                "trusted.b*": 1,
                "glusterfs.open-fd-count": 1,
                "glusterfs.inodelk-count": 1,
                "glusterfs.inodelk-dom-count": "other",
                "glusterfs.entrylk-count": 1,
                "glusterfs.parent-entrylk": 1,
                "glusterfs.content": 5,
                "never.heard.of": 1,
            }
        )
        expected = {
            "trusted.afr.a": bytes(12),
            "trusted.b": b"2",
            "glusterfs.open-fd-count": 1,
            "glusterfs.inodelk-count": 1,
            "glusterfs.inodelk-dom-count": 0,
            "glusterfs.entrylk-count": 0,
            "glusterfs.parent-entrylk": 1,
            "glusterfs.content": b"small",
        }
        assert (await brick.lookup(asked, Loc(parent=ROOT_GFID, name=b"f"))).xdata == expected
        (entry,) = await hand.entries(ROOT_GFID, asked)
        assert entry.xdata == expected
        brick.release(fd)
        small = Call(xdata={"glusterfs.content": 4})
        assert (await brick.lookup(small, Loc(gfid))).xdata is None


# --- directories ------------------------------------------------------------------------------------------------------


async def test_a_listing_in_pieces_shows_each_name_once_whatever_comes_and_goes(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        folder = await hand.dir(b"d")
        names = [b"%03d" % n for n in range(100)]
        for name in names:
            await hand.file(name, parent=folder)
        fd = Fd(folder, os.O_DIRECTORY)
        await brick.opendir(Call(), Loc(folder), fd)
        seen: list[bytes] = []
        offset, pieces, end = 0, 0, False
        while not end:
            piece = await brick.readdir(Call(), fd, 10 * 27, offset)
            seen += [entry.name for entry in piece.entries]
            offset, end = (piece.entries[-1].offset if piece.entries else offset), piece.end
            pieces += 1
            if pieces == 2:
                await brick.unlink(Call(), Loc(parent=folder, name=b"000"))
                await hand.file(b"new", parent=folder)
        assert seen == names
        assert pieces >= 10
        again = await brick.readdir(Call(), fd, 1 << 20, 0)
        assert sorted(entry.name for entry in again.entries) == [*names[1:], b"new"]
        assert {entry.kind for entry in again.entries} == {8}
        assert all(0 < entry.offset < 1 << 32 for entry in again.entries)
        brick.release(fd)
        with fails(errno.ENOTDIR):
            brick.readdir(Call(), Fd(await hand.find(b"001", folder)), 100, 0)


async def test_readdirp_brings_attributes_and_kinds(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        folder, file = await hand.dir(b"d"), await hand.file(b"f", b"123")
        await hand.symlink(b"l", b"f")
        entries = {entry.name: entry for entry in await hand.entries()}

        assert {name: entry.kind for name, entry in entries.items()} == {b"d": 4, b"f": 8, b"l": 10}
        assert (entries[b"d"].gfid, entries[b"f"].gfid) == (folder, file)
        iatt = entries[b"f"].iatt
        assert iatt is not None
        assert (iatt.gfid, iatt.size, iatt.nlink) == (file, 3, 1)


# --- locks ------------------------------------------------------------------------------------------------------------


async def test_locks_exclude_other_owners_and_end_with_their_client(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        brick = hand.brick
        gfid = await hand.file(b"f")
        one, two = Call(client="one", lk_owner=b"1"), Call(client="two", lk_owner=b"1")
        whole = Flock(LockType.WRITE)
        await brick.inodelk(one, "dom", Loc(gfid), LockCommand.SET, whole)
        await brick.entrylk(one, "dom", Loc(ROOT_GFID), b"f", EntryLockCommand.TRY, LockType.WRITE)
        with fails(errno.EAGAIN):
            brick.finodelk(two, "dom", Fd(gfid), LockCommand.SET, whole)
        with fails(errno.EAGAIN):
            brick.fentrylk(two, "dom", Fd(ROOT_GFID), b"f", EntryLockCommand.TRY, LockType.WRITE)
        waiting = brick.inodelk(two, "dom", Loc(gfid), LockCommand.WAIT, whole)
        assert isinstance(waiting, Coming)
        assert not waiting.settled
        brick.disconnect("one")
        await waiting
        await brick.inodelk(two, "dom", Loc(gfid), LockCommand.SET, Flock(LockType.UNLOCK))
        with fails(errno.ESTALE):
            brick.inodelk(one, "dom", Loc(hand.gfid()), LockCommand.SET, whole)


async def test_flush_gives_back_the_owners_fcntl_locks(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        fd = await hand.opened(await hand.file(b"f"))
        one, two = Call(client="one", lk_owner=b"1"), Call(client="two", lk_owner=b"2")
        await hand.brick.lk(one, fd, LockCommand.SET, Flock(LockType.WRITE))
        with fails(errno.EAGAIN):
            hand.brick.lk(two, fd, LockCommand.SET, Flock(LockType.WRITE))
        await hand.brick.flush(one, fd)
        await hand.brick.lk(two, fd, LockCommand.SET, Flock(LockType.WRITE))
        hand.brick.release(fd)
