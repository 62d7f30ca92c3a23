"""storage/posix: attributes of objects."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from ....graph import (
    NOW_NS,
    Acknowledged,
    Attributes,
    Call,
    Changed,
    Done,
    Fd,
    Iatt,
    Loc,
    NewAttributes,
    Space,
    Target,
    fail,
)
from .. import permission
from ..ranges import check_attributes
from . import judging
from .places import Found
from .space import PosixSpace


@attrs.define(eq=False)
class PosixAttributes(PosixSpace):
    """See `Posix`."""

    def stat(self, call: Call, loc: Loc) -> Done[Attributes]:
        found = self._found(loc)
        iatt = Iatt(found.gfid, found.st, found.hidden)
        return Done(Attributes(iatt, self._answers(call, iatt, found.where) if call.xdata else None))

    def fstat(self, call: Call, fd: Fd) -> Done[Attributes]:
        slot = fd.slots.get(self)
        if slot is None:
            found = self._still_open(fd.gfid) or self.brick.find(fd.gfid)
            return Done(Attributes(found.iatt, self._answers(call, found.iatt, found.where)))
        iatt = Iatt(slot.gfid, self.disk.fstat(slot.fd), slot.hidden)
        return Done(Attributes(iatt, self._answers(call, iatt, slot.fd) if call.xdata else None))

    def access(self, call: Call, loc: Loc, mask: int) -> Done[Acknowledged]:
        """By the caller's identity, the mode bits and the access control list. EACCES EROFS."""
        if not 0 <= mask <= 7:
            raise fail(errno.EINVAL, mask)
        found = self._found(loc)
        if mask & os.W_OK and self.brick.read_only:
            raise fail(errno.EROFS, found.gfid.text)
        permission.check_access(call, judging.seen(self.brick, found), mask)
        return Done(Acknowledged())

    def readlink(self, call: Call, loc: Loc, size: int) -> Done[Target]:
        found = self._found(loc)
        if not found.is_symlink:
            raise fail(errno.EINVAL, found.gfid.text)
        target = self.disk.readlink(found.name, dir_fd=found.dir_fd)
        return Done(Target(target[: max(size, 0)], found.iatt))

    def statfs(self, call: Call, loc: Loc) -> Done[Space]:
        self.brick.find(loc.gfid)
        st = self.disk.fstatvfs(self.brick.root_fd)
        return Done(
            Space(
                st.f_bsize,
                st.f_frsize,
                st.f_blocks,
                st.f_bfree,
                st.f_bavail,
                st.f_files,
                st.f_ffree,
                st.f_favail,
                st.f_fsid,
                st.f_flag,
                st.f_namemax,
            )
        )

    def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Done[Changed]:
        """The mode of a symlink and the ctime of anything cannot be set: they are passed over."""
        check_attributes(new)
        found = self._found(loc)
        if call.uid:
            new = self._allowed(call, judging.seen(self.brick, found), new, opened=False)
        if new.size is not None:
            self.truncate(call, Loc(found.gfid), new.size)
        self._change(found.dir_fd, found.name, found.st, new)
        if not call.attributes:
            return Done(Changed())
        st = self.disk.stat(found.name, dir_fd=found.dir_fd, follow_symlinks=False)
        return Done(Changed(found.iatt, Iatt(found.gfid, st, found.hidden)))

    def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Done[Changed]:
        slot = fd.slots.get(self)
        if slot is None:
            found: Found | None = self._still_open(fd.gfid)
            return self.setattr(call, Loc(fd.gfid), new) if found is None else self._fsetattr(call, found, new)
        check_attributes(new)
        pre = self._iatt_of(slot)
        if call.uid:
            new = self._allowed(call, judging.standing_at(self.brick, slot.fd), new, opened=True)
        if new.size is not None:
            self.ftruncate(call, fd, new.size)
        self._fchange(slot.fd, pre, new)
        return Done(Changed(pre, self._iatt_of(slot)) if call.attributes else Changed())

    def _allowed(self, call: Call, object: judging.Seen, new: NewAttributes, opened: bool) -> NewAttributes:
        return judging.attributes(self.brick, call, object, new, self.seams.clock.time_ns(), opened)

    def _fsetattr(self, call: Call, found: Found, new: NewAttributes) -> Done[Changed]:
        check_attributes(new)
        if call.uid:
            new = self._allowed(call, judging.seen(self.brick, found), new, opened=True)
        self._change(found.dir_fd, found.name, found.st, new)
        st = self.disk.stat(found.name, dir_fd=found.dir_fd, follow_symlinks=False)
        return Done(Changed(found.iatt, Iatt(found.gfid, st, found.hidden)))

    def _change(self, dir_fd: int, name: bytes, st: os.stat_result, new: NewAttributes) -> None:
        """The owner before the mode, as a new owner takes away set-user-id."""
        with _no_news(st, new):
            if new.uid is not None or new.gid is not None:
                self.disk.chown(name, *_owner(st, new), dir_fd=dir_fd, follow_symlinks=False)
        if new.mode is not None and not mode_bits.S_ISLNK(st.st_mode):
            self.brick.chmod(dir_fd, name, new.mode & 0o7777)
        times = self._new_times(st, new)
        if times is not None:
            self.disk.utime(name, ns=times, dir_fd=dir_fd, follow_symlinks=False)

    def _fchange(self, descriptor: int, pre: Iatt, new: NewAttributes) -> None:
        st = self.disk.fstat(descriptor)
        with _no_news(st, new):
            if new.uid is not None or new.gid is not None:
                self.disk.fchown(descriptor, *_owner(st, new))
        if new.mode is not None:
            self.disk.fchmod(descriptor, new.mode & 0o7777)
        times = self._new_times(st, new)
        if times is not None:
            self.disk.utime(descriptor, ns=times)

    def _new_times(self, st: os.stat_result, new: NewAttributes) -> tuple[int, int] | None:
        if new.atime_ns is None and new.mtime_ns is None:
            return None
        now = self.seams.clock.time_ns()
        atime = st.st_atime_ns if new.atime_ns is None else now if new.atime_ns == NOW_NS else new.atime_ns
        mtime = st.st_mtime_ns if new.mtime_ns is None else now if new.mtime_ns == NOW_NS else new.mtime_ns
        return atime, mtime


def _owner(st: os.stat_result, new: NewAttributes) -> tuple[int, int]:
    return st.st_uid if new.uid is None else new.uid, st.st_gid if new.gid is None else new.gid


@contextmanager
def _no_news(st: os.stat_result, new: NewAttributes) -> Iterator[None]:
    """An ordinary user may not even say what is so already, of what it does not own: then nothing is to be done. (Said
    of what it owns, it takes away set-user-id all the same.)"""
    try:
        yield
    except PermissionError:
        if _owner(st, new) != (st.st_uid, st.st_gid):
            raise
