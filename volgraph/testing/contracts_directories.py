"""Contracts: listing directories."""

from __future__ import annotations

import errno
import os
import stat as mode_bits

from ..graph import ROOT_GFID, Loc
from .contract import Chapter
from .fop_bench import FopBench, at, holds, same

directories = Chapter()


@directories()
async def a_listing_shows_every_name_once_however_small_its_pieces(bench: FopBench) -> None:
    wanted = sorted(b"name-%03d" % number for number in range(40))
    for name in wanted:
        await bench.file(name)
    for size in (1, 300, 1 << 17):
        for plus in (False, True):
            entries = await bench.listed(ROOT_GFID, size, plus)
            same(sorted(entry.name for entry in entries), wanted, f"names, {size} bytes at a time")


@directories()
async def a_listing_has_no_dots_and_hides_the_bricks_own_directory(bench: FopBench) -> None:
    same(await bench.names(), [], "names in an empty root")
    await bench.directory(b"d")
    same(await bench.names(), [b"d"], "names")


@directories()
async def entries_tell_what_kind_of_object_stands_there(bench: FopBench) -> None:
    await bench.file(b"f")
    await bench.directory(b"d")
    await bench.symlink(b"s")
    wanted = {b"f": mode_bits.S_IFREG >> 12, b"d": mode_bits.S_IFDIR >> 12, b"s": mode_bits.S_IFLNK >> 12}
    for entry in await bench.listed():
        holds(entry.kind in (wanted[entry.name], 0), f"kind of {entry.name!r}: {entry.kind}")


@directories()
async def readdirp_answers_the_iatt_of_each_entry(bench: FopBench) -> None:
    wanted = {b"f": await bench.file(b"f", b"123"), b"d": await bench.directory(b"d")}
    found = {entry.name: entry.iatt and entry.iatt.gfid for entry in await bench.listed(plus=True)}
    same(found, wanted, "gfids")


@directories()
async def readdirp_answers_the_xdata_keys_that_are_asked(bench: FopBench) -> None:
    gfid = await bench.file(b"f")
    await bench.top.setxattr(bench.call(), Loc(gfid), {"user.colour": b"RED"})
    fd = await bench.opened_directory()
    reply = await bench.top.readdirp(bench.asking("user.colour"), fd, 4096, 0)
    same([dict(entry.xdata or {}).get("user.colour") for entry in reply.entries], [b"RED"], "xdata")


@directories()
async def names_that_stay_are_listed_once_while_others_come_and_go(bench: FopBench) -> None:
    for number in range(20):
        await bench.file(b"stays-%02d" % number)
        await bench.file(b"goes-%02d" % number)
    fd = await bench.opened_directory()
    seen: list[bytes] = []
    offset, end = 0, False
    while not end:
        reply = await bench.top.readdir(bench.call(), fd, 200, offset)
        seen += [entry.name for entry in reply.entries]
        end = reply.end
        offset = reply.entries[-1].offset if reply.entries else 0
        for name in await bench.names():
            if name.startswith(b"goes"):
                await bench.top.unlink(bench.call(), at(ROOT_GFID, name))
                break
    stayed = sorted(name for name in seen if name.startswith(b"stays"))
    same(stayed, [b"stays-%02d" % number for number in range(20)], "names that stayed")


@directories()
async def a_listing_can_be_begun_again(bench: FopBench) -> None:
    await bench.file(b"first")
    fd = await bench.opened_directory()
    same([entry.name for entry in (await bench.top.readdir(bench.call(), fd, 4096, 0)).entries], [b"first"], "names")
    await bench.file(b"second")
    again = (await bench.top.readdir(bench.call(), fd, 4096, 0)).entries
    same(sorted(entry.name for entry in again), [b"first", b"second"], "names from the beginning again")


@directories()
async def opendir_is_for_directories(bench: FopBench) -> None:
    file = await bench.file()
    await bench.refuses(errno.ENOTDIR, bench.top.opendir, bench.call(), Loc(file), bench.new_fd(file))
    gone = bench.new_gfid()
    await bench.refuses(errno.ESTALE, bench.top.opendir, bench.call(), Loc(gone), bench.new_fd(gone))


@directories()
async def fsyncdir_answers(bench: FopBench) -> None:
    fd = await bench.opened_directory()
    await bench.top.fsyncdir(bench.call(), fd, 0)
    await bench.top.fsyncdir(bench.call(), fd, 1)


@directories()
async def a_directory_counts_its_subdirectories(bench: FopBench) -> None:
    """Some file systems always answer 1."""
    directory = await bench.directory(b"d")
    await bench.directory(b"one", directory)
    await bench.directory(b"two", directory)
    holds((await bench.iatt(directory)).nlink in (4, 1), "links of a directory with two in it")
    await bench.top.rename(bench.call(), at(directory, b"one"), at(ROOT_GFID, b"one"))
    holds((await bench.iatt(directory)).nlink in (3, 1), "links after one was moved away")


@directories()
async def a_directory_is_not_read_or_written_as_a_file(bench: FopBench) -> None:
    directory = await bench.directory(b"d")
    fd = bench.new_fd(directory)
    await bench.refuses(errno.EISDIR, bench.top.open, bench.call(), Loc(directory), os.O_RDWR, fd)
    await bench.refuses(errno.EISDIR, bench.top.open, bench.call(), Loc(directory), os.O_WRONLY, fd)
    await bench.refuses(errno.EISDIR, bench.top.truncate, bench.call(), Loc(directory), 0)


@directories()
async def a_listing_may_be_asked_for_at_any_size_and_offset(bench: FopBench) -> None:
    for name in (b"a", b"b", b"c"):
        await bench.file(name)
    for piece in (bench.top.readdir, bench.top.readdirp):
        for size in (1 << 31, 1 << 32, (1 << 63) - 1):
            fd = await bench.opened_directory()
            found = (await piece(bench.call(), fd, size, 0)).entries
            same(sorted(entry.name for entry in found), [b"a", b"b", b"c"], f"names, {size} bytes wanted")
        for offset in ((1 << 63) - 1, 1 << 63, -1, 1 << 64):
            fd = await bench.opened_directory()
            try:
                reply = await piece(bench.call(), fd, 4096, offset)
            except OSError as error:
                holds(error.errno in (errno.EINVAL, errno.EOVERFLOW), f"a listing from {offset}: {error!r}")
            else:
                names = [entry.name for entry in reply.entries]
                same(len(set(names)), len(names), f"names told once, from {offset}")
