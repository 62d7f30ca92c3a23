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
from .names import WRITING, MemoryNames
from .sparse import PAGE
from .store import Inode

FILE_BYTES_MAX = 1 << 44
"""As ext4; beyond it EFBIG."""

KEEP_SIZE = 1


@attrs.define(eq=False)
class MemoryContents(MemoryNames):
    """See `Memory`."""

    def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Done[Data]:
        inode = self._file(fd)
        slot = fd.slots.get(self)
        if slot is not None and slot.flags & os.O_ACCMODE == os.O_WRONLY:
            raise fail(errno.EBADF, fd.gfid)
        if offset < 0 or size < 0:
            raise fail(errno.EINVAL, offset)
        data = inode.contents.read(offset, size)
        end = offset + len(data) >= inode.contents.size
        return Done(Data(data, self._iatt(inode) if call.attributes else None, end))

    def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Done[Written]:
        inode = self._file(fd, writing=True)
        slot = fd.slots.get(self)
        flags |= fd.flags if slot is None else slot.flags
        size = inode.contents.size
        if flags & os.O_APPEND:
            offset = size
        length = len(data)
        self._check_range(offset, length)
        pre = self._iatt(inode)
        if length:
            self._grow(inode, offset, length)
            inode.contents.write(offset, data)
            inode.touch(self._now())
            if flags & (os.O_SYNC | os.O_DSYNC):
                inode.pin()
        xdata = self._answers(call, inode)
        if offset == size and call.asked("glusterfs.write-is-append") is not None:
            xdata = {**(xdata or {}), "glusterfs.write-is-append": 1}
        if not call.attributes:
            return Done(Written(length, xdata=xdata))
        return Done(Written(length, pre, self._iatt(inode), xdata))

    def truncate(self, call: Call, loc: Loc, size: int) -> Done[Changed]:
        inode = self._object(loc)
        pre = self._iatt(inode)
        self._resize(inode, size, self._now())
        return self._changed(call, inode, pre)

    def ftruncate(self, call: Call, fd: Fd, size: int) -> Done[Changed]:
        inode = self._file(fd, writing=True)
        pre = self._iatt(inode)
        self._resize(inode, size, self._now())
        return self._changed(call, inode, pre)

    def fallocate(self, call: Call, fd: Fd, flags: int, offset: int, length: int) -> Done[Changed]:
        if flags & ~KEEP_SIZE:
            raise fail(errno.EOPNOTSUPP, flags)
        inode = self._file(fd, writing=True)
        pre = self._reserve(inode, offset, length)
        inode.contents.reserve(offset, length)
        if not flags & KEEP_SIZE:
            inode.contents.size = max(inode.contents.size, offset + length)
        inode.touch(self._now())
        return self._changed(call, inode, pre)

    def discard(self, call: Call, fd: Fd, offset: int, length: int) -> Done[Changed]:
        inode = self._file(fd, writing=True)
        self._check_range(offset, length, least=1)
        pre = self._iatt(inode)
        before = len(inode.contents.pages)
        inode.contents.punch(offset, length)
        self.store.pages += len(inode.contents.pages) - before
        inode.touch(self._now())
        return self._changed(call, inode, pre)

    def zerofill(self, call: Call, fd: Fd, offset: int, length: int) -> Done[Changed]:
        inode = self._file(fd, writing=True)
        pre = self._reserve(inode, offset, length)
        inode.contents.zero(offset, length)
        inode.touch(self._now())
        return self._changed(call, inode, pre)

    def seek(self, call: Call, fd: Fd, offset: int, what: int) -> Done[Sought]:
        contents = self._file(fd).contents
        if what not in (SEEK_DATA, SEEK_HOLE):
            raise fail(errno.EINVAL, what)
        found = None
        if 0 <= offset < contents.size:
            found = contents.next_data(offset) if what == SEEK_DATA else contents.next_hole(offset)
        if found is None:
            raise fail(errno.ENXIO, offset)
        return Done(Sought(found))

    def rchecksum(self, call: Call, fd: Fd, offset: int, length: int) -> Done[Checksums]:
        inode = self._file(fd)
        self._check_range(offset, length)
        data = inode.contents.read(offset, length)
        return Done(Checksums(zlib.adler32(data, 0), hashlib.md5(data, usedforsecurity=False).digest()))

    def copy_file_range(
        self, call: Call, fd_in: Fd, offset_in: int, fd_out: Fd, offset_out: int, length: int, flags: int = 0
    ) -> Done[Copied]:
        """As copy_file_range(2): EINVAL the two ranges overlap, EBADF the target is open for appending."""
        source, target = self._file(fd_in), self._file(fd_out, writing=True)
        slot = fd_out.slots.get(self)
        if slot is not None and slot.flags & os.O_APPEND:
            raise fail(errno.EBADF, fd_out.gfid)
        self._check_range(offset_in, length)
        self._check_range(offset_out, length)
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
            self.store.pin_names(inode)
        else:
            inode.pin()
        return self._changed(call, inode, self._iatt(inode))

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
        self._check_range(size, 0)
        before = len(inode.contents.pages)
        inode.contents.resize(size)
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
