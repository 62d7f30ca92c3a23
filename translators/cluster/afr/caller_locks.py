"""The locks of callers above an afr: held on every child that is up, or on none."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from ....graph import Acknowledged, Answers, Call, Coming, EntryLockCommand, LockCommand, LockType, Outcome, fail
from ...storage.lock_table import WITHDRAW_KEY
from .locks import EntryLock, FcntlLock, InodeLock, Lock, give, given
from .verdict import combined_error

if TYPE_CHECKING:
    from .replica_set import ReplicaSet


@attrs.define
class Granted:
    """A lock that is held, and what the first child has answered."""

    reply: Any
    children: list[int]
    since: dict[int, int]

    def on(self, afr: ReplicaSet) -> frozenset[int]:
        """The children that have granted it, and have not gone since."""
        return frozenset(child for child in self.children if afr.departures[child] == self.since[child])


@attrs.define(eq=False)
class Waiter:
    """A caller whose lock is being taken on child after child. It gives up by unlocking what it has not got yet, or by
    being cancelled."""

    gave_up: bool = False
    waits_on: int | None = None
    """The child that was asked to let it wait."""
    kept: Granted = attrs.field(factory=lambda: Granted(None, [], {}))
    """By those that have granted it by then."""
    goes_on: Callable[[], Awaitable[object]] | None = None
    """To be awaited before anything else is asked, after a wait."""
    since: dict[int, int] = attrs.field(factory=dict)
    """How often each child had gone when it was asked: one that went has given back what it granted."""
    left: Coming[Any] | None = None
    """Cancelled, it gives back what it has got until this is settled."""
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


async def hold(
    afr: ReplicaSet, call: Call, lock: Lock, domain: str, wait: bool, waiter: Waiter | None = None
) -> Granted:
    """Take a caller's lock on every child, or on none.

    Everywhere at once; where somebody else holds it, EAGAIN, or, if the caller will `wait`, child after child in the
    order that everybody keeps. ENOTCONN below quorum; ECANCELED when the caller has given up waiting. Cancelled, it
    leaves no lock behind: a task of the graph gives back what was granted, or still is.
    """
    waiter = waiter or Waiter()
    work = afr.tasks.start(_hold(afr, call, lock, domain, wait, waiter))
    try:
        return await work
    except Exception:
        raise
    except BaseException:
        waiter.gave_up = True
        withdraw(afr, waiter, call, lock, domain)
        waiter.left = work
        if work.settled:
            waiter.left = afr.tasks.start(given(afr, give(afr, waiter.holds, call, lock, domain)))
        raise


async def _hold(afr: ReplicaSet, call: Call, lock: Lock, domain: str, wait: bool, waiter: Waiter) -> Granted:
    if not afr.quorum.met(afr.up):
        raise fail(errno.ENOTCONN, f"{afr.name}: too few children are up")
    asking = Asking(afr, call, lock, domain, waiter)
    with afr.waiters.waiting(waiter, call, lock, domain):
        await asking.everywhere()
        if asking.busy:
            refused = asking.outcomes[asking.busy[0]].error
            assert refused is not None
            if not wait:
                await asking.give()
                raise refused
            await (asking.wait_in_turn() if isinstance(lock, FcntlLock) else asking.wait_in_order())
    if waiter.gave_up:
        await asking.give()
        raise fail(errno.ECANCELED, afr.name)
    granted = asking.granted
    if not afr.quorum.met(granted.on(afr)):
        error = combined_error([outcome for outcome in asking.outcomes.values() if not outcome.ok])
        await asking.give()
        raise error
    waiter.holds = asking.asked
    granted.reply = asking.outcomes[granted.children[0]].value
    return granted


TURNS_MAX = 64
"""How often somebody else may be faster, or children may go and come, until everybody waits in one order."""


@attrs.define(eq=False)
class Asking:
    """A caller's lock, asked for on the children that are up."""

    afr: ReplicaSet
    call: Call
    lock: Lock
    domain: str
    waiter: Waiter
    outcomes: dict[int, Outcome[Any]] = attrs.field(factory=dict)

    @property
    def granted(self) -> Granted:
        children = [child for child, outcome in sorted(self.outcomes.items()) if outcome.ok]
        return Granted(None, children, self.waiter.since)

    @property
    def busy(self) -> list[int]:
        """Where somebody else holds it."""
        return sorted(child for child, outcome in self.outcomes.items() if outcome.errno == errno.EAGAIN)

    @property
    def asked(self) -> list[int]:
        """Those that have granted the lock, or may when they answer."""
        fenced = self.afr.laggards.fenced
        return [child for child, outcome in self.outcomes.items() if outcome.ok or child in fenced]

    async def give(self) -> None:
        """Give it back wherever it was granted, or may be."""
        await given(self.afr, give(self.afr, self.asked, self.call, self.lock, self.domain))
        self.outcomes = {}

    async def everywhere(self) -> None:
        await self._take(sorted(self.afr.up), wait=False)

    async def wait_in_order(self) -> None:
        """On one child after the other: nobody waits for somebody who waits for what he holds."""
        await self.give()
        for child in sorted(self.afr.up):
            await self._wait_on(child)

    async def wait_in_turn(self) -> None:
        """The same, but hold nothing on the children before the first that is busy: one that has come back without a
        lock is asked for it once more by whoever holds it on the others, and must not find those there who wait."""
        for _ in range(TURNS_MAX):
            first = self.busy[0]
            await self.give()
            await self._wait_on(first)
            await self._take([child for child in self.afr.up if child < first], wait=False)
            if not self.busy:
                for child in sorted(child for child in self.afr.up if child > first):
                    await self._wait_on(child)
                # Some have come meanwhile, or gone and come back.
                await self._take(list(self.afr.up - self.granted.on(self.afr)), wait=False)
            if self.waiter.gave_up or (not self.busy and self._decided):
                return
            if not self.busy:
                await self.give()
                await self.everywhere()
                if not self.busy:
                    return
        await self.wait_in_order()

    @property
    def _decided(self) -> bool:
        """Not where too few have it because some went and came back while others were waited for."""
        quorum = self.afr.quorum
        gone = {child for child, outcome in self.outcomes.items() if outcome.errno == errno.ENOTCONN}
        refused = self.outcomes.keys() - gone - set(self.granted.children)
        return quorum.met(self.granted.on(self.afr)) or bool(refused) or not quorum.met(self.afr.up)

    async def _wait_on(self, child: int) -> None:
        """EDEADLK: on the next child it would not be found out, as those who wait for us do so here."""
        if not self.waiter.gave_up:
            self.waiter.kept, self.waiter.waits_on = self.granted, child
            await self._take([child], wait=True)
            self.waiter.waits_on = None
            await self._go_on()
            outcome = self.outcomes.get(child)
            if outcome is not None and outcome.error is not None and outcome.errno == errno.EDEADLK:
                await self.give()
                raise outcome.error

    async def _go_on(self) -> None:
        try:
            if self.waiter.goes_on is not None:
                await self.waiter.goes_on()
        except OSError:
            await self.give()
            raise

    async def _take(self, children: Sequence[int], wait: bool) -> None:
        afr, answers = self.afr, Answers[Any]()
        for child in sorted(set(children) - afr.laggards.fenced):
            self.waiter.since[child] = afr.departures[child]
            self.lock.take(answers, (afr.children[child],), self.call, self.domain, wait)
        # Whoever waits for a lock is not late: it is waited for until the child is fenced for something else.
        withdrawal = partial(withdraw, afr, self.waiter, self.call, self.lock, self.domain) if wait else None
        outcomes = await afr.laggards.outcomes(answers, frozenset(afr.up), (), withdrawal)
        self.outcomes |= {afr.index[outcome.child]: outcome for outcome in outcomes}


