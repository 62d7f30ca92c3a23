"""storage/posix: sizes, reserved space, holes, copies of ranges, in both ways of keeping metadata."""

import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.translators.storage.bricks import Hand, fails, in_both_modes, running
from tests.translators.storage.sick import SlowPool, seams_with
from volgraph.graph import ROOT_GFID, SEEK_DATA, SEEK_HOLE, Call, Done, Fd, Loc, Seams
from volgraph.graph.disk import KEEP_SIZE, ZERO_RANGE, Disk
from volgraph.translators.storage.posix.space import INLINE_MAX
from volgraph.translators.storage.ranges import OFFSET_MAX

pytestmark = [pytest.mark.anyio, in_both_modes]

MIB = 1 << 20


async def size_of(hand: Hand, fd: Fd) -> int:
    return (await hand.brick.fstat(Call(), fd)).iatt.size


# --- the size ---------------------------------------------------------------------------------------------------------


async def test_truncate_cuts_and_grows_within_what_a_file_may_have(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"0123456789")
        changed = await hand.brick.truncate(Call(), Loc(gfid), 4)
        assert (changed.pre and changed.pre.size, changed.post and changed.post.size) == (10, 4)
        fd = await hand.opened(gfid)
        await hand.brick.ftruncate(Call(), fd, 6)
        assert await hand.read(gfid) == b"0123\0\0"
        with fails(errno.EINVAL):
            hand.brick.truncate(Call(), Loc(gfid), -1)
        with fails(errno.EFBIG):
            hand.brick.ftruncate(Call(), fd, OFFSET_MAX)
        with fails(errno.ESTALE):
            hand.brick.truncate(Call(), Loc(hand.gfid()), 0)
        hand.brick.release(fd)


# --- a range of a file ------------------------------------------------------------------------------------------------


async def test_fallocate_takes_space_and_keeps_the_size_when_told_to(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"0123456789")
        fd = await hand.opened(gfid)
        changed = await hand.brick.fallocate(Call(), fd, KEEP_SIZE, 0, MIB)
        assert changed.pre is not None
        assert changed.post is not None
        assert (changed.pre.size, changed.post.size) == (10, 10)
        assert os.stat(tmp_path / "f").st_blocks * 512 >= MIB
        assert await hand.read(gfid) == b"0123456789"
        await hand.brick.fallocate(Call(), fd, 0, 4, 8192)
        assert await size_of(hand, fd) == 8196
        with fails(errno.EOPNOTSUPP):
            hand.brick.fallocate(Call(), fd, 2 | KEEP_SIZE, 0, 8192)
        assert (await hand.read(gfid))[:12] == b"0123456789\0\0"
        hand.brick.release(fd)


