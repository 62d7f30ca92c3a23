"""Contracts: making, finding, moving and removing names."""

from __future__ import annotations

import errno
import os
import stat as mode_bits

from ..graph import NULL_GFID, ROOT_GFID, ROOT_LOC, Call, Capability, Loc, NewAttributes
from .contract import Chapter
from .fop_bench import FopBench, at, holds, same

names = Chapter()

GONE = (errno.ESTALE, errno.ENOENT)
"""Of an object that had a gfid and has no name any more."""

ODD_NAMES = (
    b"n" * 255,
    "ü".encode() * 127,
    b"a\nb",
    b" ",
    b"...",
    b"-rf",
    b"*?[]",
    b"back\\slash",
    b"\xff\xfe not utf-8",
    b"\x01\x7f",
    b".glusterfs-not",
    b"'\"`$()",
)


# --- finding -------------------------------------------------------------------------------------------------------


@names()
async def the_root_is_a_directory_with_the_root_gfid(bench: FopBench) -> None:
    iatt = (await bench.top.lookup(bench.call(), ROOT_LOC)).iatt
    same(iatt.gfid, ROOT_GFID, "gfid of the root")
    same(iatt.is_dir, True, "the root is a directory")


@names()
async def lookup_by_name_answers_the_object_and_its_parent(bench: FopBench) -> None:
    gfid = await bench.file(data=b"123")
    reply = await bench.top.lookup(bench.call(), at(ROOT_GFID, b"file"))
    same((reply.iatt.gfid, reply.iatt.size, reply.iatt.is_file), (gfid, 3, True), "iatt")
    holds(reply.postparent is not None and reply.postparent.gfid == ROOT_GFID, "no iatt of the parent")


@names()
async def lookup_by_gfid_answers_the_object(bench: FopBench) -> None:
    for gfid in (await bench.file(), await bench.directory(), await bench.symlink()):
        same((await bench.top.lookup(bench.call(), Loc(gfid))).iatt.gfid, gfid, "gfid")


@names()
async def lookup_of_what_is_not_there_says_so(bench: FopBench) -> None:
    file = await bench.file()
    await bench.refuses(errno.ENOENT, bench.top.lookup, bench.call(), at(ROOT_GFID, b"missing"))
    await bench.refuses(errno.ENOENT, bench.top.lookup, bench.call(), Loc(bench.new_gfid()))
    await bench.refuses(errno.ESTALE, bench.top.lookup, bench.call(), at(bench.new_gfid(), b"name"))
    await bench.refuses(errno.ENOTDIR, bench.top.lookup, bench.call(), at(file, b"name"))
    await bench.refuses(errno.EINVAL, bench.top.lookup, bench.call(), Loc())
    await bench.refuses(errno.EINVAL, bench.top.lookup, bench.call(), at(NULL_GFID, b"name"))


@names()
async def what_is_no_name_is_refused(bench: FopBench) -> None:
    for name, code in [
        (b".", errno.EINVAL),
        (b"..", errno.EINVAL),
        (b"a\0b", errno.EINVAL),
        (b"a/b", errno.EPERM),
        (b"/", errno.EPERM),
        (b"n" * 256, errno.ENAMETOOLONG),
        (b".glusterfs", errno.EPERM),
    ]:
        loc = at(ROOT_GFID, name)
        await bench.refuses(code, bench.top.lookup, bench.call(), loc)
        await bench.refuses(code, bench.top.mkdir, bench.making(), loc, 0o755, 0)
        await bench.refuses(code, bench.top.symlink, bench.making(), b"T", loc, 0)
        await bench.refuses(code, bench.top.create, bench.making(), loc, os.O_RDWR, 0o644, 0, bench.new_fd())
        await bench.refuses(code, bench.top.unlink, bench.call(), loc)
    await bench.refuses(errno.EINVAL, bench.top.mkdir, bench.making(), at(ROOT_GFID, b""), 0o755, 0)


@names()
async def a_refused_name_is_refused_as_the_target_of_a_rename(bench: FopBench) -> None:
    await bench.file(b"file")
    for name, code in [(b"..", errno.EINVAL), (b"a/b", errno.EPERM), (b".glusterfs", errno.EPERM)]:
        await bench.refuses(code, bench.top.rename, bench.call(), at(ROOT_GFID, b"file"), at(ROOT_GFID, name))
    same(await bench.names(), [b"file"], "names")


