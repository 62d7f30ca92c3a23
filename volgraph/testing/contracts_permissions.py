"""Contracts: what a caller that is not root may do. Where objects belong to whoever made them, others are kept out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Awaitable, Callable
from functools import wraps

from ..graph import NOW_NS, ROOT_GFID, Call, Capability, Gfid, Iatt, Loc, NewAttributes
from ..translators.storage import acl as acls
from .contract import Chapter, Run
from .fop_bench import FopBench, at, holds, same

permissions = Chapter()

OWNER = Call(1234, 2345, lk_owner=b"owner")
MEMBER = Call(1235, 1, (7, 2345), lk_owner=b"member")
STRANGER = Call(1236, 2346, lk_owner=b"stranger")
PEOPLE = (OWNER, MEMBER, STRANGER)


def among_many(run: Callable[[FopBench], Awaitable[None]]) -> Run:
    """A contract that is about a root directory where everybody may write, and objects of different owners. A brick of
    an ordinary user has only that user's, and the kernel judges."""

    @wraps(run)
    async def guarded(bench: FopBench) -> None:
        await bench.top.setattr(bench.call(), Loc(ROOT_GFID), NewAttributes(mode=0o777))
        probe = await bench.top.mkdir(by(bench, OWNER), at(ROOT_GFID, b"probe"), 0o755, 0)
        await bench.top.rmdir(bench.call(), at(ROOT_GFID, b"probe"))
        if probe.iatt.uid == OWNER.uid:
            await run(bench)

    return guarded


def by(bench: FopBench, person: Call) -> Call:
    """The person, about to make something."""
    return person.with_xdata({"gfid-req": bench.new_gfid()})


async def owned(bench: FopBench, mode: int, name: bytes = b"file", parent: Gfid = ROOT_GFID) -> Gfid:
    """A file of the owner's."""
    gfid = await bench.file(name, b"CONTENTS", parent)
    await given(bench, gfid, mode)
    return gfid


async def owned_directory(bench: FopBench, mode: int, name: bytes = b"directory") -> Gfid:
    gfid = await bench.directory(name)
    await given(bench, gfid, mode)
    return gfid


async def given(bench: FopBench, gfid: Gfid, mode: int) -> None:
    await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(uid=OWNER.uid, gid=OWNER.gid))
    await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(mode=mode))


async def opens(bench: FopBench, person: Call, gfid: Gfid, flags: int) -> bool:
    fd = bench.new_fd(gfid, flags)
    try:
        await bench.top.open(person, Loc(gfid), flags, fd)
    except PermissionError as error:
        same(errno.errorcode[error.errno or 0], "EACCES", "refused with")
        return False
    bench.close(fd)
    return True


async def iatt_of(bench: FopBench, gfid: Gfid) -> Iatt:
    return (await bench.top.stat(bench.call(), Loc(gfid))).iatt


@permissions()
@among_many
async def a_file_opens_for_those_whom_its_mode_lets(bench: FopBench) -> None:
    gfid = await owned(bench, 0o640)
    for flags, allowed in ((os.O_RDONLY, (OWNER, MEMBER)), (os.O_WRONLY, (OWNER,)), (os.O_RDWR, (OWNER,))):
        for person in PEOPLE:
            same(await opens(bench, person, gfid, flags), person in allowed, f"uid {person.uid}, flags {flags}")
    await given(bench, gfid, 0o066)
    same([await opens(bench, person, gfid, os.O_RDWR) for person in PEOPLE], [False, True, True], "mode 0066")
    holds(not await opens(bench, OWNER, gfid, os.O_RDONLY | os.O_TRUNC), "emptied by one who may not write")


