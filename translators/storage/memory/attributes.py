"""storage/memory: attributes and extended attributes."""

from __future__ import annotations

import errno
import stat as mode_bits
from collections.abc import Mapping

import attrs

from ....graph import (
    NOW_NS,
    Acknowledged,
    Attributes,
    Call,
    Changed,
    Done,
    Fd,
    Loc,
    NewAttributes,
    Space,
    Target,
    XattropKind,
    Xattrs,
    fail,
)
from ..heal_index import INDEX_GFID_OF_KEY, index_of
from ..name_rules import check_xattrs, is_bookkeeping, refuse_user_xattrs
from ..xattrop import join
from .contents import MemoryContents
from .sparse import PAGE
from .store import Inode

XATTR_CREATE = 1
XATTR_REPLACE = 2


@attrs.define(eq=False)
class MemoryAttributes(MemoryContents):
    """See `Memory`."""

    def stat(self, call: Call, loc: Loc) -> Done[Attributes]:
        inode = self._object(loc)
        return Done(Attributes(self._iatt(inode), self._answers(call, inode)))

    def fstat(self, call: Call, fd: Fd) -> Done[Attributes]:
        inode = self._opened(fd)
        return Done(Attributes(self._iatt(inode), self._answers(call, inode)))

    def access(self, call: Call, loc: Loc, mask: int) -> Done[Acknowledged]:
        inode = self._object(loc)
        if not 0 <= mask <= 7:
            raise fail(errno.EINVAL, mask)
        if mask & ~_permitted(call, inode):
            raise fail(errno.EACCES, loc.gfid)
        return Done(Acknowledged())

    def readlink(self, call: Call, loc: Loc, size: int) -> Done[Target]:
        inode = self._object(loc)
        if not inode.is_symlink:
            raise fail(errno.EINVAL, loc.gfid)
        return Done(Target(inode.target[: max(size, 0)], self._iatt(inode)))

    def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Done[Changed]:
        return self._set_attributes(call, self._object(loc), new)

    def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Done[Changed]:
        return self._set_attributes(call, self._opened(fd), new)

    def _set_attributes(self, call: Call, inode: Inode, new: NewAttributes) -> Done[Changed]:
        """The mode of a symlink and anybody's ctime are not for setting: they are passed over, as the kernel does."""
        pre = self._iatt(inode)
        now = self._now()
        if new.size is not None:
            self._resize(inode, new.size, now)
        changes = {"st_ctime_ns": now}
        mode = inode.st.st_mode
        if new.uid is not None or new.gid is not None:
            changes["st_uid"] = inode.st.st_uid if new.uid is None else new.uid
            changes["st_gid"] = inode.st.st_gid if new.gid is None else new.gid
            if not inode.is_dir:
                mode = _without_set_id(mode)
        if new.mode is not None and not inode.is_symlink:
            mode = mode_bits.S_IFMT(mode) | new.mode & 0o7777
        changes["st_mode"] = mode
        if new.atime_ns is not None:
            changes["st_atime_ns"] = now if new.atime_ns == NOW_NS else new.atime_ns
        if new.mtime_ns is not None:
            changes["st_mtime_ns"] = now if new.mtime_ns == NOW_NS else new.mtime_ns
        inode.restat(**changes)
        return self._changed(call, inode, pre)

    def statfs(self, call: Call, loc: Loc) -> Done[Space]:
        self._object(loc)
        blocks = self.size_limit // PAGE
        free = max(blocks - self.store.pages, 0)
        return Done(Space(PAGE, PAGE, blocks, free, free, 1 << 20, 1 << 19, 1 << 19))

    # --- extended attributes -----------------------------------------------------------------------------------------

    def getxattr(self, call: Call, loc: Loc, name: str | None) -> Done[Xattrs]:
        return self._get_xattrs(self._object(loc), name)

    def fgetxattr(self, call: Call, fd: Fd, name: str | None) -> Done[Xattrs]:
        return self._get_xattrs(self._opened(fd), name)

    def _get_xattrs(self, inode: Inode, name: str | None) -> Done[Xattrs]:
        if name is None:
            return Done(Xattrs(dict(inode.xattrs)))
        if name in INDEX_GFID_OF_KEY and self._is_root(inode):
            return Done(Xattrs({name: INDEX_GFID_OF_KEY[name]}))
        if name not in inode.xattrs:
            raise fail(errno.ENODATA, name)
        return Done(Xattrs({name: inode.xattrs[name]}))

    def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Done[Acknowledged]:
        return self._set_xattrs(self._object(loc), values, flags)

    def fsetxattr(self, call: Call, fd: Fd, values: Mapping[str, bytes], flags: int = 0) -> Done[Acknowledged]:
        return self._set_xattrs(self._opened(fd), values, flags)

    def _set_xattrs(self, inode: Inode, values: Mapping[str, bytes], flags: int) -> Done[Acknowledged]:
        wanted = {key: bytes(value) for key, value in values.items() if not is_bookkeeping(key)}
        self._check_xattrs(inode, wanted)
        for key in wanted:
            if flags & XATTR_CREATE and key in inode.xattrs:
                raise fail(errno.EEXIST, key)
            if flags & XATTR_REPLACE and key not in inode.xattrs:
                raise fail(errno.ENODATA, key)
        self._store_xattrs(inode, wanted)
        return Done(Acknowledged())

    def removexattr(self, call: Call, loc: Loc, name: str) -> Done[Acknowledged]:
        return self._remove_xattr(self._object(loc), name)

    def fremovexattr(self, call: Call, fd: Fd, name: str) -> Done[Acknowledged]:
        return self._remove_xattr(self._opened(fd), name)

    def _remove_xattr(self, inode: Inode, name: str) -> Done[Acknowledged]:
        if is_bookkeeping(name):
            raise fail(errno.EPERM, name)
        if inode.xattrs.pop(name, None) is None:
            raise fail(errno.ENODATA, name)
        self._store_xattrs(inode, {})
        if index_of(name) is not None:
            self.store.list_marks(inode)
        return Done(Acknowledged())

    def xattrop(self, call: Call, loc: Loc, kind: XattropKind, values: Mapping[str, bytes]) -> Done[Xattrs]:
        return self._join_xattrs(call, self._object(loc), kind, values)

    def fxattrop(self, call: Call, fd: Fd, kind: XattropKind, values: Mapping[str, bytes]) -> Done[Xattrs]:
        return self._join_xattrs(call, self._opened(fd), kind, values)

    def _join_xattrs(self, call: Call, inode: Inode, kind: XattropKind, values: Mapping[str, bytes]) -> Done[Xattrs]:
        """All keys or none: nothing is stored before every sum is known."""
        pre = self._iatt(inode)
        answer: dict[str, bytes] = {}
        wanted: dict[str, bytes] = {}
        for key, sent in values.items():
            if is_bookkeeping(key):
                raise fail(errno.EPERM, key)
            stored = inode.xattrs.get(key)
            new = join(kind, stored, sent)
            if any(sent):
                wanted[key] = new
            if kind == XattropKind.GET_AND_SET or not any(sent):
                new = stored if stored is not None else bytes(len(new))
            answer[key] = new
        if wanted:
            self._check_xattrs(inode, wanted)
            self._store_xattrs(inode, wanted)
        post = self._iatt(inode)
        answers = self._answers(call, inode)
        if not call.attributes:
            return Done(Xattrs(answer, xdata=answers))
        return Done(Xattrs(answer, pre, post, answers))

    def _check_xattrs(self, inode: Inode, values: Mapping[str, bytes]) -> None:
        if inode.gfid in self.store.virtual:
            raise fail(errno.EPERM, inode.gfid)
        check_xattrs(values)
        if not inode.is_dir and not inode.is_file:
            refuse_user_xattrs(values)

    def _store_xattrs(self, inode: Inode, values: Mapping[str, bytes]) -> None:
        inode.xattrs.update(values)
        inode.restat(st_ctime_ns=self._now())
        if any(index_of(key) is not None for key in values):
            self.store.list_marks(inode)


def _permitted(call: Call, inode: Inode) -> int:
    """What the caller may do: read 4, write 2, execute 1."""
    mode = inode.st.st_mode
    if call.uid == 0:
        return 7 if inode.is_dir or mode & 0o111 else 6
    if call.uid == inode.st.st_uid:
        return mode >> 6 & 7
    if inode.st.st_gid == call.gid or inode.st.st_gid in call.groups:
        return mode >> 3 & 7
    return mode & 7


def _without_set_id(mode: int) -> int:
    """A new owner ends set-uid, and set-gid where it makes a program run as the group."""
    mode &= ~mode_bits.S_ISUID
    return mode & ~mode_bits.S_ISGID if mode & mode_bits.S_IXGRP else mode
