"""Contracts: attributes, access, the space of a file system."""

from __future__ import annotations

import errno
import os

from ..graph import NOW_NS, ROOT_GFID, ROOT_LOC, Call, Loc, NewAttributes
from .contract import Chapter
from .fop_bench import FopBench, at, holds, same

attributes = Chapter()

LONG_AGO_NS = 981_173_106_123_456_789
"""With nanoseconds: they must survive."""


@attributes()
async def stat_fstat_and_lookup_agree(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, b"123", 0)
    await bench.top.flush(bench.call(), fd)  # replication clears its marks then at the latest, which changes the ctime
    by_name = (await bench.top.lookup(bench.call(), at(ROOT_GFID, b"file"))).iatt
    for other in (await bench.iatt(fd.gfid), (await bench.top.fstat(bench.call(), fd)).iatt):
        for field in ("gfid", "mode", "nlink", "uid", "gid", "size", "mtime_ns", "ctime_ns"):
            same(getattr(other, field), getattr(by_name, field), field)


@attributes()
async def stat_of_what_is_not_there_is_estale(bench: FopBench) -> None:
    await bench.refuses(errno.ESTALE, bench.top.stat, bench.call(), Loc(bench.new_gfid()))
    await bench.refuses(errno.EINVAL, bench.top.stat, bench.call(), Loc())
    gone = bench.new_fd(bench.new_gfid())
    await bench.refuses(errno.ESTALE, bench.top.fstat, bench.call(), gone)


@attributes()
async def setattr_changes_the_mode_and_tells_before_and_after(bench: FopBench) -> None:
    gfid = await bench.file(mode=0o644)
    changed = await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(mode=0o4750))
    holds(changed.pre is not None and changed.post is not None, "no attributes")
    assert changed.pre is not None
    assert changed.post is not None
    same((changed.pre.mode & 0o7777, changed.post.mode & 0o7777), (0o644, 0o4750), "modes")
    iatt = await bench.iatt(gfid)
    same((iatt.mode & 0o7777, iatt.is_file), (0o4750, True), "mode and kind")
    directory = await bench.directory()
    await bench.top.setattr(bench.call(), Loc(directory), NewAttributes(mode=0o1777))
    iatt = await bench.iatt(directory)
    same((iatt.mode & 0o7777, iatt.is_dir), (0o1777, True), "mode and kind of a directory")


@attributes()
async def setattr_changes_times_to_the_nanosecond(bench: FopBench) -> None:
    for gfid in (await bench.file(), await bench.directory(), await bench.symlink()):
        new = NewAttributes(atime_ns=LONG_AGO_NS, mtime_ns=LONG_AGO_NS + 1)
        await bench.top.setattr(bench.call(), Loc(gfid), new)
        iatt = await bench.iatt(gfid)
        same((iatt.atime_ns, iatt.mtime_ns), (LONG_AGO_NS, LONG_AGO_NS + 1), "atime and mtime")
        await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(mtime_ns=LONG_AGO_NS + 2))
        iatt = await bench.iatt(gfid)
        same((iatt.atime_ns, iatt.mtime_ns), (LONG_AGO_NS, LONG_AGO_NS + 2), "atime left alone, mtime changed")


@attributes()
async def setattr_sets_a_time_to_now(bench: FopBench) -> None:
    gfid = await bench.file()
    before = (await bench.iatt(gfid)).mtime_ns
    await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(mtime_ns=LONG_AGO_NS))
    await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(mtime_ns=NOW_NS))
    # The clock of a file system ticks in steps of some milliseconds.
    holds((await bench.iatt(gfid)).mtime_ns >= before - 20_000_000, "mtime was not set to the present")


@attributes()
async def fsetattr_changes_the_open_file(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.fsetattr(bench.call(), fd, NewAttributes(mode=0o600, mtime_ns=LONG_AGO_NS))
    iatt = await bench.iatt(fd.gfid)
    same((iatt.mode & 0o7777, iatt.mtime_ns), (0o600, LONG_AGO_NS), "mode and mtime")


@attributes()
async def setattr_without_anything_to_change_changes_nothing(bench: FopBench) -> None:
    gfid = await bench.file(mode=0o640)
    await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(mtime_ns=LONG_AGO_NS))
    await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes())
    iatt = await bench.iatt(gfid)
    same((iatt.mode & 0o7777, iatt.mtime_ns), (0o640, LONG_AGO_NS), "mode and mtime")


@attributes()
async def setattr_changes_the_owner_where_the_brick_may(bench: FopBench) -> None:
    """A brick that runs as an ordinary user answers EPERM."""
    for gfid in (await bench.file(), await bench.symlink()):
        try:
            await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(uid=1234, gid=2345))
        except PermissionError:
            holds(os.geteuid() != 0, "refused to root")
            continue
        iatt = await bench.iatt(gfid)
        same((iatt.uid, iatt.gid), (1234, 2345), "owner")


