"""Every fop of a brick as a case for a sweep: how it is called, and what shows that it was done."""

import errno
import os
import stat
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from tests.translators.storage.bricks import Hand
from volgraph.graph import (
    ROOT_GFID,
    Call,
    Fd,
    Flock,
    Gfid,
    Loc,
    LockCommand,
    NewAttributes,
    XattropKind,
)
from volgraph.testing.failing_disk import FailingDisk
from volgraph.translators import Posix
from volgraph.translators.storage.heal_index import XATTROP_INDEX_GFID
from volgraph.translators.storage.posix.sidecar import SidecarMetadata

ONE, MINUS = b"\0\0\0\1" + bytes(8), b"\xff\xff\xff\xff" + bytes(8)
MARK = "trusted.afr.other"


@attrs.define(eq=False)
class World(Hand):
    """A brick with one of everything, and two open files."""

    brick: Posix
    directory: Path
    disk: FailingDisk
    d: Gfid = attrs.field(init=False)
    f: Gfid = attrs.field(init=False)
    fd: Fd = attrs.field(init=False)
    dir_fd: Fd = attrs.field(init=False)
    new: Gfid = attrs.field(init=False)
    """The gfid of what a fop makes: another one when it is tried again, as callers do."""

    async def fill(self) -> None:
        self.d = await self.dir(b"d")
        self.f = await self.file(b"f", b"data" * 2000, self.d)
        await self.brick.link(Call(), Loc(self.f), at(ROOT_GFID, b"second"))
        await self.brick.setxattr(Call(), Loc(self.f), {"user.a": b"a"})
        await self.symlink(b"s", b"target")
        await self.file(b"g", b"other", self.d)
        await self.dir(b"empty")
        tree = await self.dir(b"tree")
        await self.file(b"in", b"", await self.dir(b"deeper", tree))
        self.fd = await self.opened(self.f)
        self.dir_fd = Fd(self.d)
        await self.brick.opendir(Call(), Loc(self.d), self.dir_fd)
        await self.brick.xattrop(Call(), Loc(ROOT_GFID), XattropKind.ADD_ARRAY, {MARK: ONE})
        self.new = self.gfid()

    def making(self) -> Call:
        return Call(xdata={"gfid-req": self.new, "user.made": b"so", MARK: ONE})

    def leaked(self) -> set[int]:
        """Descriptors that are open and should not be."""
        brick = self.brick.brick
        known = {brick.fd, brick.root_fd, brick.owner.fd, *brick.directories._open.values()}
        if isinstance(brick.metadata, SidecarMetadata):
            known.add(brick.metadata._log)
        return self.disk.open_now - known - {slot.fd for slot in self.brick._open_slots}


def at(parent: Gfid, name: bytes) -> Loc:
    return Loc(parent=parent, name=name)


@attrs.frozen
class Case:
    """A fop: how it is called, what it says when it has been done before, and what shows that it was done."""

    act: Callable[[World], Awaitable[Any]]
    done_before: frozenset[int] = frozenset()
    effect: Callable[[World], Awaitable[object]] | None = None
    """None: it changes nothing."""


CASES: dict[str, Case] = {}


async def _nothing(_: World) -> object:
    return True


def case(
    name: str,
    act: Callable[[World], Awaitable[Any]],
    effect: Callable[[World], Awaitable[object]] = _nothing,
    *done_before: int,
) -> None:
    CASES[name] = Case(act, frozenset(done_before), effect)


def reads(name: str, act: Callable[[World], Awaitable[Any]]) -> None:
    CASES[name] = Case(act)


def stands(path: str) -> Callable[[World], Awaitable[object]]:
    async def true(w: World) -> object:
        return os.path.lexists(w.directory / path)

    return true


def gone(path: str) -> Callable[[World], Awaitable[object]]:
    async def true(w: World) -> object:
        return not os.path.lexists(w.directory / path)

    return true


def holds(path: str, start: bytes) -> Callable[[World], Awaitable[object]]:
    async def true(w: World) -> object:
        return (w.directory / path).read_bytes().startswith(start)

    return true


