"""One change of one object or of names, on all copies: wind the fop, and judge what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from ....graph import Answers, Call, Fd, Iatt, Loc, Made, Outcome, Renamed, Translator, Xdata, in_doubt, wind
from .changelog import Kind
from .locks import Lock
from .phases import Outcomes, Phase
from .transaction import Then, Transaction
from .verdict import contents_of, judge, shortest_fails, strangers_fail, unanimous

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

R = TypeVar("R")

Wind = Callable[[Sequence[Translator], Call], Answers[Any]]
"""Winds the fop itself to these children."""


def winding(fop: Callable[..., Awaitable[Any]], *args: Any) -> Wind:
    """The same arguments for every child."""
    return lambda children, call: wind(children, fop, call, *args)


@attrs.define(eq=False)
class Change(Generic[R]):
    """Once its phases are done, `error` says how it went, and `done_on` which good copies have it."""

    transaction: Transaction
    call: Call
    wind: Wind
    makes_object: bool = False
    asks: Xdata | None = None
    """What the children are asked on top of what the call asks."""

    generation: int = attrs.field(init=False)
    """Of the afr, when the fop was wound."""
    done_on: frozenset[int] = attrs.field(init=False, default=frozenset())
    blame: frozenset[int] = attrs.field(init=False, default=frozenset())
    """The copies that missed it."""
    error: OSError | None = attrs.field(init=False, default=None)
    over: bool = attrs.field(init=False, default=False)
    """It shares a transaction with others, and its last phase is done."""
    _answers: Answers[R] = attrs.field(init=False)
    _outcomes: Sequence[Outcome[R]] | dict[int, Outcome[R]] = attrs.field(init=False, default=())
    """By child; a list where every child has answered."""
    _reply: R | None = attrs.field(init=False, default=None)

    @property
    def reply(self) -> R:
        """The one reply for the caller; raises the error of the change as a whole."""
        if self.error is not None:
            raise self.error
        if self._reply is None:
            about = self.transaction.marked[0].gfid
            if self.transaction.kind is Kind.ENTRY and isinstance(any_reply := self._any_reply, (Made, Renamed)):
                about = any_reply.iatt.gfid
            self._reply = self._outcomes[self.transaction.afr.choice.of(self.done_on, about)].reply
        return self._reply

    @property
    def _any_reply(self) -> R:
        return self._outcomes[next(iter(self.done_on))].reply

    @property
    def object_is_new(self) -> bool:
        """Of a fop that makes one: it is the one that was asked for. `create` may have found another."""
        return bool(self._any_reply.iatt.gfid == self.call.asked("gfid-req"))  # type: ignore[attr-defined]

    def operate(self, then: Then) -> Phase | None:
        """The fop, on all that take part still."""
        return then() if self.done_at_once() else self.judged(then)

    def done_at_once(self) -> bool:
        """Wind the fop to all that take part still. Is it done by now, on every copy and alike? Leaves may answer at
        once; then there is nothing to wait for, to judge, or to put on record. Otherwise it goes on with `judged`."""
        transaction = self.transaction
        self.generation = transaction.afr.generation
        live, every = transaction.live, transaction.afr.children
        nodes = every if len(live) == len(every) else [every[child] for child in sorted(live)]
        answers = self._answers = self.wind(nodes, transaction.owned(self.call, self.asks))
        return answers.ready and self._done_everywhere(answers.outcomes)

    def judged(self, then: Then) -> Phase | None:
        answers = self._answers
        if answers.ready:
            index = self.transaction.afr.index
            return self._judge({index[outcome.child]: outcome for outcome in answers.outcomes}, then)
        return Phase("op", lambda: answers, lambda outcomes: self._heard(outcomes, then))

    def conclude(self) -> None:
        """See `over`."""
        self.over = True

    def _heard(self, outcomes: Outcomes, then: Then) -> Phase | None:
        return then() if self._done_everywhere([*outcomes.values()]) else self._judge(outcomes, then)

    def _done_everywhere(self, outcomes: Sequence[Outcome[R]]) -> bool:
        transaction = self.transaction
        if len(outcomes) < len(transaction.afr.children) or transaction.blamed or not unanimous(outcomes):
            return False
        self._outcomes, self.done_on = outcomes, transaction.good_in_all or transaction.good
        return bool(self.done_on)

    def _judge(self, outcomes: Outcomes, then: Then) -> Phase | None:
        transaction = self.transaction
        for child in outcomes.keys() & transaction.blamed:
            del outcomes[child]  # while this was on its way, it failed another change
        shortest_fails(outcomes)
        strangers_fail(outcomes, transaction.good, self.call.asked("gfid-req"))
        verdict = judge(outcomes, transaction.good, transaction.afr.quorum)
        self.error = verdict.error
        if verdict.error is not None:
            if verdict.in_the_dark:
                transaction.in_the_dark()
                self.error = in_doubt(verdict.error)
            return then()
        succeeded = verdict.succeeded
        self._outcomes, self.done_on = outcomes, succeeded & transaction.good_in_all or succeeded & transaction.good
        self.blame = verdict.blame
        transaction.happened(verdict.blame)
        if self.blame and self.makes_object and self.object_is_new:
            return self._mark_new_object(then)
        if self.blame and len(transaction.marked) > 1:
            return self._mark_moved_object(then)
        return then()

    def _mark_new_object(self, then: Then) -> Phase | None:
        """The copies that missed the making of an object are owed its attributes and its contents too.

        A symlink is whole once it is made. A healer of GlusterFS takes a mark on one for another name that the symlink
        has on the copy that lacks it, looks for that, and gives up on the directory.
        """
        iatt: Iatt = self._any_reply.iatt  # type: ignore[attr-defined]
        if iatt.is_symlink:
            return then()
        owed = self.transaction.afr.keys.owed(self.blame, contents_of(iatt))
        return self._mark(Loc(iatt.gfid), owed, then)

    def _mark_moved_object(self, then: Then) -> Phase | None:
        """The directories are told one after the other. Should that end half-way, what is known of the object decides
        in both where it stands."""
        iatt: Iatt = self._any_reply.iatt  # type: ignore[attr-defined]
        self.transaction.moved = Loc(iatt.gfid)
        return self._mark(self.transaction.moved, self.transaction.afr.keys.owed_move(self.blame), then)

    def _mark(self, target: Loc, values: dict[str, bytes], then: Then) -> Phase | None:
        """On the copies that have the change. One that cannot be told this is told nothing more."""
        transaction = self.transaction

        def take(outcomes: dict[int, Outcome[Any]]) -> Phase | None:
            transaction.live &= {child for child, outcome in outcomes.items() if outcome.ok}
            return then()

        return transaction.phase(
            "post-op", transaction.live, lambda to, nodes: transaction.xattrop(to, nodes, target, values), take
        )


async def single_change(
    afr: ReplicaSet,
    call: Call,
    kind: Kind,
    locks: Sequence[Lock],
    marked: Sequence[Loc | Fd],
    wind: Wind,
    makes_object: bool = False,
) -> Change[Any]:
    """One change in a transaction of its own. Raises what it came to."""
    transaction = Transaction(afr, kind, locks, marked)
    change: Change[Any] = Change(transaction, call, wind, makes_object)
    afr.under_way.add(transaction)
    try:
        await transaction.run(lambda: change.operate(transaction.end))
    finally:
        transaction.steps.when_over(partial(afr.under_way.discard, transaction))
    error = change.error or transaction.error
    if error is not None:
        raise error
    return change
