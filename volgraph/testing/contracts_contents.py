"""Contracts: opening, reading and writing files."""

from __future__ import annotations

import errno
import hashlib
import os

from ..graph import ROOT_GFID, Capability, Fd, Loc
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
