"""One change of one object or of names, on all copies: wind the fop, and judge what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs

from ....graph import Answers, Call, Iatt, Loc, Made, Outcome, Renamed, Translator, in_doubt
from .phases import Outcomes, Phase
from .transaction import Then, Transaction
from .verdict import contents_of, judge, shortest_fails, strangers_fail, unanimous

R = TypeVar("R")

Wind = Callable[[Answers[Any], Translator, Call], None]
"""Winds the fop itself to one child."""


@attrs.define(eq=False)
class Change(Generic[R]):
    """Once its phases are done, `error` says how it went, and `replies` are those of good copies that have it."""

    transaction: Transaction
    call: Call
    wind: Wind
    makes_object: bool = False

    replies: dict[int, R] = attrs.field(init=False, factory=dict)
    blame: frozenset[int] = attrs.field(init=False, default=frozenset())
    error: OSError | None = attrs.field(init=False, default=None)

    @property
    def reply(self) -> R:
        """The one reply for the caller; raises the error of the change as a whole."""
        if self.error is not None:
            raise self.error
        any_reply = next(iter(self.replies.values()))
        about = any_reply.iatt if isinstance(any_reply, (Made, Renamed)) else self.transaction.marked[0]
        return self.replies[self.transaction.afr.choose(self.replies, about.gfid)]

    def operate(self, then: Then) -> Phase | None:
        """The fop, on all that take part still."""
        call = self.call.owned_by(self.transaction.call.lk_owner, self.call.xdata)
        afr, children = self.transaction.afr, sorted(self.transaction.live)
        answers: Answers[R] = Answers()
        for child in children:
            self.wind(answers, afr.children[child], call)
        if answers.complete and answers.harmless:  # leaves that answer at once: no step is left to take
            return self._judge(dict(zip(children, answers.outcomes, strict=True)), then)
        return Phase("op", lambda: answers, lambda outcomes: self._judge(outcomes, then))

    def _judge(self, outcomes: Outcomes, then: Then) -> Phase | None:
        transaction = self.transaction
        if len(outcomes) == len(transaction.afr.children) and not transaction.missed and unanimous(outcomes):
            sound = transaction.sound or transaction.clean
            if sound:
                self.replies = {child: outcomes[child].reply for child in sound}
                return then()
        for child in outcomes.keys() & transaction.missed:
            del outcomes[child]  # while this was on its way, it failed another change
        shortest_fails(outcomes)
        strangers_fail(outcomes, transaction.clean, self.call.asked("gfid-req"))
        verdict = judge(outcomes, transaction.clean, transaction.afr.quorum)
        self.error = verdict.error
        if verdict.error is not None:
            if not verdict.settled:
                transaction.in_the_dark()
                self.error = in_doubt(verdict.error)
            return then()
        telling = verdict.good & transaction.sound or verdict.good & transaction.clean
        self.replies = {child: outcomes[child].reply for child in sorted(telling)}
        self.blame = verdict.blame
        transaction.happened(verdict.blame)
        if self.blame and self.makes_object:
            return self._mark_new_object(then)
        return then()

    def _mark_new_object(self, then: Then) -> Phase | None:
        """The copies that missed the making of an object are owed its attributes and its contents too.

        A symlink is whole once it is made. A healer of GlusterFS takes a mark on one for another name that the symlink
        has on the copy that lacks it, looks for that, and gives up on the directory.
        """
        iatt: Iatt = next(iter(self.replies.values())).iatt  # type: ignore[attr-defined]
        if iatt.is_symlink:
            return then()
        transaction = self.transaction
        target, values = Loc(iatt.gfid), transaction.afr.keys.owed(self.blame, contents_of(iatt))

        def take(outcomes: dict[int, Outcome[Any]]) -> Phase | None:
            transaction.live &= {child for child, outcome in outcomes.items() if outcome.ok}
            return then()

        return transaction.phase(
            "post-op", transaction.live, lambda to, child: transaction.xattrop(to, child, target, values), take
        )
