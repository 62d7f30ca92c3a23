"""The write transaction: lock, pre-op, fop, post-op, unlock (afr.md 10.2).

A transaction is a list of phases. Each phase winds one fop to some of the children and then judges their answers; it
has no socket, clock or task of its own. So the same code is run, simulated, and swept through every schedule of
failures.

Cancelling the caller never leaves a transaction half done: it knows its phase and the answers on their way, so it is
handed to the graph's task group, which takes it on from there.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from ....graph import (
    Answers,
    Call,
    Fd,
    Iatt,
    Loc,
    Outcome,
    Translator,
    XattropKind,
    fail,
)
from .changelog import Kind, Record
from .locks import Lock
from .verdict import combined_error, contents_of, judge, shortest_fails, strangers_fail

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

R = TypeVar("R")

Wind = Callable[[Answers[Any], Translator, Call], None]
"""Winds the fop itself to one child."""


@attrs.define
class Phase:
    """One step: `send` starts a fop on some children without awaiting, `take` judges the answers and says what next.
    `withdraw` is for a step that may take for ever: it asks for an answer now."""

    name: str
    send: Callable[[], Answers[Any]]
    take: Callable[[dict[int, Outcome[Any]]], Phase | None]
    withdraw: Callable[[], object] | None = None


@attrs.define(eq=False)
class Transaction(Generic[R]):
    """One replicated change. Once `run` has returned, `replies` are those of good copies that have it, by child."""

    afr: ReplicaSet
    call: Call
    kind: Kind
    locks: Sequence[Lock]
    marked: Sequence[Loc | Fd]
    """The objects that carry the changelog: the file, or the directories whose names change."""
    wind: Wind
    makes_object: bool = False

    quiet: Call = attrs.field(init=False)
    """The same call without xdata and attributes, for locks and the changelog. It belongs to no client: the locks of a
    change outlive the connection that asked for it."""
    began: int = attrs.field(init=False)
    """As the afr counts moments."""
    live: set[int] = attrs.field(init=False)
    """The children that take part still."""
    clean: set[int] = attrs.field(init=False)
    """The copies that were good before this change, as to its kind."""
    sound: set[int] = attrs.field(init=False)
    """The copies that nobody blames for anything: what they tell of attributes is true."""
    failures: list[Outcome[Any]] = attrs.field(init=False, factory=list)
    granted: list[tuple[Lock, int]] = attrs.field(init=False, factory=list)
    replies: dict[int, R] = attrs.field(init=False, factory=dict)
    blame: frozenset[int] = attrs.field(init=False, default=frozenset())
    error: OSError | None = attrs.field(init=False, default=None)
    bug: Exception | None = attrs.field(init=False, default=None)
    abandoned: bool = attrs.field(init=False, default=False)
    phase: Phase | None = attrs.field(init=False, default=None)
    answers: Answers[Any] | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        owner = self.afr.new_lock_owner()
        self.call, self.quiet = self.call.owned_by(owner, self.call.xdata), self.call.owned_by(owner)
        self.quiet.client, self.quiet.attributes = "", False
        self.began = self.afr.moment
        self.live = set(self.afr.up)
        self.clean, self.sound = set(self.live), set(self.live)
        self.locks = sorted(self.locks, key=lambda lock: lock.order)

    @property
    def reply(self) -> R:
        """The one reply for the caller."""
        return self.replies[self.afr.choose(self.replies)]

    async def run(self) -> None:
        """Go through the phases. Raises the error of the change as a whole."""
        if not self.afr.quorum.met(self.live):
            raise fail(errno.ENOTCONN, f"{self.afr.name}: too few children are up")
        self.phase = self._try_lock(0)
        try:
            await self._proceed()
        except Exception:
            raise
        except BaseException:  # the caller is cancelled, in whatever way: others finish what it began
            self.abandoned = True
            if self.phase is not None and self.phase.withdraw is not None:
                self.phase.withdraw()
            self.afr.tasks.start(self._proceed())
            raise
        if self.bug is not None:
            raise self.bug
        if self.error is not None:
            raise self.error

    async def _proceed(self) -> None:
        """Work off the phases; called again after a cancellation, it goes on where it stood."""
        while self.phase is not None:
            if self.answers is None:
                self.answers = self.phase.send()
            try:
                outcomes = await self.answers.all()
            except Exception as bug:  # of a child: it failed, and what was begun is ended all the same
                self.bug, outcomes = self.bug or bug, self.answers.outcomes
            self.answers = None
            self.phase = self.phase.take({self.afr.index[outcome.child]: outcome for outcome in outcomes})

    # --- lock: everywhere at once; if somebody else holds one, give all back and wait for one after the other --------

    def _try_lock(self, number: int) -> Phase | None:
        if number == len(self.locks):
            return self._locked()
        lock = self.locks[number]

        def take(outcomes: dict[int, Outcome[Any]]) -> Phase | None:
            self.granted += [(lock, child) for child, outcome in outcomes.items() if outcome.ok]
            if any(outcome.errno == errno.EAGAIN for outcome in outcomes.values()):
                waiting = [(lock, child) for lock in self.locks for child in sorted(self.live)]
                return self._unlock(then=lambda: self._wait_for_locks(waiting))
            self._drop(outcomes)
            return self._try_lock(number + 1)

        return self._phase(
            "lock", self.live, lambda to, child: lock.take(to, child, self.quiet, self.afr.name, False), take
        )

    def _wait_for_locks(self, waiting: Sequence[tuple[Lock, int]]) -> Phase | None:
        """One lock on one child at a time, in an order that everybody keeps: so nobody waits in a circle."""
        waiting = [(lock, child) for lock, child in waiting if child in self.live]
        if not waiting or self.abandoned:
            return self._locked()
        lock, child = waiting[0]

        def take(outcomes: dict[int, Outcome[Any]]) -> Phase | None:
            if outcomes[child].ok:
                self.granted.append((lock, child))
            self._drop(outcomes)
            return self._wait_for_locks(waiting[1:])

        phase = self._phase(
            "lock", [child], lambda to, node: lock.take(to, node, self.quiet, self.afr.name, True), take
        )
        phase.withdraw = lambda: lock.give(Answers(), self.afr.children[child], self.quiet, self.afr.name)
        return phase

    def _locked(self) -> Phase | None:
        if self.abandoned or not self._enough(self.live):
            return self._unlock()
        return self._pre_op(0)

    # --- pre-op: say on every copy that something is about to change, and learn which copies were good ---------------

    def _pre_op(self, number: int) -> Phase | None:
        if number == len(self.marked):
            return self._operate()
        target, values = self.marked[number], self.afr.keys.pre_op(self.kind)

        def take(outcomes: dict[int, Outcome[Any]]) -> Phase | None:
            self._drop(outcomes)
            for child in self.live:
                self._heed(Record.read(self.afr.keys, outcomes[child].reply.values))
            if self.abandoned or not self._enough(self.live):
                return self._post_op(0, self.marked[: number + 1], self.live)
            return self._pre_op(number + 1)

        return self._phase("pre-op", self.live, lambda to, child: self._xattrop(to, child, target, values), take)

    def _heed(self, record: Record) -> None:
        for other, counters in enumerate(record.pending):
            if any(counters):
                self.sound.discard(other)
                if counters[self.kind]:
                    self.clean.discard(other)

    # --- the fop -----------------------------------------------------------------------------------------------------

    def _operate(self) -> Phase | None:
        def take(outcomes: dict[int, Outcome[Any]]) -> Phase | None:
            shortest_fails(outcomes)
            strangers_fail(outcomes, self.clean, self.call.asked("gfid-req"))
            verdict = judge(outcomes, self.clean, self.afr.quorum)
            self.error = verdict.error
            if verdict.error is not None:
                if verdict.settled:
                    return self._post_op(0, self.marked, self.live)
                self._doubt()
                return self._unlock()  # the dirty marks stay: nobody knows what happened
            telling = verdict.good & self.sound or verdict.good & self.clean
            self.replies = {child: outcomes[child].reply for child in sorted(telling)}
            self.blame = verdict.blame
            for target in self.marked:
                self.afr.missed(target.gfid, verdict.blame)
            if self.blame and self.makes_object:
                return self._mark_new_object(verdict.good)
            return self._post_op(0, self.marked, verdict.good)

        return self._phase("op", self.live, lambda to, child: self.wind(to, child, self.call), take)

    def _mark_new_object(self, good: Collection[int]) -> Phase | None:
        """The copies that missed the making of an object are owed its attributes and its contents too.

        A symlink is whole once it is made. A healer of GlusterFS takes a mark on one for another name that the symlink
        has on the copy that lacks it, looks for that, and gives up on the directory.
        """
        iatt: Iatt = next(iter(self.replies.values())).iatt  # type: ignore[attr-defined]
        if iatt.is_symlink:
            return self._post_op(0, self.marked, good)
        target, values = Loc(iatt.gfid), self.afr.keys.owed(self.blame, contents_of(iatt))

        def take(outcomes: dict[int, Outcome[Any]]) -> Phase | None:
            marked = {child for child, outcome in outcomes.items() if outcome.ok}
            return self._post_op(0, self.marked, marked)

        return self._phase("post-op", good, lambda to, child: self._xattrop(to, child, target, values), take)

    # --- post-op: the change is over; who missed it is told on those that have it ------------------------------------

    def _post_op(self, number: int, marked: Sequence[Loc | Fd], told: Collection[int]) -> Phase | None:
        if number == len(marked):
            if self.error is None and self.replies and not self._enough(told):
                self._doubt()  # it happened, and is on record nowhere that counts
            return self._unlock()
        target, values = marked[number], self.afr.keys.post_op(self.kind, self.blame)

        def take(outcomes: dict[int, Outcome[Any]]) -> Phase | None:
            self.failures += [outcome for outcome in outcomes.values() if not outcome.ok]
            return self._post_op(number + 1, marked, {child for child in outcomes if outcomes[child].ok})

        return self._phase("post-op", told, lambda to, child: self._xattrop(to, child, target, values), take)

    # --- unlock ------------------------------------------------------------------------------------------------------

    def _unlock(self, then: Callable[[], Phase | None] = lambda: None) -> Phase | None:
        """Give back every lock. A child that cannot be told drops it by itself, with the connection."""
        granted, self.granted = self.granted, []

        def send() -> Answers[Any]:
            answers: Answers[Any] = Answers()
            for lock, child in granted:
                lock.give(answers, self.afr.children[child], self.quiet, self.afr.name)
            return answers

        return Phase("unlock", send, lambda _: then())

    # --- what the phases share ---------------------------------------------------------------------------------------

    def _phase(
        self,
        name: str,
        children: Collection[int],
        wind: Callable[[Answers[Any], Translator], None],
        take: Callable[[dict[int, Outcome[Any]]], Phase | None],
    ) -> Phase:
        def send() -> Answers[Any]:
            answers: Answers[Any] = Answers()
            for child in sorted(children):
                wind(answers, self.afr.children[child])
            return answers

        return Phase(name, send, take)

    def _xattrop(self, to: Answers[Any], child: Translator, target: Loc | Fd, values: dict[str, bytes]) -> None:
        if isinstance(target, Fd):
            to.wind(child, Translator.fxattrop, self.quiet, target, XattropKind.ADD_ARRAY, values)
        else:
            to.wind(child, Translator.xattrop, self.quiet, target, XattropKind.ADD_ARRAY, values)

    def _drop(self, outcomes: dict[int, Outcome[Any]]) -> None:
        """A child that failed a phase takes no further part; what it misses, it will be blamed for."""
        self.failures += [outcome for outcome in outcomes.values() if not outcome.ok]
        self.live -= {child for child, outcome in outcomes.items() if not outcome.ok}

    def _doubt(self) -> None:
        for target in self.marked:
            self.afr.doubted(target.gfid)

    def _enough(self, children: Collection[int]) -> bool:
        """Is the quorum met? If not, the change fails with what the children that failed have said."""
        if self.afr.quorum.met(children):
            return True
        self.error = combined_error(self.failures)
        return False
