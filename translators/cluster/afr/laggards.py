"""Laggards: children that have not answered when a quorum has (`laggard-timeout`). Nobody waits for them any longer.

For whoever asked it is as if the laggard's connection had been cut at that moment: it takes no further part, is blamed
for what it misses, and is not read. But nothing was cut: what it was asked to do it may still do, at any time. So it is
fenced. Nothing is sent to it until it has answered everything, but that who waits there for a lock does so no more; and
the locks that it has granted, or may have, are kept that long, so that what comes late finds neither a newer change nor
a heal in its place. Then the locks are given back, and it is a child like the others, to be healed. Meanwhile what is
known to be good on fenced children alone is EIO: the others have missed something of it. A connection that
is cut ends the fence too, and the locks with it; but not one around a cluster that is down: those of its children that
are up keep what they have granted.
"""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Awaitable, Callable, Collection, KeysView, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

import attrs

from ....graph import (
    Answers,
    Call,
    Coming,
    Fd,
    Fop,
    Gfid,
    Outcome,
    State,
    Translator,
    children_first,
    fail,
    fan_out,
    wind,
)
from .locks import Lock
from .phases import Phase, Wait
from .verdict import Quorum

if TYPE_CHECKING:
    from .replica_set import ReplicaSet
    from .transaction import Transaction

R = TypeVar("R")
P = ParamSpec("P")

log = logging.getLogger("volgraph.afr")


def enough(answered: Mapping[int, int], before: Collection[int], good: Collection[int], quorum: Quorum) -> bool:
    """Has a quorum, a good copy in it, given one and the same answer? Then the others may be left behind.

    `answered` are the errnos of those that answered, 0 for success; `before` those that have succeeded already. That
    somebody else holds a lock is an answer like the lock itself; that a child is out of reach is none.
    """
    camps: dict[int, set[int]] = {0: set(before)}
    for child, code in answered.items():
        if code != errno.ENOTCONN:
            camps.setdefault(0 if code == errno.EAGAIN else code, set()).add(child)
    return any(quorum.met(camp) and not camp.isdisjoint(good) for camp in camps.values())


Unlock: TypeAlias = tuple[Lock, Call, str]


@attrs.define(eq=False)
class Fence:
    """Around one child. `owed` answers are to come; `unlocks` are to be sent then, and those that did not get through
    to all of a cluster, `returned`, once more when it is up. `released` are fds that it may open after all, when nobody
    has them open any more."""

    owed: int = 0
    unlocks: list[Unlock] = attrs.field(factory=list)
    returned: list[Unlock] = attrs.field(factory=list)
    released: list[Fd] = attrs.field(factory=list)


