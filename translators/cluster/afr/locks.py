"""Locks on several children: what a transaction, a healer or a caller above takes and gives back."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from ....graph import (
    Answers,
    Call,
    EntryLockCommand,
    Fd,
    Flock,
    Loc,
    LockCommand,
    LockType,
    Outcome,
    Translator,
    fail,
)
from ...storage.lock_table import WITHDRAW_KEY
from .verdict import combined_error

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

METADATA_RANGE_START = 2**63 - 2
"""Where GlusterFS locks for metadata: a range of its own behind the last byte of any file (wire.md 17)."""


class Lock(Protocol):
    """Something to hold on every child."""

    @property
    def covers(self) -> tuple[object, ...]:
        """What exactly is locked: an unlock of the same undoes it."""
        ...

    @property
    def order(self) -> tuple[bytes, bytes]:
        """Several locks are taken in this order, by everybody."""
        ...

    def take(self, to: Answers[Any], child: Translator, call: Call, domain: str, wait: bool) -> None:
        """Wind the lock to one child."""
        ...

    def give(self, to: Answers[Any], child: Translator, call: Call, domain: str) -> None:
        """Wind the unlock."""
        ...


@attrs.define
class InodeLock:
    """A range of an object."""

    target: Loc | Fd
    flock: Flock

    @classmethod
    def for_data(cls, target: Loc | Fd) -> InodeLock:
        """The whole file, so far as it can have bytes."""
        return cls(target, Flock(length=METADATA_RANGE_START))

    @classmethod
    def for_metadata(cls, target: Loc | Fd) -> InodeLock:
        return cls(target, Flock(start=METADATA_RANGE_START))

    @property
    def covers(self) -> tuple[object, ...]:
        return ("inode", self.target.gfid, self.flock.start, self.flock.length)

    @property
    def order(self) -> tuple[bytes, bytes]:
        return (self.target.gfid, b"")

    def take(self, to: Answers[Any], child: Translator, call: Call, domain: str, wait: bool) -> None:
        self._wind(to, child, call, domain, LockCommand.WAIT if wait else LockCommand.SET, self.flock.type)

    def give(self, to: Answers[Any], child: Translator, call: Call, domain: str) -> None:
        self._wind(to, child, call, domain, LockCommand.SET, LockType.UNLOCK)

    def _wind(
        self, to: Answers[Any], child: Translator, call: Call, domain: str, command: LockCommand, type: int
    ) -> None:
        flock = Flock(type, self.flock.start, self.flock.length, self.flock.pid, call.lk_owner, self.flock.whence)
        if isinstance(self.target, Fd):
            to.wind(child, Translator.finodelk, call, domain, self.target, command, flock)
        else:
            to.wind(child, Translator.inodelk, call, domain, self.target, command, flock)


@attrs.define
class EntryLock:
    """One name of a directory, or (None) all of them."""

    target: Loc | Fd
    name: bytes | None
    type: LockType = LockType.WRITE

    @classmethod
    def on(cls, loc: Loc) -> EntryLock:
        """The name that `loc` gives."""
        return cls(Loc(loc.parent), loc.name)

    @property
    def covers(self) -> tuple[object, ...]:
        return ("entry", self.target.gfid, self.name)

    @property
    def order(self) -> tuple[bytes, bytes]:
        return (self.target.gfid, self.name or b"")

    def take(self, to: Answers[Any], child: Translator, call: Call, domain: str, wait: bool) -> None:
        self._wind(to, child, call, domain, EntryLockCommand.LOCK if wait else EntryLockCommand.TRY)

    def give(self, to: Answers[Any], child: Translator, call: Call, domain: str) -> None:
        self._wind(to, child, call, domain, EntryLockCommand.UNLOCK)

    def _wind(self, to: Answers[Any], child: Translator, call: Call, domain: str, command: EntryLockCommand) -> None:
        if isinstance(self.target, Fd):
            to.wind(child, Translator.fentrylk, call, domain, self.target, self.name, command, self.type)
        else:
            to.wind(child, Translator.entrylk, call, domain, self.target, self.name, command, self.type)


@attrs.define
class FcntlLock:
    """An application's lock. It has no domain."""

    target: Fd
    flock: Flock

    @property
    def covers(self) -> tuple[object, ...]:
        return ("file", self.target.gfid, self.flock.start, self.flock.length)

    @property
    def order(self) -> tuple[bytes, bytes]:
        return (self.target.gfid, b"")

    def take(self, to: Answers[Any], child: Translator, call: Call, domain: str, wait: bool) -> None:
        to.wind(child, Translator.lk, call, self.target, LockCommand.WAIT if wait else LockCommand.SET, self.flock)

    def give(self, to: Answers[Any], child: Translator, call: Call, domain: str) -> None:
        flock = attrs.evolve(self.flock, type=LockType.UNLOCK)
        to.wind(child, Translator.lk, call, self.target, LockCommand.SET, flock)


