"""One side of the model machine: a directory of the local file system, through `os`."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Iterator
from contextlib import suppress

import attrs

from ..files import Mode
from ..graph import fail
from ..graph.disk import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, Disk
from ..paths import components

RECENT_NS = 10**18
"""A time after this one was not set by a step: it is "now", whatever it is. (The year 2001.)"""

SEEKS = (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END, os.SEEK_DATA, os.SEEK_HOLE)


@attrs.frozen
class Seen:
    """What of an object's attributes must be equal. None where file systems are free: the size of a directory, the
    links of the root, and times that no step has set."""

    mode: int
    links: int | None
    uid: int
    gid: int
    rdev: int
    size: int | None
    mtime_ns: int | None


def seen(st: os.stat_result, root: bool = False) -> Seen:
    directory = mode_bits.S_ISDIR(st.st_mode)
    device = mode_bits.S_ISCHR(st.st_mode) or mode_bits.S_ISBLK(st.st_mode)
    links = None if root or (directory and st.st_nlink == 1) else st.st_nlink
    mtime = st.st_mtime_ns if st.st_mtime_ns < RECENT_NS else None
    size = None if directory else st.st_size
    return Seen(st.st_mode, links, st.st_uid, st.st_gid, st.st_rdev if device else 0, size, mtime)


def is_root(path: bytes) -> bool:
    return not components(path)


def sane(space: os.statvfs_result) -> bool:
    blocks = 0 <= space.f_bavail <= space.f_bfree <= space.f_blocks
    return blocks and space.f_bsize > 0 and space.f_frsize > 0 and space.f_namemax >= 255


@attrs.define(eq=False)
class PlainDirectory:
    """Each step is a method. What it returns, or the errno of what it raises, is what a stack has to answer."""

    root: bytes
    files: dict[int, tuple[int, Mode]] = attrs.field(factory=dict)
    streams: dict[int, int] = attrs.field(factory=dict)
    disk: Disk = attrs.field(factory=Disk)

    def at(self, path: bytes) -> bytes:
        return self.root + b"/" + path

    def close_all(self) -> None:
        for fd, _ in self.files.values():
            os.close(fd)
        for fd in self.streams.values():
            os.close(fd)
        self.files.clear()
        self.streams.clear()

    def walk(self) -> Iterator[tuple[bytes, bool]]:
        """Every path below the root, with whether it is a directory; those that cannot be read are left shut."""
        todo = [b""]
        while todo:
            above = todo.pop()
            with suppress(PermissionError), os.scandir(self.at(above)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = os.path.join(above, entry.name)
                    directory = entry.is_dir(follow_symlinks=False)
                    yield path, directory
                    if directory:
                        todo.append(path)

    # --- names -------------------------------------------------------------------------------------------------------

    def mkdir(self, path: bytes, mode: int) -> None:
        os.mkdir(self.at(path), mode)

    def makedirs(self, path: bytes) -> None:
        os.makedirs(self.at(path))

    def mknod(self, path: bytes, mode: int, rdev: int) -> None:
        os.mknod(self.at(path), mode, rdev)

    def symlink(self, target: bytes, path: bytes) -> None:
        os.symlink(target, self.at(path))

    def link(self, old: bytes, new: bytes) -> None:
        os.link(self.at(old), self.at(new), follow_symlinks=False)

    def rename(self, old: bytes, new: bytes) -> None:
        self._spare_the_root(old, errno.EBUSY)
        self._spare_the_root(new, errno.EBUSY)
        os.rename(self.at(old), self.at(new))

    def unlink(self, path: bytes) -> None:
        self._spare_the_root(path, errno.EISDIR)
        os.unlink(self.at(path))

    def rmdir(self, path: bytes) -> None:
        self._spare_the_root(path, errno.EBUSY)
        os.rmdir(self.at(path))

    def _spare_the_root(self, path: bytes, code: int) -> None:
        """The root of a volume is what the kernel's is: `/`, which is neither removed nor moved."""
        if is_root(path):
            raise fail(code, path)

    def listdir(self, path: bytes) -> list[bytes]:
        return sorted(os.listdir(self.at(path)))

    def scandir(self, path: bytes) -> list[tuple[bytes, Seen]]:
        with os.scandir(self.at(path)) as entries:
            return sorted(((entry.name, seen(entry.stat(follow_symlinks=False))) for entry in entries), key=str)

    def list_start(self, stream: int, path: bytes) -> None:
        self._end(stream)
        self.streams[stream] = os.open(self.at(path), os.O_RDONLY | os.O_DIRECTORY)

    def list_more(self, stream: int, size: int) -> None:
        if stream not in self.streams:
            raise fail(errno.EBADF, stream)

    def entries_in(self, stream: int) -> set[tuple[bytes, int]]:
        """Names and inode numbers of what is there now, whether or not the directory may still be opened; nothing if it
        is gone."""
        fd = self.streams[stream]
        if not os.fstat(fd).st_nlink:
            return set()
        with os.scandir(fd) as entries:
            return {(os.fsencode(entry.name), entry.inode()) for entry in entries}

    def _end(self, stream: int) -> None:
        if stream in self.streams:
            os.close(self.streams.pop(stream))

    # --- attributes --------------------------------------------------------------------------------------------------

    def stat(self, path: bytes) -> Seen:
        return self._seen(os.stat(self.at(path)))

    def lstat(self, path: bytes) -> Seen:
        return self._seen(os.lstat(self.at(path)))

    def _seen(self, st: os.stat_result) -> Seen:
        return seen(st, os.path.samestat(st, os.stat(self.root)))

    def ino(self, path: bytes) -> int:
        return os.lstat(self.at(path)).st_ino

    def readlink(self, path: bytes) -> bytes:
        return os.readlink(self.at(path))

    def access(self, path: bytes, mask: int) -> None:
        os.stat(self.at(path))
        if not os.access(self.at(path), mask, effective_ids=True):
            raise fail(errno.EACCES, path)

    def statvfs(self, path: bytes) -> bool:
        return sane(os.statvfs(self.at(path)))

    def chmod(self, path: bytes, mode: int) -> None:
        os.chmod(self.at(path), mode)

    def chown(self, path: bytes, uid: int, gid: int, follow: bool) -> None:
        os.chown(self.at(path), uid, gid, follow_symlinks=follow)

    def utime(self, path: bytes, atime_ns: int, mtime_ns: int, follow: bool) -> int:
        """Gives the access time: nothing has been read since. No path is walked for it: that reads the links on it."""
        fd = os.open(self.at(path), os.O_PATH | (0 if follow else os.O_NOFOLLOW))
        try:
            os.utime(self.at(path), ns=(atime_ns, mtime_ns), follow_symlinks=follow)
            return os.fstat(fd).st_atime_ns
        finally:
            os.close(fd)

    def truncate(self, path: bytes, size: int) -> None:
        """A file system may leave the time alone where the size stays; by descriptor, as bricks do it, none does."""
        os.truncate(self.at(path), size)
        os.utime(self.at(path))

    def setxattr(self, path: bytes, name: str, value: bytes, flags: int, follow: bool) -> None:
        os.setxattr(self.at(path), name, value, flags, follow_symlinks=follow)

    def getxattr(self, path: bytes, name: str, follow: bool) -> bytes:
        return os.getxattr(self.at(path), name, follow_symlinks=follow)

    def listxattr(self, path: bytes, follow: bool) -> list[str]:
        names = os.listxattr(self.at(path), follow_symlinks=follow)
        return sorted(name for name in names if name.startswith("user."))

    def removexattr(self, path: bytes, name: str, follow: bool) -> None:
        os.removexattr(self.at(path), name, follow_symlinks=follow)

    # --- files -------------------------------------------------------------------------------------------------------

    def write_bytes(self, path: bytes, data: bytes) -> int:
        fd = self._opened(path, Mode.parse("wb"), 0o666)
        try:
            return os.write(fd, data)
        finally:
            os.close(fd)

    def read_bytes(self, path: bytes) -> bytes:
        fd = self._opened(path, Mode.parse("rb"), 0)
        try:
            return os.pread(fd, os.fstat(fd).st_size + 1, 0)
        finally:
            os.close(fd)

    def open(self, slot: int, path: bytes, mode: str, permissions: int) -> None:
        if slot in self.files:
            self.close(slot)
        parsed = Mode.parse(mode)
        self.files[slot] = self._opened(path, parsed, permissions), parsed

    def _opened(self, path: bytes, mode: Mode, permissions: int) -> int:
        """As Python's own `open`, EISDIR for any directory; and what is no file is not opened at all."""
        made = (os.O_CREAT if mode.create else 0) | (os.O_EXCL if mode.exclusive else 0)
        flags = mode.flags | made | (os.O_TRUNC if mode.truncate else 0) | os.O_NONBLOCK
        fd = os.open(self.at(path), flags, permissions)
        st = os.fstat(fd)
        if not mode_bits.S_ISREG(st.st_mode):
            os.close(fd)
            raise fail(errno.EISDIR if mode_bits.S_ISDIR(st.st_mode) else errno.ENXIO, path)
        return fd

    def fd(self, slot: int) -> int:
        if slot not in self.files:
            raise fail(errno.EBADF, slot)
        return self.files[slot][0]

    def contents(self, slot: int) -> bytes:
        """The whole file, whatever it was opened for, and whatever its mode."""
        own = self.fd(slot)
        st = os.fstat(own)
        lent = os.geteuid() == st.st_uid and not st.st_mode & mode_bits.S_IRUSR
        if lent:
            os.fchmod(own, mode_bits.S_IMODE(st.st_mode) | mode_bits.S_IRUSR)
        fd = os.open(b"/proc/self/fd/%d" % own, os.O_RDONLY)
        try:
            return os.pread(fd, st.st_size, 0)
        finally:
            os.close(fd)
            if lent:
                os.fchmod(own, mode_bits.S_IMODE(st.st_mode))

    def close(self, slot: int) -> None:
        os.close(self.fd(slot))
        del self.files[slot]

    def pread(self, slot: int, size: int, offset: int) -> bytes:
        return os.pread(self.fd(slot), size, offset)

    def pwrite(self, slot: int, data: bytes, offset: int) -> int:
        return os.pwrite(self.fd(slot), data, offset)

    def read(self, slot: int, size: int) -> bytes:
        return os.read(self.fd(slot), size)

    def write(self, slot: int, data: bytes) -> int:
        return os.write(self.fd(slot), data)

    def seek(self, slot: int, offset: int, whence: int) -> int:
        return os.lseek(self.fd(slot), offset, SEEKS[whence])

    def ftruncate(self, slot: int, size: int) -> None:
        os.ftruncate(self.fd(slot), size)

    def fstat(self, slot: int) -> Seen:
        return seen(os.fstat(self.fd(slot)))

    def fchmod(self, slot: int, mode: int) -> None:
        os.fchmod(self.fd(slot), mode)

    def futime(self, slot: int, atime_ns: int, mtime_ns: int) -> int:
        os.utime(self.fd(slot), ns=(atime_ns, mtime_ns))
        return os.fstat(self.fd(slot)).st_atime_ns

    def fsync(self, slot: int, datasync: bool) -> None:
        os.fsync(self.fd(slot))

    def reserve(self, slot: int, keep: bool, offset: int, length: int) -> None:
        self.disk.fallocate(self.fd(slot), KEEP_SIZE if keep else 0, offset, length)

    def punch(self, slot: int, offset: int, length: int) -> None:
        self.disk.fallocate(self.fd(slot), PUNCH_HOLE | KEEP_SIZE, offset, length)

    def zero(self, slot: int, offset: int, length: int) -> None:
        self.disk.fallocate(self.fd(slot), ZERO_RANGE, offset, length)

    def copy(self, source: int, offset_in: int, target: int, offset_out: int, length: int) -> int:
        return os.copy_file_range(self.fd(source), self.fd(target), length, offset_in, offset_out)

    def umask(self, mask: int) -> None:
        os.umask(mask)
