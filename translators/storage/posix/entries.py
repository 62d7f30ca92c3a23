"""storage/posix: names. Finding objects, making them, taking names away, moving them."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from ....graph import (
    NULL_GFID,
    Call,
    Done,
    Fd,
    Gfid,
    Iatt,
    Loc,
    LookedUp,
    Made,
    Removed,
    Renamed,
    fail,
)
from ..heal_index import INDEX_OF_GFID
from ..name_rules import check_name, requested_gfid
from .granting import insisting
from .handles import handle_name
from .landfill import throw_away
from .making import Build, Making
from .node import OpenFile, PosixNode
from .places import Found, where

OPEN_FLAGS = os.O_ACCMODE | os.O_APPEND | os.O_TRUNC | os.O_SYNC | os.O_NOATIME
"""What of an opener's flags reaches the file system. O_DIRECT would bind callers to aligned buffers, so it is not."""

RMDIR_TREE = 1
"""xflags of rmdir: with everything in it."""


@attrs.define(eq=False)
class PosixEntries(PosixNode):
    """See `Posix`."""

    @insisting
    def lookup(self, call: Call, loc: Loc) -> Done[LookedUp]:
        """ENODATA: the object was put into the brick from outside, has no gfid, and the call's xdata names none."""
        brick = self.brick
        if not loc.name:
            return Done(self._lookup_gfid(call, loc.gfid))
        parent_fd = self._parent(loc)
        found = brick.at(loc.parent, parent_fd, loc.name)
        if found.gfid == NULL_GFID and not self._adopted(call, found, loc.parent):
            raise fail(errno.ENODATA, os.fsdecode(loc.name))
        iatt = found.iatt
        answers = self._answers(call, iatt, found.where, (loc.parent, loc.name)) if call.xdata else None
        return Done(LookedUp(iatt, self._parent_iatt(call, loc.parent, parent_fd), answers))

    def _lookup_gfid(self, call: Call, gfid: Gfid) -> LookedUp:
        if gfid in INDEX_OF_GFID:
            return LookedUp(self._index_iatt(gfid))
        try:
            found = self.brick.find(gfid)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            raise fail(errno.ENOENT, gfid.text) from None
        return LookedUp(found.iatt, None, self._answers(call, found.iatt, found.where))

    def _adopted(self, call: Call, found: Found, parent: Gfid) -> bool:
        if call.asked("gfid-req") is None:
            return False
        return self.brick.adopt(found, parent, requested_gfid(call))

    def _index_iatt(self, gfid: Gfid) -> Iatt:
        """The virtual directories of the heal index look like the brick's own directory."""
        return Iatt(gfid, self.disk.fstat(self.brick.fd))

    # --- makers ------------------------------------------------------------------------------------------------------

    @insisting
    def mknod(self, call: Call, loc: Loc, mode: int, rdev: int, umask: int) -> Done[Made]:
        kind = mode_bits.S_IFMT(mode) or mode_bits.S_IFREG
        if kind in (mode_bits.S_IFDIR, mode_bits.S_IFLNK):
            raise fail(errno.EINVAL, os.fsdecode(loc.name))
        device = rdev if kind in (mode_bits.S_IFCHR, mode_bits.S_IFBLK) else 0

        def build(dir_fd: int, name: bytes, mode: int) -> int:
            self.disk.mknod(name, kind | mode, device, dir_fd=dir_fd)
            return -1

        return Done(self._make(call, loc, kind, mode & ~umask & 0o7777, build))

    @insisting
    def mkdir(self, call: Call, loc: Loc, mode: int, umask: int) -> Done[Made]:
        def build(dir_fd: int, name: bytes, mode: int) -> int:
            self.disk.mkdir(name, mode, dir_fd=dir_fd)
            return -1

        return Done(self._make(call, loc, mode_bits.S_IFDIR, mode & ~umask & 0o7777, build))

    @insisting
    def symlink(self, call: Call, target: bytes, loc: Loc, umask: int) -> Done[Made]:
        def build(dir_fd: int, name: bytes, mode: int) -> int:
            self.disk.symlink(target, name, dir_fd=dir_fd)
            return -1

        if b"\0" in target:
            raise fail(errno.EINVAL, os.fsdecode(loc.name))
        return Done(self._make(call, loc, mode_bits.S_IFLNK, 0o777, build))

    @insisting
    def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Done[Made]:
        self._check_unopened(fd)
        kept = flags & OPEN_FLAGS & ~os.O_TRUNC
        parent_fd = self._parent(loc)
        requested_gfid(call)
        existing = None if flags & os.O_EXCL else self.brick.look(loc.parent, parent_fd, loc.name)
        if existing is not None:
            return Done(self._open_existing(call, loc, existing, flags, fd))

        def build(dir_fd: int, name: bytes, mode: int) -> int:
            return self.disk.open(name, kept | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=dir_fd)

        self.brick.reserve.check(call)
        pre = self._parent_iatt(call, loc.parent, parent_fd)
        making = Making(self.brick, call, loc, parent_fd, mode_bits.S_IFREG, mode & ~umask & 0o7777, build)
        found = making.run()
        self._keep(fd, OpenFile(making.descriptor, found.gfid, kept, found.hidden))
        return Done(Made(found.iatt, pre, self._parent_iatt(call, loc.parent, self._parent(loc))))

    def _open_existing(self, call: Call, loc: Loc, found: Found, flags: int, fd: Fd) -> Made:
        if found.gfid == NULL_GFID and not self._adopted(call, found, loc.parent):
            raise fail(errno.ENODATA, os.fsdecode(loc.name))
        self._keep(fd, self._open_file(call, found, flags & OPEN_FLAGS))
        now = self.brick.at(loc.parent, self._parent(loc), loc.name)
        parent = self._parent_iatt(call, loc.parent, self._parent(loc))
        return Made(now.iatt, parent, parent)

    def _make(self, call: Call, loc: Loc, kind: int, mode: int, build: Build) -> Made:
        self.brick.reserve.check(call)
        parent_fd = self._parent(loc)
        pre = self._parent_iatt(call, loc.parent, parent_fd)
        found = Making(self.brick, call, loc, parent_fd, kind, mode, build).run()
        return Made(found.iatt, pre, self._parent_iatt(call, loc.parent, parent_fd))

    @insisting
    def link(self, call: Call, old: Loc, new: Loc) -> Done[Made]:
        brick = self.brick
        found = self._found(old)
        if found.is_dir:
            raise fail(errno.EPERM, old.gfid.text)
        parent_fd = self._parent(new)
        pre = self._parent_iatt(call, new.parent, parent_fd)
        self.disk.link(found.name, new.name, src_dir_fd=found.dir_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        if found.gfid != NULL_GFID:
            brick.metadata.linked(where(parent_fd, new.name), (new.parent, new.name))
        made = brick.at(new.parent, parent_fd, new.name)
        return Done(Made(made.iatt, pre, self._parent_iatt(call, new.parent, parent_fd)))

    # --- takers ------------------------------------------------------------------------------------------------------

    @insisting
    def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Done[Removed]:
        if loc.parent in INDEX_OF_GFID:
            return Done(self._unlist(loc))
        brick = self.brick
        parent_fd = self._parent(loc)
        found = brick.at(loc.parent, parent_fd, loc.name)
        if found.is_dir:
            raise fail(errno.EISDIR, os.fsdecode(loc.name))
        pre = self._parent_iatt(call, loc.parent, parent_fd)
        self.disk.unlink(loc.name, dir_fd=parent_fd)
        self._name_gone(found, loc)
        xdata = {"get-link-count": found.names_left} if call.asked("get-link-count") is not None else None
        return Done(Removed(pre, self._parent_iatt(call, loc.parent, parent_fd), xdata))

    def _name_gone(self, found: Found, loc: Loc) -> None:
        """One name of an object that is no directory was removed, or replaced."""
        if found.names_left <= 1:
            self.brick.bury(found)
        elif found.hidden:
            self.brick.metadata.unlinked(where(self.brick.fd, handle_name(found.gfid)), (loc.parent, loc.name))

    def _unlist(self, loc: Loc) -> Removed:
        """Drop a stale entry of a heal index. An object that still bears marks is listed at its next xattrop."""
        index = self.brick.index
        try:
            gfid = Gfid.from_text(os.fsdecode(loc.name))
        except ValueError:
            raise fail(errno.ENOENT, os.fsdecode(loc.name)) from None
        if gfid not in index.listed[INDEX_OF_GFID[loc.parent]]:
            raise fail(errno.ENOENT, gfid.text)
        index.drop((INDEX_OF_GFID[loc.parent],), gfid)
        return Removed()

    @insisting
    def rmdir(self, call: Call, loc: Loc, xflags: int = 0) -> Done[Removed]:
        """xflags 1: with everything in it."""
        brick = self.brick
        parent_fd = self._parent(loc)
        found = brick.at(loc.parent, parent_fd, loc.name)
        if not found.is_dir:
            raise fail(errno.ENOTDIR, os.fsdecode(loc.name))
        pre = self._parent_iatt(call, loc.parent, parent_fd)
        if xflags & RMDIR_TREE:
            throw_away(brick, found)
        else:
            with _enotempty(loc):
                self.disk.rmdir(loc.name, dir_fd=parent_fd)
            brick.bury(found)
        return Done(Removed(pre, self._parent_iatt(call, loc.parent, parent_fd)))

    # --- rename ------------------------------------------------------------------------------------------------------

    @insisting
    def rename(self, call: Call, old: Loc, new: Loc) -> Done[Renamed]:
        brick = self.brick
        old_fd, new_fd = self._parent(old), self._parent(new)
        source = brick.at(old.parent, old_fd, old.name)
        target = brick.look(new.parent, new_fd, new.name)
        pre_old = self._parent_iatt(call, old.parent, old_fd)
        pre_new = self._parent_iatt(call, new.parent, new_fd)
        if target is None or target.st.st_ino != source.st.st_ino:  # two names of one file: nothing to do
            self._move(source, new_fd, old, new)
            if target is not None:
                if target.is_dir:
                    brick.bury(target)
                else:
                    self._name_gone(target, new)
        moved = brick.at(new.parent, new_fd, new.name)
        return Done(
            Renamed(
                moved.iatt,
                pre_old,
                self._parent_iatt(call, old.parent, old_fd),
                pre_new,
                self._parent_iatt(call, new.parent, new_fd),
            )
        )

    def _move(self, source: Found, new_fd: int, old: Loc, new: Loc) -> None:
        """The handle of a directory is ready before the rename and put into force after it: a rename that fails
        changes nothing, and a crash in between is mended by the next lookup of the name."""
        brick, place = self.brick, (new.parent, new.name)
        staged = brick.handles.stage(source.gfid, place) if source.is_dir and source.gfid != NULL_GFID else None
        brick.metadata.before_rename(source, place)
        try:
            with _enotempty(new):
                self.disk.rename(old.name, new.name, src_dir_fd=source.dir_fd, dst_dir_fd=new_fd)
        except OSError:
            brick.metadata.rename_failed(source)
            if staged is not None:
                self.disk.unlink(staged, dir_fd=brick.fd)
            raise
        if staged is not None:
            brick.handles.commit(source.gfid, staged)
        if source.gfid != NULL_GFID:
            at = where(brick.fd, handle_name(source.gfid))
            brick.metadata.after_rename(source, at, (old.parent, old.name), place)

    # --- parents -----------------------------------------------------------------------------------------------------

    def _parent(self, loc: Loc) -> int:
        """The open directory that `loc` names something in; the name is checked."""
        if loc.parent in INDEX_OF_GFID:
            raise fail(errno.EPERM, os.fsdecode(loc.name))
        fd = self.brick.directory(loc.parent)
        check_name(loc.parent, loc.name)
        return fd

    def _parent_iatt(self, call: Call, gfid: Gfid, fd: int) -> Iatt | None:
        return Iatt(gfid, self.disk.fstat(fd)) if call.attributes else None


@contextmanager
def _enotempty(loc: Loc) -> Iterator[None]:
    """Some file systems say EEXIST of a directory that is not empty."""
    try:
        yield
    except FileExistsError as error:
        raise fail(errno.ENOTEMPTY, os.fsdecode(loc.name)) from error
