"""What an fsyncdir has to bring to the disk besides the directory: the handles of the objects that it names.

A name alone would be enough for callers who look it up, as a lookup makes the handle again; but a client that holds a
gfid, and a healer that reads it in the heal index, come by the handle. So the handles of objects that got a name in a
directory since its last fsyncdir are remembered, and their folders synced with it. Making an object costs no fsync.
"""

from __future__ import annotations

import os
from contextlib import suppress

import attrs

from ....graph import Gfid
from ....graph.disk import Disk
from .handles import handle_name

NAMES_MAX = 4096
"""How many are remembered. Beyond, an fsyncdir syncs the whole file system: that is cheaper than so many folders."""


@attrs.define(eq=False)
class Pending:
    """What has to be synced together with one directory. `all`: more was named than is remembered."""

    parent: Gfid
    named: dict[Gfid, int]
    all: int = 0
    synced: bool = False

    def sync(self, disk: Disk, glusterfs_fd: int) -> None:
        if self.all:
            disk.syncfs(glusterfs_fd)
        else:
            inner = {handle_name(gfid)[:5] for gfid in self.named}
            for folder in (*sorted(inner), *sorted({name[:2] for name in inner})):
                with suppress(FileNotFoundError):  # an object without a handle: hard links are refused here
                    _sync_folder(disk, glusterfs_fd, folder)
            disk.fsync(glusterfs_fd)
        self.synced = True


def _sync_folder(disk: Disk, glusterfs_fd: int, folder: bytes) -> None:
    fd = disk.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=glusterfs_fd)
    try:
        disk.fsync(fd)
    finally:
        disk.close(fd)


@attrs.define(eq=False)
class Unsettled:
    """The objects that got a name since the last fsyncdir of the directory, by directory."""

    _named: dict[Gfid, dict[Gfid, int]] = attrs.field(factory=dict, init=False)
    _count: int = attrs.field(init=False, default=0)
    _number: int = attrs.field(init=False, default=0)
    _overflow: int = attrs.field(init=False, default=0)

    def named(self, parent: Gfid, gfid: Gfid) -> None:
        """An object gets a name in a directory, or another handle."""
        self._number += 1
        there = self._named.get(parent)
        if there is None:
            there = self._named[parent] = {}
        if gfid not in there:
            self._count += 1
        there[gfid] = self._number
        if self._count > NAMES_MAX:
            self._named.clear()
            self._count, self._overflow = 0, self._number

    def of(self, parent: Gfid) -> Pending | None:
        """What a sync of the directory that begins now has to bring to the disk with it; None: nothing."""
        there = self._named.get(parent)
        return None if there is None and not self._overflow else Pending(parent, dict(there or ()), self._overflow)

    def settled(self, pending: Pending) -> None:
        """That sync has ended. What was named again meanwhile stays; so does all of it if the sync has failed."""
        if not pending.synced:
            return
        if self._overflow == pending.all:
            self._overflow = 0
        there = self._named.get(pending.parent, {})
        for gfid, number in pending.named.items():
            if there.get(gfid) == number:
                del there[gfid]
                self._count -= 1
        if not there:
            self._named.pop(pending.parent, None)