def withdraw(afr: ReplicaSet, waiter: Waiter, call: Call, lock: Lock, domain: str) -> None:
    """Wait no more on the child that it waits on. Once: a second unlock could take away what was held before."""
    child, waiter.waits_on = waiter.waits_on, None
    if child is not None:
        withdrawing = call.with_xdata({**(call.xdata or {}), WITHDRAW_KEY: 1})
        lock.give(Answers(), (afr.children[child],), withdrawing, domain)


async def give_back(afr: ReplicaSet, call: Call, lock: Lock, domain: str) -> Any:
    """Unlock wherever it may be held, and withdraw what waits. Fails only if no child had it.

    A child that is down has given the lock back; but one that is a cluster has not, where those below it are up.
    """
    afr.waiters.give_up(call, lock, domain)
    outcomes = await given(afr, give(afr, range(len(afr.children)), call, lock, domain))
    for outcome in outcomes:
        if outcome.ok:
            return outcome.value
    raise combined_error(outcomes)


async def lock_range(afr: ReplicaSet, call: Call, domain: str, lock: InodeLock, command: LockCommand) -> Acknowledged:
    """inodelk and finodelk."""
    unlocks, waits = lock.flock.type == LockType.UNLOCK, command == LockCommand.WAIT
    return await _answer(afr, call, domain, lock, unlocks, waits)


async def lock_names(
    afr: ReplicaSet, call: Call, domain: str, lock: EntryLock, command: EntryLockCommand
) -> Acknowledged:
    """entrylk and fentrylk."""
    unlocks, waits = command == EntryLockCommand.UNLOCK, command == EntryLockCommand.LOCK
    return await _answer(afr, call, domain, lock, unlocks, waits)


async def _answer(afr: ReplicaSet, call: Call, domain: str, lock: Lock, unlocks: bool, waits: bool) -> Acknowledged:
    """EINVAL: a domain of this afr's own. Whoever above held what a change down here needs would wait for itself."""
    if domain in (afr.name, afr.healing_domain):
        error = fail(errno.EINVAL, domain)
        error.add_note(f"an afr above {afr.name} needs another name: both would lock in the same domain")
        raise error
    reply: Acknowledged
    if unlocks:
        reply = await give_back(afr, call, lock, domain)
    else:
        reply = (await hold(afr, call, lock, domain, waits)).reply
    return reply
