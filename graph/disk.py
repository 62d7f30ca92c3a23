"""The system calls that a brick makes. A harness that records them, or makes them fail, stands in for this object."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02
ZERO_RANGE = 0x10
"""Modes of `Disk.fallocate`, as Linux names them."""


class Disk:
    """Plain names for the calls, as attributes: calling through costs one attribute look-up and nothing else."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    dup = staticmethod(os.dup)
    pread = staticmethod(os.pread)
    preadv = staticmethod(os.preadv)
    pwrite = staticmethod(os.pwrite)
    fsync = staticmethod(os.fsync)
    fdatasync = staticmethod(os.fdatasync)
    ftruncate = staticmethod(os.ftruncate)
    truncate = staticmethod(os.truncate)
    copy_file_range = staticmethod(os.copy_file_range)
    lseek = staticmethod(os.lseek)
    stat = staticmethod(os.stat)
    fstat = staticmethod(os.fstat)
    fstatvfs = staticmethod(os.fstatvfs)
    mkdir = staticmethod(os.mkdir)
    mknod = staticmethod(os.mknod)
    rmdir = staticmethod(os.rmdir)
    unlink = staticmethod(os.unlink)
    rename = staticmethod(os.rename)
    link = staticmethod(os.link)
    symlink = staticmethod(os.symlink)
    readlink = staticmethod(os.readlink)
    chmod = staticmethod(os.chmod)
    fchmod = staticmethod(os.fchmod)
    chown = staticmethod(os.chown)
    fchown = staticmethod(os.fchown)
    utime = staticmethod(os.utime)
    getxattr = staticmethod(os.getxattr)
    setxattr = staticmethod(os.setxattr)
    listxattr = staticmethod(os.listxattr)
    removexattr = staticmethod(os.removexattr)
    flock = staticmethod(fcntl.flock)

    def listdir(self, fd: int) -> list[str]:
        """The names in an open directory."""
        return os.listdir(fd)

    def scandir(self, fd: int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """The names in an open directory, with their types."""
        return os.scandir(fd)

    def fallocate(self, fd: int, mode: int, offset: int, length: int) -> None:
        """fallocate(2): reserve, punch or zero a range, as the bits of `mode` say. The range lies within 63 bits.
        EOPNOTSUPP the file system does not do it."""
        _fallocate()(fd, mode, offset, length)

    def mounts(self) -> bytes:
        """The mount table, as proc(5) describes `mountinfo`: of file systems that hang, too, it says what they are."""
        fd = self.open("/proc/self/mountinfo", os.O_RDONLY)
        try:
            table, piece = b"", b"x"
            while piece:
                piece = self.pread(fd, 1 << 16, len(table))
                table += piece
            return table
        finally:
            self.close(fd)

    def syncfs(self, fd: int) -> None:
        """syncfs(2): all that was changed in the file system of an open file or directory reaches the disk."""
        _syncfs()(fd)

    def database(self, path: str) -> sqlite3.Connection:
        """Open a database, without transactions of its own accord. Its calls pass this seam as commits, and as the
        fsync of its log."""
        import sqlite3  # here, as few programs need it

        return sqlite3.connect(path, isolation_level=None)

    def boot_id(self) -> str:
        """Changes with each boot of the machine: tells a killed process from a lost machine."""
        fd = self.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY)
        try:
            return self.pread(fd, 64, 0).decode().strip()
        finally:
            self.close(fd)


@cache
def _fallocate() -> Callable[[int, int, int, int], None]:
    """The C library's own: Python offers only posix_fallocate, which knows no modes and writes where it must."""
    import ctypes  # here, as few programs need it

    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is None:  # no Linux
        return _refuse
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

    def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
        while call(fd, mode, offset, length):
            code = ctypes.get_errno()
            if code != errno.EINTR:
                raise OSError(errno.EOPNOTSUPP if code == errno.ENOSYS else code, os.strerror(code))

    return fallocate


@cache
def _syncfs() -> Callable[[int], None]:
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:  # no Linux
        return lambda fd: os.sync()

    def syncfs(fd: int) -> None:
        if call(fd):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    return syncfs


def _refuse(fd: int, mode: int, offset: int, length: int) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
