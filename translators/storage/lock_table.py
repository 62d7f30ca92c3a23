"""The lock table of a brick: inodelk, entrylk and fcntl locks, held and waited for. storage/posix, storage/memory and
whatever else answers lock fops share it.

The owner of a lock is the client's connection together with the lk owner of the call. A blocking request that cannot
be granted is a `Coming`; requests are granted in the order of their arrival, and a newer one does not overtake one
that waits for the same thing.

A caller that gives up waiting (it was cancelled) must leave the queue, and says so with an ordinary unlock: an unlock
that finds nothing held, but a request of the same owner on exactly the same range or name, withdraws that request,
which is then answered with ECANCELED. This passes through every layer and over the wire, where a cancellation of the
`Coming` itself would not. A client that goes away is covered by `disconnect`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

import attrs

from ...graph import (
    Acknowledged,
    Call,
    Coming,
    Done,
    EntryLockCommand,
    Flock,
    Gfid,
    LockCommand,
    Locked,
    LockType,
    fail,
)
from .lock_queue import END, Lock, Queue, Ranges

LOCKS_MAX = 65536
WAITING_MAX = 16384

OnContention = Callable[[Gfid, str, bytes | None, str], None]
"""Told (gfid, domain, name, client that holds): somebody else wants it. `name` is None for an inodelk, b"" for an
entrylk on the whole directory."""

GET, SET, WAIT = LockCommand
READ, WRITE, UNLOCK = LockType
ENTRY_LOCK, ENTRY_UNLOCK, ENTRY_TRY = EntryLockCommand

R = TypeVar("R")


class LockTable:
    def __init__(
        self, on_contention: OnContention | None = None, *, locks_max: int = LOCKS_MAX, waiting_max: int = WAITING_MAX
    ) -> None:
        self._on_contention = on_contention
        self._locks_max = locks_max
        self._waiting_max = waiting_max
        self._inodes: dict[Gfid, Queue] = {}
        self._entries: dict[Gfid, Queue] = {}
        self._files: dict[Gfid, Ranges] = {}
        self._held = 0
        self._waiting: dict[Lock, Queue] = {}

    # --- the fops ----------------------------------------------------------------------------------------------------

    def inodelk(
        self, call: Call, domain: str, gfid: Gfid, command: LockCommand | int, flock: Flock
    ) -> Done[Acknowledged] | Coming[Acknowledged]:
        """A byte range, in a domain. Locks of one owner stack. EAGAIN held by another (SET); EINVAL; ENOLCK."""
        start, end = byte_range(flock)
        kind = flock.type
        if command not in (SET, WAIT) or kind not in (READ, WRITE, UNLOCK):
            raise fail(errno.EINVAL, f"inodelk command {command}, type {kind}")
        lock = Lock(domain, call.client, call.lk_owner, kind == WRITE, start, end, None, flock.pid)
        if kind == UNLOCK:
            return self._unlock(self._inodes, gfid, lock)
        return self._lock(self._inodes, gfid, lock, command == WAIT)

    def entrylk(
        self,
        call: Call,
        domain: str,
        gfid: Gfid,
        name: bytes | None,
        command: EntryLockCommand | int,
        type: LockType | int,
    ) -> Done[Acknowledged] | Coming[Acknowledged]:
        """A name of a directory, or all of it (None, or empty). EAGAIN held by another (TRY); EINVAL; ENOLCK."""
        if command not in (ENTRY_LOCK, ENTRY_UNLOCK, ENTRY_TRY) or type not in (READ, WRITE):
            raise fail(errno.EINVAL, f"entrylk command {command}, type {type}")
        lock = Lock(domain, call.client, call.lk_owner, type == WRITE, 0, END, name or None, call.pid)
        if command == ENTRY_UNLOCK:
            return self._unlock(self._entries, gfid, lock)
        return self._lock(self._entries, gfid, lock, command == ENTRY_LOCK)

    def lk(self, call: Call, gfid: Gfid, command: LockCommand | int, flock: Flock) -> Done[Locked] | Coming[Locked]:
        """An application's lock, with the semantics of fcntl(2): ranges split and join; GET answers the lock in the
        way. EAGAIN held by another (SET); EDEADLK waiting would never end; EINVAL; ENOLCK."""
        start, end = byte_range(flock)
        kind = flock.type
        if command not in (GET, SET, WAIT) or kind not in (READ, WRITE, UNLOCK):
            raise fail(errno.EINVAL, f"lk command {command}, type {kind}")
        lock = Lock("", call.client, call.lk_owner, kind == WRITE, start, end, None, flock.pid)
        queue = self._files.get(gfid) or Ranges(self._files, gfid)
        if command == GET:
            return Done(Locked(_first(queue.holders_in_the_way(lock)) or attrs.evolve(flock, type=UNLOCK)))
        if kind == UNLOCK:
            self._unlock_range(queue, lock)
            return Done(Locked(flock))
        # As in fcntl, only what is held makes a request fail; but one that waits does so in its turn.
        in_the_way = queue.in_the_way(lock, queue.waiting if command == WAIT else ())
        if next(in_the_way, None) is None:
            self._room_for_one_lock()
            before = len(queue.held)
            queue.hold(lock)
            self._files[gfid] = queue
            self._settle(queue, before)
            return Done(Locked(flock))
        if command == SET:
            raise fail(errno.EAGAIN, gfid)
        if self._would_deadlock(queue, lock):
            raise fail(errno.EDEADLK, gfid)
        answer: Coming[Locked] = Coming()
        self._wait(queue, lock, answer, Locked(flock))
        return answer

    # --- releases that no unlock asks for ----------------------------------------------------------------------------

    def release_owner(self, call: Call, gfid: Gfid) -> None:
        """Give back the fcntl locks that the caller holds on an object: it closed the file (flush)."""
        queue = self._files.get(gfid)
        if queue is not None:
            before = len(queue.held)
            queue.carve(Lock("", call.client, call.lk_owner, False))
            self._settle(queue, before)

    def disconnect(self, client: str) -> None:
        """A client is gone: its locks are given back, its waiting requests are answered with ENOTCONN."""
        for queue in list(self._queues()):  # no index by client: it would burden every lock to save this walk
            if any(lock.client == client for lock in _all(queue)):
                before = len(queue.held)
                gone = queue.drop_client(client)
                for lock in gone:
                    del self._waiting[lock]
                self._settle(queue, before)
                for lock in gone:
                    _reject(lock, fail(errno.ENOTCONN, client))

    def close(self) -> None:
        """The brick goes down: everything is dropped, waiting requests are answered with ENOTCONN."""
        waiting = list(self._waiting)
        self._inodes, self._entries, self._files, self._waiting = {}, {}, {}, {}
        self._held = 0
        for lock in waiting:
            _reject(lock, fail(errno.ENOTCONN, "the brick went down"))

    # --- what there is -----------------------------------------------------------------------------------------------

    def inodelk_count(self, gfid: Gfid, domain: str | None = None) -> int:
        """Inode locks held or waited for: whoever keeps one for later learns that somebody else is interested."""
        queue = self._inodes.get(gfid)
        if queue is None:
            return 0
        return sum(1 for lock in _all(queue) if domain is None or lock.domain == domain)

    def entrylk_count(self, gfid: Gfid, name: bytes | None = None) -> int:
        """Entry locks held or waited for in a directory; with a name those that cover it."""
        queue = self._entries.get(gfid)
        if queue is None:
            return 0
        return sum(1 for lock in _all(queue) if name is None or lock.name is None or lock.name == name)

    def holders(self, gfid: Gfid) -> list[Lock]:
        """Every lock held on an object, of all three kinds."""
        return [lock for queue in self._queues() if queue.gfid == gfid for lock in queue.held]

    def conflicting(self) -> list[tuple[Lock, Lock]]:
        """Pairs of locks that exclude each other and are both held: always empty, or the table is broken."""
        pairs: list[tuple[Lock, Lock]] = []
        for queue in self._queues():
            pairs += [(a, b) for at, a in enumerate(queue.held) for b in queue.held[at + 1 :] if a.excludes(b)]
        return pairs

    @property
    def held(self) -> int:
        """How many locks are held in the whole table."""
        return self._held

    @property
    def waiting(self) -> int:
        """How many requests wait in the whole table."""
        return len(self._waiting)

    # --- inodelk and entrylk -----------------------------------------------------------------------------------------

    def _lock(
        self, home: dict[Gfid, Queue], gfid: Gfid, lock: Lock, wait: bool
    ) -> Done[Acknowledged] | Coming[Acknowledged]:
        queue = home.get(gfid)
        if queue is None or next(queue.in_the_way(lock, queue.waiting), None) is None:
            self._room_for_one_lock()
            if queue is None:
                queue = home[gfid] = Queue(home, gfid)
            queue.held.append(lock)
            self._held += 1
            if queue.waiting:
                self._settle(queue, len(queue.held))
            return Done(Acknowledged())
        if not wait:
            self._tell_holders(queue, lock)
            raise fail(errno.EAGAIN, gfid)
        answer: Coming[Acknowledged] = Coming()
        self._wait(queue, lock, answer, Acknowledged())
        self._tell_holders(queue, lock)
        return answer

    def _unlock(self, home: dict[Gfid, Queue], gfid: Gfid, lock: Lock) -> Done[Acknowledged]:
        """Take the newest lock like this one away; where none is held, the newest request."""
        queue = home.get(gfid)
        if queue is None:
            raise fail(errno.EINVAL, gfid)
        held = queue.held
        for at in range(len(held) - 1, -1, -1):
            if held[at].covers_like(lock):
                before = len(held)
                del held[at]
                self._settle(queue, before)
                return Done(Acknowledged())
        if not self._withdraw(queue, lock):
            raise fail(errno.EINVAL, gfid)
        return Done(Acknowledged())

    def _tell_holders(self, queue: Queue, lock: Lock) -> None:
        if self._on_contention is None:
            return
        told = {(other.client, other.name or b"") for other in queue.holders_in_the_way(lock)}
        for client, name in sorted(told):
            self._on_contention(queue.gfid, lock.domain, name if queue.home is self._entries else None, client)

    # --- fcntl -------------------------------------------------------------------------------------------------------

    def _unlock_range(self, queue: Ranges, lock: Lock) -> None:
        holds = any(other.owned_like(lock) and other.overlaps(lock) for other in queue.held)
        if holds:
            before = len(queue.held)
            queue.carve(lock)
            self._settle(queue, before)
        else:
            self._withdraw(queue, lock)

    def _would_deadlock(self, queue: Queue, lock: Lock) -> bool:
        """Does somebody that `lock` waits for wait, itself or through others, for the owner of `lock`?"""
        waits: dict[tuple[str, bytes], list[tuple[Queue, Lock]]] = {}
        for other, place in self._waiting.items():
            if place.home is self._files:
                waits.setdefault((other.client, other.owner), []).append((place, other))
        seen: set[tuple[str, bytes]] = set()
        rest = list(queue.in_the_way(lock, queue.waiting))
        while rest:
            other = rest.pop()
            if other.owned_like(lock):
                return True
            owner = (other.client, other.owner)
            if owner not in seen:
                seen.add(owner)
                for place, waiting in waits.get(owner, ()):
                    rest += place.in_the_way(waiting, place.ahead_of(waiting))
        return False

    # --- bookkeeping -------------------------------------------------------------------------------------------------

    def _queues(self) -> Iterator[Queue]:
        return chain(self._inodes.values(), self._entries.values(), self._files.values())

    def _room_for_one_lock(self) -> None:
        if self._held >= self._locks_max:
            raise fail(errno.ENOLCK, f"{self._held} locks are held")

    def _wait(self, queue: Queue, lock: Lock, answer: Coming[R], reply: R) -> None:
        if len(self._waiting) >= self._waiting_max:
            raise fail(errno.ENOLCK, f"{len(self._waiting)} requests wait for locks")
        lock.answer, lock.reply = answer, reply
        queue.waiting.append(lock)
        self._waiting[lock] = queue

    def _withdraw(self, queue: Queue, lock: Lock) -> bool:
        """Take the newest request like `lock` out of the queue; False where none waits."""
        found = next((each for each in reversed(queue.waiting) if each.covers_like(lock)), None)
        if found is None:
            return False
        queue.waiting.remove(found)
        del self._waiting[found]
        self._settle(queue, len(queue.held))
        _reject(found, fail(errno.ECANCELED, queue.gfid))
        return True

    def _settle(self, queue: Queue, before: int) -> None:
        """After a change of a queue that held `before` locks: grant what has become free, and drop an empty queue.

        Answers come last: whoever is answered may be back at once, and must find the table in order.
        """
        granted = queue.settle() if queue.waiting else ()
        self._held += len(queue.held) - before
        if queue.empty:
            del queue.home[queue.gfid]
        for lock in granted:
            del self._waiting[lock]
        for lock in granted:
            if lock.answer is not None:
                lock.answer.resolve(lock.reply)


def byte_range(flock: Flock) -> tuple[int, int]:
    """The bytes a flock covers: start, and the end behind the last one. EINVAL."""
    start, length = flock.start, flock.length
    if start < 0 or length < 0 or start >= END or flock.whence:
        raise fail(errno.EINVAL, f"lock of {length} bytes from {start}, whence {flock.whence}")
    return start, min(start + length, END) if length else END


def _all(queue: Queue) -> Iterator[Lock]:
    return chain(queue.held, queue.waiting)


def _first(locks: list[Lock]) -> Flock | None:
    """The lowest of these locks, as GET answers it."""
    if not locks:
        return None
    lock = min(locks, key=lambda each: each.start)
    length = 0 if lock.end == END else lock.end - lock.start
    return Flock(WRITE if lock.exclusive else READ, lock.start, length, lock.pid, lock.owner)


def _reject(lock: Lock, error: OSError) -> None:
    if lock.answer is not None:
        lock.answer.reject(error)
