"""The fcntl locks that were taken through fds, as whoever took them remembers it: protocol/client and cluster/afr.

A brick forgets a lock with the connection that it came over. Only the holder can know that it held something, and that
the fd through which it did is good for nothing any more. Ranges split and join here by the rules of the brick's table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from ...graph import Call, Fd, Flock, Gfid, LockType
from .lock_queue import END, Lock, Ranges, Tally
from .lock_requests import byte_range


@attrs.define(eq=False)
class FdLock(Lock):
    """A lock that is held, by the call and the fd that took it."""

    fd: Fd = attrs.field(factory=Fd)
    call: Call = attrs.field(factory=Call)
    on: frozenset[int] = frozenset()
    """The children that hold it, by index; none where the holder has no children."""
    refused_at: float = math.inf
    """Since when somebody else holds it on a child that forgot it."""

    @property
    def flock(self) -> Flock:
        """How it is taken once more."""
        return _piece(LockType.WRITE if self.exclusive else LockType.READ, self.start, self.end, self)


def _piece(kind: LockType, start: int, end: int, of: Lock) -> Flock:
    return Flock(kind, start, 0 if end == END else end - start, of.pid, of.owner)


class FdRanges(Ranges):
    """Locks join only where they have everything in common."""

    __slots__ = ()

    @staticmethod
    def _joins(other: Lock, lock: Lock) -> bool:
        assert isinstance(other, FdLock)
        assert isinstance(lock, FdLock)
        return Ranges._joins(other, lock) and other.fd is lock.fd and other.on == lock.on


class FdLocks:
    """Every lock held through one node, by object."""

    def __init__(self) -> None:
        self._files: dict[Gfid, FdRanges] = {}
        self._tally = Tally()

    def __len__(self) -> int:
        return self._tally.held

    def __iter__(self) -> Iterator[FdLock]:
        for queue in list(self._files.values()):
            yield from list(queue.held)  # type: ignore[misc]

    def holds(self, lock: FdLock) -> bool:
        """Is it held still, whole and unchanged?"""
        queue = self._files.get(lock.fd.gfid)
        return queue is not None and lock in queue.held

    def through(self, fd: Fd) -> list[FdLock]:
        """What is locked through this very fd."""
        queue = self._files.get(fd.gfid)
        return [] if queue is None else [lock for lock in queue.held if lock.fd is fd]  # type: ignore[misc, attr-defined]

    def kept(self, client: str, owner: bytes, gfid: Gfid, flock: Flock) -> list[Flock]:
        """What the owner holds of a range, and what it does not hold as unlocks; nothing, if it holds nothing of it. To
        go back to that from a lock of the whole range, without a moment in which less is held."""
        queue = self._files.get(gfid)
        start, end = byte_range(flock)
        wanted = Lock("", client, owner, False, start, end)
        held = [lock for lock in queue.held if lock.owned_like(wanted) and lock.overlaps(wanted)] if queue else []
        pieces: list[Flock] = []
        for lock in sorted(held, key=lambda each: each.start):
            if start < lock.start:
                pieces.append(_piece(LockType.UNLOCK, start, lock.start, lock))
            kind = LockType.WRITE if lock.exclusive else LockType.READ
            pieces.append(_piece(kind, max(start, lock.start), min(end, lock.end), lock))
            start = lock.end
        if held and start < end:
            pieces.append(_piece(LockType.UNLOCK, start, end, held[-1]))
        return pieces

    def taken(self, call: Call, owner: bytes, fd: Fd, flock: Flock, on: frozenset[int] = frozenset()) -> None:
        """It was granted. In the place of whatever its owner held there before, through this fd or another."""
        queue = self._files.setdefault(fd.gfid, FdRanges(self._files, fd.gfid, self._tally))
        start, end = byte_range(flock)
        exclusive, call = flock.type == LockType.WRITE, call.with_xdata(None)
        queue.hold(FdLock("", call.client, owner, exclusive, start, end, pid=flock.pid, fd=fd, call=call, on=on))

    def given_back(self, client: str, owner: bytes, gfid: Gfid, flock: Flock | None = None) -> None:
        """By an unlock of a range, or (None) of everything."""
        queue = self._files.get(gfid)
        if queue is not None:
            start, end = (0, END) if flock is None else byte_range(flock)
            queue.carve(Lock("", client, owner, False, start, end))
            self._tidy(queue)

    def forget(self, lock: FdLock) -> None:
        """One lock, as it stands here."""
        queue = self._files[lock.fd.gfid]
        queue.let_go(queue.held.index(lock))
        self._tidy(queue)

    def released(self, fd: Fd) -> list[FdLock]:
        """The fd is closed, and what was locked through it given back with it."""
        gone = self.through(fd)
        for lock in gone:
            self.forget(lock)
        return gone

    def disconnected(self, client: str) -> None:
        """A client is gone, and its locks with it."""
        for queue in list(self._files.values()):
            queue.drop_client(client)
            self._tidy(queue)

    def clear(self) -> None:
        self._files.clear()
        self._tally = Tally()

    def _tidy(self, queue: FdRanges) -> None:
        if queue.empty:
            self._files.pop(queue.gfid, None)
