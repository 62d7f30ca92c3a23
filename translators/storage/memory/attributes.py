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
from .. import acl as acls
from .. import permission
from ..heal_index import INDEX_GFID_OF_KEY, index_of
from ..leaf import SUSPECT_KEY
from ..name_rules import check_counter_name, check_xattr_name, check_xattrs, is_bookkeeping, refuse_user_xattrs
from ..ranges import check_attributes, check_xattr_flags
from ..xattrop import join_all
from .contents import MemoryContents
from .inode import Inode
from .sparse import PAGE

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
        permission.check_access(call, inode, mask)
        return Done(Acknowledged())

    def readlink(self, call: Call, loc: Loc, size: int) -> Done[Target]:
        inode = self._object(loc)
        if not inode.is_symlink:
            raise fail(errno.EINVAL, loc.gfid)
        return Done(Target(inode.target[: max(size, 0)], self._iatt(inode)))

    def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Done[Changed]:
        return self._set_attributes(call, self._object(loc), new, opened=False)

    def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Done[Changed]:
        return self._set_attributes(call, self._opened(fd), new, opened=self in fd.slots)

    def _set_attributes(self, call: Call, inode: Inode, new: NewAttributes, opened: bool) -> Done[Changed]:
        """The mode of a symlink and anybody's ctime are not for setting: they are passed over, as the kernel does."""
        check_attributes(new)
        pre = self._iatt(inode)
        now = self._now()
        if call.uid:
            new = permission.check_attributes(call, inode, new, now, opened)
        if new.size is not None:
            self._no_program(call, inode)
            self._resize(inode, new.size, now)
        changes = {"st_ctime_ns": now}
        mode = inode.st.st_mode
        if new.uid is not None or new.gid is not None:
            changes["st_uid"] = inode.st.st_uid if new.uid is None else new.uid
            changes["st_gid"] = inode.st.st_gid if new.gid is None else new.gid
            if not inode.is_dir:
                mode = permission.without_set_id(call, inode.st)
        if new.mode is not None and not inode.is_symlink:
            mode = mode_bits.S_IFMT(mode) | new.mode & 0o7777
            if acls.ACCESS in inode.xattrs:
                inode.xattrs[acls.ACCESS] = acls.packed(acls.with_mode(acls.parse(inode.xattrs[acls.ACCESS]), mode))
        changes["st_mode"] = mode
        if new.atime_ns is not None:
            changes["st_atime_ns"] = now if new.atime_ns == NOW_NS else new.atime_ns
        if new.mtime_ns is not None:
            changes["st_mtime_ns"] = now if new.mtime_ns == NOW_NS else new.mtime_ns
        inode.restat(**changes)
        self.store.described(inode)
        return self._changed(call, inode, pre)

    def statfs(self, call: Call, loc: Loc) -> Done[Space]:
        self._object(loc)
        blocks = self.size_limit // PAGE
        free = max(blocks - self.store.pages, 0)
        return Done(Space(PAGE, PAGE, blocks, free, free, 1 << 20, 1 << 19, 1 << 19))

    # --- extended attributes -----------------------------------------------------------------------------------------

    def getxattr(self, call: Call, loc: Loc, name: str | None) -> Done[Xattrs]:
        return self._get_xattrs(call, self._object(loc), name)

    def fgetxattr(self, call: Call, fd: Fd, name: str | None) -> Done[Xattrs]:
        return self._get_xattrs(call, self._opened(fd), name)

    def _get_xattrs(self, call: Call, inode: Inode, name: str | None) -> Done[Xattrs]:
        if name is None:
            return Done(Xattrs(dict(self._shown(call, inode, inode.xattrs))))
        check_xattr_name(name)
        if call.uid:
            permission.check_get_xattr(call, inode, name)
        if name in INDEX_GFID_OF_KEY and self._is_root(inode):
            return Done(Xattrs({name: INDEX_GFID_OF_KEY[name]}))
        if name not in inode.xattrs:
            raise fail(errno.ENODATA, name)
        return Done(Xattrs({name: inode.xattrs[name]}))

    def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Done[Acknowledged]:
        """`volgraph.suspect` of the root is no xattr: see storage/posix."""
        if SUSPECT_KEY in values:
            return self._trust(call, loc, values)
        return self._set_xattrs(call, self._object(loc), values, flags)

    def _trust(self, call: Call, loc: Loc, values: Mapping[str, bytes]) -> Done[Acknowledged]:
        inode = self._object(loc)
        if call.pid >= 0 or call.uid:
            raise fail(errno.EPERM, SUSPECT_KEY)
        if not self._is_root(inode) or dict(values) != {SUSPECT_KEY: b"0"}:
            raise fail(errno.EINVAL, SUSPECT_KEY)
        self.store.suspect = False
        return Done(Acknowledged())

    def fsetxattr(self, call: Call, fd: Fd, values: Mapping[str, bytes], flags: int = 0) -> Done[Acknowledged]:
        return self._set_xattrs(call, self._opened(fd), values, flags)

    def _set_xattrs(self, call: Call, inode: Inode, values: Mapping[str, bytes], flags: int) -> Done[Acknowledged]:
        check_xattr_flags(flags)
        wanted = {key: bytes(value) for key, value in values.items() if not is_bookkeeping(key)}
        self._check_xattrs(inode, wanted)
        if call.uid:
            permission.check_set_xattr(call, inode, wanted)
        for key in wanted:
            if flags & XATTR_CREATE and key in inode.xattrs:
                raise fail(errno.EEXIST, key)
            if flags & XATTR_REPLACE and key not in inode.xattrs:
                raise fail(errno.ENODATA, key)
        self._store_xattrs(inode, wanted)
        if call.uid and acls.ACCESS in wanted:
            inode.restat(st_mode=permission.mode_after_acl(call, inode.st))
            self.store.described(inode)
        return Done(Acknowledged())

    def removexattr(self, call: Call, loc: Loc, name: str) -> Done[Acknowledged]:
        return self._remove_xattr(call, self._object(loc), name)

    def fremovexattr(self, call: Call, fd: Fd, name: str) -> Done[Acknowledged]:
        return self._remove_xattr(call, self._opened(fd), name)

    def _remove_xattr(self, call: Call, inode: Inode, name: str) -> Done[Acknowledged]:
        if is_bookkeeping(name):
            raise fail(errno.EPERM, name)
        check_xattr_name(name)
        if call.uid:
            permission.check_set_xattr(call, inode, (name,))
        if not inode.is_dir and not inode.is_file:
            refuse_user_xattrs((name,))
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
        if call.uid:
            permission.check_xattrop(call, inode, values)
        pre = self._iatt(inode)
        for key in values:
            check_counter_name(key)
        answer, wanted = join_all(kind, inode.xattrs, values)
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
        if acls.ACCESS in values or acls.DEFAULT in values:
            _check_acls(inode, values)
        self._room_for_xattrs({**inode.xattrs, **values})

    def _store_xattrs(self, inode: Inode, values: Mapping[str, bytes]) -> None:
        inode.xattrs.update(values)
        if acls.ACCESS in values or acls.DEFAULT in values:
            _settle_acls(inode)
        inode.restat(st_ctime_ns=self._now())
        self.store.described(inode)
        if any(index_of(key) is not None for key in values):
            self.store.list_marks(inode)


def _check_acls(inode: Inode, values: Mapping[str, bytes]) -> None:
    """EINVAL EOPNOTSUPP no list that Linux knows, or not on such an object; EACCES a default is a directory's."""
    if inode.is_symlink:
        raise fail(errno.EOPNOTSUPP, inode.gfid)
    for key in (acls.ACCESS, acls.DEFAULT):
        if key in values:
            acls.parse(values[key])
    if values.get(acls.DEFAULT) and not inode.is_dir:
        raise fail(errno.EACCES, inode.gfid)


def _settle_acls(inode: Inode) -> None:
    """A list is the mode too, and one that says no more than the mode is not kept."""
    for key in (acls.ACCESS, acls.DEFAULT):
        entries = acls.parse(inode.xattrs[key]) if key in inode.xattrs else []
        if key == acls.ACCESS and entries:
            inode.restat(st_mode=inode.st.st_mode & ~0o777 | acls.mode_of(entries))
        if not entries or (key == acls.ACCESS and acls.is_only_a_mode(entries)):
            inode.xattrs.pop(key, None)
