"""The locks of one object: which exclude which, who holds, who waits. Without calls, errors or answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from ...graph import Coming, Gfid

END = 1 << 64
"""Behind the last byte that a lock can cover: where a length of 0 reaches."""


@attrs.define(eq=False)
class Lock:
    """One lock, or the request for one that waits (`answer` is set).

    It covers the bytes from `start` up to `end`, or one `name` of a directory (None: all of it). The field that its
    kind does not use covers everything, so that one rule serves all kinds.
    """

    domain: str
    client: str
    owner: bytes
    exclusive: bool
    start: int = 0
    end: int = END
    name: bytes | None = None
    pid: int = 0
    answer: Coming[Any] | None = None
    reply: Any = None
    """What `answer` is settled with once the lock is granted."""
    told_at: float = -math.inf
    """When its holder last heard that somebody else wants it."""

    def overlaps(self, other: Lock) -> bool:
        return (
            self.start < other.end
            and other.start < self.end
            and (self.name is None or other.name is None or self.name == other.name)
            and self.domain == other.domain
        )

    def owned_like(self, other: Lock) -> bool:
        return self.owner == other.owner and self.client == other.client

    def excludes(self, other: Lock) -> bool:
        """Both cannot be held at once. An owner never stands in its own way."""
        return (self.exclusive or other.exclusive) and self.overlaps(other) and not self.owned_like(other)

    def covers_like(self, other: Lock) -> bool:
        """The same owner on exactly the same range or name."""
        return (
            self.start == other.start
            and self.end == other.end
            and self.name == other.name
            and self.domain == other.domain
            and self.owned_like(other)
        )


class Tally:
    """How many locks are held, and how many each client holds or waits for."""

    __slots__ = ("held", "of")

    def __init__(self) -> None:
        self.held = 0
        self.of: dict[str, int] = {}

    def count(self, client: str, held: int, waiting: int = 0) -> None:
        """So many more are held and waited for (or fewer, below zero)."""
        self.held += held
        now = self.of.get(client, 0) + held + waiting
        if now:
            self.of[client] = now
        else:
            self.of.pop(client, None)


class Queue:
    """Locks that stack: an owner that locks twice unlocks twice (inodelk and entrylk).

    `home` is where queues like this one are kept, by the `gfid` of their object.
    """

    __slots__ = ("gfid", "held", "home", "tally", "waiting")

    def __init__(self, home: dict[Gfid, Any], gfid: Gfid, tally: Tally) -> None:
        self.home = home
        self.gfid = gfid
        self.tally = tally
        self.held: list[Lock] = []
        self.waiting: list[Lock] = []

    @property
    def empty(self) -> bool:
        return not self.held and not self.waiting

    def holders_in_the_way(self, lock: Lock) -> list[Lock]:
        return [other for other in self.held if other.excludes(lock)]

    def in_the_way(self, lock: Lock, ahead: Sequence[Lock]) -> Iterator[Lock]:
        """What `lock` has to wait for: holders, and those who wait `ahead` of it for what it would take from them.

        An owner that already holds something here does not queue: those ahead may be waiting for that very owner.
        """
        for other in self.held:
            if other.excludes(lock):
                yield other
        if ahead and not any(other.owned_like(lock) and other.domain == lock.domain for other in self.held):
            for other in ahead:
                if other.excludes(lock):
                    yield other

    def ahead_of(self, lock: Lock) -> list[Lock]:
        """Those who waited before it: all, for a request that is not in the queue."""
        for at, other in enumerate(self.waiting):
            if other is lock:
                return self.waiting[:at]
        return self.waiting

    def hold(self, lock: Lock) -> None:
        self.held.append(lock)
        self.tally.count(lock.client, 1)

    def let_go(self, at: int) -> None:
        """Take away the lock that is held at this place."""
        self.tally.count(self.held.pop(at).client, -1)

    def await_turn(self, lock: Lock) -> None:
        self.waiting.append(lock)
        self.tally.count(lock.client, 0, 1)

    def withdraw(self, lock: Lock) -> None:
        """It waits no more."""
        self.waiting.remove(lock)
        self.tally.count(lock.client, 0, -1)

    def settle(self) -> list[Lock]:
        """Grant what can be granted now, the oldest request first; returns the locks newly held.

        Again until nothing changes: a lock that an owner is granted may free its older request from having to queue.
        """
        granted: list[Lock] = []
        while self.waiting:
            still: list[Lock] = []
            for lock in self.waiting:
                if next(self.in_the_way(lock, still), None) is None:
                    self.tally.count(lock.client, 0, -1)
                    self.hold(lock)
                    granted.append(lock)
                else:
                    still.append(lock)
            changed = len(still) < len(self.waiting)
            self.waiting = still
            if not changed:
                break
        return granted

    def drop_client(self, client: str) -> list[Lock]:
        """Take away all that a client holds or waits for; returns the requests that waited."""
        held = [lock for lock in self.held if lock.client != client]
        gone = [lock for lock in self.waiting if lock.client == client]
        if gone:
            self.waiting = [lock for lock in self.waiting if lock.client != client]
        self.tally.count(client, len(held) - len(self.held), -len(gone))
        self.held = held
        return gone


class Ranges(Queue):
    """fcntl locks: an owner has at most one lock on a byte. A new one replaces, splits and joins its old ones."""

    __slots__ = ()

    def hold(self, lock: Lock) -> None:
        self.carve(lock)
        for other in [other for other in self.held if self._joins(other, lock)]:
            lock.start, lock.end = min(lock.start, other.start), max(lock.end, other.end)
            self.let_go(self.held.index(other))
        super().hold(lock)

    def carve(self, lock: Lock) -> None:
        """Take the range of `lock` out of all that its owner holds."""
        kept: list[Lock] = []
        for other in self.held:
            if not (other.owned_like(lock) and other.overlaps(lock)):
                kept.append(other)
                continue
            if other.start < lock.start:
                kept.append(attrs.evolve(other, end=lock.start, answer=None))
            if other.end > lock.end:
                kept.append(attrs.evolve(other, start=lock.end, answer=None))
        self.tally.count(lock.client, len(kept) - len(self.held))
        self.held = kept

    def splits(self, lock: Lock) -> bool:
        """Would taking the range of `lock` out of what its owner holds leave one lock more?"""
        return any(other.start < lock.start and lock.end < other.end and other.owned_like(lock) for other in self.held)

    @staticmethod
    def _joins(other: Lock, lock: Lock) -> bool:
        touches = other.start <= lock.end and lock.start <= other.end
        return touches and other.exclusive == lock.exclusive and other.owned_like(lock)
