"""Contracts: reading, writing and sizing files."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib

from ..graph import ROOT_GFID, SEEK_DATA, SEEK_HOLE, Capability, Fd, Loc
from .contract import Chapter
from .fop_bench import FopBench, at, holds, same

contents = Chapter()

DIGITS = b"0123456789"
MUCH = bytes(number % 26 + 65 for number in range(300_001))
FAR = (1 << 32) + 5
LAST = (1 << 63) - 1
"""The largest offset."""
BEYOND = (errno.EINVAL, errno.EFBIG, errno.EOVERFLOW)
"""What is said of an offset, or a range, that no file can have."""


async def read(bench: FopBench, fd: Fd, size: int = 1 << 20, offset: int = 0) -> bytes:
    return bytes((await bench.top.readv(bench.call(), fd, size, offset)).data)


# --- reading and writing -------------------------------------------------------------------------------------------


@contents()
async def what_is_written_is_read(bench: FopBench) -> None:
    fd = await bench.created()
    written = await bench.top.writev(bench.call(), fd, DIGITS, 0)
    same(written.count, 10, "bytes written")
    same(await read(bench, fd), DIGITS, "contents")
    same([await read(bench, fd, 3, 4), await read(bench, fd, 100, 8)], [b"456", b"89"], "pieces")


@contents()
async def every_kind_of_buffer_is_written(bench: FopBench) -> None:
    fd = await bench.created()
    for data in (bytes(DIGITS), bytearray(DIGITS), memoryview(DIGITS)):
        await bench.top.writev(bench.call(), fd, data, 0)
        same(await read(bench, fd), DIGITS, f"contents written from {type(data).__name__}")


@contents(needs=Capability.PARTIAL_WRITES)
async def a_write_changes_its_range_only(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    await bench.top.writev(bench.call(), fd, b"XY", 3)
    same(await read(bench, fd), b"012XY56789", "contents")
    await bench.top.writev(bench.call(), fd, b"Z", 9)
    await bench.top.writev(bench.call(), fd, b"END", 12)
    same(await read(bench, fd), b"012XY5678Z\0\0END", "contents with a gap of zeros")


@contents()
async def large_contents_at_odd_offsets_survive(bench: FopBench) -> None:
    fd = await bench.created()
    for offset in range(0, len(MUCH), 70_001):
        await bench.top.writev(bench.call(), fd, MUCH[offset : offset + 70_001], offset)
    same(hashlib.sha256(await read(bench, fd)).digest(), hashlib.sha256(MUCH).digest(), "contents (SHA-256)")
    same(await read(bench, fd, 8192, 4095), MUCH[4095 : 4095 + 8192], "a piece across pages")


@contents(needs=Capability.PARTIAL_WRITES, brick=True)
async def a_write_that_is_told_to_append_does_so_whatever_its_offset(bench: FopBench) -> None:
    opened = await bench.created()
    await bench.top.writev(bench.call(), opened, b"012", 0)
    for fd, data in ((opened, b"345"), (Fd(opened.gfid), b"678")):
        await bench.top.writev(bench.call(), fd, data, 0, os.O_APPEND)
    same(await read(bench, opened), b"012345678", "contents")


@contents(needs=Capability.PARTIAL_WRITES)
async def what_ends_behind_the_largest_offset_is_einval(bench: FopBench) -> None:
    """By the same number on every brick: else one copy of a mirror is taken to differ."""
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    await bench.refuses(errno.EINVAL, bench.top.writev, bench.call(), fd, b"12", LAST - 1)
    for size in (LAST + 1, LAST + 2):
        await bench.refuses(errno.EINVAL, bench.top.ftruncate, bench.call(), fd, size)
        await bench.refuses(errno.EINVAL, bench.top.truncate, bench.call(), Loc(fd.gfid), size)
    same(await read(bench, fd), DIGITS, "contents")


@contents(needs=Capability.PARTIAL_WRITES)
async def a_write_far_behind_the_end_leaves_zeros_between(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, FAR)
    same((await bench.top.fstat(bench.call(), fd)).iatt.size, FAR + 10, "size")
    same(await read(bench, fd, 20, FAR - 5), bytes(5) + DIGITS, "contents around the beginning of the data")


@contents()
async def reading_at_the_end_answers_nothing_and_says_so(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for offset in (10, 11, FAR):
        reply = await bench.top.readv(bench.call(), fd, 10, offset)
        same((bytes(reply.data), reply.end), (b"", True), f"data and end at {offset}")
    same((await bench.top.readv(bench.call(), fd, 100, 0)).end, True, "end, reading across it")
    same((await bench.top.readv(bench.call(), fd, 5, 0)).end, False, "end, reading before it")


@contents()
async def nothing_is_written_or_read_where_nothing_is_asked(bench: FopBench) -> None:
    fd = await bench.created()
    same((await bench.top.writev(bench.call(), fd, b"", 5)).count, 0, "bytes written")
    same((await bench.top.fstat(bench.call(), fd)).iatt.size, 0, "size")
    same(await read(bench, fd, 0, 0), b"", "contents")


@contents()
async def a_write_tells_the_attributes_from_before_and_after(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, b"123", 0)
    written = await bench.top.writev(bench.call(), fd, b"45", 3)
    holds(written.pre is not None and written.post is not None, "no attributes")
    assert written.pre is not None
    assert written.post is not None
    same((written.pre.size, written.post.size), (3, 5), "sizes")
    same({written.pre.gfid, written.post.gfid}, {fd.gfid}, "gfids")
    holds(written.post.mtime_ns >= written.pre.mtime_ns, "mtime goes back")


@contents()
async def a_caller_that_wants_no_attributes_is_served_all_the_same(bench: FopBench) -> None:
    fd = await bench.created()
    quiet = bench.call(attributes=False)
    same((await bench.top.writev(quiet, fd, DIGITS, 0)).count, 10, "bytes written")
    same(bytes((await bench.top.readv(quiet, fd, 100, 0)).data), DIGITS, "contents")
    await bench.top.ftruncate(quiet, fd, 3)
    await bench.top.fsync(quiet, fd, 0)
    await bench.top.unlink(quiet, at(ROOT_GFID, b"file"))


@contents()
async def two_fds_of_one_file_see_each_others_writes(bench: FopBench) -> None:
    one = await bench.created()
    two = await bench.opened(one.gfid, os.O_RDWR)
    await bench.top.writev(bench.call(), one, b"ONE", 0)
    same(await read(bench, two), b"ONE", "contents by the other fd")


@contents()
async def appending_writes_at_the_end_whatever_the_offset(bench: FopBench) -> None:
    gfid = await bench.file(data=DIGITS)
    fd = await bench.opened(gfid, os.O_WRONLY | os.O_APPEND)
    await bench.top.writev(bench.call(), fd, b"A", 0, os.O_WRONLY | os.O_APPEND)
    await bench.top.writev(bench.call(), fd, b"B", 3, os.O_WRONLY | os.O_APPEND)
    same(await bench.contents(gfid), DIGITS + b"AB", "contents")


@contents(brick=True)
async def a_write_at_the_end_is_told_as_an_append(bench: FopBench) -> None:
    fd = await bench.created()
    asking = bench.asking("glusterfs.write-is-append")
    for offset, wanted in ((0, True), (10, True), (5, False)):
        reply = await bench.top.writev(asking, fd, DIGITS, offset)
        same(bool((reply.xdata or {}).get("glusterfs.write-is-append")), wanted, f"append at {offset}")


@contents()
async def an_fd_serves_what_it_was_opened_for(bench: FopBench) -> None:
    gfid = await bench.file(data=DIGITS)
    reader, writer = await bench.opened(gfid, os.O_RDONLY), await bench.opened(gfid, os.O_WRONLY)
    await bench.refuses(errno.EBADF, bench.top.writev, bench.call(), reader, b"X", 0)
    await bench.refuses(errno.EBADF, bench.top.readv, bench.call(), writer, 10, 0)
    await bench.refuses((errno.EBADF, errno.EINVAL), bench.top.ftruncate, bench.call(), reader, 0)
    same(await bench.contents(gfid), DIGITS, "contents")


@contents()
async def a_negative_offset_is_einval(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    await bench.refuses(errno.EINVAL, bench.top.readv, bench.call(), fd, 3, -1)
    await bench.refuses(errno.EINVAL, bench.top.writev, bench.call(), fd, b"X", -1)
    await bench.refuses(errno.EINVAL, bench.top.ftruncate, bench.call(), fd, -1)


@contents()
async def an_fd_that_was_not_opened_here_stands_for_its_gfid(bench: FopBench) -> None:
    gfid = await bench.file(data=DIGITS)
    anonymous = bench.new_fd(gfid)
    same(await read(bench, anonymous), DIGITS, "contents")
    await bench.top.writev(bench.call(), anonymous, b"X", 0)
    same((await bench.top.fstat(bench.call(), anonymous)).iatt.size, 10, "size")
    same(await bench.contents(gfid), b"X123456789", "contents after a write")


@contents(brick=True)
async def an_unlinked_file_is_reached_by_its_gfid_as_long_as_somebody_has_it_open(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    await bench.top.unlink(bench.call(), at(ROOT_GFID, b"file"))
    anonymous = bench.new_fd(fd.gfid)
    same(await read(bench, anonymous), DIGITS, "contents")
    bench.close(fd)
    await bench.refuses(errno.ESTALE, bench.top.readv, bench.call(), anonymous, 10, 0)
    await bench.top.mkdir(bench.making(fd.gfid), at(ROOT_GFID, b"d"), 0o755, 0)


# --- opening -------------------------------------------------------------------------------------------------------


@contents()
async def opening_what_is_not_there_is_estale(bench: FopBench) -> None:
    gone = bench.new_gfid()
    await bench.refuses(errno.ESTALE, bench.top.open, bench.call(), Loc(gone), os.O_RDONLY, bench.new_fd(gone))


@contents(brick=True)
async def only_files_are_opened(bench: FopBench) -> None:
    gfid = await bench.symlink()
    await bench.refuses(errno.ELOOP, bench.top.open, bench.call(), Loc(gfid), os.O_RDONLY, bench.new_fd(gfid))


@contents()
async def o_trunc_empties_the_file(bench: FopBench) -> None:
    gfid = await bench.file(data=DIGITS)
    await bench.opened(gfid, os.O_WRONLY | os.O_TRUNC)
    same((await bench.iatt(gfid)).size, 0, "size")


@contents()
async def closing_and_syncing_answer(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    synced = await bench.top.fsync(bench.call(), fd, 0)
    same([synced.pre and synced.pre.size, synced.post and synced.post.size], [10, 10], "sizes before and after fsync")
    await bench.top.fsync(bench.call(), fd, 1)
    await bench.top.flush(bench.call(), fd)
    same(await read(bench, fd), DIGITS, "contents after flush")


# --- size and space ------------------------------------------------------------------------------------------------


@contents()
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


@contents(optional=True)
async def fallocate_reserves_and_grows_unless_told_not_to(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    await bench.top.fallocate(bench.call(), fd, 1, 0, 10_000)
    same((await bench.top.fstat(bench.call(), fd)).iatt.size, 10, "size that was to be kept")
    changed = await bench.top.fallocate(bench.call(), fd, 0, 5, 10_000)
    same(changed.post and changed.post.size, 10_005, "size")
    same(await read(bench, fd, 12), DIGITS + b"\0\0", "contents")
    await bench.refuses(errno.EINVAL, bench.top.fallocate, bench.call(), fd, 0, 0, 0)


@contents(optional=True)
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


@contents(optional=True)
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


@contents(optional=True)
async def rchecksum_tells_the_checksums_of_a_block(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    found = await bench.top.rchecksum(bench.call(), fd, 2, 5)
    same(found.weak, zlib.adler32(b"23456", 0), "weak")
    same(bytes(found.strong)[:16], hashlib.md5(b"23456", usedforsecurity=False).digest(), "strong")


@contents(optional=True, brick=True)
async def copy_file_range_copies(bench: FopBench) -> None:
    source, target = await bench.created(b"source"), await bench.created(b"target")
    await bench.top.writev(bench.call(), source, DIGITS, 0)
    copied = await bench.top.copy_file_range(bench.call(), source, 2, target, 1, 5)
    same(copied.count, 5, "bytes copied")
    same(await read(bench, target), b"\x0023456", "contents")


@contents(optional=True, brick=True)
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


@contents(optional=True)
async def ranges_of_nothing_are_einval(bench: FopBench) -> None:
    fd = await bench.created()
    for change in (bench.top.discard, bench.top.zerofill):
        for offset, length in ((0, 0), (-1, 5)):
            await bench.refuses(errno.EINVAL, change, bench.call(), fd, offset, length)


# --- the ends of the range (offsets and sizes have 63 bits) ----------------------------------------------------------


@contents()
async def a_read_of_more_than_anybody_has_answers_what_there_is(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for size in ((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, LAST):
        same(await read(bench, fd, size), DIGITS, f"contents, {size} bytes wanted")
        same(await read(bench, fd, size, LAST), b"", f"contents at the last offset, {size} bytes wanted")
    await bench.refuses(errno.EINVAL, bench.top.readv, bench.call(), fd, -1, 0)


@contents()
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


@contents()
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


@contents(optional=True)
async def ranges_beyond_63_bits_are_refused_by_what_reserves_and_punches(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for offset, length in ((0, LAST + 1), (LAST, LAST), (1, LAST), (LAST + 1, 1), (-1, LAST), (0, -LAST), (0, 1 << 64)):
        await bench.refuses(BEYOND, bench.top.fallocate, bench.call(), fd, 0, offset, length)
        await bench.refuses(BEYOND, bench.top.zerofill, bench.call(), fd, offset, length)
        await bench.refuses(BEYOND, bench.top.discard, bench.call(), fd, offset, length)
    same((await bench.top.fstat(bench.call(), fd)).iatt.size, 10, "size")
    same(await read(bench, fd), DIGITS, "contents")


@contents(optional=True)
async def nothing_is_found_or_summed_beyond_the_end_of_the_range(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, DIGITS, 0)
    for offset in (LAST, LAST + 1, -1, 1 << 64):
        for what in (SEEK_DATA, SEEK_HOLE):
            await bench.refuses((*BEYOND, errno.ENXIO), bench.top.seek, bench.call(), fd, offset, what)
    for offset, length in ((-1, 5), (0, -1), (LAST + 1, 5), (1 << 64, 5), (0, LAST + 1)):
        await bench.refuses(BEYOND, bench.top.rchecksum, bench.call(), fd, offset, length)


@contents(optional=True, brick=True)
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
