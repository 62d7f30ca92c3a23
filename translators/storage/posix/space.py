"""storage/posix: how large files are, and the space they take."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import attrs

from ....graph import NULL_GFID, Call, Changed, Copied, Done, Fd, Iatt, Loc, fail
from ....graph.disk import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, Disk
from ..permission import WRITE
from ..ranges import OFFSET_MAX, check_offset
from . import judging
from .contents import O_SYNC, WRITING, PosixContents
from .node import OpenDirectory, OpenFile

INLINE_MAX = 1 << 20
"""What concerns more bytes than this may take long, and is done at the blocking seam."""


@attrs.define(eq=False)
class PosixSpace(PosixContents):
    """See `Posix`."""

    def truncate(self, call: Call, loc: Loc, size: int) -> Done[Changed]:
        if not call.uid:
            return self.ftruncate(call, Fd(loc.gfid if loc.gfid != NULL_GFID else self._found(loc).gfid), size)
        found = self._found(loc)
        if not found.is_dir:
            judging.access(self.brick, call, found, WRITE)
        return self.ftruncate(call, Fd(found.gfid), size)

    def ftruncate(self, call: Call, fd: Fd, size: int) -> Done[Changed]:
        check_offset(size)
        with self._writable(call, fd) as slot:
            return Done(_changed(slot.fd, self.disk, slot, call.attributes, self.disk.ftruncate, size))

    def fallocate(self, call: Call, fd: Fd, flags: int, offset: int, length: int) -> Awaitable[Changed]:
        """EOPNOTSUPP other flags than `KEEP_SIZE`, or the file system cannot reserve space."""
        if flags & ~KEEP_SIZE:
            raise fail(errno.EOPNOTSUPP, f"fallocate flags {flags}")
        self.brick.reserve.check(call)
        return self._in_range(call, fd, offset, length, self.disk.fallocate, flags, offset, length)

    def discard(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Changed]:
        """EOPNOTSUPP the file system knows no holes."""
        mode = PUNCH_HOLE | KEEP_SIZE
        return self._in_range(call, fd, offset, length, self.disk.fallocate, mode, offset, length)

    def zerofill(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Changed]:
        self.brick.reserve.check(call)
        return self._in_range(call, fd, offset, length, _zero, self.disk, offset, length)

    def copy_file_range(
        self, call: Call, fd_in: Fd, offset_in: int, fd_out: Fd, offset_out: int, length: int, flags: int = 0
    ) -> Awaitable[Copied]:
        """May copy less than asked for, as copy_file_range(2) does: nothing where the source has ended.
        EINVAL the two ranges overlap; EBADF the target is open for appending; EOPNOTSUPP the file system cannot."""
        if flags or min(offset_in, offset_out, length) < 0:
            raise fail(errno.EINVAL, f"{length} bytes from {offset_in} to {offset_out}, flags {flags}")
        if max(offset_in, offset_out) + length > OFFSET_MAX:
            raise fail(errno.EFBIG, offset_out)
        self.brick.reserve.check(call)
        with self._readable(call, fd_in) as source, self._writable(call, fd_out) as target:
            ranges = (offset_in, offset_out, length)
            if length <= INLINE_MAX and not target.flags & O_SYNC:
                return Done(_copied(target.fd, self.disk, source.fd, target, call.attributes, *ranges))
            return self._elsewhere_from(source, target, call.attributes, ranges)

    def _elsewhere_from(
        self, source: OpenFile, target: OpenFile, attributes: bool, ranges: tuple[int, int, int]
    ) -> Awaitable[Copied]:
        disk = self.disk
        own = disk.dup(source.fd)

        def copy(descriptor: int) -> Copied:
            try:
                return _copied(descriptor, disk, own, target, attributes, *ranges)
            finally:
                disk.close(own)

        try:
            return self._elsewhere(target, copy)
        except OSError:
            disk.close(own)
            raise

    def _in_range(
        self, call: Call, fd: Fd, offset: int, length: int, change: Callable[..., object], *args: object
    ) -> Awaitable[Changed]:
        """Run `change(descriptor, ...)`, elsewhere where it may take long. EINVAL EFBIG the range."""
        if offset < 0 or length <= 0:
            raise fail(errno.EINVAL, f"{length} bytes at {offset}")
        if offset + length > OFFSET_MAX:
            raise fail(errno.EFBIG, offset)
        with self._writable(call, fd) as slot:
            if slot.flags & O_SYNC:
                change, args = _to_disk, (self.disk, change, *args)
            elif length <= INLINE_MAX:
                return Done(_changed(slot.fd, self.disk, slot, call.attributes, change, *args))
            return self._elsewhere(slot, _changed, self.disk, slot, call.attributes, change, *args)

    @contextmanager
    def _writable(self, call: Call, fd: Fd) -> Iterator[OpenFile]:
        """EISDIR; EBADF it was opened for reading."""
        slot = fd.slots.get(self)
        if slot is None:
            with self._anonymous(call, fd, os.O_WRONLY | fd.flags & O_SYNC) as slot:
                if call.uid:
                    judging.before_write(self.brick, call, slot.fd)
                yield slot
            return
        if isinstance(slot, OpenDirectory):
            raise fail(errno.EISDIR, slot.gfid.text)
        if not slot.flags & WRITING:
            raise fail(errno.EBADF, slot.gfid.text)
        if call.uid:
            judging.before_write(self.brick, call, slot.fd)
        yield slot

    @contextmanager
    def _readable(self, call: Call, fd: Fd) -> Iterator[OpenFile]:
        slot = fd.slots.get(self)
        if slot is None:
            with self._anonymous(call, fd, os.O_RDONLY) as slot:
                yield slot
            return
        yield slot


def _changed(
    descriptor: int, disk: Disk, slot: OpenFile, attributes: bool, change: Callable[..., object], *args: object
) -> Changed:
    pre = disk.fstat(descriptor) if attributes else None
    change(descriptor, *args)
    if pre is None:
        return Changed()
    gfid, hidden = slot.gfid, slot.hidden
    return Changed(Iatt(gfid, pre, hidden), Iatt(gfid, disk.fstat(descriptor), hidden))


def _to_disk(descriptor: int, disk: Disk, change: Callable[..., object], *args: object) -> None:
    """A change of a file that was opened O_SYNC."""
    change(descriptor, *args)
    disk.fsync(descriptor)


def _zero(descriptor: int, disk: Disk, offset: int, length: int) -> None:
    """Where the file system cannot do it in one call, in two: a hole, and space for it. (A descriptor open for
    appending would write zeros at the end.)"""
    try:
        disk.fallocate(descriptor, ZERO_RANGE, offset, length)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        disk.fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, offset, length)
        disk.fallocate(descriptor, 0, offset, length)


def _copied(
    descriptor: int, disk: Disk, source: int, slot: OpenFile, attributes: bool, start: int, goal: int, length: int
) -> Copied:
    pre = disk.fstat(descriptor) if attributes else None
    try:
        count = disk.copy_file_range(source, descriptor, length, start, goal)
    except OSError as error:
        raise fail(errno.EOPNOTSUPP, "copy_file_range") if error.errno == errno.ENOSYS else error from error
    if slot.flags & O_SYNC:
        disk.fsync(descriptor)
    if pre is None:
        return Copied(count)
    gfid, hidden = slot.gfid, slot.hidden
    post = Iatt(gfid, disk.fstat(descriptor), hidden)
    return Copied(count, post, Iatt(gfid, pre, hidden), post)