class Laggards:
    """The fenced children of one afr, by index; and all waiting that may end with another one."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self.fences: dict[int, Fence] = {}
        self._fenced_good: dict[Gfid, frozenset[int]] = {}
        """Objects of which fenced children alone have good copies, as far as is known, and which."""
        self._waiting: list[Coming[None]] = []
        self._closed = False

    @property
    def fenced(self) -> KeysView[int]:
        return self.fences.keys()

    def fenced_since(self, fences: Mapping[int, Fence]) -> set[int]:
        """Those that were not yet fenced, or by another fence, when these were all."""
        return {child for child, fence in self.fences.items() if fences.get(child) is not fence}

    def readable(self, gfid: Gfid, copies: frozenset[int]) -> frozenset[int]:
        """Those of the copies that nobody blames that are not known to have missed what fenced children have."""
        return copies & self._fenced_good.get(gfid, copies)

    # --- waiting -----------------------------------------------------------------------------------------------------

    def patience(self, transaction: Transaction) -> Wait | None:
        """How the steps of a transaction wait for answers; None: for all of them."""
        if not self._afr.laggard_timeout:
            return None

        def wait(answers: Answers[Any], phase: Phase) -> Awaitable[list[Outcome[Any]]]:
            good = transaction.good
            for gfid in transaction.gfids:  # a change of another kind may have missed some of these meanwhile
                good = good & self._afr.last_readable(gfid) or good
            return self.outcomes(answers, good, phase.before, phase.withdraw)

        return wait

    async def fan_out(self, fop: Fop[P, R], *args: P.args, **kwargs: P.kwargs) -> list[Outcome[R]]:
        """Wind a fop to every child that is up; laggards count as out of reach."""
        afr = self._afr
        if not afr.laggard_timeout:
            return await fan_out(afr.children_up(), fop, *args, **kwargs)
        return await self.outcomes(wind(afr.children_up(), fop, *args, **kwargs), frozenset(afr.up))

    async def one(self, child: int, ask: Callable[[Translator], Awaitable[R]], others: Collection[int]) -> R:
        """Ask one child something that `others` may be asked as well. ENOTCONN: it is fenced, now or before."""
        node = self._afr.children[child]
        if not self._afr.laggard_timeout:
            return await ask(node)
        if child in self.fences:
            raise fail(errno.ENOTCONN, f"{node.name} is fenced")
        answers: Answers[R] = Answers()
        answers.expect(node, ask(node))
        (outcome,) = await self.outcomes(answers, frozenset(others), self._afr.up - {child})
        return outcome.reply

    async def outcomes(
        self,
        answers: Answers[R],
        good: Collection[int],
        before: Collection[int] = (),
        withdraw: Callable[[], object] | None = None,
    ) -> list[Outcome[R]]:
        """All outcomes. From the moment on at which there are `enough`, the others have `laggard-timeout` to come.

        `withdraw` is for requests that may wait for ever and be right in it, for a lock: first they are asked to end.
        Then a lock counts as not held, though it be granted: that may have been on its way when it was given back.
        """
        afr, clock = self._afr, self._afr.seams.clock
        deadline = math.inf
        withdrawn: list[Outcome[R]] = []
        give_back = withdraw
        while afr.laggard_timeout and (missing := answers.missing()):
            silent = {afr.index[outcome.child] for outcome, _ in missing}
            answered = {afr.index[outcome.child]: outcome.errno for outcome in answers.outcomes}
            others = {child: code for child, code in answered.items() if child not in silent}
            decided = enough(others, before, good, afr.quorum)
            if silent <= self.fenced and (decided or withdraw is not None):
                if withdraw is not None:
                    withdraw()  # it may wait for a lock that is given back when the fence ends
                self._leave_behind(answers)
                break
            if decided and deadline == math.inf:
                deadline = clock.monotonic() + afr.laggard_timeout
            if await self._news(missing, deadline - clock.monotonic()):
                continue
            if withdraw is None:
                self._leave_behind(answers)
                break
            withdraw()
            withdrawn = [outcome for outcome, _ in missing]
            withdraw, deadline = None, clock.monotonic() + afr.laggard_timeout
        outcomes = await answers.all()
        for outcome in withdrawn:
            if outcome.ok and give_back is not None:
                give_back()  # granted by one that does not let a waiting request be withdrawn, or given back already
                outcome.value, outcome.error = None, fail(errno.ECANCELED, outcome.child.name)
        return outcomes

    async def _news(self, missing: Collection[tuple[Outcome[R], Coming[R]]], seconds: float) -> bool:
        """Wait for the next answer, or for the next fence."""
        news: Coming[None] = Coming()
        for _, answer in missing:
            answer.when_settled(partial(news.resolve, None))
        self._waiting.append(news)
        try:
            return await self._afr.seams.clock.within(seconds, news)
        finally:
            self._waiting.remove(news)

    # --- fences ------------------------------------------------------------------------------------------------------

    def _leave_behind(self, answers: Answers[R]) -> None:
        """Whoever is missing still has failed, and is fenced."""
        afr = self._afr
        for outcome, answer in answers.give_up():
            child, name = afr.index[outcome.child], outcome.child.name
            outcome.error = fail(errno.ENOTCONN, f"{name} is {afr.laggard_timeout:g} s behind the others")
            if child not in self.fences:
                log.info("%s: %s is %g s behind the others: fenced", afr.name, name, afr.laggard_timeout)
                self.fences[child] = Fence()
            self._owes(child, self.fences[child], answer)
        for gfid in afr.inodes:
            good = afr.last_readable(gfid)
            if good and good <= self.fenced:
                self._fenced_good[gfid] = good
        afr.take_part(afr.admitted, better=False)
        for news in list(self._waiting):
            news.resolve(None)

    def _owes(self, child: int, fence: Fence, answer: Coming[Any]) -> None:
        fence.owed += 1
        answer.when_settled(partial(self._came, child, fence))

    def _came(self, child: int, fence: Fence) -> None:
        fence.owed -= 1
        self._proceed(child, fence)

    def _proceed(self, child: int, fence: Fence) -> None:
        """Once everything is answered, give the locks back; once that is answered too, end the fence."""
        if fence.owed or self._closed or self.fences.get(child) is not fence:
            return
        unlocks, fence.unlocks = fence.unlocks, []
        for unlock in unlocks:
            self._unlock(child, fence, unlock)
        if not fence.owed and not (fence.returned and self._down(child)):
            self._lift(child)

    def _unlock(self, child: int, fence: Fence, unlock: Unlock) -> None:
        lock, call, domain = unlock
        answers: Answers[Any] = Answers()
        lock.give(answers, (self._afr.children[child],), call, domain)

        def answered() -> None:
            answers.missing()
            if answers.outcomes[0].errno == errno.ENOTCONN and self._down(child):
                fence.returned.append(unlock)

        if missing := answers.missing():
            missing[0][1].when_settled(answered)
            self._owes(child, fence, missing[0][1])
        else:
            answered()

    def _down(self, child: int) -> bool:
        return self._afr.children[child].state is State.DOWN

    def _lift(self, child: int) -> None:
        """Nothing is owed any more, and no lock is kept: let the child in, if it is there."""
        log.info("%s: %s has caught up", self._afr.name, self._afr.children[child].name)
        for fd in self.fences.pop(child).released:
            self._afr.children[child].release(fd)
        self._forget_good(child)
        self._afr.take_part(self._afr.admitted, better=True)
        if not self._down(child):
            self._afr.known.ask(child)

    def _forget_good(self, child: int) -> None:
        """The child is asked again what it has."""
        for gfid in [gfid for gfid, good in self._fenced_good.items() if child in good]:
            del self._fenced_good[gfid]

    def give(self, answers: Answers[Any], children: Collection[int], lock: Lock, call: Call, domain: str) -> None:
        """Wind an unlock; to fenced children when their fences end."""
        for child in children if self.fences else ():
            if child in self.fences:
                self.fences[child].unlocks.append((lock, call, domain))
        lock.give(answers, self.unfenced(children), call, domain)

    def unfenced(self, children: Collection[int]) -> Sequence[Translator]:
        """Those of the children to which anything may be sent, in their order."""
        nodes = self._afr.children
        if not self.fences and len(children) == len(nodes):
            return nodes
        return [nodes[child] for child in sorted(children) if child not in self.fences]

    def release(self, child: int, fd: Fd) -> None:
        """Release an fd that the child was asked to open; once more when its fence ends."""
        self._afr.children[child].release(fd)
        if child in self.fences:
            self.fences[child].released.append(fd)

    def cut(self, child: int) -> None:
        """The child is down. One that is no cluster has given the locks back, and nothing more will come of what it was
        asked."""
        if all(len(node.below) < 2 for node in children_first(self._afr.children[child])):
            self.fences.pop(child, None)
            self._forget_good(child)

    def back(self, child: int) -> None:
        """The child is up again."""
        fence = self.fences.get(child)
        if fence is not None:
            fence.unlocks += fence.returned
            fence.returned = []
            self._proceed(child, fence)

    def close(self) -> None:
        """The graph is about to stop: nobody is let in any more."""
        self._closed = True
