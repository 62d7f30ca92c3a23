"""storage/posix: names. Finding objects, making them, taking names away, moving them."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Callable
from contextlib import suppress

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
    Xdata,
    fail,
)
from ..heal_index import INDEX_OF_GFID
from ..name_rules import check_name, requested_gfid
from ..ranges import check_device
from . import judging
from .doubt import attempted, is_at, is_gone
from .granting import insisting
from .handles import handle_name
from .landfill import throw_away
from .making import Build, Making
from .node import OpenFile, PosixNode
from .places import Found, Place, where

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
        if call.uid:
            judging.search(brick, call, parent_fd)
        found = brick.at(loc.parent, parent_fd, loc.name)
        if found.gfid == NULL_GFID and not self._adopted(call, found, loc.parent):
            raise fail(errno.ENODATA, os.fsdecode(loc.name))
        iatt = found.iatt
        answers = self._answers_of(call, found, (loc.parent, loc.name))
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
        return LookedUp(found.iatt, None, self._answers_of(call, found))

    def _answers_of(self, call: Call, found: Found, place: Place | None = None) -> Xdata | None:
        if not call.xdata or len(call.xdata) < 2:
            return self._answers(call, found.iatt, found.where, place)
        with self._reached(found) as at:
            return self._answers(call, found.iatt, at, place)

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
        check_device(device)

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
        if call.uid:
            judging.search(self.brick, call, parent_fd)
        looked = not flags & os.O_EXCL
        if looked and (existing := self.brick.look(loc.parent, parent_fd, loc.name)) is not None:
            return Done(self._open_existing(call, loc, existing, flags, fd))

        def build(dir_fd: int, name: bytes, mode: int) -> int:
            how = kept & ~os.O_SYNC | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            return self.disk.open(name, how, mode, dir_fd=dir_fd)

        making = self._making(call, loc, parent_fd, mode_bits.S_IFREG, mode & ~umask & 0o7777, build, looked)
        found = making.run()
        self._keep(fd, OpenFile(making.descriptor, found.gfid, kept, found.hidden))
        return Done(self._made(making, found))

    def _open_existing(self, call: Call, loc: Loc, found: Found, flags: int, fd: Fd) -> Made:
        if found.gfid == NULL_GFID and not self._adopted(call, found, loc.parent):
            raise fail(errno.ENODATA, os.fsdecode(loc.name))
        if call.uid:
            judging.opening(self.brick, call, found, flags)
        self._keep(fd, self._open_file(call, found, flags & OPEN_FLAGS))
        now = self.brick.at(loc.parent, self._parent(loc), loc.name)
        parent = self._parent_iatt(call, loc.parent, self._parent(loc))
        return Made(now.iatt, parent, parent)

    def _make(self, call: Call, loc: Loc, kind: int, mode: int, build: Build) -> Made:
        making = self._making(call, loc, self._parent(loc), kind, mode, build)
        return self._made(making, making.run())

    def _making(
        self, call: Call, loc: Loc, parent_fd: int, kind: int, mode: int, build: Build, looked: bool = False
    ) -> Making:
        """`looked`: the name is known not to be there. EACCES EPERM ENOSPC."""
        brick = self.brick
        if call.uid:
            judging.make(brick, call, parent_fd, loc.name, kind)
            if kind != mode_bits.S_IFDIR:
                mode = judging.made_mode(brick, call, parent_fd, mode)
        brick.reserve.check(call)
        return Making(brick, call, loc, parent_fd, self.disk.fstat(parent_fd), kind, mode, build, looked)

    def _made(self, making: Making, found: Found) -> Made:
        call, parent = making.call, making.loc.parent
        pre = Iatt(parent, making.parent_st) if call.attributes else None
        return Made(found.iatt, pre, self._parent_iatt(call, parent, making.parent_fd))

    @insisting
    def link(self, call: Call, old: Loc, new: Loc) -> Done[Made]:
        brick = self.brick
        found = self._found(old)
        parent_fd = self._parent(new)
        if call.uid:
            judging.link(brick, call, found, parent_fd, new.name)
        if found.is_dir:
            raise fail(errno.EPERM, old.gfid.text)
        pre = self._parent_iatt(call, new.parent, parent_fd)
        self.disk.link(found.name, new.name, src_dir_fd=found.dir_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        if found.gfid != NULL_GFID:
            brick.metadata.linked(found.gfid, where(parent_fd, new.name), (new.parent, new.name))
            brick.unsettled.named(new.parent, found.gfid)
        made = brick.at(new.parent, parent_fd, new.name)
        return Done(Made(made.iatt, pre, self._parent_iatt(call, new.parent, parent_fd)))

    # --- takers ------------------------------------------------------------------------------------------------------

    @insisting
    def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Done[Removed]:
        if loc.parent in INDEX_OF_GFID:
            return Done(self._unlist(call, loc))
        found, parent_fd = self._victim(call, loc)
        if found.is_dir:
            raise fail(errno.EISDIR, os.fsdecode(loc.name))
        pre = self._parent_iatt(call, loc.parent, parent_fd)
        disk, name = self.disk, loc.name
        failed = attempted(lambda: disk.unlink(name, dir_fd=parent_fd), lambda: is_gone(disk, parent_fd, name))
        self._name_gone(found, loc)
        if failed is not None:
            raise failed
        xdata = {"get-link-count": found.names_left} if call.asked("get-link-count") is not None else None
        return Done(Removed(pre, self._parent_iatt(call, loc.parent, parent_fd), xdata))

    def _victim(self, call: Call, loc: Loc) -> tuple[Found, int]:
        """What the caller may remove, and the open directory that it is in. ENOENT EACCES EPERM."""
        parent_fd = self._parent(loc)
        if call.uid:
            judging.search(self.brick, call, parent_fd)
        found = self.brick.at(loc.parent, parent_fd, loc.name)
        if call.uid:
            judging.remove(self.brick, call, parent_fd, found)
        return found, parent_fd

    def _name_gone(self, found: Found, loc: Loc) -> None:
        """One name of an object that is no directory was removed, or replaced."""
        if found.names_left <= 1:
            self.brick.bury(found)
        elif found.hidden:
            at = where(self.brick.fd, handle_name(found.gfid))
            self.brick.metadata.unlinked(found.gfid, at, (loc.parent, loc.name))

    def _unlist(self, call: Call, loc: Loc) -> Removed:
        """Drop a stale entry of a heal index. An object that still bears marks is listed at its next xattrop."""
        if call.uid and not judging.free(self.brick, call):
            raise fail(errno.EACCES, os.fsdecode(loc.name))
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
        found, parent_fd = self._victim(call, loc)
        if not found.is_dir:
            raise fail(errno.ENOTDIR, os.fsdecode(loc.name))
        pre = self._parent_iatt(call, loc.parent, parent_fd)
        if xflags & RMDIR_TREE:
            if call.uid and not judging.free(brick, call):
                raise fail(errno.EPERM, os.fsdecode(loc.name))  # it would take what is others'
            throw_away(brick, found)
        else:
            disk, name = self.disk, loc.name
            failed = _or_enotempty(
                loc, lambda: disk.rmdir(name, dir_fd=parent_fd), lambda: is_gone(disk, parent_fd, name)
            )
            brick.bury(found)
            if failed is not None:
                raise failed
        return Done(Removed(pre, self._parent_iatt(call, loc.parent, parent_fd)))

    # --- rename ------------------------------------------------------------------------------------------------------

    @insisting
    def rename(self, call: Call, old: Loc, new: Loc) -> Done[Renamed]:
        brick = self.brick
        old_fd, new_fd = self._parent(old), self._parent(new)
        if call.uid:
            judging.search(brick, call, old_fd)
            judging.search(brick, call, new_fd)
        source = brick.at(old.parent, old_fd, old.name)
        target = brick.look(new.parent, new_fd, new.name)
        pre_old, pre_new = self._parent_iatts(call, old, old_fd, new, new_fd)
        if target is None or target.st.st_ino != source.st.st_ino:  # else both name one file, and nothing is to be done
            if call.uid:
                judging.rename(brick, call, source, (old_fd, new_fd), target)
            self._move(source, target, new_fd, old, new)
        st = self.disk.stat(new.name, dir_fd=new_fd, follow_symlinks=False)
        post_old, post_new = self._parent_iatts(call, old, old_fd, new, new_fd)
        return Done(Renamed(Iatt(source.gfid, st, source.hidden), pre_old, post_old, pre_new, post_new))

    def _move(self, source: Found, target: Found | None, new_fd: int, old: Loc, new: Loc) -> None:
        """The handle of a directory is ready before the rename and put into force after it: a rename that fails
        changes nothing, and a crash in between is mended by the next lookup of the name. After it there is no way back:
        all that follows is done, though one of it fails."""
        brick, place = self.brick, (new.parent, new.name)
        brick.metadata.settle(source)
        staged = brick.handles.stage(source.gfid, place) if source.is_dir and source.gfid != NULL_GFID else None
        try:
            brick.metadata.before_rename(source, place)
            failed = _or_enotempty(
                new,
                lambda: self.disk.rename(old.name, new.name, src_dir_fd=source.dir_fd, dst_dir_fd=new_fd),
                lambda: is_at(self.disk, new_fd, new.name, source.st),
            )
        except OSError:
            if staged is not None:
                with suppress(OSError):
                    self.disk.unlink(staged, dir_fd=brick.fd)
            brick.metadata.rename_failed(source)
            raise
        try:
            if target is not None:
                self._replaced(target, new)
        finally:
            try:
                if staged is not None:
                    brick.handles.commit(source.gfid, staged)
            finally:
                if source.gfid != NULL_GFID:
                    for parent in {old.parent, new.parent}:
                        brick.unsettled.named(parent, source.gfid)
                    at = where(brick.fd, handle_name(source.gfid))
                    brick.metadata.after_rename(source, at, (old.parent, old.name), place)
        if failed is not None:
            raise failed

    def _replaced(self, target: Found, loc: Loc) -> None:
        if target.is_dir:
            self.brick.bury(target)
        else:
            self._name_gone(target, loc)

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

    def _parent_iatts(
        self, call: Call, old: Loc, old_fd: int, new: Loc, new_fd: int
    ) -> tuple[Iatt | None, Iatt | None]:
        iatt = self._parent_iatt(call, old.parent, old_fd)
        return iatt, iatt if old_fd == new_fd else self._parent_iatt(call, new.parent, new_fd)


def _or_enotempty(loc: Loc, call: Callable[[], None], happened: Callable[[], bool]) -> OSError | None:
    """`attempted`, of what asks a directory to be empty. ENOTEMPTY, of which some file systems say EEXIST."""
    try:
        return attempted(call, happened)
    except FileExistsError as error:
        raise fail(errno.ENOTEMPTY, os.fsdecode(loc.name)) from error
