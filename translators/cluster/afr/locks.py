"""Locks on several children: what a transaction or a healer takes and gives back. Callers above have `caller_locks`."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
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

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

METADATA_RANGE_START = 2**63 - 2
"""Where GlusterFS locks for metadata: a range of its own behind the last byte of any file."""


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

    def take(self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str, wait: bool) -> None:
        """Wind the lock to these."""
        ...

    def give(self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str) -> None:
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

    def take(self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str, wait: bool) -> None:
        self._wind(to, children, call, domain, LockCommand.WAIT if wait else LockCommand.SET, self.flock.type)

    def give(self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str) -> None:
        self._wind(to, children, call, domain, LockCommand.SET, LockType.UNLOCK)

    def _wind(
        self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str, command: LockCommand, type: int
    ) -> None:
        flock = Flock(type, self.flock.start, self.flock.length, self.flock.pid, call.lk_owner, self.flock.whence)
        if isinstance(self.target, Fd):
            to.wind(children, Translator.finodelk, call, domain, self.target, command, flock)
        else:
            to.wind(children, Translator.inodelk, call, domain, self.target, command, flock)


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

    def take(self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str, wait: bool) -> None:
        self._wind(to, children, call, domain, EntryLockCommand.LOCK if wait else EntryLockCommand.TRY)

    def give(self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str) -> None:
        self._wind(to, children, call, domain, EntryLockCommand.UNLOCK)

    def _wind(
        self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str, command: EntryLockCommand
    ) -> None:
        if isinstance(self.target, Fd):
            to.wind(children, Translator.fentrylk, call, domain, self.target, self.name, command, self.type)
        else:
            to.wind(children, Translator.entrylk, call, domain, self.target, self.name, command, self.type)


@attrs.define
class FcntlLock:
    """An application's lock. It has no domain. `kept` tells what its owner has held of the range before, as pieces
    that cover it: the new lock has taken their place, so that giving it back means to put them there again."""

    target: Fd
    flock: Flock
    kept: Callable[[], Sequence[Flock]] = tuple

    @property
    def covers(self) -> tuple[object, ...]:
        return ("file", self.target.gfid, self.flock.start, self.flock.length)

    @property
    def order(self) -> tuple[bytes, bytes]:
        return (self.target.gfid, b"")

    def take(self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str, wait: bool) -> None:
        to.wind(children, Translator.lk, call, self.target, LockCommand.WAIT if wait else LockCommand.SET, self.flock)

    def give(self, to: Answers[Any], children: Sequence[Translator], call: Call, domain: str) -> None:
        pieces = self.kept() if call.asked(WITHDRAW_KEY) is None else ()
        for flock in pieces or [attrs.evolve(self.flock, type=LockType.UNLOCK)]:
            to.wind(children, Translator.lk, call, self.target, LockCommand.SET, flock)


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
            lock.take(answers, (afr.children[child],), call, domain, wait)
            withdraw = partial(lock.give, Answers(), (afr.children[child],), call, domain) if wait else None
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
        unlocked = give(afr, asked, call, lock, domain)
        if not answers.complete:
            afr.tasks.start(_give_once_granted(afr, asked[-1], answers, call, lock, domain))
        await given(afr, unlocked)


async def _give_once_granted(
    afr: ReplicaSet, child: int, answers: Answers[Any], call: Call, lock: Lock, domain: str
) -> None:
    """For a brick that does not let a waiting request be withdrawn."""
    (outcome,) = await answers.all()
    if outcome.ok:
        await given(afr, give(afr, [child], call, lock, domain))


def give(afr: ReplicaSet, children: Sequence[int], call: Call, lock: Lock, domain: str) -> Answers[Any]:
    """The unlocks, on their way."""
    answers: Answers[Any] = Answers()
    afr.laggards.give(answers, children, lock, call, domain)
    return answers


async def given(afr: ReplicaSet, unlocks: Answers[Any]) -> list[Outcome[Any]]:
    """What came of them."""
    return await afr.laggards.outcomes(unlocks, frozenset(afr.up))
