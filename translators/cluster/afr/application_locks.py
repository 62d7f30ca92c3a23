"""Applications' fcntl locks: on which children each is held, and what becomes of it when children go and come (I21).

A lock counts as held as long as nobody else can have it: while a quorum of children holds it, or too few are left for
another quorum. A child that goes has given it back. When it returns the lock is taken there once more, before the fd
through which it was taken counts as open there. Where that comes too late the lock is lost, and with it the fd:
whatever goes through it is EBADFD until it is closed. An fd through which nothing is locked is never lost.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Awaitable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from ....graph import (
    Answers,
    Call,
    Coming,
    Fd,
    Flock,
    Gfid,
    LockCommand,
    Locked,
    LockType,
    Translator,
    fail,
    in_doubt,
    wind,
)
from ...storage.fd_locks import FdLock, FdLocks
from .caller_locks import Waiter, give_back, hold
from .locks import FcntlLock
from .open_fds import OpenFd, caught_up, follow, refuse_lost

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

LOCKS_MAX = 65536
FDS_AT_ONCE = 64
RETRY_SECONDS = 1.0
RETRY_SECONDS_MAX = 30.0
"""Between two attempts to take locks where somebody else has them, or the file is not there yet."""
GRACE_SECONDS = 1.0
"""How long somebody may hold what was ours before that is no mere attempt, given back at once."""

Owner: TypeAlias = tuple[str, bytes, Gfid]


class ApplicationLocks:
    """The locks that callers of one afr hold."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self.held = FdLocks()
        self._users: dict[Fd, OpenFd] = {}
        """The fds through which locks were ever asked for."""
        self._asking: dict[Owner, list[Waiter]] = {}
        self._retaking: dict[Owner, Coming[None]] = {}
        """Locks of an owner are asked for by it, or taken once more for it, but not both at once on one child."""
        self._catching_up = False
        self._news: Coming[None] = Coming()
        self._closed = False

    # --- the fop -----------------------------------------------------------------------------------------------------

    async def lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Locked:
        """EAGAIN, EDEADLK, ENOLCK as of one brick; ENOTCONN below quorum; EBADFD: an earlier lock was lost."""
        await caught_up(self._afr, fd)
        if command == LockCommand.GET:
            return await self._in_the_way(call, fd, flock)
        slot: OpenFd | None = fd.slots.get(self._afr)
        if slot is not None:
            self._users[fd] = slot
        owner = (call.client, call.lk_owner, fd.gfid)
        if flock.type != LockType.UNLOCK:
            await self._left(owner)
        await self._retaken(owner)
        with self._asked(fd, owner, slot) as waiter:
            if flock.type == LockType.UNLOCK:
                self.held.given_back(call.client, call.lk_owner, fd.gfid, flock)
                reply: Locked = await give_back(self._afr, call, FcntlLock(fd, flock), "")
                return reply
            return await self._take(call, fd, slot, command == LockCommand.WAIT, flock, waiter)

    async def _in_the_way(self, call: Call, fd: Fd, flock: Flock) -> Locked:
        """What a child says is in the way: one that has just come back may not know of it."""
        outcomes = await self._afr.laggards.fan_out(Translator.lk, call, fd, LockCommand.GET, flock)
        reply = self._afr.quorum_reply(outcomes)
        found = [each.value for each in outcomes if each.value is not None and each.value.flock.type != LockType.UNLOCK]
        return found[0] if found else reply

    async def _take(self, call: Call, fd: Fd, slot: OpenFd | None, wait: bool, flock: Flock, waiter: Waiter) -> Locked:
        afr = self._afr
        if len(self.held) >= LOCKS_MAX:
            raise fail(errno.ENOLCK, f"{afr.name}: {LOCKS_MAX} locks are held")
        lock = FcntlLock(fd, flock, partial(self.held.kept, call.client, call.lk_owner, fd.gfid, flock))
        granted = await hold(afr, call, lock, "", wait, waiter)
        on = granted.on(afr)
        here = fd.slots.get(afr) is slot
        if not here or (slot is not None and slot.lost) or not afr.quorum.met(on):
            self.held.given_back(call.client, call.lk_owner, fd.gfid, flock)
            await give_back(afr, call, FcntlLock(fd, flock), "")
            refuse_lost(afr, fd)
            raise fail(errno.ENOTCONN if here else errno.EBADF, fd.gfid)
        self.held.taken(call, call.lk_owner, fd, flock, on)
        if slot is not None:
            slot.doubt(self._everyone - on)
        return granted.reply  # type: ignore[no-any-return]

    async def _retaken(self, owner: Owner) -> None:
        while owner in self._retaking:
            await self._retaking[owner]

    async def _go_on(self, fd: Fd, owner: Owner) -> None:
        """After a wait, in which children came and went: they are asked next."""
        await caught_up(self._afr, fd)
        await self._retaken(owner)

    @contextmanager
    def _asked(self, fd: Fd, owner: Owner, slot: OpenFd | None) -> Iterator[Waiter]:
        waiter = Waiter(goes_on=partial(self._go_on, fd, owner))
        self._asking.setdefault(owner, []).append(waiter)
        try:
            yield waiter
        finally:
            if waiter.left is None:
                self._asks_no_more(owner, waiter)
            else:
                waiter.left.when_settled(partial(self._asks_no_more, owner, waiter))
            if slot is not None and slot.missing & self._afr.up:
                self.wake()

    def _asks_no_more(self, owner: Owner, waiter: Waiter) -> None:
        self._asking[owner].remove(waiter)
        if not self._asking[owner]:
            del self._asking[owner]

    async def _left(self, owner: Owner) -> None:
        """Until what this owner was cancelled in is given back: what comes next must not be given back with it."""
        for waiter in list(self._asking.get(owner, ())):
            if waiter.left is not None:
                over: Coming[None] = Coming()
                waiter.left.when_settled(partial(over.resolve, None))
                await over

    def _in_use(self, owner: Owner) -> frozenset[int]:
        """The children on which the owner itself is about to get a lock, or to give one back."""
        found: frozenset[int] = frozenset()
        for waiter in self._asking.get(owner, ()):
            found |= self._everyone if waiter.waits_on is None else waiter.kept.on(self._afr) | {waiter.waits_on}
        return found

    # --- what gives locks back -----------------------------------------------------------------------------------

    def flushed(self, call: Call, fd: Fd) -> None:
        """The owner has closed the file."""
        self.held.given_back(call.client, call.lk_owner, fd.gfid)

    def released(self, fd: Fd) -> None:
        self._users.pop(fd, None)
        self.held.released(fd)

    def disconnected(self, client: str) -> None:
        self.held.disconnected(client)

    def close(self) -> None:
        """The graph is about to stop."""
        self._closed = True

    # --- children that go and come -------------------------------------------------------------------------------

    @property
    def _everyone(self) -> frozenset[int]:
        return frozenset(range(len(self._afr.children)))

    def went(self, child: int) -> None:
        """A child is gone, and whatever was locked there."""
        for slot in self._users.values():
            slot.doubt({child})
        for lock in self.held:
            self._gone_from(lock, child)

    def changed(self, child: int) -> None:
        """Below a child that is a cluster something went, perhaps, or came."""
        for slot in self._users.values():
            slot.doubt({child})
        self.wake()

    def failed_on(self, fd: Fd, children: frozenset[int]) -> None:
        """They have missed what the others did: perhaps the fd is not good there any more. EBADFD: a lock was lost.
        ENOTCONN: whether one was, only those can tell that are fenced. They may have forgotten it long before their
        connection is cut, and without them the others may have given it away."""
        slot = self._users.get(fd)
        if slot is not None:
            slot.doubt(children)
            self.wake()
            refuse_lost(self._afr, fd)
        if any(self._may_be_lost(lock.on - self._afr.laggards.fenced) for lock in self.held.through(fd)):
            raise in_doubt(fail(errno.ENOTCONN, f"{self._afr.name}: who holds a lock of this file does not answer"))

    def bad_on(self, fd: Fd, child: int) -> None:
        """The child says so itself: what it is a cluster of, perhaps, went and came."""
        for lock in self.held.through(fd):
            self._gone_from(lock, child)

    def _gone_from(self, lock: FdLock, child: int) -> None:
        lock.on -= {child}
        if self.held.holds(lock) and self._may_be_lost(lock.on):
            self._lost(lock)

    def _may_be_lost(self, on: frozenset[int]) -> bool:
        """Held on these children alone?"""
        return not self._afr.quorum.met(on) and self._free_elsewhere(on)

    def _free_elsewhere(self, on: frozenset[int]) -> bool:
        """Could another client have it, without a child that holds it for ours?"""
        return self._afr.quorum.met(self._everyone - on)

    def _lost(self, lost: FdLock) -> None:
        """And all that was locked through the same fd, which is good for nothing any more."""
        if self._closed:
            return
        slot: OpenFd | None = lost.fd.slots.get(self._afr)
        if slot is not None:
            slot.lost = True
        for lock in self.held.released(lost.fd):
            self._afr.tasks.start(self._unlock(lock, lock.on))

    async def _unlock(self, lock: FdLock, children: Collection[int]) -> None:
        afr, unlocks = self._afr, Answers[Any]()
        afr.laggards.give(unlocks, children, FcntlLock(lock.fd, lock.flock), lock.call, "")
        await afr.laggards.outcomes(unlocks, frozenset(afr.up))

    # --- taking locks once more ----------------------------------------------------------------------------------

    def wake(self) -> None:
        """A child has come, or something is locked that it has not."""
        self._news.resolve(None)
        if self._behind() and not self._catching_up and not self._closed:
            self._catching_up = True
            self._afr.tasks.start_daemon(self._catch_up())

    def _behind(self) -> list[Fd]:
        """The fds whose locks are not held on all children that are up."""
        behind = {fd: slot for fd, slot in self._users.items() if slot.missing & self._afr.up}
        return [fd for fd in behind if self.held.through(fd)]

    async def _catch_up(self) -> None:
        """Take locks once more until all children that are up hold them."""
        pause = RETRY_SECONDS
        try:
            while behind := self._behind():
                self._news = Coming()
                for first in range(0, len(behind), FDS_AT_ONCE):
                    for done in [self._start_following(fd) for fd in behind[first : first + FDS_AT_ONCE]]:
                        await done
                if self._behind():
                    heard = await self._afr.seams.clock.within(pause, self._news)
                    pause = RETRY_SECONDS if heard else min(2 * pause, RETRY_SECONDS_MAX)
        finally:
            self._catching_up = False

    def _start_following(self, fd: Fd) -> Awaitable[None]:
        return self._afr.tasks.start(follow(self._afr, fd, self._users[fd], again=True))

    async def retake(self, fd: Fd, children: frozenset[int]) -> frozenset[int]:
        """The children that hold whatever is locked through an fd, after it was asked for where it was missing."""
        for lock in self.held.through(fd):
            owner = (lock.client, lock.owner, fd.gfid)
            await self._retaken(owner)
            wanted = children - lock.on - self._in_use(owner)
            if wanted and self.held.holds(lock):
                gate = self._retaking[owner] = Coming()
                try:
                    await self._retake(lock, wanted)
                finally:
                    del self._retaking[owner]
                    gate.resolve(None)
        return frozenset(child for child in children if all(child in lock.on for lock in self.held.through(fd)))

    async def _retake(self, lock: FdLock, wanted: frozenset[int]) -> None:
        afr = self._afr
        since = list(afr.departures)
        nodes = [afr.children[child] for child in sorted(wanted - afr.laggards.fenced)]
        answers = wind(nodes, Translator.lk, lock.call, lock.fd, LockCommand.SET, lock.flock)
        outcomes = await afr.laggards.outcomes(answers, frozenset(afr.up), lock.on)
        granted = {afr.index[outcome.child] for outcome in outcomes if outcome.ok}
        if not self.held.holds(lock):  # given back meanwhile, or lost
            await self._unlock(lock, granted)
            return
        lock.on |= {child for child in granted if afr.departures[child] == since[child]}
        if all(outcome.errno != errno.EAGAIN for outcome in outcomes):
            lock.refused_at = math.inf
        elif self._free_elsewhere(lock.on):
            self._refused(lock)

    def _refused(self, lock: FdLock) -> None:
        """Somebody else has it, and may have it on a quorum of their own."""
        now = self._afr.seams.clock.monotonic()
        lock.refused_at = min(lock.refused_at, now)
        if now - lock.refused_at >= GRACE_SECONDS:
            self._lost(lock)