@permissions()
@among_many
async def the_contents_of_a_file_are_kept_from_others_whatever_the_fop(bench: FopBench) -> None:
    gfid = await owned(bench, 0o600)
    refuses, top, fd = bench.refuses, bench.top, bench.new_fd(gfid)
    await refuses(errno.EACCES, top.readv, STRANGER, fd, 10, 0)
    await refuses(errno.EACCES, top.writev, STRANGER, bench.new_fd(gfid), b"X", 0)
    await refuses(errno.EACCES, top.truncate, STRANGER, Loc(gfid), 1)
    await refuses(errno.EACCES, top.access, STRANGER, Loc(gfid), 4)
    await refuses(errno.EACCES, top.setattr, STRANGER, Loc(gfid), NewAttributes(size=1))
    found = (await top.lookup(STRANGER.with_xdata({"glusterfs.content": 100}), Loc(gfid))).xdata or {}
    holds("glusterfs.content" not in found, "a lookup tells the contents")
    same(await bench.contents(gfid), b"CONTENTS", "contents")


@permissions()
@among_many
async def what_was_opened_stays_open_when_the_mode_changes(bench: FopBench) -> None:
    gfid = await owned(bench, 0o666)
    fd = bench.new_fd(gfid)
    await bench.top.open(STRANGER, Loc(gfid), os.O_RDWR, fd)
    await bench.top.setattr(OWNER, Loc(gfid), NewAttributes(mode=0))
    await bench.top.writev(STRANGER, fd, b"C", 0)
    await bench.top.ftruncate(STRANGER, fd, 4)
    same(bytes((await bench.top.readv(STRANGER, fd, 10, 0)).data), b"CONT", "what is read")
    same(await opens(bench, STRANGER, gfid, os.O_RDONLY), False, "opened once more")


@permissions()
@among_many
async def a_read_only_file_is_written_by_whoever_makes_it(bench: FopBench) -> None:
    fd = bench.new_fd()
    made = await bench.top.create(by(bench, OWNER), at(ROOT_GFID, b"f"), os.O_RDWR | os.O_EXCL, 0o444, 0, fd)
    fd.gfid = made.iatt.gfid
    same((await bench.top.writev(OWNER, fd, b"ONCE", 0)).count, 4, "bytes written")
    same(await opens(bench, OWNER, fd.gfid, os.O_WRONLY), False, "opened again to write")


@permissions()
@among_many
async def names_are_made_and_removed_by_those_who_may_write_the_directory(bench: FopBench) -> None:
    parent = await owned_directory(bench, 0o755)
    await owned(bench, 0o644, b"there", parent)
    top, refuses, new, there = bench.top, bench.refuses, at(parent, b"new"), at(parent, b"there")
    call = by(bench, STRANGER)
    await refuses(errno.EACCES, top.mkdir, call, new, 0o755, 0)
    await refuses(errno.EACCES, top.symlink, call, b"t", new, 0)
    await refuses(errno.EACCES, top.mknod, call, new, stat.S_IFREG | 0o644, 0, 0)
    await refuses(errno.EACCES, top.create, call, new, os.O_RDWR | os.O_EXCL, 0o644, 0, bench.new_fd())
    await refuses(errno.EEXIST, top.mkdir, by(bench, STRANGER), there, 0o755, 0)
    await refuses(errno.EACCES, top.unlink, call, there)
    await refuses(errno.EACCES, top.rename, call, there, at(ROOT_GFID, b"stolen"))
    same(await bench.names(parent), [b"there"], "names")
    await top.mkdir(by(bench, OWNER), new, 0o755, 0)
    await top.rmdir(OWNER, new)
    await top.rename(OWNER, there, new)
    await top.unlink(OWNER, new)