async def made_whole(w: World) -> object:
    """What a maker makes has its gfid, its attributes, and its mark is listed."""
    if (await w.brick.lookup(Call(xdata={"user.made": 1}), Loc(w.new))).xdata not in ({"user.made": b"so"}, None):
        return False
    marked = (await w.brick.getxattr(Call(), Loc(w.new), MARK)).values[MARK] == ONE
    return marked and w.new.text.encode() in await w.names(XATTROP_INDEX_GFID)


async def marked(w: World) -> object:
    return (await w.brick.getxattr(Call(), Loc(w.f), MARK)).values[MARK][3] >= 1 and w.f.text.encode() in (
        await w.names(XATTROP_INDEX_GFID)
    )


async def create(w: World, flags: int = os.O_EXCL, name: bytes = b"new") -> None:
    fd = Fd()
    try:
        await w.brick.create(w.making(), at(w.d, name), os.O_RDWR | flags, 0o640, 0, fd)
    finally:
        w.brick.release(fd)


async def opened(w: World) -> None:
    fd = Fd(w.f)
    try:
        await w.brick.open(Call(), Loc(w.f), os.O_RDWR, fd)
    finally:
        w.brick.release(fd)


async def opened_directory(w: World) -> None:
    fd = Fd(w.d)
    try:
        await w.brick.opendir(Call(), Loc(w.d), fd)
    finally:
        w.brick.release(fd)


ALL_NEW = NewAttributes(mode=0o600, uid=0, gid=12 if os.geteuid() == 0 else None, atime_ns=10**18, mtime_ns=10**18)
if os.geteuid():
    ALL_NEW.uid = None
EXISTS, MISSING = errno.EEXIST, errno.ENOENT
ASKING = Call(xdata={"list-xattr": 1, "glusterfs.open-fd-count": 1, "glusterfs.content": 1 << 20, "user.a": 1})

reads("lookup", lambda w: w.brick.lookup(ASKING, at(w.d, b"f")))
reads("lookup by gfid", lambda w: w.brick.lookup(ASKING, Loc(w.f)))
reads("lookup of a directory", lambda w: w.brick.lookup(ASKING, at(ROOT_GFID, b"d")))
reads("stat", lambda w: w.brick.stat(ASKING, Loc(w.f)))
reads("fstat", lambda w: w.brick.fstat(ASKING, w.fd))
reads("fstat anonymous", lambda w: w.brick.fstat(ASKING, Fd(w.f)))
reads("access", lambda w: w.brick.access(Call(), Loc(w.f), 4))
reads("readlink", lambda w: w.brick.readlink(Call(), at(ROOT_GFID, b"s"), 100))
reads("statfs", lambda w: w.brick.statfs(Call(), Loc(ROOT_GFID)))
reads("open", opened)
reads("opendir", opened_directory)
reads("readdir", lambda w: w.brick.readdir(Call(), w.dir_fd, 4096, 0))
reads("readdirp", lambda w: w.brick.readdirp(ASKING, w.dir_fd, 4096, 0))
reads("readdirp anonymous", lambda w: w.brick.readdirp(Call(), Fd(w.d), 4096, 0))
reads("readv", lambda w: w.brick.readv(Call(), w.fd, 100, 0))
reads("readv anonymous", lambda w: w.brick.readv(Call(), Fd(w.f), 10**6, 0))
reads("rchecksum", lambda w: w.brick.rchecksum(Call(), w.fd, 0, 100))
reads("seek", lambda w: w.brick.seek(Call(), w.fd, 0, 0))
reads("getxattr", lambda w: w.brick.getxattr(Call(), Loc(w.f), None))
reads("fgetxattr", lambda w: w.brick.fgetxattr(Call(), w.fd, "user.a"))
reads("flush anonymous", lambda w: w.brick.flush(Call(lk_owner=b"o"), Fd(w.f)))
reads("inodelk", lambda w: w.brick.inodelk(Call(lk_owner=b"o"), "d", Loc(w.f), LockCommand.SET, Flock()))
reads("fsync", lambda w: w.brick.fsync(Call(), w.fd))
reads("fsyncdir", lambda w: w.brick.fsyncdir(Call(), w.dir_fd))

