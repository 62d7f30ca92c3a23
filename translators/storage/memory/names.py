"""storage/memory: names and directories."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from bisect import bisect_left

import attrs

from ....graph import (
    NULL_GFID,
    Acknowledged,
    Call,
    Done,
    Entries,
    Entry,
    Fd,
    Gfid,
    Iatt,
    Loc,
    LookedUp,
    Made,
    Removed,
    Renamed,
    Stat,
    fail,
)
from .. import acl as acls
from .. import permission
from ..heal_index import INDEX_OF_GFID
from ..name_rules import check_xattrs, refuse_user_xattrs, requested_gfid, requested_xattrs
from ..ranges import check_device
from .inode import Inode
from .node import MemoryNode
from .sparse import PAGE, SparseBytes

LISTING_BYTES_MAX = 1 << 20
ENTRY_BYTES = 24
ENTRY_BYTES_WITH_IATT = 192
"""What one entry takes of the size that a caller of readdir grants, besides its name."""

WRITING = os.O_WRONLY | os.O_RDWR


@attrs.define(eq=False)
class MemoryNames(MemoryNode):
    """See `Memory`."""

    def lookup(self, call: Call, loc: Loc) -> Done[LookedUp]:
        if not loc.name:
            try:
                inode = self._by_gfid(loc.gfid)
            except OSError as error:
                raise fail(errno.ENOENT, loc.gfid) if error.errno == errno.ESTALE else error from None
            return Done(LookedUp(self._iatt(inode), None, self._answers(call, inode)))
        parent = self._parent(loc)
        if call.uid:
            permission.check_search(call, parent)
        inode = self._child(parent, loc.name)
        answers = self._answers(call, inode, parent, loc.name)
        return Done(LookedUp(self._iatt(inode), self._iatt(parent) if call.attributes else None, answers))

    # --- makers ------------------------------------------------------------------------------------------------------

    def mknod(self, call: Call, loc: Loc, mode: int, rdev: int, umask: int) -> Done[Made]:
        kind = mode_bits.S_IFMT(mode) or mode_bits.S_IFREG
        if kind in (mode_bits.S_IFDIR, mode_bits.S_IFLNK):
            raise fail(errno.EINVAL, loc.name)
        device = kind in (mode_bits.S_IFCHR, mode_bits.S_IFBLK)
        check_device(rdev if device else 0)
        parent = self._parent_to_change(loc)
        return self._made(call, parent, loc.name, kind | mode & ~umask & 0o7777, rdev=rdev if device else 0)

    def mkdir(self, call: Call, loc: Loc, mode: int, umask: int) -> Done[Made]:
        parent = self._parent_to_change(loc)
        inherited = parent.st.st_mode & mode_bits.S_ISGID
        return self._made(call, parent, loc.name, mode_bits.S_IFDIR | mode & ~umask & 0o7777 | inherited)

    def symlink(self, call: Call, target: bytes, loc: Loc, umask: int) -> Done[Made]:
        parent = self._parent_to_change(loc)
        if not target or b"\0" in target:
            raise fail(errno.ENOENT if not target else errno.EINVAL, loc.name)
        if len(target) >= PAGE:
            raise fail(errno.ENAMETOOLONG, loc.name)
        return self._made(call, parent, loc.name, mode_bits.S_IFLNK | 0o777, target=target)

    def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Done[Made]:
        parent = self._parent_to_change(loc)
        if call.uid:
            permission.check_search(call, parent)
        inode = parent.names.get(loc.name)
        if inode is None or flags & os.O_EXCL:
            made = self._made(call, parent, loc.name, mode_bits.S_IFREG | mode & ~umask & 0o7777)
            self._keep_open(fd, parent.names[loc.name], flags)
            return made
        requested_gfid(call)
        if inode.is_dir:
            raise fail(errno.EISDIR, loc.name)
        before = self._iatt(parent)
        self._open_file(call, fd, inode, flags)
        return Done(Made(self._iatt(inode), before, before))

    def link(self, call: Call, old: Loc, new: Loc) -> Done[Made]:
        inode = self._object(old)
        parent = self._parent_to_change(new)
        if call.uid:
            permission.check_search(call, parent)
            if new.name not in parent.names:
                permission.check_link(call, inode, parent)
        if inode.is_dir:
            raise fail(errno.EPERM, old.gfid)
        if new.name in parent.names:
            raise fail(errno.EEXIST, new.name)
        now = self._now()
        before = self._iatt(parent)
        parent.put(new.name, inode)
        self.store.renamed((), [(parent, new.name, inode)])
        parent.touch(now)
        inode.restat(st_nlink=inode.st.st_nlink + 1, st_ctime_ns=now)
        return self._answer_made(call, inode, parent, before)

    def _made(
        self, call: Call, parent: Inode, name: bytes, mode: int, *, rdev: int = 0, target: bytes = b""
    ) -> Done[Made]:
        """Put a new object at a name, with the gfid and the xattrs that the call brings along."""
        gfid = requested_gfid(call)
        xattrs = requested_xattrs(call)
        check_xattrs(xattrs)
        if call.uid:
            permission.check_search(call, parent)
            if name not in parent.names:
                permission.check_make(call, parent, mode_bits.S_IFMT(mode))
                permission.check_made_xattrs(call, xattrs)
            if not mode_bits.S_ISDIR(mode):
                mode = permission.made_mode(call, parent.st, mode)
        if name in parent.names or gfid in self.store.inodes:
            raise fail(errno.EEXIST, name)
        if not mode_bits.S_ISDIR(mode) and not mode_bits.S_ISREG(mode):
            refuse_user_xattrs(xattrs)
        self._room_for(1)
        self._room_for_xattrs(xattrs)
        now = self._now()
        directory = mode_bits.S_ISDIR(mode)
        gid = parent.st.st_gid if parent.st.st_mode & mode_bits.S_ISGID else call.gid
        size = PAGE if directory else len(target)
        st = Stat(mode, 2 if directory else 1, call.uid, gid, rdev, size, PAGE, 0, now, now, now)
        before = self._iatt(parent)
        inode = Inode(gfid, st, xattrs=xattrs, target=target)
        _inherit(inode, parent)
        self.store.add(parent, name, inode, now)
        return self._answer_made(call, inode, parent, before)

    def _answer_made(self, call: Call, inode: Inode, parent: Inode, before: Iatt) -> Done[Made]:
        if call.attributes:
            return Done(Made(self._iatt(inode), before, self._iatt(parent)))
        return Done(Made(self._iatt(inode)))

    def _parent_to_change(self, loc: Loc) -> Inode:
        if loc.parent in INDEX_OF_GFID:
            raise fail(errno.EPERM, loc.name)
        return self._parent(loc)

    # --- takers ------------------------------------------------------------------------------------------------------

    def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Done[Removed]:
        if loc.parent in INDEX_OF_GFID:
            return self._unlist(call, loc)
        parent, inode = self._victim(call, loc)
        if inode.is_dir:
            raise fail(errno.EISDIR, loc.name)
        xdata = {"get-link-count": inode.st.st_nlink} if call.asked("get-link-count") is not None else None
        before = self._iatt(parent)
        self.store.take_away(parent, loc.name, self._now())
        return Done(Removed(before, self._iatt(parent), xdata) if call.attributes else Removed(xdata=xdata))

    def rmdir(self, call: Call, loc: Loc, xflags: int = 0) -> Done[Removed]:
        parent, inode = self._victim(call, loc)
        if not inode.is_dir:
            raise fail(errno.ENOTDIR, loc.name)
        if inode.names:
            raise fail(errno.ENOTEMPTY, loc.name)
        before = self._iatt(parent)
        self.store.take_away(parent, loc.name, self._now())
        return Done(Removed(before, self._iatt(parent)) if call.attributes else Removed())

    def _victim(self, call: Call, loc: Loc) -> tuple[Inode, Inode]:
        """The directory, and what in it the caller may remove. ENOENT EACCES EPERM."""
        parent = self._parent_to_change(loc)
        if call.uid:
            permission.check_search(call, parent)
        inode = self._child(parent, loc.name)
        if call.uid:
            permission.check_remove(call, parent, inode.st)
        return parent, inode

    def _unlist(self, call: Call, loc: Loc) -> Done[Removed]:
        """Drop a stale entry of a heal index. An object that still bears marks is listed at its next xattrop."""
        self._check_up()
        if not permission.exempt(call):
            raise fail(errno.EACCES, loc.name)
        listed = self.store.index[INDEX_OF_GFID[loc.parent]]
        try:
            gfid = Gfid.from_text(os.fsdecode(loc.name))
        except ValueError:
            raise fail(errno.ENOENT, loc.name) from None
        if listed.pop(gfid, None) is None:
            raise fail(errno.ENOENT, loc.name)
        return Done(Removed())

    def rename(self, call: Call, old: Loc, new: Loc) -> Done[Renamed]:
        source, target = self._parent_to_change(old), self._parent_to_change(new)
        if call.uid:
            permission.check_search(call, source)
            permission.check_search(call, target)
        inode = self._child(source, old.name)
        replaced = target.names.get(new.name)
        if call.uid and replaced is not inode:
            st = None if replaced is None else replaced.st
            permission.check_rename(call, inode, source, target, st, source is not target)
        self._check_move(inode, replaced, target, old, new)
        pre_source, pre_target = self._iatt(source), self._iatt(target)
        if replaced is not inode:
            now = self._now()
            gone = [(source, old.name, inode)]
            if replaced is not None:
                gone.append((target, new.name, replaced))
                self.store.take_away(target, new.name, now, replaced=True)
            self._move(inode, source, target, old.name, new.name, now)
            self.store.renamed(gone, [(target, new.name, inode)])
        if not call.attributes:
            return Done(Renamed(self._iatt(inode)))
        posts = self._iatt(source), self._iatt(target)
        return Done(Renamed(self._iatt(inode), pre_source, posts[0], pre_target, posts[1]))

    def _check_move(self, inode: Inode, replaced: Inode | None, target: Inode, old: Loc, new: Loc) -> None:
        above: Inode | None = target if inode.is_dir else None
        while above is not None:
            if above is inode:
                raise fail(errno.EINVAL, "a directory cannot be moved into itself")
            above = above.parent
        if replaced is None or replaced is inode:
            return
        if inode.is_dir and not replaced.is_dir:
            raise fail(errno.ENOTDIR, new.name)
        if replaced.is_dir and not inode.is_dir:
            raise fail(errno.EISDIR, new.name)
        if replaced.names:
            raise fail(errno.ENOTEMPTY, new.name)

    def _move(self, inode: Inode, source: Inode, target: Inode, old: bytes, new: bytes, now: int) -> None:
        source.drop(old)
        target.put(new, inode)
        if source is not target:
            source.tied.add(target)
            target.tied.add(source)
            if inode.is_dir:
                inode.parent = target
                source.restat(st_nlink=source.st.st_nlink - 1)
                target.restat(st_nlink=target.st.st_nlink + 1)
            target.touch(now)
        source.touch(now)
        inode.restat(st_ctime_ns=now)

    # --- opening -----------------------------------------------------------------------------------------------------

    def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Done[Acknowledged]:
        self._open_file(call, fd, self._object(loc), flags)
        return Done(Acknowledged())

    def _open_file(self, call: Call, fd: Fd, inode: Inode, flags: int) -> None:
        """O_TRUNC empties a file that is opened for writing. EISDIR for writing; ELOOP, ENXIO no file; EACCES."""
        if inode.is_dir and flags & WRITING:
            raise fail(errno.EISDIR, inode.gfid)
        if not inode.is_dir and not inode.is_file:
            raise fail(errno.ELOOP if inode.is_symlink else errno.ENXIO, inode.gfid)
        if call.uid:
            permission.check_open(call, inode, flags)
        self._keep_open(fd, inode, flags)
        if flags & os.O_TRUNC and flags & WRITING:
            if call.uid:
                inode.restat(st_mode=permission.mode_after_write(call, inode.st))
            self.store.pages -= len(inode.contents.pages)
            self.store.change(inode, SparseBytes.resize, 0)
            inode.touch(self._now())

    # --- directories -------------------------------------------------------------------------------------------------

    def opendir(self, call: Call, loc: Loc, fd: Fd) -> Done[Acknowledged]:
        inode = self._object(loc)
        if not inode.is_dir:
            raise fail(errno.ENOTDIR, loc.gfid)
        if call.uid:
            permission.check_access(call, inode, permission.READ)
        self._keep_open(fd, inode, os.O_DIRECTORY)
        return Done(Acknowledged())

    def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Done[Entries]:
        return Done(self._list(call, fd, size, offset, with_iatt=False))

    def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Done[Entries]:
        return Done(self._list(call, fd, size, offset, with_iatt=True))

    def _list(self, call: Call, fd: Fd, size: int, offset: int, with_iatt: bool) -> Entries:
        """Names whose cookie is `offset` or higher; at least one, whatever the size. Whoever may not search the
        directory gets names alone."""
        directory = self._opened(fd)
        if not directory.is_dir:
            raise fail(errno.ENOTDIR, fd.gfid)
        if call.uid:
            if self not in fd.slots:
                permission.check_anonymous(call, directory, os.O_RDONLY)
            with_iatt = with_iatt and permission.allows(call, directory, permission.SEARCH)
        index = INDEX_OF_GFID.get(directory.gfid)
        if index is not None:
            return self._list_index(index, size, offset)
        room = min(size, LISTING_BYTES_MAX)
        first = bisect_left(list(directory.cookies.values()), offset)
        names = list(directory.names.items())
        found: list[Entry] = []
        for name, inode in names[first:]:
            room -= len(name) + (ENTRY_BYTES_WITH_IATT if with_iatt else ENTRY_BYTES)
            if room < 0 and found:
                return Entries(found)
            entry = Entry(name, directory.cookies[name] + 1, inode.st.st_mode >> 12, inode.gfid)
            if with_iatt:
                entry.iatt = self._iatt(inode)
                entry.xdata = self._answers(call, inode, directory, name)
            found.append(entry)
        return Entries(found, end=True)

    def _list_index(self, index: str, size: int, offset: int) -> Entries:
        room = min(size, LISTING_BYTES_MAX)
        found: list[Entry] = []
        for gfid, place in self.store.index[index].items():
            if place < offset:
                continue
            name = gfid.text.encode()
            room -= len(name) + ENTRY_BYTES
            if room < 0 and found:
                return Entries(found)
            found.append(Entry(name, place + 1, mode_bits.S_IFREG >> 12, NULL_GFID))
        return Entries(found, end=True)

    def fsyncdir(self, call: Call, fd: Fd, datasync: int = 0) -> Done[Acknowledged]:
        directory = self._opened(fd)
        if not directory.is_dir:
            raise fail(errno.ENOTDIR, fd.gfid)
        self.store.sync_names(directory)
        return Done(Acknowledged())


def _inherit(inode: Inode, parent: Inode) -> None:
    """A default access control list is where new objects get theirs from; one that came with the call stands."""
    default = parent.xattrs.get(acls.DEFAULT)
    if default is not None and not inode.is_symlink and acls.ACCESS not in inode.xattrs:
        made, mode = acls.inherited(acls.parse(default), inode.st.st_mode)
        inode.restat(st_mode=inode.st.st_mode & ~0o777 | mode)
        if not acls.is_only_a_mode(made):
            inode.xattrs[acls.ACCESS] = acls.packed(made)
        if inode.is_dir:
            inode.xattrs.setdefault(acls.DEFAULT, default)
