"""Directories: their entries, and the trees below them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import AnyStr, Generic

import attrs

from .caller import Caller
from .graph import Entry, Fd, Gfid, Iatt, Loc, fail
from .paths import Paths

LISTING_BYTES = 128 << 10


@attrs.define(eq=False)
class DirEntry(Generic[AnyStr]):
    """One name of a directory, with the attributes it had when it was listed. As `os.DirEntry`, but it never follows a
    symlink: ask `Volume.stat` for what is behind one."""

    name: AnyStr
    path: AnyStr
    iatt: Iatt

    def is_dir(self) -> bool:
        return self.iatt.is_dir

    def is_file(self) -> bool:
        return self.iatt.is_file

    def is_symlink(self) -> bool:
        return self.iatt.is_symlink

    def inode(self) -> int:
        return self.iatt.gfid.ino

    def stat(self) -> os.stat_result:
        return stat_result(self.iatt)

    def __fspath__(self) -> AnyStr:
        return self.path


def stat_result(iatt: Iatt) -> os.stat_result:
    """The attributes as `os.stat` gives them. The inode number is the gfid's low half; there is no device."""
    st = iatt.st
    seconds = (st.st_atime_ns / 1e9, st.st_mtime_ns / 1e9, st.st_ctime_ns / 1e9)
    whole = (st.st_atime_ns // 10**9, st.st_mtime_ns // 10**9, st.st_ctime_ns // 10**9)
    return os.stat_result(
        (st.st_mode, iatt.gfid.ino, 0, iatt.nlink, st.st_uid, st.st_gid, st.st_size, *whole),
        {
            **dict(zip(("st_atime", "st_mtime", "st_ctime"), seconds, strict=True)),
            **{name: getattr(st, name) for name in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")},
            **{name: getattr(st, name) for name in ("st_blksize", "st_blocks", "st_rdev")},
        },
    )


async def entries(caller: Caller, directory: Gfid) -> list[Entry]:
    """Every entry of a directory, in the order of the brick. ENOTDIR; EIO a name that cannot be one.

    The offsets of one copy mean nothing to another: a listing whose copy goes (ENOTCONN) is begun again, once.
    """
    try:
        return await _entries(caller, directory)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
    return await _entries(caller, directory)


async def _entries(caller: Caller, directory: Gfid) -> list[Entry]:
    top = caller.top
    fd = Fd(directory, os.O_RDONLY | os.O_DIRECTORY, is_dir=True)
    await caller.wind_open(fd, top.opendir, caller.call, Loc(directory), fd)
    found: list[Entry] = []
    try:
        offset = 0
        while True:
            piece = await caller.wind(top.readdirp, caller.call, fd, LISTING_BYTES, offset)
            found += [_checked(entry) for entry in piece.entries if entry.name not in (b".", b"..")]
            if piece.end or not piece.entries:
                return found
            if piece.entries[-1].offset == offset:
                raise fail(errno.EIO, "a listing that does not go on")
            offset = piece.entries[-1].offset
    finally:
        top.release(fd)


def _checked(entry: Entry) -> Entry:
    if not entry.name or b"/" in entry.name or b"\0" in entry.name:
        raise fail(errno.EIO, f"a listing with the name {entry.name!r}")
    return entry


async def with_attributes(caller: Caller, directory: Gfid) -> list[tuple[bytes, Iatt]]:
    """Names and attributes. Where the listing has none (the copies may differ, or a brick found a new file) the name
    is looked up; one that is gone by then is left out."""
    paths = Paths(caller)
    found = []
    for entry in await entries(caller, directory):
        iatt = entry.iatt
        if iatt is None or not any(iatt.gfid):
            iatt = (await paths.child(directory, entry.name)).iatt
        if iatt is not None:
            found.append((entry.name, iatt))
    return found


async def visit_tree(caller: Caller, directory: Gfid, path: bytes, visit: Callable[[bytes, Iatt], bool]) -> None:
    """Show every object below a directory, with its path, to `visit`, parents first, until it answers False.
    Symlinks are not followed; a directory that is gone when its turn comes is passed over."""
    todo = [(directory, path)]
    while todo:
        gfid, above = todo.pop()
        try:
            listed = await with_attributes(caller, gfid)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            continue
        for name, iatt in listed:
            below = os.path.join(above, name)
            if not visit(below, iatt):
                return
            if iatt.is_dir:
                todo.append((iatt.gfid, below))