@permissions()
@among_many
async def a_sticky_directory_keeps_what_is_others(bench: FopBench) -> None:
    await bench.top.setattr(bench.call(), Loc(ROOT_GFID), NewAttributes(mode=0o1777))
    await owned(bench, 0o666, b"f")
    await bench.top.mkdir(by(bench, STRANGER), at(ROOT_GFID, b"mine"), 0o755, 0)
    await bench.refuses(errno.EPERM, bench.top.unlink, STRANGER, at(ROOT_GFID, b"f"))
    await bench.refuses(errno.EPERM, bench.top.rename, STRANGER, at(ROOT_GFID, b"f"), at(ROOT_GFID, b"g"))
    await bench.top.rename(STRANGER, at(ROOT_GFID, b"mine"), at(ROOT_GFID, b"still mine"))
    await bench.top.unlink(OWNER, at(ROOT_GFID, b"f"))


@permissions()
@among_many
async def a_directory_is_listed_by_readers_and_searched_by_those_who_may_execute(bench: FopBench) -> None:
    parent = await owned_directory(bench, 0o744)
    await owned(bench, 0o666, b"f", parent)
    await bench.refuses(errno.EACCES, bench.top.lookup, STRANGER, at(parent, b"f"))
    await bench.refuses(errno.EACCES, bench.top.lookup, STRANGER, at(parent, b"none"))
    fd = bench.new_fd(parent, os.O_RDONLY, is_dir=True)
    await bench.top.opendir(STRANGER, Loc(parent), fd)
    names = [entry.name for entry in (await bench.top.readdir(STRANGER, fd, 4096, 0)).entries]
    same(names, [b"f"], "names listed")
    await given(bench, parent, 0o711)
    await bench.top.lookup(STRANGER, at(parent, b"f"))
    await bench.refuses(errno.ENOENT, bench.top.lookup, STRANGER, at(parent, b"none"))
    await bench.refuses(errno.EACCES, bench.top.opendir, STRANGER, Loc(parent), bench.new_fd(parent, is_dir=True))


@permissions()
@among_many
async def attributes_are_the_owners_to_change(bench: FopBench) -> None:
    gfid = await owned(bench, 0o666)
    loc, setattr_ = Loc(gfid), bench.top.setattr
    changes = (
        NewAttributes(mode=0o777),
        NewAttributes(uid=STRANGER.uid),
        NewAttributes(gid=STRANGER.gid),
        NewAttributes(atime_ns=5, mtime_ns=5),
    )
    for new in changes:
        await bench.refuses(errno.EPERM, setattr_, STRANGER, loc, new)
    await bench.refuses(errno.EPERM, setattr_, OWNER, loc, NewAttributes(uid=STRANGER.uid))
    await bench.refuses(errno.EPERM, setattr_, OWNER, loc, NewAttributes(gid=STRANGER.gid))
    in_two_groups = Call(OWNER.uid, OWNER.gid, (777,))
    await setattr_(in_two_groups, loc, NewAttributes(gid=777))
    await setattr_(OWNER, loc, NewAttributes(mode=0o640))
    await setattr_(OWNER, loc, NewAttributes(atime_ns=5, mtime_ns=6))
    iatt = await iatt_of(bench, gfid)
    same((iatt.uid, iatt.gid, iatt.mode & 0o7777, iatt.mtime_ns), (OWNER.uid, 777, 0o640, 6), "attributes")


@permissions()
@among_many
async def whoever_may_write_may_set_the_present_time(bench: FopBench) -> None:
    gfid = await owned(bench, 0o602)
    await bench.top.setattr(bench.call(), Loc(gfid), NewAttributes(atime_ns=5, mtime_ns=5))
    now = NewAttributes(atime_ns=NOW_NS, mtime_ns=NOW_NS)
    await bench.top.setattr(STRANGER, Loc(gfid), now)
    holds((await iatt_of(bench, gfid)).mtime_ns > 5, "the time has not changed")
    await bench.refuses(errno.EACCES, bench.top.setattr, MEMBER, Loc(gfid), now)