@names()
async def every_other_name_can_be_made_found_listed_moved_and_removed(bench: FopBench) -> None:
    for name in ODD_NAMES:
        gfid = await bench.file(name)
        same(await bench.found(name), gfid, f"gfid at {name!r}")
    same(await bench.names(), sorted(ODD_NAMES), "names")
    directory = await bench.directory(b"elsewhere")
    for name in ODD_NAMES:
        await bench.top.rename(bench.call(), at(ROOT_GFID, name), at(directory, name))
    same(await bench.names(directory), sorted(ODD_NAMES), "names after a move")
    for name in ODD_NAMES:
        await bench.top.unlink(bench.call(), at(directory, name))
    same(await bench.names(directory), [], "names after unlink")


# --- making --------------------------------------------------------------------------------------------------------


@names()
async def mkdir_makes_an_empty_directory_and_tells_the_parents_change(bench: FopBench) -> None:
    gfid = bench.new_gfid()
    made = await bench.top.mkdir(bench.making(gfid), at(ROOT_GFID, b"d"), 0o750, 0)
    same((made.iatt.gfid, made.iatt.is_dir), (gfid, True), "object")
    holds(made.preparent is not None and made.postparent is not None, "no iatts of the parent")
    assert made.preparent is not None
    assert made.postparent is not None
    same({made.preparent.gfid, made.postparent.gfid}, {ROOT_GFID}, "the parents")
    holds(made.postparent.mtime_ns >= made.preparent.mtime_ns, "the parent's mtime goes back")
    same(await bench.names(gfid), [], "names in it")


@names()
async def makers_need_a_gfid_and_never_invent_one(bench: FopBench) -> None:
    loc = at(ROOT_GFID, b"name")
    for call in (bench.call(), bench.call(xdata={"gfid-req": NULL_GFID}), bench.call(xdata={"gfid-req": b"short"})):
        await bench.refuses(errno.EINVAL, bench.top.mkdir, call, loc, 0o755, 0)
        await bench.refuses(errno.EINVAL, bench.top.symlink, call, b"T", loc, 0)
        await bench.refuses(errno.EINVAL, bench.top.create, call, loc, os.O_RDWR, 0o644, 0, bench.new_fd())
    same(await bench.names(), [], "names")


@names()
async def makers_refuse_a_name_that_is_taken(bench: FopBench) -> None:
    taken = [await bench.file(b"f"), await bench.directory(b"d"), await bench.symlink(b"s")]
    for name in (b"f", b"d", b"s"):
        loc = at(ROOT_GFID, name)
        exclusive = os.O_RDWR | os.O_CREAT | os.O_EXCL
        await bench.refuses(errno.EEXIST, bench.top.mkdir, bench.making(), loc, 0o755, 0)
        await bench.refuses(errno.EEXIST, bench.top.symlink, bench.making(), b"T", loc, 0)
        await bench.refuses(errno.EEXIST, bench.top.create, bench.making(), loc, exclusive, 0o644, 0, bench.new_fd())
    same([await bench.found(name) for name in (b"f", b"d", b"s")], taken, "what stands there")


@names(brick=True)
async def makers_refuse_a_gfid_that_another_object_bears(bench: FopBench) -> None:
    gfid = await bench.file(b"f")
    await bench.refuses(errno.EEXIST, bench.top.mkdir, bench.making(gfid), at(ROOT_GFID, b"d"), 0o755, 0)
    same(await bench.names(), [b"f"], "names")


@names()
async def makers_refuse_a_parent_that_is_not_there_or_no_directory(bench: FopBench) -> None:
    file = await bench.file()
    for parent, code in ((bench.new_gfid(), errno.ESTALE), (file, errno.ENOTDIR), (NULL_GFID, errno.EINVAL)):
        loc = at(parent, b"name")
        await bench.refuses(code, bench.top.mkdir, bench.making(), loc, 0o755, 0)
        await bench.refuses(code, bench.top.symlink, bench.making(), b"T", loc, 0)
        await bench.refuses(code, bench.top.create, bench.making(), loc, os.O_RDWR, 0o644, 0, bench.new_fd())


