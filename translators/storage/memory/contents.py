"""storage/memory: contents of files."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib

import attrs

from ....graph import (
    SEEK_DATA,
    SEEK_HOLE,
    Acknowledged,
    Buffer,
    Call,
    Changed,
    Checksums,
    Copied,
    Data,
    Done,
    Fd,
    Iatt,
    Loc,
    Sought,
    Written,
    fail,
)
from .. import permission
from ..ranges import check_offset
from .inode import Inode
from .names import WRITING, MemoryNames
from .sparse import PAGE, SparseBytes

FILE_BYTES_MAX = 1 << 44
"""As ext4; beyond it EFBIG."""

KEEP_SIZE = 1


@attrs.define(eq=False)
class MemoryContents(MemoryNames):
    """See `Memory`."""

    def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Done[Data]:
        inode = self._file(fd)
        slot = fd.slots.get(self)
        if call.uid and slot is None:
            permission.check_anonymous(call, inode, os.O_RDONLY)
        if slot is not None and slot.flags & os.O_ACCMODE == os.O_WRONLY:
            raise fail(errno.EBADF, fd.gfid)
        check_offset(offset)
        if size < 0:
            raise fail(errno.EINVAL, offset)
        data = inode.contents.read(offset, size)
        end = offset + len(data) >= inode.contents.size
        return Done(Data(data, self._iatt(inode) if call.attributes else None, end))

    def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Done[Written]:
        inode = self._writable(call, fd)
        slot = fd.slots.get(self)
        flags |= fd.flags if slot is None else slot.flags
        size = inode.contents.size
        if flags & os.O_APPEND:
            offset = size
        length = len(data)
        check_offset(offset + length)  # EINVAL, as pwrite(2) says it; a range behind it is EFBIG elsewhere
        self._check_range(offset, length)
        pre = self._iatt(inode)
        if length:
            self._grow(inode, offset, length)
            self._no_program(call, inode)
            self.store.write(inode, offset, data)
            inode.touch(self._now())
            if flags & (os.O_SYNC | os.O_DSYNC):
                self.store.sync(inode)
        xdata = self._answers(call, inode)
        if offset == size and call.asked("glusterfs.write-is-append") is not None:
            xdata = {**(xdata or {}), "glusterfs.write-is-append": 1}
        if not call.attributes:
            return Done(Written(length, xdata=xdata))
        return Done(Written(length, pre, self._iatt(inode), xdata))

    def truncate(self, call: Call, loc: Loc, size: int) -> Done[Changed]:
        inode = self._object(loc)
        if call.uid and inode.is_file:
            permission.check_access(call, inode, permission.WRITE)
        pre = self._iatt(inode)
        self._no_program(call, inode)
        self._resize(inode, size, self._now())
        return self._changed(call, inode, pre)

    def ftruncate(self, call: Call, fd: Fd, size: int) -> Done[Changed]:
        inode = self._writable(call, fd)
        pre = self._iatt(inode)
        self._no_program(call, inode)
        self._resize(inode, size, self._now())
        return self._changed(call, inode, pre)

    def fallocate(self, call: Call, fd: Fd, flags: int, offset: int, length: int) -> Done[Changed]:
        if flags & ~KEEP_SIZE:
            raise fail(errno.EOPNOTSUPP, flags)
        inode = self._writable(call, fd)
        pre = self._reserve(inode, offset, length)
        self._no_program(call, inode)
        self.store.change(inode, SparseBytes.reserve, offset, length)
        if not flags & KEEP_SIZE:
            self.store.change(inode, SparseBytes.extend, offset + length)
        inode.touch(self._now())
        return self._changed(call, inode, pre)

    def discard(self, call: Call, fd: Fd, offset: int, length: int) -> Done[Changed]:
        inode = self._writable(call, fd)
        self._check_range(offset, length, least=1)
        pre = self._iatt(inode)
        self._no_program(call, inode)
        before = len(inode.contents.pages)
        self.store.change(inode, SparseBytes.punch, offset, length)
        self.store.pages += len(inode.contents.pages) - before
        inode.touch(self._now())
        return self._changed(call, inode, pre)

    def zerofill(self, call: Call, fd: Fd, offset: int, length: int) -> Done[Changed]:
        inode = self._writable(call, fd)
        pre = self._reserve(inode, offset, length)
        self._no_program(call, inode)
        self.store.change(inode, SparseBytes.zero, offset, length)
        inode.touch(self._now())
        return self._changed(call, inode, pre)

    def seek(self, call: Call, fd: Fd, offset: int, what: int) -> Done[Sought]:
        contents = self._readable(call, fd).contents
        if what not in (SEEK_DATA, SEEK_HOLE):
            raise fail(errno.EINVAL, what)
        found = None
        if 0 <= offset < contents.size:
            found = contents.next_data(offset) if what == SEEK_DATA else contents.next_hole(offset)
        if found is None:
            raise fail(errno.ENXIO, offset)
        return Done(Sought(found))

    def rchecksum(self, call: Call, fd: Fd, offset: int, length: int) -> Done[Checksums]:
        inode = self._readable(call, fd)
        self._check_range(offset, length)
        data = inode.contents.read(offset, length)
        return Done(Checksums(zlib.adler32(data, 0), hashlib.md5(data, usedforsecurity=False).digest()))

    def copy_file_range(
        self, call: Call, fd_in: Fd, offset_in: int, fd_out: Fd, offset_out: int, length: int, flags: int = 0
    ) -> Done[Copied]:
        """As copy_file_range(2): EINVAL the two ranges overlap, EBADF the target is open for appending."""
        source, target = self._readable(call, fd_in), self._writable(call, fd_out)
        slot = fd_out.slots.get(self)
        if slot is not None and slot.flags & os.O_APPEND:
            raise fail(errno.EBADF, fd_out.gfid)
        self._check_range(offset_in, length)
        self._check_range(offset_out, length)
        length = min(length, max(source.contents.size - offset_in, 0))
        if flags or (source is target and abs(offset_in - offset_out) < length):
            raise fail(errno.EINVAL, offset_out)
        quiet = call.with_xdata(None)
        data = self.readv(quiet, fd_in, length, offset_in).value.data
        written = self.writev(quiet, fd_out, data, offset_out).value
        return Done(Copied(written.count, written.post, written.pre, written.post))

    def flush(self, call: Call, fd: Fd) -> Done[Acknowledged]:
        self.locks.release_owner(call, self._opened(fd).gfid)
        return Done(Acknowledged())

    def fsync(self, call: Call, fd: Fd, datasync: int = 0) -> Done[Changed]:
        inode = self._opened(fd)
        if inode.is_dir:
            self.store.sync_names(inode)
        else:
            self.store.sync(inode)
        return self._changed(call, inode, self._iatt(inode))

    def _readable(self, call: Call, fd: Fd) -> Inode:
        """EACCES an anonymous fd, and the caller may not read."""
        inode = self._file(fd)
        if call.uid and self not in fd.slots:
            permission.check_anonymous(call, inode, os.O_RDONLY)
        return inode

    def _writable(self, call: Call, fd: Fd) -> Inode:
        """EBADF; EACCES an anonymous fd, and the caller may not write."""
        inode = self._file(fd, writing=True)
        if call.uid and self not in fd.slots:
            permission.check_anonymous(call, inode, os.O_WRONLY)
        return inode

    def _no_program(self, call: Call, inode: Inode) -> None:
        """A file that an ordinary caller changes is no set-user-id program any more."""
        if call.uid:
            mode = permission.mode_after_write(call, inode.st)
            if mode != inode.st.st_mode:
                inode.restat(st_mode=mode)
                self.store.described(inode)

    def _file(self, fd: Fd, writing: bool = False) -> Inode:
        inode = self._opened(fd)
        if not inode.is_file:
            raise fail(errno.EISDIR if inode.is_dir else errno.EINVAL, fd.gfid)
        slot = fd.slots.get(self) if writing else None
        if slot is not None and not slot.flags & WRITING:
            raise fail(errno.EBADF, fd.gfid)
        return inode

    def _resize(self, inode: Inode, size: int, now: int) -> None:
        if not inode.is_file:
            raise fail(errno.EISDIR if inode.is_dir else errno.EINVAL, inode.gfid)
        check_offset(size)
        self._check_range(size, 0)
        before = len(inode.contents.pages)
        self.store.change(inode, SparseBytes.resize, size)
        self.store.pages += len(inode.contents.pages) - before
        inode.touch(now)

    def _check_range(self, offset: int, length: int, least: int = 0) -> None:
        if offset < 0 or length < least:
            raise fail(errno.EINVAL, offset)
        if offset + length > FILE_BYTES_MAX:
            raise fail(errno.EFBIG, offset)

    def _reserve(self, inode: Inode, offset: int, length: int) -> Iatt:
        """Check that space can be given to a range; the attributes from before."""
        self._check_range(offset, length, least=1)
        self._room_for(length // PAGE)  # so that counting the pages of the range is bounded
        self._grow(inode, offset, length)
        return self._iatt(inode)

    def _grow(self, inode: Inode, offset: int, length: int) -> None:
        """Take space for what a write adds. ENOSPC."""
        pages = inode.contents.missing(offset, length)
        if pages:
            self._room_for(pages)
            self.store.pages += pages

    def _changed(self, call: Call, inode: Inode, pre: Iatt) -> Done[Changed]:
        return Done(Changed(pre, self._iatt(inode)) if call.attributes else Changed())
