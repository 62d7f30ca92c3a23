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
    """A brick held. `suspect` is true where the last owner did not end cleanly and the machine has booted since: what
    it had written without fsync may be lost, at any place."""

    disk: Disk
    fd: int
    suspect: bool = False

    @classmethod
    def take(cls, disk: Disk, glusterfs_fd: int, directory: str) -> Owner:
        """Become the owner. EBUSY, naming the process that is."""
        fd = disk.open(FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=glusterfs_fd)
        try:
            try:
                disk.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = _read(disk, fd)
                who = f"pid {holder.get('pid', '?')} ({holder.get('command', '?')})"
                raise fail(errno.EBUSY, f"brick {directory} is in use by {who}") from error
            last = _read(disk, fd)
            unclean = last.get("clean") == "0"
            suspect = unclean and (last.get("boot") != disk.boot_id() or last.get("suspect") == "1")
            owner = cls(disk, fd, suspect)
        except BaseException:
            disk.close(fd)
            raise
        _held.add(owner)
        return owner

    def begin(self) -> None:
        """Say so in the file, before the first change."""
        self._write(clean=False)

    def release(self) -> None:
        """Give the brick back: all is as it should be."""
        if self.fd < 0:
            return
        try:
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
        record = f"pid {os.getpid()}\ncommand {command}\nboot {boot}\nclean {clean:d}\nsuspect {self.suspect:d}\n"
        data = record.encode(errors="surrogateescape")
        self.disk.pwrite(self.fd, data, 0)
        self.disk.ftruncate(self.fd, len(data))
        if not clean:  # a clean end that the power loss overtakes must not hide that data were lost with it
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