@names()
async def makers_take_the_umask_off_the_mode(bench: FopBench) -> None:
    made = await bench.top.mkdir(bench.making(), at(ROOT_GFID, b"d"), 0o777, 0o027)
    same(made.iatt.mode & 0o7777, 0o750, "mode of the directory")
    made = await bench.top.create(
        bench.making(), at(ROOT_GFID, b"f"), os.O_RDWR, mode_bits.S_IFREG | 0o666, 0o022, bench.new_fd()
    )
    same(made.iatt.mode, mode_bits.S_IFREG | 0o644, "mode of the file")


@names()
async def makers_give_the_object_to_the_caller(bench: FopBench) -> None:
    """A brick that runs as an ordinary user can only give it to that user."""
    await bench.top.setattr(bench.call(), Loc(ROOT_GFID), NewAttributes(mode=0o777))
    call = Call(uid=1234, gid=2345, xdata={"gfid-req": bench.new_gfid()})
    iatt = (await bench.top.mkdir(call, at(ROOT_GFID, b"d"), 0o755, 0)).iatt
    holds((iatt.uid, iatt.gid) in ((1234, 2345), (os.geteuid(), os.getegid())), f"owner {iatt.uid}:{iatt.gid}")


@names(needs=Capability.XATTRS)
async def makers_set_the_xattrs_of_their_xdata(bench: FopBench) -> None:
    xattrs = {"user.colour": b"RED", "trusted.count": bytes(4)}
    call = bench.making(xattrs=xattrs)
    gfid = (await bench.top.mkdir(call, at(ROOT_GFID, b"d"), 0o755, 0)).iatt.gfid
    fd = bench.new_fd()
    made = await bench.top.create(bench.making(xattrs=xattrs), at(ROOT_GFID, b"f"), os.O_RDWR, 0o644, 0, fd)
    for each in (gfid, made.iatt.gfid):
        found = (await bench.top.getxattr(bench.call(), Loc(each), None)).values
        same({key: found.get(key) for key in xattrs}, xattrs, "xattrs")


@names()
async def create_opens_the_file_it_makes(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, b"NEW", 0)
    same(bytes((await bench.top.readv(bench.call(), fd, 10, 0)).data), b"NEW", "contents")


@names()
async def create_without_excl_opens_the_file_that_is_there(bench: FopBench) -> None:
    gfid = await bench.file(b"f", b"OLD")
    fd = bench.new_fd(gfid)
    made = await bench.top.create(bench.making(), at(ROOT_GFID, b"f"), os.O_RDWR | os.O_CREAT, 0o644, 0, fd)
    same(made.iatt.gfid, gfid, "gfid")
    same(bytes((await bench.top.readv(bench.call(), fd, 10, 0)).data), b"OLD", "contents")
    await bench.directory(b"d")
    await bench.refuses(
        errno.EISDIR, bench.top.create, bench.making(), at(ROOT_GFID, b"d"), os.O_RDWR, 0o644, 0, bench.new_fd()
    )


@names()
async def a_symlink_keeps_its_target_byte_by_byte(bench: FopBench) -> None:
    for number, target in enumerate((b"T", b"/absolute/../target", b"\xff\n not utf-8", b"T" * 1023)):
        gfid = await bench.symlink(b"s%d" % number, target)
        reply = await bench.top.readlink(bench.call(), Loc(gfid), 4096)
        same(bytes(reply.target), target, "target")
        iatt = await bench.iatt(gfid)
        same((iatt.is_symlink, iatt.size), (True, len(target)), "iatt")
    same(bytes((await bench.top.readlink(bench.call(), Loc(gfid), 5)).target), b"TTTTT", "target, cut")


@names()
async def readlink_of_anything_else_is_einval(bench: FopBench) -> None:
    await bench.refuses(errno.EINVAL, bench.top.readlink, bench.call(), Loc(await bench.file()), 100)
    await bench.refuses(errno.EINVAL, bench.top.readlink, bench.call(), Loc(await bench.directory()), 100)


@names()
async def mknod_makes_files_and_fifos(bench: FopBench) -> None:
    for name, kind in ((b"f", mode_bits.S_IFREG), (b"p", mode_bits.S_IFIFO)):
        made = await bench.top.mknod(bench.making(), at(ROOT_GFID, name), kind | 0o600, 0, 0)
        same(made.iatt.mode, kind | 0o600, "mode")
        same(await bench.found(name), made.iatt.gfid, "gfid at the name")


