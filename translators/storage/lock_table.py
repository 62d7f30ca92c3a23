"""The lock table of a brick: inodelk, entrylk and fcntl locks, held and waited for. storage/posix, storage/memory and
whatever else answers lock fops share it.

The owner of a lock is the client's connection together with the lk owner of the call. A blocking request that cannot
be granted is a `Coming`; requests are granted in the order of their arrival, and a newer one does not overtake one
that waits for the same thing. An owner that is empty or all zeros is none: two tasks that forgot to name theirs would
hold the same lock (EINVAL).

A caller that gives up waiting (it was cancelled) must leave the queue, and says so with an ordinary unlock: an unlock
that finds nothing held, but a request of the same owner on exactly the same range or name, withdraws that request,
which is then answered with ECANCELED. This passes through every layer and over the wire, where a cancellation of the
`Coming` itself would not. An owner that already holds something there, and waits for more, says which it means: with
`WITHDRAW_KEY` in the xdata of the unlock, a request that waits goes first. A client that goes away is covered by
`disconnect`.

A holder is told that others want its lock when a request has to wait, and when it is granted a lock that others still
wait for; at most once in `notice_delay` seconds for each lock.
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
from .lock_queue import END, Lock, Queue, Ranges, Tally
from .lock_requests import byte_range, check_owner, first

LOCKS_MAX = 65536
WAITING_MAX = 16384
CLIENT_MAX = 16384
"""What one client may hold and wait for: it cannot use up what there is for all."""

WITHDRAW_KEY = "volgraph.withdraw"

OnContention = Callable[[Gfid, str, bytes | None, str], None]
"""Told (gfid, domain, name, client that holds): somebody else wants it. `name` is None for an inodelk, b"" for an
entrylk on the whole directory."""

GET, SET, WAIT = LockCommand
READ, WRITE, UNLOCK = LockType
ENTRY_LOCK, ENTRY_UNLOCK, ENTRY_TRY = EntryLockCommand

R = TypeVar("R")


class LockTable:
    def __init__(
        self,
        on_contention: OnContention | None = None,
        *,
        now: Callable[[], float] = lambda: 0.0,
        notice_delay: float = 0.0,
        locks_max: int = LOCKS_MAX,
        waiting_max: int = WAITING_MAX,
        client_max: int = CLIENT_MAX,
    ) -> None:
        self.on_contention = on_contention
        self.notice_delay = notice_delay
        self._now = now
        self._locks_max = locks_max
        self._waiting_max = waiting_max
        self._client_max = client_max
        self._tally = Tally()
        self._inodes: dict[Gfid, Queue] = {}
        self._entries: dict[Gfid, Queue] = {}
        self._files: dict[Gfid, Ranges] = {}
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
            return self._unlock(call, self._inodes, gfid, lock)
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
            return self._unlock(call, self._entries, gfid, lock)
        return self._lock(self._entries, gfid, lock, command == ENTRY_LOCK)

    def lk(self, call: Call, gfid: Gfid, command: LockCommand | int, flock: Flock) -> Done[Locked] | Coming[Locked]:
        """An application's lock, with the semantics of fcntl(2): ranges split and join; GET answers the lock in the
        way. EAGAIN held by another (SET); EDEADLK waiting would never end; EINVAL; ENOLCK."""
        start, end = byte_range(flock)
        kind = flock.type
        if command not in (GET, SET, WAIT) or kind not in (READ, WRITE, UNLOCK):
            raise fail(errno.EINVAL, f"lk command {command}, type {kind}")
        lock = Lock("", call.client, call.lk_owner, kind == WRITE, start, end, None, flock.pid)
        queue = self._files.get(gfid) or Ranges(self._files, gfid, self._tally)
        if command == GET:
            return Done(Locked(first(queue.holders_in_the_way(lock)) or attrs.evolve(flock, type=UNLOCK)))
        if kind == UNLOCK:
            self._unlock_range(call, queue, lock)
            return Done(Locked(flock))
        check_owner(lock)
        # As in fcntl, only what is held makes a request fail; but one that waits does so in its turn.
        in_the_way = queue.in_the_way(lock, queue.waiting if command == WAIT else ())
        if next(in_the_way, None) is None:
            self._check_room(lock)
            queue.hold(lock)
            self._files[gfid] = queue
            self._settle(queue)
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
            queue.carve(Lock("", call.client, call.lk_owner, False))
            self._settle(queue)

    def abandon(self, client: str, owner: bytes, gfid: Gfid) -> None:
        """The fd is gone through which an owner took fcntl locks, or waits for one: give all back."""
        queue = self._files.get(gfid)
        if queue is None:
            return
        whole = Lock("", client, owner, False)
        gone = [lock for lock in queue.waiting if lock.owned_like(whole)]
        for lock in gone:
            self._forget_request(queue, lock)
        queue.carve(whole)
        self._settle(queue)
        for lock in gone:
            _reject(lock, fail(errno.ECANCELED, gfid))

    def disconnect(self, client: str) -> None:
        """A client is gone: its locks are given back, its waiting requests are answered with ENOTCONN."""
        if client not in self._tally.of:
            return
        for queue in list(self._queues()):  # no index by client: it would burden every lock to save this walk
            if any(lock.client == client for lock in _all(queue)):
                gone = queue.drop_client(client)
                for lock in gone:
                    del self._waiting[lock]
                self._settle(queue)
                for lock in gone:
                    _reject(lock, fail(errno.ENOTCONN, client))

    def close(self) -> None:
        """The brick goes down: everything is dropped, waiting requests are answered with ENOTCONN."""
        waiting = list(self._waiting)
        self._inodes, self._entries, self._files, self._waiting = {}, {}, {}, {}
        self._tally = Tally()
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

    def lk_count(self, gfid: Gfid) -> int:
        """Applications' locks held or waited for."""
        queue = self._files.get(gfid)
        return 0 if queue is None else len(queue.held) + len(queue.waiting)

    def lk_held(self, client: str, owner: bytes, gfid: Gfid) -> bool:
        """Does this owner hold an fcntl lock of the object?"""
        queue = self._files.get(gfid)
        return queue is not None and any(lock.client == client and lock.owner == owner for lock in queue.held)

    def holders(self, gfid: Gfid) -> list[Lock]:
        """Every lock held on an object, of all three kinds."""
        return [lock for queue in self._queues() if queue.gfid == gfid for lock in queue.held]

    def conflicting(self) -> list[tuple[Lock, Lock]]:
        """Pairs of locks that exclude each other and are both held: always empty, or the table is broken."""
        pairs: list[tuple[Lock, Lock]] = []
        for queue in self._queues():
            pairs += [(a, b) for at, a in enumerate(queue.held) for b in queue.held[at + 1 :] if a.excludes(b)]
        return pairs

    def of_clients(self) -> dict[str, int]:
        """How many locks each client holds or waits for."""
        return dict(self._tally.of)

    @property
    def held(self) -> int:
        """How many locks are held in the whole table."""
        return self._tally.held

    @property
    def waiting(self) -> int:
        """How many requests wait in the whole table."""
        return len(self._waiting)

    # --- inodelk and entrylk -----------------------------------------------------------------------------------------

    def _lock(
        self, home: dict[Gfid, Queue], gfid: Gfid, lock: Lock, wait: bool
    ) -> Done[Acknowledged] | Coming[Acknowledged]:
        check_owner(lock)
        queue = home.get(gfid)
        if queue is None or next(queue.in_the_way(lock, queue.waiting), None) is None:
            self._check_room(lock)
            if queue is None:
                queue = home[gfid] = Queue(home, gfid, self._tally)
            queue.hold(lock)
            if queue.waiting:
                self._settle(queue)
                self._tell_new_holders(queue, [lock])
            return Done(Acknowledged())
        if not wait:
            self._tell(queue, queue.holders_in_the_way(lock))
            raise fail(errno.EAGAIN, gfid)
        answer: Coming[Acknowledged] = Coming()
        self._wait(queue, lock, answer, Acknowledged())
        self._tell(queue, queue.holders_in_the_way(lock))
        return answer

    def _unlock(self, call: Call, home: dict[Gfid, Queue], gfid: Gfid, lock: Lock) -> Done[Acknowledged]:
        """Take the newest lock like this one away; where none is held, the newest request."""
        queue = home.get(gfid)
        if queue is None:
            raise fail(errno.EINVAL, gfid)
        if call.xdata and WITHDRAW_KEY in call.xdata and self._withdraw(queue, lock):
            return Done(Acknowledged())
        held = queue.held
        for at in range(len(held) - 1, -1, -1):
            if held[at].covers_like(lock):
                queue.let_go(at)
                self._settle(queue)
                return Done(Acknowledged())
        if not self._withdraw(queue, lock):
            raise fail(errno.EINVAL, gfid)
        return Done(Acknowledged())

    def _tell_new_holders(self, queue: Queue, locks: list[Lock]) -> None:
        """These are held now, and somebody may be waiting for them already."""
        if queue.home is not self._files:
            wanted = [lock for lock in locks if any(other.excludes(lock) for other in queue.waiting)]
            self._tell(queue, [lock for lock in wanted if lock in queue.held])

    def _tell(self, queue: Queue, holders: list[Lock]) -> None:
        """Somebody waits for these."""
        if self.on_contention is None:
            return
        now, names = self._now(), queue.home is self._entries
        told: set[tuple[str, str, bytes]] = set()
        for lock in holders:
            if lock.told_at + self.notice_delay <= now:
                lock.told_at = now
                told.add((lock.client, lock.domain, lock.name or b""))
        for client, domain, name in sorted(told):
            self.on_contention(queue.gfid, domain, name if names else None, client)

    # --- fcntl -------------------------------------------------------------------------------------------------------

    def _unlock_range(self, call: Call, queue: Ranges, lock: Lock) -> None:
        if call.xdata and WITHDRAW_KEY in call.xdata and self._withdraw(queue, lock):
            return
        if any(other.owned_like(lock) and other.overlaps(lock) for other in queue.held):
            if queue.splits(lock):
                self._check_room(lock)
            queue.carve(lock)
            self._settle(queue)
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

    def _check_room(self, lock: Lock) -> None:
        """ENOLCK."""
        tally = self._tally
        if tally.held >= self._locks_max or tally.of.get(lock.client, 0) >= self._client_max:
            raise fail(errno.ENOLCK, f"{tally.held} locks are held, {tally.of.get(lock.client, 0)} by this client")

    def _wait(self, queue: Queue, lock: Lock, answer: Coming[R], reply: R) -> None:
        if len(self._waiting) >= self._waiting_max or self._tally.of.get(lock.client, 0) >= self._client_max:
            raise fail(errno.ENOLCK, f"{len(self._waiting)} requests wait for locks")
        lock.answer, lock.reply = answer, reply
        queue.await_turn(lock)
        self._waiting[lock] = queue

    def _withdraw(self, queue: Queue, lock: Lock) -> bool:
        """Take the newest request like `lock` out of the queue; False where none waits."""
        found = next((each for each in reversed(queue.waiting) if each.covers_like(lock)), None)
        if found is None:
            return False
        self._forget_request(queue, found)
        self._settle(queue)
        _reject(found, fail(errno.ECANCELED, queue.gfid))
        return True

    def _forget_request(self, queue: Queue, lock: Lock) -> None:
        queue.withdraw(lock)
        del self._waiting[lock]

    def _settle(self, queue: Queue) -> None:
        """After a change of a queue: grant what has become free, and drop an empty queue.

        Answers come last: whoever is answered may be back at once, and must find the table in order.
        """
        granted = queue.settle() if queue.waiting else []
        if queue.empty:
            queue.home.pop(queue.gfid, None)
        for lock in granted:
            del self._waiting[lock]
        for lock in granted:
            if lock.answer is not None:
                lock.answer.resolve(lock.reply)
        if granted and queue.waiting:
            self._tell_new_holders(queue, granted)


def _all(queue: Queue) -> Iterator[Lock]:
    return chain(queue.held, queue.waiting)


def _reject(lock: Lock, error: OSError) -> None:
    if lock.answer is not None:
        lock.answer.reject(error)
