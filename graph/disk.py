"""The system calls that a brick makes. A harness that records them, or makes them fail, stands in for this object."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager


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
    posix_fallocate = staticmethod(os.posix_fallocate)
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

    def boot_id(self) -> str:
        """Changes with each boot of the machine: tells a killed process from a lost machine."""
        fd = self.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY)
        try:
            return self.pread(fd, 64, 0).decode().strip()
        finally:
            self.close(fd)