@names()
async def devices_of_numbers_that_cannot_be_are_refused(bench: FopBench) -> None:
    for rdev in (-1, 1 << 32, 1 << 64):
        loc = at(ROOT_GFID, b"device")
        refused = (errno.EINVAL, errno.EPERM)
        await bench.refuses(refused, bench.top.mknod, bench.making(), loc, mode_bits.S_IFCHR | 0o600, rdev, 0)
    same(await bench.names(), [], "names")


# --- links ---------------------------------------------------------------------------------------------------------


@names(needs=Capability.HARD_LINKS)
async def a_hard_link_is_one_more_name_of_the_same_object(bench: FopBench) -> None:
    gfid = await bench.file(b"one", b"SAME")
    directory = await bench.directory()
    made = await bench.top.link(bench.call(), Loc(gfid), at(directory, b"two"))
    same((made.iatt.gfid, made.iatt.nlink), (gfid, 2), "object")
    same(await bench.found(b"two", directory), gfid, "gfid at the second name")
    await bench.top.unlink(bench.call(), at(ROOT_GFID, b"one"))
    same((await bench.iatt(gfid)).nlink, 1, "links after one unlink")
    same(await bench.contents(gfid), b"SAME", "contents")


@names(needs=Capability.HARD_LINKS)
async def a_link_that_cannot_be_is_refused(bench: FopBench) -> None:
    file, directory = await bench.file(), await bench.directory()
    await bench.refuses(errno.EPERM, bench.top.link, bench.call(), Loc(directory), at(ROOT_GFID, b"new"))
    await bench.refuses(errno.EEXIST, bench.top.link, bench.call(), Loc(file), at(ROOT_GFID, b"directory"))
    await bench.refuses(GONE, bench.top.link, bench.call(), Loc(bench.new_gfid()), at(ROOT_GFID, b"new"))
    same(await bench.names(), [b"directory", b"file"], "names")


# --- removing ------------------------------------------------------------------------------------------------------


@names()
async def unlink_takes_the_name_away(bench: FopBench) -> None:
    gfid = await bench.file()
    removed = await bench.top.unlink(bench.call(), at(ROOT_GFID, b"file"))
    holds(removed.preparent is not None and removed.postparent is not None, "no iatts of the parent")
    same(await bench.found(b"file"), None, "what stands at the name")
    await bench.refuses(GONE, bench.top.stat, bench.call(), Loc(gfid))
    await bench.refuses(errno.ENOENT, bench.top.unlink, bench.call(), at(ROOT_GFID, b"file"))


@names()
async def the_contents_of_an_unlinked_file_stay_reachable_through_an_open_fd(bench: FopBench) -> None:
    fd = await bench.created()
    await bench.top.writev(bench.call(), fd, b"STILL", 0)
    await bench.top.unlink(bench.call(), at(ROOT_GFID, b"file"))
    await bench.top.writev(bench.call(), fd, b"HERE", 5)
    same(bytes((await bench.top.readv(bench.call(), fd, 100, 0)).data), b"STILLHERE", "contents")
    same((await bench.top.fstat(bench.call(), fd)).iatt.size, 9, "size")


@names()
async def unlink_is_for_files_and_rmdir_for_directories(bench: FopBench) -> None:
    await bench.file(b"f")
    await bench.directory(b"d")
    await bench.refuses(errno.EISDIR, bench.top.unlink, bench.call(), at(ROOT_GFID, b"d"))
    await bench.refuses(errno.ENOTDIR, bench.top.rmdir, bench.call(), at(ROOT_GFID, b"f"))
    same(await bench.names(), [b"d", b"f"], "names")


@names()
async def rmdir_removes_an_empty_directory_only(bench: FopBench) -> None:
    directory = await bench.directory(b"d")
    await bench.file(b"f", parent=directory)
    await bench.refuses(errno.ENOTEMPTY, bench.top.rmdir, bench.call(), at(ROOT_GFID, b"d"))
    await bench.top.unlink(bench.call(), at(directory, b"f"))
    await bench.top.rmdir(bench.call(), at(ROOT_GFID, b"d"))
    await bench.refuses(GONE, bench.top.stat, bench.call(), Loc(directory))
    await bench.refuses(errno.ENOENT, bench.top.rmdir, bench.call(), at(ROOT_GFID, b"d"))
    await bench.refuses(errno.ESTALE, bench.top.mkdir, bench.making(), at(directory, b"x"), 0o755, 0)