# --- locks of callers above ------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Waiter:
    """A caller whose lock is being taken on child after child. It gives up by unlocking what it has not got yet, or by
    being cancelled."""

    gave_up: bool = False
    waits_on: int | None = None
    """The child that was asked to let it wait."""
    holds: list[int] = attrs.field(factory=list)
    """The children that have granted it, or may, once it is granted as a whole."""


class Waiters:
    """The callers that wait for a lock on several children, by what they wait for."""

    def __init__(self) -> None:
        self._waiters: dict[tuple[object, ...], list[Waiter]] = {}

    @contextmanager
    def waiting(self, waiter: Waiter, call: Call, lock: Lock, domain: str) -> Iterator[None]:
        key = _whose(call, lock, domain)
        self._waiters.setdefault(key, []).append(waiter)
        try:
            yield
        finally:
            self._waiters[key].remove(waiter)
            if not self._waiters[key]:
                del self._waiters[key]

    def give_up(self, call: Call, lock: Lock, domain: str) -> None:
        """Of equal ones the newest, as the children do."""
        for waiter in self._waiters.get(_whose(call, lock, domain), ())[-1:]:
            waiter.gave_up = True

    def gone(self, client: str) -> None:
        """A client is gone: what it waits for on one child it must not get on the next."""
        for key, waiters in self._waiters.items():
            if key[0] == client:
                for waiter in waiters:
                    waiter.gave_up = True


def _whose(call: Call, lock: Lock, domain: str) -> tuple[object, ...]:
    return (call.client, call.lk_owner, domain, *lock.covers)


async def hold(afr: ReplicaSet, call: Call, lock: Lock, domain: str, wait: bool) -> Any:
    """Take a caller's lock on every child, or on none; the reply is the first child's.

    Everywhere at once; where somebody else holds it, EAGAIN, or, if the caller will `wait`, child after child in the
    order that everybody keeps. ENOTCONN below quorum; ECANCELED when the caller has given up waiting. Cancelled, it
    leaves no lock behind: a task of the graph gives back what was granted, or still is.
    """
    waiter = Waiter()
    work = afr.tasks.start(_hold(afr, call, lock, domain, wait, waiter))
    try:
        return await work
    except Exception:
        raise
    except BaseException:
        waiter.gave_up = True
        if waiter.waits_on is not None:
            withdrawing = call.with_xdata({**(call.xdata or {}), WITHDRAW_KEY: 1})
            lock.give(Answers(), afr.children[waiter.waits_on], withdrawing, domain)
        if work.settled:
            afr.tasks.start(_given(afr, _give(afr, waiter.holds, call, lock, domain)))
        raise


async def _hold(afr: ReplicaSet, call: Call, lock: Lock, domain: str, wait: bool, waiter: Waiter) -> Any:
    if not afr.quorum.met(afr.up):
        raise fail(errno.ENOTCONN, f"{afr.name}: too few children are up")
    everyone = sorted(afr.up)
    with afr.waiters.waiting(waiter, call, lock, domain):
        outcomes = await _take(afr, everyone, call, lock, domain, wait=False)
        busy = next((outcome.error for outcome in outcomes.values() if outcome.errno == errno.EAGAIN), None)
        if busy is not None:
            await _given(afr, _give(afr, _asked(afr, outcomes), call, lock, domain))
            if not wait:
                raise busy
            outcomes = {}
            for child in everyone:
                if not waiter.gave_up:
                    waiter.waits_on = child
                    outcomes |= await _take(afr, [child], call, lock, domain, wait=True)
                    waiter.waits_on = None
    granted = _granted(outcomes)
    if waiter.gave_up:
        await _given(afr, _give(afr, _asked(afr, outcomes), call, lock, domain))
        raise fail(errno.ECANCELED, afr.name)
    if not afr.quorum.met(granted):
        await _given(afr, _give(afr, _asked(afr, outcomes), call, lock, domain))
        raise combined_error([outcome for outcome in outcomes.values() if not outcome.ok])
    waiter.holds = _asked(afr, outcomes)
    return outcomes[granted[0]].value


