"""What bricks have in common, whatever they keep their objects in: a lock table, and what they tell of it."""

from __future__ import annotations

import errno
import fnmatch
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs

from ...graph import (
    EVERYTHING,
    Call,
    Capability,
    Coming,
    Contention,
    Done,
    Fd,
    Flock,
    Gfid,
    LockCommand,
    Locked,
    LockType,
    Translator,
    fail,
)
from .lock_table import LockTable

DOMAIN_PREFIX = "glusterfs.inodelk-dom-prefix:"
SUSPECT_KEY = "volgraph.suspect"
"""In the answer to a lookup of the root: 1 after a loss of power. The system itself sets it to `0` there, once all that
may have been lost has been healed."""
OPEN_COUNT_KEYS = frozenset(("glusterfs.open-fd-count", "glusterfs.open-active-fd-count"))


class Forgotten:
    """Stands, in the slot of an fd, for what it `was` when the brick went down and forgot what was locked through it:
    whatever is done with it is EBADFD, until it is closed. So an fd that is good need not be asked, at each fop,
    whether it is."""

    def __init__(self, was: Any = None) -> None:
        self.was = was

    def __getattr__(self, name: str) -> Any:
        raise fail(errno.EBADFD, "what was locked through this fd may be locked by somebody else")


@attrs.define(eq=False)
class Leaf(Translator):
    """A translator without children that answers every fop itself, locks included."""

    locks: LockTable = attrs.field(init=False, repr=False)
    notices: bool = attrs.field(init=False, default=True, repr=False)
    """Are those who hold a lock told that others want it?"""
    notice_delay: float = attrs.field(init=False, default=5.0, repr=False)
    """Seconds in which the holder of one lock is told but once."""
    _lockers: dict[Fd, set[tuple[str, bytes, Gfid]]] = attrs.field(init=False, factory=dict, repr=False)
    """Through each fd, whose fcntl locks on which object."""

    children_allowed: ClassVar[tuple[int, int | None]] = (0, 0)
    leaf_capabilities: ClassVar[frozenset[Capability]] = EVERYTHING

    def __attrs_post_init__(self) -> None:
        self.locks = self._new_locks()

    def _new_locks(self) -> LockTable:
        self._lockers = {}
        return LockTable(self._contended if self.notices else None, now=self._monotonic, notice_delay=self.notice_delay)

    def _monotonic(self) -> float:
        return self.seams.clock.monotonic()

    def set_notices(self, notices: bool, delay: float) -> None:
        """What features/locks above says."""
        self.notices, self.notice_delay = notices, delay
        self.locks.on_contention, self.locks.notice_delay = self._contended if notices else None, delay

    def disconnect(self, client: str) -> None:
        self.locks.disconnect(client)

    def _lk_through(
        self, call: Call, fd: Fd, flags: int | None, gfid: Gfid, command: LockCommand, flock: Flock
    ) -> Done[Locked] | Coming[Locked]:
        """An fcntl lock through an fd that was opened here with `flags`, or (None) was not. EBADF as of fcntl(2): a
        lock to read needs an fd to read through, one to write an fd to write through."""
        if flags is None or command == LockCommand.GET or flock.type == LockType.UNLOCK:
            return self.locks.lk(call, gfid, command, flock)
        refused = os.O_RDONLY if flock.type == LockType.WRITE else os.O_WRONLY
        if flags & os.O_ACCMODE == refused:
            raise fail(errno.EBADF, gfid)
        answer = self.locks.lk(call, gfid, command, flock)
        self._lockers.setdefault(fd, set()).add((call.client, call.lk_owner, gfid))
        return answer

    def _unlock_through(self, fd: Fd) -> None:
        """The fd is released: those who locked through it, and did not flush, hold nothing any more."""
        for client, owner, gfid in self._lockers.pop(fd, ()):
            self.locks.abandon(client, owner, gfid)

    def _holders(self) -> dict[Fd, set[tuple[str, bytes, Gfid]]]:
        """The fds through which something is locked, and by whom."""
        holds = self.locks.lk_held
        found = {fd: {each for each in whose if holds(*each)} for fd, whose in self._lockers.items()}
        return {fd: whose for fd, whose in found.items() if whose}

    def _forget_locks(self) -> None:
        """An fd through which something is locked is good for nothing any more."""
        for fd, whose in self._lockers.items():
            if whose and self in fd.slots:
                fd.slots[self] = Forgotten(fd.slots[self])
        self.locks = self._new_locks()

    def _contended(self, gfid: Gfid, domain: str, name: bytes | None, client: str) -> None:
        self.rise(Contention(self, gfid, domain, name, client))

    def _count(
        self, gfid: Gfid, key: str, value: object, open_fds: int, place: tuple[Gfid, bytes] | None
    ) -> int | None:
        """The answer to a key of xdata that asks how many; None where the key asks nothing of the kind. `place` is
        the name by which the object was met."""
        if key in OPEN_COUNT_KEYS:
            return open_fds
        if key == "glusterfs.inodelk-count":
            return self.locks.inodelk_count(gfid)
        if key == "glusterfs.inodelk-dom-count":
            return self.locks.inodelk_count(gfid, str(value))
        if key.startswith(DOMAIN_PREFIX):
            return self.locks.inodelk_count(gfid, key.removeprefix(DOMAIN_PREFIX))
        if key == "glusterfs.posixlk-count":
            return self.locks.lk_count(gfid)
        if key == "glusterfs.entrylk-count":
            return self.locks.entrylk_count(gfid)
        if key == "glusterfs.parent-entrylk" and place is not None:
            return self.locks.entrylk_count(*place)
        return None


def is_pattern(key: str) -> bool:
    """Whether a key of xdata asks for all attributes of such names."""
    return any(sign in key for sign in "*?[")


def matching(xattrs: Mapping[str, bytes], pattern: str) -> dict[str, bytes]:
    return {name: value for name, value in xattrs.items() if fnmatch.fnmatchcase(name, pattern)}
