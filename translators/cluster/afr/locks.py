"""Locks on several children: what a transaction, a healer or a caller above takes and gives back."""

from __future__ import annotations

import errno
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
from .verdict import combined_error

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

METADATA_RANGE_START = 2**63 - 2
"""Where GlusterFS locks for metadata: a range of its own at the end of the file (wire.md 17)."""


class Lock(Protocol):
    """Something to hold on every child."""

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
        """The whole file."""
        return cls(target, Flock())

    @classmethod
    def for_metadata(cls, target: Loc | Fd) -> InodeLock:
        return cls(target, Flock(start=METADATA_RANGE_START))

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
    def order(self) -> tuple[bytes, bytes]:
        return (self.target.gfid, b"")

    def take(self, to: Answers[Any], child: Translator, call: Call, domain: str, wait: bool) -> None:
        to.wind(child, Translator.lk, call, self.target, LockCommand.WAIT if wait else LockCommand.SET, self.flock)

    def give(self, to: Answers[Any], child: Translator, call: Call, domain: str) -> None:
        flock = attrs.evolve(self.flock, type=LockType.UNLOCK)
        to.wind(child, Translator.lk, call, self.target, LockCommand.SET, flock)


async def hold(afr: ReplicaSet, call: Call, lock: Lock, domain: str, wait: bool) -> Any:
    """Take a caller's lock on every child, or on none; the reply is the first child's.

    Everywhere at once; where somebody else holds it, EAGAIN, or, if the caller will `wait`, child after child in the
    order that everybody keeps. ENOTCONN below quorum.
    """
    if not afr.quorum.met(afr.up):
        raise fail(errno.ENOTCONN, f"{afr.name}: too few children are up")
    everyone = sorted(afr.up)
    outcomes = await _take(afr, everyone, call, lock, domain, wait=False)
    busy = next((outcome.error for outcome in outcomes.values() if outcome.errno == errno.EAGAIN), None)
    if busy is not None:
        await _give(afr, _granted(outcomes), call, lock, domain)
        if not wait:
            raise busy
        outcomes = {}
        for child in everyone:
            outcomes |= await _take(afr, [child], call, lock, domain, wait=True)
    granted = _granted(outcomes)
    if not afr.quorum.met(granted):
        await _give(afr, granted, call, lock, domain)
        raise combined_error([outcome for outcome in outcomes.values() if not outcome.ok])
    return outcomes[granted[0]].value


async def give_back(afr: ReplicaSet, call: Call, lock: Lock, domain: str) -> Any:
    """Unlock wherever it may be held. Fails only if no child had it."""
    outcomes = await _give(afr, sorted(afr.up), call, lock, domain)
    for outcome in outcomes.values():
        if outcome.ok:
            return outcome.value
    raise combined_error(list(outcomes.values()))


def _granted(outcomes: dict[int, Outcome[Any]]) -> list[int]:
    return [child for child, outcome in outcomes.items() if outcome.ok]


async def _take(
    afr: ReplicaSet, children: list[int], call: Call, lock: Lock, domain: str, wait: bool
) -> dict[int, Outcome[Any]]:
    answers: Answers[Any] = Answers()
    for child in children:
        lock.take(answers, afr.children[child], call, domain, wait)
    return {afr.index[outcome.child]: outcome for outcome in await answers.all()}


async def _give(afr: ReplicaSet, children: list[int], call: Call, lock: Lock, domain: str) -> dict[int, Outcome[Any]]:
    answers: Answers[Any] = Answers()
    for child in children:
        lock.give(answers, afr.children[child], call, domain)
    return {afr.index[outcome.child]: outcome for outcome in await answers.all()}