async def give_back(afr: ReplicaSet, call: Call, lock: Lock, domain: str) -> Any:
    """Unlock wherever it may be held, and withdraw what waits. Fails only if no child had it."""
    afr.waiters.give_up(call, lock, domain)
    outcomes = await _given(afr, _give(afr, sorted(afr.admitted | afr.laggards.fenced), call, lock, domain))
    for outcome in outcomes:
        if outcome.ok:
            return outcome.value
    raise combined_error(outcomes)


# --- locks of this afr's own -----------------------------------------------------------------------------------------


@asynccontextmanager
async def held(
    afr: ReplicaSet, children: Sequence[int], call: Call, lock: Lock, domain: str, wait: bool
) -> AsyncIterator[None]:
    """Hold a lock on all these children while inside. Raises the error of the first that refuses.

    One child after the other, in the order in which everybody waits. Left by a cancellation of any kind, even while it
    waits, it leaves no lock behind: all unlocks are on their way before anything is awaited.
    """
    asked: list[int] = []
    answers: Answers[Any] = Answers()
    try:
        for child in children:
            if child in afr.laggards.fenced:
                raise fail(errno.ENOTCONN, f"{afr.children[child].name} is fenced")
            answers = Answers()
            lock.take(answers, afr.children[child], call, domain, wait)
            withdraw = partial(lock.give, Answers(), afr.children[child], call, domain) if wait else None
            # Who waits for a lock may be right in it; but not for ever while others wait for those that it holds.
            before = afr.up - {child} if asked or not wait else ()
            asked.append(child)
            (outcome,) = await afr.laggards.outcomes(answers, afr.up, before, withdraw)
            if outcome.error is not None:
                if child not in afr.laggards.fenced:
                    asked.remove(child)
                raise outcome.error
        yield
    finally:
        unlocked = _give(afr, asked, call, lock, domain)
        if not answers.complete:
            afr.tasks.start(_give_once_granted(afr, asked[-1], answers, call, lock, domain))
        await _given(afr, unlocked)


async def _give_once_granted(
    afr: ReplicaSet, child: int, answers: Answers[Any], call: Call, lock: Lock, domain: str
) -> None:
    """For a brick that does not let a waiting request be withdrawn."""
    (outcome,) = await answers.all()
    if outcome.ok:
        await _given(afr, _give(afr, [child], call, lock, domain))


# --- both ------------------------------------------------------------------------------------------------------------


def _granted(outcomes: dict[int, Outcome[Any]]) -> list[int]:
    return [child for child, outcome in outcomes.items() if outcome.ok]


def _asked(afr: ReplicaSet, outcomes: dict[int, Outcome[Any]]) -> list[int]:
    """Those that have granted the lock, or may when they answer."""
    return [child for child, outcome in outcomes.items() if outcome.ok or child in afr.laggards.fenced]


async def _take(
    afr: ReplicaSet, children: Sequence[int], call: Call, lock: Lock, domain: str, wait: bool
) -> dict[int, Outcome[Any]]:
    answers: Answers[Any] = Answers()
    for child in sorted(set(children) - afr.laggards.fenced):
        lock.take(answers, afr.children[child], call, domain, wait)
    # Whoever waits for a lock is not late: it is waited for until the child is fenced for something else.
    outcomes = await afr.laggards.outcomes(answers, frozenset(afr.up), (), _nothing if wait else None)
    return {afr.index[outcome.child]: outcome for outcome in outcomes}


def _nothing() -> None:
    """The request is not withdrawn."""


def _give(afr: ReplicaSet, children: Sequence[int], call: Call, lock: Lock, domain: str) -> Answers[Any]:
    """The unlocks, on their way."""
    answers: Answers[Any] = Answers()
    for child in children:
        afr.laggards.give(answers, child, lock, call, domain)
    return answers


async def _given(afr: ReplicaSet, unlocks: Answers[Any]) -> list[Outcome[Any]]:
    """What came of them."""
    return await afr.laggards.outcomes(unlocks, frozenset(afr.up))