@permissions(brick=True)
@among_many
async def writing_to_a_program_ends_that_it_runs_as_its_owner(bench: FopBench) -> None:
    gfid = await owned(bench, 0o6777)
    fd = bench.new_fd(gfid)
    await bench.top.open(STRANGER, Loc(gfid), os.O_RDWR, fd)
    same((await iatt_of(bench, gfid)).mode & 0o7777, 0o6777, "mode when opened")
    await bench.top.writev(STRANGER, fd, b"X", 0)
    same((await iatt_of(bench, gfid)).mode & 0o7777, 0o777, "mode when written")


@permissions(needs=Capability.XATTRS)
@among_many
async def xattrs_are_kept_from_those_whom_they_do_not_concern(bench: FopBench) -> None:
    gfid = await owned(bench, 0o600)
    loc, top, refuses = Loc(gfid), bench.top, bench.refuses
    await top.setxattr(OWNER, loc, {"user.a": b"1"})
    await top.setxattr(bench.call(), loc, {"trusted.a": b"1"})
    await refuses(errno.EACCES, top.getxattr, STRANGER, loc, "user.a")
    await refuses(errno.EACCES, top.setxattr, STRANGER, loc, {"user.a": b"2"})
    await refuses(errno.EACCES, top.removexattr, STRANGER, loc, "user.a")
    await refuses(errno.ENODATA, top.getxattr, OWNER, loc, "trusted.a")
    await refuses(errno.EPERM, top.setxattr, OWNER, loc, {"trusted.a": b"2"})
    await refuses(errno.EPERM, top.setxattr, OWNER, loc, {"security.a": b"2"})
    await refuses(errno.EPERM, top.removexattr, OWNER, loc, "trusted.a")
    same((await top.getxattr(STRANGER, loc, None)).values, {}, "a stranger's list")
    same((await top.getxattr(OWNER, loc, None)).values, {"user.a": b"1"}, "the owner's list")


@permissions(needs=Capability.XATTRS, optional=True, brick=True)
@among_many
async def an_access_control_list_lets_in_whom_it_names(bench: FopBench) -> None:
    gfid = await owned(bench, 0o600)
    names = [(acls.USER_OBJ, 6), (acls.USER, 4, STRANGER.uid), (acls.GROUP_OBJ, 0), (acls.MASK, 6), (acls.OTHER, 0)]
    value = acls.packed([acls.AclEntry(*name) for name in names])
    await bench.refuses(errno.EPERM, bench.top.setxattr, STRANGER, Loc(gfid), {acls.ACCESS: value})
    await bench.top.setxattr(OWNER, Loc(gfid), {acls.ACCESS: value})
    same(await opens(bench, STRANGER, gfid, os.O_RDONLY), True, "read by the one named")
    same(await opens(bench, STRANGER, gfid, os.O_RDWR), False, "written by the one named")
    same(await opens(bench, MEMBER, gfid, os.O_RDONLY), False, "read by the group")
    same((await iatt_of(bench, gfid)).mode & 0o777, 0o660, "the mode that goes with the list")
    await bench.top.setattr(OWNER, Loc(gfid), NewAttributes(mode=0o600))
    same(await opens(bench, STRANGER, gfid, os.O_RDONLY), False, "read after the mask was taken away")


@permissions()
@among_many
async def calls_of_the_system_itself_are_not_refused(bench: FopBench) -> None:
    gfid = await owned(bench, 0)
    healer = Call(STRANGER.uid, STRANGER.gid, pid=-6)
    same(await opens(bench, healer, gfid, os.O_RDWR), True, "opened")
    await bench.top.setattr(healer, Loc(gfid), NewAttributes(mode=0o600, uid=0))


@permissions()
@among_many
async def devices_are_made_by_root_alone(bench: FopBench) -> None:
    device = stat.S_IFCHR | 0o666
    call, loc = by(bench, OWNER), at(ROOT_GFID, b"null")
    await bench.refuses(errno.EPERM, bench.top.mknod, call, loc, device, os.makedev(1, 3), 0)
    same(await bench.found(b"null"), None, "what stands there")
