"""Contracts: how large files are, what space they take, and where offsets and sizes end."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib

from ..graph import SEEK_DATA, SEEK_HOLE, Loc
from .contract import Chapter
from .contracts_contents import BEYOND, DIGITS, FAR, LAST, read
from .fop_bench import FopBench, holds, same

sizes = Chapter()

# --- size and space ------------------------------------------------------------------------------------------------


@sizes()
async def truncate_cuts_and_grows_with_zeros(bench: FopBench) -> None:
    gfid = await bench.file(data=DIGITS)
    changed = await bench.top.truncate(bench.call(), Loc(gfid), 4)
    same([changed.pre and changed.pre.size, changed.post and changed.post.size], [10, 4], "sizes")
    await bench.top.truncate(bench.call(), Loc(gfid), 8)
    same(await bench.contents(gfid), b"0123\0\0\0\0", "contents")
    fd = await bench.opened(gfid)
    await bench.top.ftruncate(bench.call(), fd, 2)
    same(await read(bench, fd), b"01", "contents after ftruncate")
    await bench.top.ftruncate(bench.call(), fd, FAR)
    same((await bench.iatt(gfid)).size, FAR, "size")


@sizes(optional=True)
async def fallocate_reserves_and_grows_unless_told_not_to(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    await bench.top.fallocate(bench.call(), fd, 1, 0, 10_000)
    same((await bench.top.fstat(bench.call(), fd)).iatt.size, 10, "size that was to be kept")
    changed = await bench.top.fallocate(bench.call(), fd, 0, 5, 10_000)
    same(changed.post and changed.post.size, 10_005, "size")
    same(await read(bench, fd, 12), DIGITS + b"\0\0", "contents")
    await bench.refuses(errno.EINVAL, bench.top.fallocate, bench.call(), fd, 0, 0, 0)


@sizes(optional=True)
async def discard_and_zerofill_leave_zeros(bench: FopBench) -> None:
    fd = await bench.created()
    data = b"D" * 20_000
    await bench.top.writev(bench.call(), fd, data, 0)
    await bench.top.discard(bench.call(), fd, 1000, 10_000)
    wanted = data[:1000] + bytes(10_000) + data[11_000:]
    same(await read(bench, fd) == wanted, True, "contents after discard")
    await bench.top.discard(bench.call(), fd, 19_990, 1000)
    same((await bench.top.fstat(bench.call(), fd)).iatt.size, 20_000, "size after a discard across the end")
    await bench.top.zerofill(bench.call(), fd, 19_000, 2000)
    wanted = wanted[:19_000] + bytes(2000)
    same(await read(bench, fd) == wanted, True, "contents after zerofill")


@sizes(optional=True)
async def seek_finds_data_and_holes(bench: FopBench) -> None:
    """A file system may know no holes but the one at the end."""
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 1 << 20)
    end = (1 << 20) + 10
    same((await bench.top.seek(bench.call(), fd, 1 << 20, SEEK_DATA)).offset, 1 << 20, "data at the data")
    same((await bench.top.seek(bench.call(), fd, 1 << 20, SEEK_HOLE)).offset, end, "hole behind the data")
    holds((await bench.top.seek(bench.call(), fd, 0, SEEK_DATA)).offset in (0, 1 << 20), "data from the beginning")
    holds((await bench.top.seek(bench.call(), fd, 0, SEEK_HOLE)).offset in (0, end), "hole from the beginning")
    await bench.refuses(errno.ENXIO, bench.top.seek, bench.call(), fd, end, SEEK_DATA)
    await bench.refuses(errno.EINVAL, bench.top.seek, bench.call(), fd, 0, 9)


@sizes(optional=True)
async def rchecksum_tells_the_checksums_of_a_block(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    found = await bench.top.rchecksum(bench.call(), fd, 2, 5)
    same(found.weak, zlib.adler32(b"23456", 0), "weak")
    same(bytes(found.strong)[:16], hashlib.md5(b"23456", usedforsecurity=False).digest(), "strong")


@sizes(optional=True, brick=True)
async def copy_file_range_copies(bench: FopBench) -> None:
    source, target = await bench.created(b"source"), await bench.created(b"target")
    await bench.top.writev(bench.call(), source, DIGITS, 0)
    copied = await bench.top.copy_file_range(bench.call(), source, 2, target, 1, 5)
    same(copied.count, 5, "bytes copied")
    same(await read(bench, target), b"\x0023456", "contents")


@sizes(optional=True, brick=True)
async def copy_file_range_copies_within_a_file_and_ends_with_its_source(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    same((await bench.top.copy_file_range(bench.call(), fd, 0, fd, 12, 3)).count, 3, "bytes copied within the file")
    same(await read(bench, fd), DIGITS + b"\0\x00012", "contents")
    same((await bench.top.copy_file_range(bench.call(), fd, 13, fd, 0, 10)).count, 2, "bytes left from 13 on")
    same((await bench.top.copy_file_range(bench.call(), fd, 15, fd, 0, 10)).count, 0, "bytes behind the end")
    await bench.refuses(errno.EINVAL, bench.top.copy_file_range, bench.call(), fd, 0, fd, 3, 4)
    same(await read(bench, fd), b"12" + DIGITS[2:] + b"\0\x00012", "contents after a refused overlap")
    appender = await bench.opened(fd.gfid, os.O_WRONLY | os.O_APPEND)
    await bench.refuses(errno.EBADF, bench.top.copy_file_range, bench.call(), fd, 0, appender, 20, 5)


@sizes(optional=True)
async def ranges_of_nothing_are_einval(bench: FopBench) -> None:
    fd = await bench.created()
    for change in (bench.top.discard, bench.top.zerofill):
        for offset, length in ((0, 0), (-1, 5)):
            await bench.refuses(errno.EINVAL, change, bench.call(), fd, offset, length)


# --- the ends of the range (offsets and sizes have 63 bits) ----------------------------------------------------------


@sizes()
async def a_read_of_more_than_anybody_has_answers_what_there_is(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for size in ((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, LAST):
        same(await read(bench, fd, size), DIGITS, f"contents, {size} bytes wanted")
        same(await read(bench, fd, size, LAST), b"", f"contents at the last offset, {size} bytes wanted")
    await bench.refuses(errno.EINVAL, bench.top.readv, bench.call(), fd, -1, 0)


@sizes()
async def offsets_beyond_63_bits_are_refused(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for offset in (LAST + 1, -1, -LAST - 1, 1 << 64):
        await bench.refuses(BEYOND, bench.top.readv, bench.call(), fd, 5, offset)
        await bench.refuses(BEYOND, bench.top.writev, bench.call(), fd, b"X", offset)
        await bench.refuses(BEYOND, bench.top.truncate, bench.call(), Loc(fd.gfid), offset)
        await bench.refuses(BEYOND, bench.top.ftruncate, bench.call(), fd, offset)
    await bench.refuses(BEYOND, bench.top.writev, bench.call(), fd, b"XYZ", LAST)
    same(await read(bench, fd), DIGITS, "contents")


@sizes()
async def a_size_at_the_end_of_the_range_is_sparse_or_too_large(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for size in (LAST, LAST - 4096, 1 << 62):
        try:
            await bench.top.ftruncate(bench.call(), fd, size)
        except OSError as error:
            holds(error.errno in (errno.EFBIG, errno.EINVAL), f"truncate to {size}: {error!r}")
            size = len(DIGITS)
        same((await bench.top.fstat(bench.call(), fd)).iatt.size, size, "size")
        same(await read(bench, fd, 10), DIGITS, "contents")
        await bench.top.ftruncate(bench.call(), fd, len(DIGITS))


@sizes(optional=True)
async def ranges_beyond_63_bits_are_refused_by_what_reserves_and_punches(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for offset, length in ((0, LAST + 1), (LAST, LAST), (1, LAST), (LAST + 1, 1), (-1, LAST), (0, -LAST), (0, 1 << 64)):
        await bench.refuses(BEYOND, bench.top.fallocate, bench.call(), fd, 0, offset, length)
        await bench.refuses(BEYOND, bench.top.zerofill, bench.call(), fd, offset, length)
        await bench.refuses(BEYOND, bench.top.discard, bench.call(), fd, offset, length)
    same((await bench.top.fstat(bench.call(), fd)).iatt.size, 10, "size")
    same(await read(bench, fd), DIGITS, "contents")


@sizes(optional=True)
async def nothing_is_found_or_summed_beyond_the_end_of_the_range(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for offset in (LAST, LAST + 1, -1, 1 << 64):
        for what in (SEEK_DATA, SEEK_HOLE):
            await bench.refuses((*BEYOND, errno.ENXIO), bench.top.seek, bench.call(), fd, offset, what)
    for offset, length in ((-1, 5), (0, -1), (LAST + 1, 5), (1 << 64, 5), (0, LAST + 1)):
        await bench.refuses(BEYOND, bench.top.rchecksum, bench.call(), fd, offset, length)


@sizes(optional=True, brick=True)
async def copy_file_range_refuses_ranges_beyond_63_bits(bench: FopBench) -> None:
    fd, target = await bench.created(), await bench.created(b"target")
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for start, goal, length in (
        (-1, 0, 5),
        (0, -1, 5),
        (0, 0, -1),
        (LAST + 1, 0, 1),
        (0, LAST + 1, 1),
        (0, 0, 1 << 64),
    ):
        await bench.refuses(BEYOND, bench.top.copy_file_range, bench.call(), fd, start, target, goal, length)
    same((await bench.top.fstat(bench.call(), target)).iatt.size, 0, "size of the target")