# --- moving --------------------------------------------------------------------------------------------------------


@names()
async def rename_moves_a_name_and_keeps_the_object(bench: FopBench) -> None:
    gfid = await bench.file(b"old", b"SAME")
    directory = await bench.directory(b"d")
    fd = await bench.opened(gfid)
    renamed = await bench.top.rename(bench.call(), at(ROOT_GFID, b"old"), at(directory, b"new"))
    same(renamed.iatt.gfid, gfid, "gfid")
    same([await bench.found(b"old"), await bench.found(b"new", directory)], [None, gfid], "old and new name")
    parents = (renamed.post_old_parent, renamed.post_new_parent)
    same([each and each.gfid for each in parents], [ROOT_GFID, directory], "parents in the reply")
    await bench.top.writev(bench.call(), fd, b"+", 4)
    same(await bench.contents(gfid), b"SAME+", "contents")


@names(needs=Capability.ATOMIC_RENAME)
async def rename_replaces_what_stands_at_the_new_name(bench: FopBench) -> None:
    old, replaced = await bench.file(b"old", b"OLD"), await bench.file(b"new", b"REPLACED")
    fd = await bench.opened(replaced)
    await bench.top.rename(bench.call(), at(ROOT_GFID, b"old"), at(ROOT_GFID, b"new"))
    same(await bench.names(), [b"new"], "names")
    same(await bench.found(b"new"), old, "gfid at the new name")
    same(bytes((await bench.top.readv(bench.call(), fd, 100, 0)).data), b"REPLACED", "contents of the replaced, open")
    source, empty = await bench.directory(b"source"), await bench.directory(b"empty")
    await bench.file(b"f", parent=source)
    await bench.top.rename(bench.call(), at(ROOT_GFID, b"source"), at(ROOT_GFID, b"empty"))
    same(await bench.found(b"empty"), source, "gfid of the directory")
    await bench.refuses(GONE, bench.top.stat, bench.call(), Loc(empty))


@names()
async def a_rename_that_cannot_be_changes_nothing(bench: FopBench) -> None:
    directory, full = await bench.directory(b"d"), await bench.directory(b"full")
    await bench.file(b"in", parent=full)
    await bench.file(b"f")
    inner = await bench.directory(b"inner", directory)

    async def refuses(code: int | tuple[int, ...], old: bytes, new: bytes) -> None:
        await bench.refuses(code, bench.top.rename, bench.call(), at(ROOT_GFID, old), at(ROOT_GFID, new))

    await refuses(errno.ENOENT, b"missing", b"x")
    await refuses(errno.EISDIR, b"f", b"d")
    await refuses(errno.ENOTDIR, b"d", b"f")
    await refuses((errno.ENOTEMPTY, errno.EEXIST), b"d", b"full")
    await bench.refuses(errno.EINVAL, bench.top.rename, bench.call(), at(ROOT_GFID, b"d"), at(inner, b"x"))
    await bench.refuses(errno.ESTALE, bench.top.rename, bench.call(), at(ROOT_GFID, b"f"), at(bench.new_gfid(), b"x"))
    same(await bench.names(), [b"d", b"f", b"full"], "names")
    same([await bench.names(full), await bench.names(directory)], [[b"in"], [b"inner"]], "names below")


@names()
async def a_rename_onto_itself_changes_nothing(bench: FopBench) -> None:
    gfid = await bench.file(b"f", b"SAME")
    await bench.top.rename(bench.call(), at(ROOT_GFID, b"f"), at(ROOT_GFID, b"f"))
    same([await bench.found(b"f"), await bench.contents(gfid)], [gfid, b"SAME"], "object and contents")


@names(needs=Capability.HARD_LINKS)
async def a_rename_onto_another_name_of_the_same_object_changes_nothing(bench: FopBench) -> None:
    gfid = await bench.file(b"one")
    await bench.top.link(bench.call(), Loc(gfid), at(ROOT_GFID, b"two"))
    await bench.top.rename(bench.call(), at(ROOT_GFID, b"one"), at(ROOT_GFID, b"two"))
    same(await bench.names(), [b"one", b"two"], "names")
