"""The write transaction: lock, pre-op, the changes themselves, post-op, unlock.

The pre-op says on every copy that something is about to change, and reads which copies were good. The post-op takes
that back, and says on the copies that have all changes who missed some. Between the two there is one change (see
`change`), or, for the contents of a file and the names of one directory, as many as come in time (see `streams`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from ....graph import Answers, Call, Fd, Gfid, Loc, Outcome, Translator, XattropKind, Xdata, fail, in_doubt
from .changelog import Kind, Record, packed
from .locks import Lock
from .phases import Outcomes, Phase, Steps
from .verdict import combined_error

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

Then = Callable[[], Phase | None]
"""Says which phase is next."""


def nothing() -> None:
    """No phase is next."""


@attrs.define(eq=False, repr=False)
class Transaction:
    """What is held, and known, while something is changed. Children are meant by their indices."""

    afr: ReplicaSet
    kind: Kind
    locks: Sequence[Lock]
    marked: Sequence[Loc | Fd]
    """The objects that carry the changelog: the file, or the directories whose names change."""

    call: Call = attrs.field(init=False)
    """For locks and the changelog. It belongs to no client: they outlive the connection that asked for the change."""
    steps: Steps = attrs.field(init=False)
    began: int = attrs.field(init=False)
    """As the afr counts moments."""
    live: set[int] = attrs.field(init=False)
    """Those that take part still: nothing has failed on them."""
    good: frozenset[int] = attrs.field(init=False)
    """Those whose copies are good, as to this kind of change."""
    good_in_all: frozenset[int] = attrs.field(init=False)
    """Those that nobody blames for anything: what they tell of attributes is true."""
    blamed: frozenset[int] = attrs.field(init=False, default=frozenset())
    """Those that missed a change that happened."""
    on_record: frozenset[int] = attrs.field(init=False, default=frozenset())
    """Those of them that are blamed on record, on a quorum."""
    announced: bool = attrs.field(init=False, default=False)
    """The pre-op was done, or begun: the post-op has to take it back."""
    doubtful: bool = attrs.field(init=False, default=False)
    """A change ended in the dark: the marks of the pre-op stay, until a heal has looked."""
    moved: Loc | None = attrs.field(init=False, default=None)
    """The object of which it was said that some copies missed that it went from one of the directories to another."""
    unstable: bool = attrs.field(init=False, default=False)
    """Bytes were overwritten that no copy has been told to keep on disk."""
    unsaved: OSError | None = attrs.field(init=False, default=None)
    """Why what was written is on no disk, for all that anybody knows."""
    error: OSError | None = attrs.field(init=False, default=None)
    """Why it could not begin, or what kept the post-op from being on record."""
    failures: list[Outcome[Any]] = attrs.field(init=False, factory=list)
    granted: list[tuple[Lock, int]] = attrs.field(init=False, factory=list)
    _unblamed: frozenset[int] = attrs.field(init=False)
    """Those that nobody is known to have blamed for this kind of change before it, suspects among them."""
    _asked: Call | None = attrs.field(init=False, default=None)
    _owned: Call = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.call = Call(lk_owner=self.afr.new_lock_owner(), attributes=False)
        self.steps = self.afr.steps(self)
        self.began = self.afr.moment
        self.live = set(self.afr.up)
        self._unblamed = frozenset(self.live)
        for gfid in self.gfids:  # the children that say so now may be out of reach
            self._unblamed &= self.afr.last_readable(gfid) or self._unblamed
        self.good = self.good_in_all = self.afr.suspects.beside(self._unblamed)
        self.locks = sorted(self.locks, key=lambda lock: lock.order)

    @property
    def gfids(self) -> list[Gfid]:
        return [target.gfid for target in self.marked]

    def owned(self, call: Call, asks: Xdata | None = None) -> Call:
        """The same call, made by this transaction as a lock owner, and asking more. Most changes of a file are asked by
        one caller."""
        if asks:
            return call.owned_by(self.call.lk_owner, {**call.xdata, **asks} if call.xdata else asks)
        if call is not self._asked:
            self._asked, self._owned = call, call.owned_by(self.call.lk_owner, call.xdata)
        return self._owned

    # --- lock: everywhere at once; if somebody else holds one, give all back and wait for one after the other --------

    def begin(self, then: Then) -> Phase | None:
        """Lock and pre-op, then whatever comes; or `error` says why not, and nothing is left behind."""
        if not self._enough(self.live):
            raise fail(errno.ENOTCONN, f"{self.afr.name}: too few children are up")
        return self._try_lock(0, then)

    async def run(self, then: Then) -> None:
        """Begin, and go through the phases. A bug of our own surfaces; nobody knows what has happened then, and nothing
        stays locked."""
        try:
            await self.steps.run(self.begin(then))
        except Exception:
            if self.steps.phase is not None:
                self.in_the_dark()
                self.steps.start(self.end())
            raise

    def _try_lock(self, number: int, then: Then) -> Phase | None:
        if number == len(self.locks):
            return self._locked(then)
        lock = self.locks[number]

        def take(outcomes: Outcomes) -> Phase | None:
            failed = {child: outcome.errno for child, outcome in outcomes.items() if outcome.error is not None}
            fenced = self.afr.laggards.fenced  # those may hold it as soon as they answer
            self.granted += [(lock, child) for child in outcomes if child not in failed or child in fenced]
            busy = {child for child, code in failed.items() if code == errno.EAGAIN}
            if busy:
                free = outcomes.keys() - failed.keys()
                everything = [(each, child) for each in self.locks for child in sorted(self.live)]
                waiting = [(*wait, free if wait[0] is lock and wait[1] in busy else set()) for wait in everything]
                return self._unlock(then=lambda: self._wait_for_locks(waiting, then))
            self._drop(outcomes)
            return self._try_lock(number + 1, then)

        return self.phase(
            "lock", self.live, lambda to, nodes: lock.take(to, nodes, self.call, self.domain, False), take
        )

    def _wait_for_locks(self, waiting: Sequence[tuple[Lock, int, set[int]]], then: Then) -> Phase | None:
        """One lock on one child at a time, in an order that everybody keeps: so nobody waits in a circle. With each
        the children on which it was free while it was not on this one: a laggard of somebody else, perhaps."""
        waiting = [wait for wait in waiting if wait[1] in self.live]
        if not waiting or self.steps.abandoned:
            return self._locked(then)
        lock, child, free = waiting[0]

        def take(outcomes: Outcomes) -> Phase | None:
            if outcomes[child].ok or child in self.afr.laggards.fenced:
                self.granted.append((lock, child))
            self._drop(outcomes)
            return self._wait_for_locks(waiting[1:], then)

        phase = self.phase("lock", [child], lambda to, nodes: lock.take(to, nodes, self.call, self.domain, True), take)
        phase.withdraw = lambda: lock.give(Answers(), (self.afr.children[child],), self.call, self.domain)
        phase.before = free | {other for taken, other in self.granted if taken is lock}
        return phase

    def _locked(self, then: Then) -> Phase | None:
        if not self._may_go_on():
            return self._unlock()
        if self._may_go_unannounced():
            return then()
        self.announced = True
        return self._pre_op(0, then)

    def _may_go_unannounced(self) -> bool:
        """Optimistic change log: no pre-op where all copies take part and are known to be good."""
        if self.kind is Kind.DATA or not self.afr.optimistic_change_log or len(self.live) < len(self.afr.children):
            return False
        return all(self.afr.known_readable(gfid) == self.live for gfid in self.gfids)

    def _may_go_on(self) -> bool:
        if self.steps.abandoned:
            self.error = self.error or fail(errno.ECANCELED, self.afr.name)
            return False
        return self._enough(self.live)

    # --- pre-op ------------------------------------------------------------------------------------------------------

    def _pre_op(self, number: int, then: Then) -> Phase | None:
        if number == len(self.marked):
            return then()
        target, values = self.marked[number], self.afr.keys.pre_op(self.kind)

        def take(outcomes: Outcomes) -> Phase | None:
            self._drop(outcomes)
            for child in self.live:
                stored = outcomes[child].reply.values
                if stored != values:  # else nothing was on record there
                    self._heed(Record.read(self.afr.keys, stored))
            if not self._may_go_on():
                return self._post_op(self.marked[: number + 1])
            return self._pre_op(number + 1, then)

        return self.phase("pre-op", self.live, lambda to, nodes: self.xattrop(to, nodes, target, values), take)

    def _heed(self, record: Record) -> None:
        for other, counters in enumerate(record.pending):
            if any(counters):
                self.good_in_all -= {other}
                if counters[self.kind]:
                    self._unblamed -= {other}
                    self.good = self.afr.suspects.beside(self._unblamed)

    # --- what changes report -----------------------------------------------------------------------------------------

    def happened(self, blame: frozenset[int]) -> None:
        """A change is done, and these copies missed it: nothing more is sent to them, and they are read no more."""
        if blame - self.blamed:
            self.blamed |= blame
            self.live -= blame
            self.good -= blame
            self.good_in_all -= blame
            for gfid in self.gfids:
                self.afr.missed(gfid, blame)

    def in_the_dark(self) -> None:
        """A change has failed, and nobody knows where it happened."""
        self.doubtful = True
        for gfid in self.gfids:
            self.afr.doubted(gfid)

    def put_on_record(self, blame: frozenset[int], then: Then) -> Phase | None:
        """Put on record who missed a change, while the transaction goes on: `blame` those that missed this one. Each
        name that a copy lacks is counted, the bytes that it lacks are not."""
        if self.kind is Kind.ENTRY:
            self.on_record -= blame
        owed = (blame if self.kind is Kind.ENTRY else self.blamed) - self.on_record
        if not owed:
            return then()
        return self._add_on_each(0, self.marked, self.live, owed, self.afr.keys.owed(owed, (self.kind,)), then)

    # --- post-op: the changes are over -------------------------------------------------------------------------------

    def end(self, then: Then = nothing) -> Phase | None:
        """Post-op and unlock; and before it, what the changes have written is put on the disks."""
        if self.doubtful:
            return self._unlock(then) if self.announced else self._leave_marks(then)
        if self.unstable and self.afr.ensure_durability:
            return self._fsync(then)
        return self._post_op(self.marked, then)

    def _fsync(self, then: Then) -> Phase | None:
        """A copy that cannot keep what it has written has missed it. Of one that is out of reach only a quorum may say
        so: it has taken the writes, and whoever reaches it may go on with it, without those that would blame it."""
        fd = self.marked[0] if isinstance(self.marked[0], Fd) else Fd(self.marked[0].gfid, os.O_RDWR)

        def take(outcomes: Outcomes) -> Phase | None:
            kept = frozenset(child for child, outcome in outcomes.items() if outcome.ok)
            if kept & self.good and self.afr.quorum.met(kept):
                self.happened(frozenset(range(len(self.afr.children))) - kept)
                return self._post_op(self.marked, then)
            refused = frozenset(outcomes) - kept - {c for c, each in outcomes.items() if each.errno == errno.ENOTCONN}
            self.unsaved = combined_error([outcome for outcome in outcomes.values() if not outcome.ok])
            self.in_the_dark()
            if kept & self.good:
                self.happened(refused)
                return self.put_on_record(refused, lambda: self._unlock(then))
            return self._unlock(then)

        return self.phase(
            "fsync", self.live, lambda to, nodes: to.wind(nodes, Translator.fsync, self.call, fd, 1), take
        )

    def _post_op(self, marked: Sequence[Loc | Fd], then: Then = nothing) -> Phase | None:
        owed = self.blamed - self.on_record
        if not self.announced and not owed:
            return self._unlock(then)
        keys = self.afr.keys
        values = keys.post_op(self.kind, owed) if self.announced else keys.owed(owed, (self.kind,))
        return self._add_on_each(0, marked, self.live, owed, values, lambda: self._unlock(then))

    def _leave_marks(self, then: Then) -> Phase | None:
        """What a pre-op would have said, for the healer: nobody knows what happened."""
        values = {self.afr.keys.dirty: packed(self.kind, 1)}
        return self._add_on_each(0, self.marked, self.live, frozenset(), values, lambda: self._unlock(then))

    def _add_on_each(
        self,
        number: int,
        marked: Sequence[Loc | Fd],
        children: Collection[int],
        owed: frozenset[int],
        values: dict[str, bytes],
        then: Then,
    ) -> Phase | None:
        """Change the counters of one marked object after the other, each where it succeeded on those before. A move
        that is told half is decided by what was said on the moved object before."""
        if number == len(marked):
            for gfid in self.gfids:  # once more: who has looked since it happened may not have been told
                self.afr.missed(gfid, owed)
            if not owed or self._enough(children):
                self.on_record |= owed
                if self.moved is not None:
                    return self._forget_move(self.moved, children, then)
            else:
                self.in_the_dark()  # it happened, and is on record nowhere that counts
                self.error = in_doubt(self.error or fail(errno.EIO))
            return then()
        target = marked[number]

        def take(outcomes: Outcomes) -> Phase | None:
            self._drop(outcomes)  # one that cannot be told keeps the mark of the pre-op
            return self._add_on_each(number + 1, marked, {c for c in outcomes if outcomes[c].ok}, owed, values, then)

        return self.phase("post-op", children, lambda to, nodes: self.xattrop(to, nodes, target, values), take)

    def _forget_move(self, moved: Loc, children: Collection[int], then: Then) -> Phase | None:
        """Both directories are told. Where this fails, a heal takes it back."""
        values = self.afr.keys.owed_move(self.blamed, -1)
        return self.phase(
            "post-op", children, lambda to, nodes: self.xattrop(to, nodes, moved, values), lambda outcomes: then()
        )

    # --- unlock ------------------------------------------------------------------------------------------------------

    def _unlock(self, then: Then = nothing) -> Phase | None:
        """Give back every lock. A child that cannot be told drops it by itself, with the connection."""
        granted, self.granted = self.granted, []

        def send() -> Answers[Any]:
            answers: Answers[Any] = Answers()
            for lock in self.locks:
                holders = [child for taken, child in granted if taken is lock]
                self.afr.laggards.give(answers, holders, lock, self.call, self.domain)
            return answers

        return Phase("unlock", send, lambda _: then())

    # --- what the phases share ---------------------------------------------------------------------------------------

    @property
    def domain(self) -> str:
        return self.afr.name

    def phase(
        self,
        name: str,
        children: Collection[int],
        wind: Callable[[Answers[Any], Sequence[Translator]], None],
        take: Callable[[Outcomes], Phase | None],
    ) -> Phase:
        def send() -> Answers[Any]:
            answers: Answers[Any] = Answers()
            wind(answers, self.afr.laggards.unfenced(children))
            return answers

        return Phase(name, send, take)

    def xattrop(
        self, to: Answers[Any], children: Sequence[Translator], target: Loc | Fd, values: dict[str, bytes]
    ) -> None:
        if isinstance(target, Fd):
            to.wind(children, Translator.fxattrop, self.call, target, XattropKind.ADD_ARRAY, values)
        else:
            to.wind(children, Translator.xattrop, self.call, target, XattropKind.ADD_ARRAY, values)

    def _drop(self, outcomes: Outcomes) -> None:
        """A child that failed a phase takes no further part; what it misses, it will be blamed for."""
        for child, outcome in outcomes.items():
            if outcome.error is not None:
                self.failures.append(outcome)
                self.live.discard(child)

    def _enough(self, children: Collection[int]) -> bool:
        """Is the quorum met? If not, the change fails with what the children that failed have said."""
        if self.afr.quorum.met(children):
            return True
        self.error = combined_error(self.failures)
        return False
