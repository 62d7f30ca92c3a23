"""storage/posix: locks. The lock table does the work; here an fd or loc becomes a gfid that exists."""

from __future__ import annotations

from collections.abc import Awaitable

import attrs

from ....graph import (
    Acknowledged,
    Call,
    Coming,
    Done,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Loc,
    LockCommand,
    Locked,
    LockType,
)
from .listing import PosixListing


@attrs.define(eq=False)
class PosixLocking(PosixListing):
    """See `Posix`."""

    def lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Locked]:
        return self._lk_on(self._open_gfid(fd), call, fd, command, flock)

    def _lk_on(
        self, gfid: Gfid, call: Call, fd: Fd, command: LockCommand, flock: Flock
    ) -> Done[Locked] | Coming[Locked]:
        slot = fd.slots.get(self)
        return self._lk_through(call, fd, None if slot is None else slot.flags, gfid, command, flock)

    def inodelk(self, call: Call, domain: str, loc: Loc, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        gfid = loc.gfid if flock.type == LockType.UNLOCK else self._found(loc).gfid
        return self.locks.inodelk(call, domain, gfid, command, flock)

    def finodelk(self, call: Call, domain: str, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        gfid = self._gfid_of(fd) if flock.type == LockType.UNLOCK else self._open_gfid(fd)
        return self.locks.inodelk(call, domain, gfid, command, flock)

    def entrylk(
        self, call: Call, domain: str, loc: Loc, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        gfid = loc.gfid if command == EntryLockCommand.UNLOCK else self._found(loc).gfid
        return self.locks.entrylk(call, domain, gfid, name, command, type)

    def fentrylk(
        self, call: Call, domain: str, fd: Fd, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        gfid = self._gfid_of(fd) if command == EntryLockCommand.UNLOCK else self._open_gfid(fd)
        return self.locks.entrylk(call, domain, gfid, name, command, type)

    def _open_gfid(self, fd: Fd) -> Gfid:
        """The object that an fd stands for; an anonymous one must exist."""
        if self in fd.slots:
            return self._gfid_of(fd)
        found = self._still_open(fd.gfid) or self.brick.find(fd.gfid)
        return found.gfid
