"""storage/posix: contents of files.

What the page cache can answer is done at once; what has to wait for the disk goes to the brick's own threads with a
descriptor of its own, so that a release meanwhile does no harm.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from ....graph import (
    SEEK_DATA,
    SEEK_HOLE,
    Acknowledged,
    Buffer,
    Call,
    Changed,
    Checksums,
    Coming,
    Data,
    Done,
    Fd,
    Gfid,
    Iatt,
    Loc,
    Sought,
    Written,
    Xdata,
    fail,
)
from ....graph.disk import Disk
from ..ranges import OFFSET_MAX, check_offset
from . import judging, views
from .buffers import REUSED_MIN, Buffers
from .entries import OPEN_FLAGS, PosixEntries
from .metadata import InodeMetadata
from .node import OpenDirectory, OpenFile
from .places import READ_DIRECTORY

R = TypeVar("R")

READ_MAX = 16 << 20
"""The most that one readv answers; a longer read is cut short, and `end` stays false."""
WRITING = os.O_WRONLY | os.O_RDWR
O_SYNC = os.O_SYNC
APPEND_KEY = "glusterfs.write-is-append"

_SEEK = {SEEK_DATA: os.SEEK_DATA, SEEK_HOLE: os.SEEK_HOLE}


@attrs.define(eq=False)
class PosixContents(PosixEntries):
    """See `Posix`."""

    _cached_only: int = attrs.field(init=False, default=os.RWF_NOWAIT, repr=False)
    """The flag of a read that must not wait; 0 where the file system does not know it."""
    _buffers: Buffers = attrs.field(init=False, factory=Buffers, repr=False)

    def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Done[Acknowledged]:
        self._check_unopened(fd)
        found = self._found(loc)
        if call.uid:
            judging.opening(self.brick, call, found, flags)
        if found.is_dir and not flags & WRITING:
            descriptor = self.disk.open(found.name, READ_DIRECTORY, dir_fd=found.dir_fd)
            self._keep(fd, OpenDirectory(descriptor, found.gfid))
        else:
            self._keep(fd, self._open_file(call, found, flags & OPEN_FLAGS))
        return Done(Acknowledged())

    # --- reading -----------------------------------------------------------------------------------------------------

    def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Awaitable[Data]:
        slot = fd.slots.get(self)
        if slot is None:
            with self._anonymous(call, fd, os.O_RDONLY) as slot:
                return PosixContents.readv(self, call, Fd(fd.gfid, slots={self: slot}), size, offset)
        if size < 0 or not 0 <= offset <= OFFSET_MAX:  # to preadv2, an offset of -1 is where the descriptor stands
            raise fail(errno.EINVAL, f"{size} bytes at {offset}")
        if size > READ_MAX:
            size = READ_MAX
        if size > OFFSET_MAX - offset:
            size = OFFSET_MAX - offset
        disk = self.disk
        buffer = bytearray(size) if size < REUSED_MIN else self._buffers.of(size)
        try:
            count = disk.preadv(slot.fd, (buffer,), offset, self._cached_only)
        except BlockingIOError:
            count = -1
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP or not self._cached_only:
                raise
            self._cached_only = 0
            return PosixContents.readv(self, call, fd, size, offset)
        if count == size and not call.attributes:
            return Done(Data(buffer))
        st = disk.fstat(slot.fd)
        end = offset + count >= st.st_size
        if count < size:
            if count < 0 or not end:  # not all of it is in memory
                return self._elsewhere(slot, _read_cold, disk, slot.gfid, slot.hidden, size, offset)
            del buffer[count:]
        return Done(views.Data(buffer, slot, st, end) if call.attributes else Data(buffer, None, end))

    # --- writing -----------------------------------------------------------------------------------------------------

    def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Awaitable[Written]:
        """`flags` count for this write as those of the open do. The kernel appends to a descriptor that is O_APPEND,
        whatever the offset, and does so atomically."""
        if not 0 <= offset <= OFFSET_MAX:
            raise fail(errno.EINVAL, f"offset {offset}")
        slot = fd.slots.get(self)
        if slot is None:
            with self._anonymous(call, fd, os.O_WRONLY | (fd.flags | flags) & (os.O_APPEND | O_SYNC)) as slot:
                return PosixContents.writev(self, call, Fd(fd.gfid, slots={self: slot}), data, offset)
        disk, descriptor, size = self.disk, slot.fd, len(data)
        if flags & os.O_APPEND and not slot.flags & os.O_APPEND:
            offset = disk.fstat(descriptor).st_size  # the brick has no other writer
        if call.uid and size:
            judging.before_write(self.brick, call, descriptor)
        self.brick.reserve.written(call, size)
        answers = self._answers_before(call, call.xdata, slot, offset) if call.xdata else None
        pre = disk.fstat(descriptor) if call.attributes else None
        count = disk.pwrite(descriptor, data, offset)
        if count < size:
            count += self._write_rest(descriptor, data, offset, count)
        written = Written(count) if pre is None else views.Written(count, slot, pre, disk.fstat(descriptor))
        if answers:
            written.xdata = answers
        if (slot.flags | flags) & O_SYNC:
            return self._elsewhere(slot, _write_through, disk, written)
        return Done(written)

    def _answers_before(self, call: Call, asked: Xdata, slot: OpenFile, offset: int) -> Xdata | None:
        """What the xdata of a write asks is answered as of the time before it. An afr asks of every write whether it
        appends, and nothing else: the size alone is told sooner than all attributes."""
        answers: dict[str, Any] = {}
        if len(asked) > 1 or APPEND_KEY not in asked:
            answers |= self._answers(call, self._iatt_of(slot), slot.fd) or {}
        if APPEND_KEY in asked:
            end = offset if slot.flags & os.O_APPEND else self.disk.lseek(slot.fd, 0, os.SEEK_END)
            if offset == end:
                answers[APPEND_KEY] = 1
        return answers or None

    def _write_rest(self, descriptor: int, data: Buffer, offset: int, done: int) -> int:
        """After a short write: go on, and answer what more was written when an error ends it."""
        view = memoryview(data)
        start = done
        while done < len(view):
            try:
                count = self.disk.pwrite(descriptor, view[done:], offset + done)
            except OSError:
                break
            if not count:
                break
            done += count
        return done - start

    # --- to the disk -------------------------------------------------------------------------------------------------

    def flush(self, call: Call, fd: Fd) -> Done[Acknowledged]:
        if fd.slots.get(self) is None:
            self.brick.find(fd.gfid)
        self.locks.release_owner(call, self._gfid_of(fd))
        return Done(Acknowledged())

    def fsync(self, call: Call, fd: Fd, datasync: int = 0) -> Awaitable[Changed]:
        slot = fd.slots.get(self)
        if slot is None:
            with self._anonymous(call, fd, os.O_RDONLY) as slot:
                return self._synced(call, slot, datasync)
        return self._synced(call, slot, datasync)

    def _synced(self, call: Call, slot: OpenFile | OpenDirectory, datasync: int) -> Awaitable[Changed]:
        what = (slot.gfid, slot.hidden, datasync, call.attributes)
        return self._with_handles(slot, _sync, self.disk, self.brick.metadata, *what)

    def fsyncdir(self, call: Call, fd: Fd, datasync: int = 0) -> Awaitable[Acknowledged]:
        slot = fd.slots.get(self)
        if slot is None:
            with self._anonymous(call, fd, os.O_RDONLY) as slot:
                return self._names_synced(slot)
        return self._names_synced(slot)

    def _names_synced(self, slot: OpenFile | OpenDirectory) -> Awaitable[Acknowledged]:
        return self._with_handles(slot, _sync_names, self.disk, self.brick.metadata)

    def _with_handles(self, slot: OpenFile | OpenDirectory, work: Callable[..., R], *args: object) -> Awaitable[R]:
        """Sync something; of a directory, the handles of what it names too."""
        brick = self.brick
        pending = brick.unsettled.of(slot.gfid)
        if pending is None:
            return self._elsewhere(slot, work, *args)

        def sync(descriptor: int) -> R:
            pending.sync(brick.disk, brick.fd)
            return work(descriptor, *args)

        answer = self._elsewhere(slot, sync)
        if isinstance(answer, Coming):
            answer.when_settled(lambda: brick.unsettled.settled(pending))
        else:
            brick.unsettled.settled(pending)
        return answer

    # --- questions ---------------------------------------------------------------------------------------------------

    def seek(self, call: Call, fd: Fd, offset: int, what: int) -> Done[Sought]:
        if what not in _SEEK:
            raise fail(errno.EINVAL, f"seek {what}")
        if abs(offset) > OFFSET_MAX:
            raise fail(errno.ENXIO, f"seek from {offset}")
        slot = fd.slots.get(self)
        if slot is not None:
            return Done(Sought(self.disk.lseek(slot.fd, offset, _SEEK[what])))
        with self._anonymous(call, fd, os.O_RDONLY) as slot:
            return Done(Sought(self.disk.lseek(slot.fd, offset, _SEEK[what])))

    def rchecksum(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Checksums]:
        """EINVAL more than `READ_MAX` bytes."""
        check_offset(offset)
        if not 0 <= length <= READ_MAX:
            raise fail(errno.EINVAL, f"{length} bytes")
        slot = fd.slots.get(self)
        if slot is not None:
            return self._elsewhere(slot, _checksums, self.disk, offset, length)
        with self._anonymous(call, fd, os.O_RDONLY) as slot:
            return self._elsewhere(slot, _checksums, self.disk, offset, length)

    # --- what blocks -------------------------------------------------------------------------------------------------

    def _elsewhere(self, slot: OpenFile | OpenDirectory, work: Callable[..., R], *args: object) -> Awaitable[R]:
        """Run `work(descriptor, ...)` on the brick's own threads, on a descriptor that is closed with its end; or at
        once, where this is the brick's thread."""
        if self._on_worker:
            return Done(work(slot.fd, *args))
        disk, worker = self.disk, self._worker
        worker.check_room()
        own, era = disk.dup(slot.fd), worker.era

        def run() -> R:
            try:
                worker.check(era)
                return work(own, *args)
            finally:
                disk.close(own)

        return worker.run_anyway(run)


