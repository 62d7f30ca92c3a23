"""storage/memory: the brick as a whole, and its locks."""

from __future__ import annotations

from collections.abc import Awaitable

import attrs

from ....graph import Acknowledged, Call, EntryLockCommand, Fd, Flock, Gfid, Loc, LockCommand, Locked, LockType
from .attributes import MemoryAttributes


@attrs.define(eq=False)
class Memory(MemoryAttributes):
    """A brick in memory, with the semantics of storage/posix: for tests, simulation and scratch volumes.

        volume scratch
          type storage/memory
          option size-limit 64MB
        end-volume

    Everything is answered at once, except for a lock that has to wait. As in storage/posix, locks and the heal index
    are part of the brick, and callers other than root may do what mode, owner and access control list let them.

    It keeps two images: fsync pins a file's contents, size and xattrs, fsyncdir a directory's names, and
    `crash("synced")` falls back to what was pinned, as a disk does when the power goes. On a store with a journal
    (`Memory("m", store=MemoryStore(journal=True))`) a crash may also leave some of the rest: see `Keep`.
    """

    def lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Locked]:
        gfid, slot = self._opened(fd).gfid, fd.slots.get(self)
        return self._lk_through(call, fd, None if slot is None else slot.flags, gfid, command, flock)

    def inodelk(self, call: Call, domain: str, loc: Loc, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        gfid = self._locked(loc, flock.type == LockType.UNLOCK)
        return self.locks.inodelk(call, domain, gfid, command, flock)

    def finodelk(self, call: Call, domain: str, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        gfid = self._locked_fd(fd, flock.type == LockType.UNLOCK)
        return self.locks.inodelk(call, domain, gfid, command, flock)

    def entrylk(
        self, call: Call, domain: str, loc: Loc, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        gfid = self._locked(loc, command == EntryLockCommand.UNLOCK)
        return self.locks.entrylk(call, domain, gfid, name, command, type)

    def fentrylk(
        self, call: Call, domain: str, fd: Fd, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        gfid = self._locked_fd(fd, command == EntryLockCommand.UNLOCK)
        return self.locks.entrylk(call, domain, gfid, name, command, type)

    def _locked(self, loc: Loc, unlocking: bool) -> Gfid:
        """A lock is given back even where its object is gone meanwhile."""
        if unlocking and loc.gfid:
            self._check_up()
            return loc.gfid
        return self._object(loc).gfid

    def _locked_fd(self, fd: Fd, unlocking: bool) -> Gfid:
        if unlocking:
            self._check_up()
            return fd.gfid
        return self._opened(fd).gfid