async def test_discard_gives_the_space_back_and_leaves_zeros(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid = await hand.file(b"f", b"D" * MIB)
        fd = await hand.opened(gfid)
        before = os.stat(tmp_path / "f").st_blocks
        await hand.brick.discard(Call(), fd, 65536, MIB)
        assert os.stat(tmp_path / "f").st_blocks < before
        assert await hand.read(gfid) == b"D" * 65536 + bytes(MIB - 65536)
        assert (await hand.brick.seek(Call(), fd, 0, SEEK_HOLE)).offset == 65536
        with fails(errno.ENXIO):
            hand.brick.seek(Call(), fd, 65536, SEEK_DATA)
        await hand.brick.discard(Call(), fd, 2 * MIB, MIB)  # behind the end: nothing to do
        assert await size_of(hand, fd) == MIB
        hand.brick.release(fd)


class NoZeroRange(Disk):
    """As tmpfs: reserves and punches, but has no call for zeros."""

    def fallocate(self, fd: int, mode: int, offset: int, length: int) -> None:
        if mode & ZERO_RANGE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        super().fallocate(fd, mode, offset, length)


@pytest.mark.parametrize("disk", [Disk, NoZeroRange])
async def test_zerofill_writes_zeros_and_extends_the_file(tmp_path: Path, mode: str, disk: type[Disk]) -> None:
    async with running(tmp_path, mode, seams_with(disk())) as hand:
        gfid = await hand.file(b"f", b"D" * 10_000)
        fd = await hand.opened(gfid, os.O_WRONLY | os.O_APPEND)
        changed = await hand.brick.zerofill(Call(), fd, 100, 1000)
        assert (changed.pre and changed.pre.size, changed.post and changed.post.size) == (10_000, 10_000)
        assert await hand.read(gfid) == b"D" * 100 + bytes(1000) + b"D" * 8900
        await hand.brick.zerofill(Call(attributes=False), fd, 9000, 100_000)
        assert await hand.read(gfid) == b"D" * 100 + bytes(1000) + b"D" * 7900 + bytes(100_000)
        assert os.stat(tmp_path / "f").st_blocks * 512 >= 100_000
        hand.brick.release(fd)


async def test_a_file_system_that_cannot_is_told_as_such(tmp_path: Path, mode: str) -> None:
    class Plain(Disk):
        def fallocate(self, fd: int, mode: int, offset: int, length: int) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        def copy_file_range(self, *args: Any) -> int:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    async with running(tmp_path, mode, seams_with(Plain())) as hand:
        gfid = await hand.file(b"f", b"0123456789")
        fd = Fd(gfid)
        for refused in (
            lambda: hand.brick.fallocate(Call(), fd, 0, 0, 100),
            lambda: hand.brick.discard(Call(), fd, 0, 5),
            lambda: hand.brick.zerofill(Call(), fd, 0, 5),
            lambda: hand.brick.copy_file_range(Call(), fd, 0, fd, 10, 5),
        ):
            with fails(errno.EOPNOTSUPP):
                refused()
        assert await hand.read(gfid) == b"0123456789"


async def test_ranges_that_cannot_be_are_refused_before_anything_happens(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid, folder = await hand.file(b"f", b"0123456789"), await hand.dir(b"d")
        reader = await hand.opened(gfid, os.O_RDONLY)
        brick = hand.brick
        change: Callable[[Fd, int, int], object]
        for change in (
            lambda fd, offset, length: brick.fallocate(Call(), fd, 0, offset, length),
            lambda fd, offset, length: brick.discard(Call(), fd, offset, length),
            lambda fd, offset, length: brick.zerofill(Call(), fd, offset, length),
        ):
            for offset, length in ((-1, 5), (0, 0), (0, -5)):
                with fails(errno.EINVAL):
                    change(Fd(gfid), offset, length)
            for offset, length in ((OFFSET_MAX, 1), (1, OFFSET_MAX), (1 << 64, 1)):
                with fails(errno.EFBIG):
                    change(Fd(gfid), offset, length)
            with fails(errno.EBADF):
                change(reader, 0, 5)
            with fails(errno.EISDIR):
                change(Fd(folder), 0, 5)
        assert await hand.read(gfid) == b"0123456789"
        brick.release(reader)


async def test_what_concerns_much_is_done_at_the_blocking_seam_and_a_release_meanwhile_does_no_harm(
    tmp_path: Path, mode: str
) -> None:
    pool = SlowPool()
    async with running(tmp_path, mode, Seams(blocking=pool)) as hand:
        brick = hand.brick
        source, target = await hand.file(b"source", b"S" * 3 * MIB), await hand.file(b"target")
        one, two = await hand.opened(source), await hand.opened(target)
        assert isinstance(brick.zerofill(Call(), two, 0, INLINE_MAX), Done)
        assert isinstance(brick.copy_file_range(Call(), one, 0, two, 0, 5), Done)
        descriptors = len(os.listdir("/proc/self/fd"))
        answers: list[Awaitable[Any]] = [
            brick.zerofill(Call(), two, 0, 4 * MIB),
            brick.fallocate(Call(), two, 0, 0, 5 * MIB),
            brick.discard(Call(), one, 0, INLINE_MAX + 1),
            brick.copy_file_range(Call(), one, 0, two, MIB, 2 * MIB),
        ]
        brick.release(one)
        brick.release(two)
        assert len(pool.kept) == 4
        pool.go_on()
        replies = [await answer for answer in answers]
        assert (replies[1].post.size, replies[3].count) == (5 * MIB, 2 * MIB)
        assert await hand.read(target, 3 * MIB) == bytes(2 * MIB + 1) + b"S" * (MIB - 1)
        assert len(os.listdir("/proc/self/fd")) == descriptors - 2  # the two that were released


# --- copies -----------------------------------------------------------------------------------------------------------


async def test_copy_file_range_copies_between_files_and_within_one(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        source, target = await hand.file(b"source", b"0123456789"), await hand.file(b"target", b"abcdefghij")
        copied = await hand.brick.copy_file_range(Call(), Fd(source), 2, Fd(target), 8, 5)
        assert copied.pre is not None
        assert copied.post is not None
        assert (copied.count, copied.pre.size, copied.post.size, copied.post.gfid) == (5, 10, 13, target)
        assert await hand.read(target) == b"abcdefgh23456"
        fd = await hand.opened(target)
        assert (await hand.brick.copy_file_range(Call(attributes=False), fd, 0, fd, 20, 3)).count == 3
        assert await hand.read(target) == b"abcdefgh23456" + bytes(7) + b"abc"
        assert (await hand.brick.copy_file_range(Call(), Fd(source), 8, fd, 0, 100)).count == 2
        assert (await hand.brick.copy_file_range(Call(), Fd(source), 10, fd, 0, 100)).count == 0
        hand.brick.release(fd)


async def test_copy_file_range_refuses_what_makes_no_sense(tmp_path: Path, mode: str) -> None:
    async with running(tmp_path, mode) as hand:
        gfid, folder = await hand.file(b"f", b"0123456789"), await hand.dir(b"d")
        fd, brick = Fd(gfid), hand.brick
        reader, appender = await hand.opened(gfid, os.O_RDONLY), await hand.opened(gfid, os.O_WRONLY | os.O_APPEND)
        for offset_in, offset_out, length, flags in ((-1, 0, 5, 0), (0, -1, 5, 0), (0, 0, -5, 0), (0, 20, 5, 1)):
            with fails(errno.EINVAL):
                brick.copy_file_range(Call(), fd, offset_in, fd, offset_out, length, flags)
        with fails(errno.EINVAL):
            brick.copy_file_range(Call(), fd, 0, fd, 4, 5)  # they overlap
        with fails(errno.EFBIG):
            brick.copy_file_range(Call(), fd, 0, fd, OFFSET_MAX, 5)
        with fails(errno.EBADF):
            brick.copy_file_range(Call(), fd, 0, reader, 20, 5)
        with fails(errno.EBADF):
            brick.copy_file_range(Call(), fd, 0, appender, 20, 5)
        with fails(errno.EISDIR):
            brick.copy_file_range(Call(), Fd(folder), 0, fd, 20, 5)
        with fails(errno.ESTALE):
            brick.copy_file_range(Call(), Fd(hand.gfid()), 0, fd, 20, 5)
        assert await hand.read(gfid) == b"0123456789"
        brick.release(reader)
        brick.release(appender)


# --- the reserve ------------------------------------------------------------------------------------------------------


class Filling(Disk):
    """A disk of 1000 blocks whose free ones are what the test says; counts how often it is asked."""

    free = 1000
    asked = 0

    def fstatvfs(self, fd: int) -> os.statvfs_result:
        self.asked += 1
        return os.statvfs_result((4096, 4096, 1000, self.free, self.free, 100, 100, 100, 0, 255))


class Stopped:
    """Time that goes on when it is told to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def filling_seams() -> tuple[Seams, Filling, Stopped]:
    disk, clock = Filling(), Stopped()
    seams = seams_with(disk)
    seams.clock.monotonic = clock.monotonic  # type: ignore[method-assign]
    return seams, disk, clock


async def test_below_the_reserve_what_takes_space_is_refused_and_the_rest_goes_on(tmp_path: Path, mode: str) -> None:
    seams, disk, clock = filling_seams()
    async with running(tmp_path, mode, seams) as hand:
        brick = hand.brick
        gfid, folder = await hand.file(b"f", b"0123456789"), await hand.dir(b"d")
        fd = Fd(gfid)
        disk.free, clock.now = 9, 102.0  # the reserve is 1 percent: 10 blocks
        new = Loc(parent=ROOT_GFID, name=b"new")
        takers: list[Callable[[Call], object]] = [
            lambda call: brick.create(call, new, os.O_RDWR, 0o644, 0, Fd()),
            lambda call: brick.mkdir(call, new, 0o755, 0),
            lambda call: brick.mknod(call, new, 0o644, 0, 0),
            lambda call: brick.symlink(call, b"target", new, 0),
            lambda call: brick.writev(call, fd, b"X", 0),
            lambda call: brick.fallocate(call, fd, 0, 0, 100),
            lambda call: brick.zerofill(call, fd, 0, 100),
            lambda call: brick.copy_file_range(call, fd, 0, fd, 10, 5),
        ]
        for take in takers:
            with fails(errno.ENOSPC):
                take(hand.call())
        assert await hand.read(gfid) == b"0123456789"
        assert await hand.names() == [b"d", b"f"]
        await brick.setxattr(Call(), Loc(gfid), {"trusted.afr.other": b"\0\0\0\1" * 3})
        await brick.truncate(Call(), Loc(gfid), 5)
        await brick.discard(Call(), fd, 0, 5)
        await brick.rename(Call(), Loc(parent=ROOT_GFID, name=b"d"), Loc(parent=ROOT_GFID, name=b"e"))
        await brick.rmdir(Call(), Loc(parent=ROOT_GFID, name=b"e"))
        await brick.writev(Call(pid=-6), fd, b"healed", 0)
        assert await hand.read(gfid) == b"healed"
        assert folder is not None


async def test_a_brick_that_is_full_when_it_comes_up_says_so_before_anything_is_written(
    tmp_path: Path, mode: str
) -> None:
    async with running(tmp_path, mode):
        pass
    seams, disk, _ = filling_seams()
    disk.free = 9
    async with running(tmp_path, mode, seams) as hand:
        assert hand.brick.health == "up, full"


async def test_the_disk_is_asked_once_a_second_at_most(tmp_path: Path, mode: str) -> None:
    seams, disk, clock = filling_seams()
    async with running(tmp_path, mode, seams, reserve="40960") as hand:
        await hand.file(b"f")
        gfid = await hand.file(b"g")
        for number in range(100):
            await hand.brick.writev(Call(), Fd(gfid), bytes(100_000), number)
        assert disk.asked == 1
        disk.free = 9
        await hand.file(b"h")
        clock.now += 1.0
        with fails(errno.ENOSPC):
            hand.brick.mkdir(hand.call(), Loc(parent=ROOT_GFID, name=b"d"), 0o755, 0)
        disk.free = 10
        with fails(errno.ENOSPC):
            hand.brick.writev(Call(), Fd(gfid), b"X", 0)
        assert disk.asked == 2
        clock.now += 1.0
        await hand.brick.writev(Call(), Fd(gfid), b"X", 0)
        assert disk.asked == 3


async def test_writes_notice_a_full_disk_within_a_mebibyte(tmp_path: Path, mode: str) -> None:
    seams, disk, clock = filling_seams()
    async with running(tmp_path, mode, seams, reserve="1%") as hand:
        gfid = await hand.file(b"f")
        fd = await hand.opened(gfid)
        disk.free, clock.now = 9, 200.0
        done = 0
        with fails(errno.ENOSPC):
            while done < 2 * MIB:
                done += (await hand.brick.writev(Call(), fd, bytes(4096), done)).count
        assert done <= MIB
        hand.brick.release(fd)


@pytest.mark.parametrize("nothing", ["0", "0%", "0KB"])
async def test_a_reserve_of_nothing_asks_nothing(tmp_path: Path, mode: str, nothing: str) -> None:
    seams, disk, _ = filling_seams()
    disk.free = 0
    async with running(tmp_path, mode, seams, reserve=nothing) as hand:
        await hand.file(b"f", b"data")
        assert disk.asked == 0