case("create", create, made_whole, EXISTS)
case("create what is there", partial(create, flags=0, name=b"f"))
case("mknod", lambda w: w.brick.mknod(w.making(), at(w.d, b"new"), stat.S_IFREG | 0o644, 0, 0), made_whole, EXISTS)
case("mkdir", lambda w: w.brick.mkdir(w.making(), at(w.d, b"new"), 0o755, 0), made_whole, EXISTS)
case(
    "symlink",
    lambda w: w.brick.symlink(Call(xdata={"gfid-req": w.new}), b"target", at(w.d, b"new"), 0),
    stands("d/new"),
    EXISTS,
)
case("link", lambda w: w.brick.link(Call(), Loc(w.f), at(w.d, b"new")), stands("d/new"), EXISTS)
case("unlink", lambda w: w.brick.unlink(Call(), at(w.d, b"g")), gone("d/g"), MISSING)
case("unlink one of two", lambda w: w.brick.unlink(Call(), at(w.d, b"f")), gone("d/f"), MISSING)
case("rmdir", lambda w: w.brick.rmdir(Call(), at(ROOT_GFID, b"empty")), gone("empty"), MISSING)
case("rmdir of a tree", lambda w: w.brick.rmdir(Call(), at(ROOT_GFID, b"tree"), 1), gone("tree"), MISSING)
case("rename", lambda w: w.brick.rename(Call(), at(w.d, b"g"), at(ROOT_GFID, b"n")), stands("n"), MISSING)
case("rename over a file", lambda w: w.brick.rename(Call(), at(w.d, b"f"), at(w.d, b"g")), gone("d/f"), MISSING)
case(
    "rename of a directory",
    lambda w: w.brick.rename(Call(), at(ROOT_GFID, b"tree"), at(w.d, b"t")),
    stands("d/t/deeper/in"),
    MISSING,
)
case(
    "rename over a directory",
    lambda w: w.brick.rename(Call(), at(ROOT_GFID, b"tree"), at(ROOT_GFID, b"empty")),
    stands("empty/deeper/in"),
    MISSING,
)
case("writev", lambda w: w.brick.writev(Call(), w.fd, b"DATA", 0), holds("second", b"DATA"))
case("writev anonymous", lambda w: w.brick.writev(Call(), Fd(w.f), b"DATA", 0), holds("second", b"DATA"))
case(
    "writev with xdata",
    lambda w: w.brick.writev(Call(xdata={"glusterfs.write-is-append": 1}), w.fd, b"DATA", 0),
    holds("second", b"DATA"),
)
case("truncate", lambda w: w.brick.truncate(Call(), Loc(w.f), 0))
case("ftruncate", lambda w: w.brick.ftruncate(Call(), w.fd, 0))
case("fallocate", lambda w: w.brick.fallocate(Call(), w.fd, 0, 0, 1 << 16))
case("discard", lambda w: w.brick.discard(Call(), w.fd, 0, 4096), holds("second", bytes(4096)))
case("zerofill", lambda w: w.brick.zerofill(Call(), w.fd, 0, 100), holds("second", bytes(100)))
case("copy_file_range", lambda w: w.brick.copy_file_range(Call(), w.fd, 4, Fd(w.f), 4096, 8))
case("setattr", lambda w: w.brick.setattr(Call(), Loc(w.f), ALL_NEW))
case("fsetattr", lambda w: w.brick.fsetattr(Call(), w.fd, ALL_NEW))
case("setxattr", lambda w: w.brick.setxattr(Call(), Loc(w.f), {"user.b": b"b", "trusted.b": b"b", MARK: ONE}), marked)
case("fsetxattr", lambda w: w.brick.fsetxattr(Call(), w.fd, {MARK: ONE}), marked)
case("removexattr", lambda w: w.brick.removexattr(Call(), Loc(w.f), "user.a"), _nothing, errno.ENODATA)
case("xattrop", lambda w: w.brick.xattrop(ASKING, Loc(w.f), XattropKind.ADD_ARRAY, {MARK: ONE}), marked)
case("fxattrop", lambda w: w.brick.fxattrop(ASKING, w.fd, XattropKind.ADD_ARRAY, {MARK: ONE}), marked)
case(
    "xattrop to zero",
    lambda w: w.brick.xattrop(Call(), Loc(ROOT_GFID), XattropKind.ADD_ARRAY, {MARK: MINUS}),
    _nothing,
    errno.EOVERFLOW,
)
