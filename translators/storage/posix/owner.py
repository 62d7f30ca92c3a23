"""One owner at a time: a brick directory is held by a lock on `.glusterfs/volgraph.owner`, which says who holds it."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import weakref
from collections.abc import Mapping

import attrs

from ....graph import fail
from ....graph.disk import Disk

FILE_NAME = b"volgraph.owner"
_RECORD_MAX = 4096
_COMMAND_MAX = 200


@attrs.define(eq=False)
class Owner:
    """A brick held. `suspect` is true where an owner did not end cleanly and the machine has booted since: what it had
    written without fsync may be lost, at any place. It stays so until `trust`."""

    disk: Disk
    fd: int
    suspect: bool = False
    settled: bool = False
    """The last owner ended cleanly: all that stands here is on the disk."""
    swept: bool = False
    """Nothing that a crash has left lies about (sweeping.py)."""
    reads: bool = False
    """It changes nothing, the record neither."""

    @classmethod
    def take(cls, disk: Disk, glusterfs_fd: int, directory: str) -> Owner:
        """Become the owner. EBUSY, naming the process that is."""
        fd = disk.open(FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=glusterfs_fd)
        return cls._locked(disk, fd, directory, fcntl.LOCK_EX)

    @classmethod
    def beside(cls, disk: Disk, glusterfs_fd: int, directory: str) -> Owner:
        """Only read, beside others that do. EBUSY, naming the process that writes."""
        try:
            fd = disk.open(FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=glusterfs_fd)
        except FileNotFoundError:  # GlusterFS made it
            return cls(disk, -1, swept=True, reads=True)
        owner = cls._locked(disk, fd, directory, fcntl.LOCK_SH)
        owner.reads = owner.swept = True
        return owner

    @classmethod
    def _locked(cls, disk: Disk, fd: int, directory: str, lock: int) -> Owner:
        try:
            try:
                disk.flock(fd, lock | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = _read(disk, fd)
                who = f"pid {holder.get('pid', '?')} ({holder.get('command', '?')})"
                raise fail(errno.EBUSY, f"brick {directory} is in use by {who}") from error
            last = _read(disk, fd)
            settled = last.get("clean") == "1"
            unclean = bool(last) and not settled  # a record that is torn is none of a clean end
            suspect = last.get("suspect") == "1" or (unclean and last.get("boot") != disk.boot_id())
            owner = cls(disk, fd, suspect, settled, swept=not unclean and last.get("swept") != "0")
        except BaseException:
            disk.close(fd)
            raise
        _held.add(owner)
        return owner

    def begin(self) -> None:
        """Say so in the file, before the first change. What stands here now, folders above all, stands for good."""
        if not self.settled:
            self.disk.syncfs(self.fd)
        self._write(clean=False)

    def trust(self) -> None:
        """What may have been lost has been made good."""
        self.suspect = False
        self._write(clean=False)

    def release(self) -> None:
        """Give the brick back: all is as it should be, and on the disk before it is said to be."""
        if self.fd < 0 or self.reads:
            self.abandon()
            return
        try:
            self.disk.syncfs(self.fd)
            self._write(clean=True)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go without saying that all is well. A child process that was forked does so with its copy."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self.disk.close(fd)

    def _write(self, clean: bool) -> None:
        boot = self.disk.boot_id()
        command = " ".join(sys.argv)[:_COMMAND_MAX].replace("\n", " ")
        marks = f"clean {clean:d}\nsuspect {self.suspect:d}\nswept {self.swept:d}\n"
        data = f"pid {os.getpid()}\ncommand {command}\nboot {boot}\n{marks}".encode(errors="surrogateescape")
        self.disk.pwrite(self.fd, data, 0)
        self.disk.ftruncate(self.fd, len(data))
        self.disk.fsync(self.fd)


def _read(disk: Disk, fd: int) -> Mapping[str, str]:
    text = disk.pread(fd, _RECORD_MAX, 0).decode(errors="surrogateescape")
    lines = (line.partition(" ") for line in text.splitlines())
    return {key: value for key, _, value in lines}


_held: weakref.WeakSet[Owner] = weakref.WeakSet()


def _in_forked_child() -> None:
    """A fork shares the lock: a child that kept it open would hold the brick beyond its parent's end."""
    for owner in list(_held):
        owner.abandon()


os.register_at_fork(after_in_child=_in_forked_child)