def _read_cold(descriptor: int, disk: Disk, gfid: Gfid, hidden: int, size: int, offset: int) -> Data:
    data = disk.pread(descriptor, size, offset)
    st = disk.fstat(descriptor)
    return Data(data, Iatt(gfid, st, hidden), offset + len(data) >= st.st_size)


def _write_through(descriptor: int, disk: Disk, written: Written) -> Written:
    """The end of a write to a file that was opened O_SYNC."""
    disk.fsync(descriptor)
    return written


def _sync(
    descriptor: int, disk: Disk, metadata: InodeMetadata, gfid: Gfid, hidden: int, datasync: int, attributes: bool
) -> Changed:
    pre = disk.fstat(descriptor)
    if datasync:
        disk.fdatasync(descriptor)
    else:
        disk.fsync(descriptor)
    metadata.sync()
    if not attributes:
        return Changed()
    return Changed(Iatt(gfid, pre, hidden), Iatt(gfid, disk.fstat(descriptor), hidden))


def _sync_names(descriptor: int, disk: Disk, metadata: InodeMetadata) -> Acknowledged:
    disk.fsync(descriptor)
    metadata.sync()
    return Acknowledged()


def _checksums(descriptor: int, disk: Disk, offset: int, length: int) -> Checksums:
    data = disk.pread(descriptor, length, offset)
    return Checksums(zlib.adler32(data, 0), hashlib.md5(data, usedforsecurity=False).digest())