@attributes()
async def setattr_of_a_symlink_leaves_its_target_alone(bench: FopBench) -> None:
    await bench.file(b"target", mode=0o644)
    gfid = await bench.symlink(b"link", b"target")
    await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(mode=0o700, mtime_ns=LONG_AGO_NS))
    target = (await bench.top.lookup(bench.call(), at(ROOT_GFID, b"target"))).iatt
    same(target.mode & 0o7777, 0o644, "mode of the target")
    holds(target.mtime_ns != LONG_AGO_NS, "mtime of the target was set")


@attributes()
async def setattr_of_what_is_not_there_is_estale(bench: FopBench) -> None:
    await bench.refuses(errno.ESTALE, bench.top.setattr, bench.call(), Loc(bench.new_gfid()), NewAttributes(mode=0o600))


@attributes()
async def making_and_removing_names_moves_the_parents_mtime(bench: FopBench) -> None:
    directory = await bench.directory()
    old = NewAttributes(mtime_ns=LONG_AGO_NS)
    await bench.top.setattr(bench.call(), Loc(directory), old)
    await bench.file(b"f", parent=directory)
    holds((await bench.iatt(directory)).mtime_ns > LONG_AGO_NS, "mtime after a create")
    await bench.top.setattr(bench.call(), Loc(directory), old)
    await bench.top.unlink(bench.call(), at(directory, b"f"))
    holds((await bench.iatt(directory)).mtime_ns > LONG_AGO_NS, "mtime after an unlink")


@attributes()
async def access_tells_what_the_caller_may(bench: FopBench) -> None:
    gfid = await bench.file(mode=0o640)
    await bench.top.access(bench.call(), Loc(gfid), 0)
    await bench.top.access(bench.call(), Loc(gfid), 6)
    stranger = Call(uid=54321, gid=54321)
    await bench.refuses(errno.EACCES, bench.top.access, stranger, Loc(gfid), 4)
    await bench.refuses(errno.EACCES, bench.top.access, stranger, Loc(gfid), 1)
    await bench.refuses(errno.EINVAL, bench.top.access, bench.call(), Loc(gfid), 8)
    await bench.refuses(errno.ESTALE, bench.top.access, bench.call(), Loc(bench.new_gfid()), 4)


@attributes()
async def statfs_tells_a_space_that_makes_sense(bench: FopBench) -> None:
    space = await bench.top.statfs(bench.call(), ROOT_LOC)
    holds(space.bsize > 0 and space.frsize > 0, f"block sizes {space.bsize}, {space.frsize}")
    holds(0 <= space.bavail <= space.bfree <= space.blocks, f"blocks {space.bavail}, {space.bfree}, {space.blocks}")
    holds(space.namemax >= 255, f"namemax {space.namemax}")


@attributes()
async def numbers_that_no_object_can_have_are_refused_and_change_nothing(bench: FopBench) -> None:
    """As a peer may send them. What a file system can do about times far away is its own affair."""
    fd = await bench.created(mode=0o640)
    before = await bench.iatt(fd.gfid)
    huge = 1 << 70
    wrong = [NewAttributes(uid=number) for number in ((1 << 32) - 1, 1 << 32, huge, -1, -2)]
    wrong += [NewAttributes(gid=number) for number in ((1 << 32) - 1, 1 << 32, huge, -1, -2)]
    wrong += [NewAttributes(mtime_ns=number) for number in (huge * 10**9, -huge * 10**9)]
    wrong += [NewAttributes(atime_ns=number) for number in (huge * 10**9, -huge * 10**9)]
    for new in wrong:
        await bench.refuses(errno.EINVAL, bench.top.setattr, bench.call(), Loc(fd.gfid), new)
        await bench.refuses(errno.EINVAL, bench.top.fsetattr, bench.call(), fd, new)
    after = await bench.iatt(fd.gfid)
    for field in ("mode", "uid", "gid", "size", "mtime_ns"):
        same(getattr(after, field), getattr(before, field), field)


@attributes()
async def times_far_away_are_taken_or_refused_with_an_errno(bench: FopBench) -> None:
    gfid = await bench.file()
    for seconds in (1 << 31, 1 << 33, 1 << 40, (1 << 63) - 1, -1, -(1 << 31), -(1 << 40), -(1 << 63) + 1):
        try:
            await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(mtime_ns=seconds * 10**9))
        except OSError as error:
            holds(error.errno in (errno.EINVAL, errno.EOVERFLOW), f"mtime of {seconds} s: {error!r}")
        await bench.iatt(gfid)
