"""What an afr is made of, below its fops."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from ....graph import (
    NOW_NS,
    NULL_GFID,
    Acknowledged,
    Call,
    ChildChanged,
    ChildDown,
    ChildUp,
    Contention,
    Event,
    Fd,
    Gfid,
    Inodes,
    Loc,
    Made,
    NewAttributes,
    Outcome,
    ParentDown,
    State,
    Translator,
    children_first,
    fail,
)
from . import crawl, reading, strict
from .accepting import accept
from .change import Change, Wind
from .changelog import Keys, Kind
from .choice import ReadChoice
from .eager import Span, Streams
from .known_children import KnownChildren
from .laggards import Laggards
from .locks import EntryLock, InodeLock, Lock, Waiters
from .open_fds import Missing, usable
from .openings import Openings
from .phases import Steps
from .report import HealReport
from .settings import AfrSettings
from .suspects import Suspects
from .transaction import Transaction
from .verdict import Quorum, combined_error

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T", Loc, Fd)


MAKERS = (Translator.create, Translator.mknod, Translator.mkdir, Translator.symlink)


@attrs.define(eq=False)
class ReplicaSet(AfrSettings):
    """The children of an afr as one: who is up, what is known of their copies, how each kind of fop is replicated."""

    up: set[int] = attrs.field(init=False, factory=set, repr=False)
    """The children that are up, and known to be this afr's, by index."""
    admitted: frozenset[int] = attrs.field(init=False, default=frozenset(), repr=False)
    """The same, and those that are fenced."""
    generation: int = attrs.field(init=False, default=0, repr=False)
    """Counts the comings and goings of children: what is known of copies is valid for one generation."""
    moment: int = attrs.field(init=False, default=0, repr=False)
    """Counts the changes that a copy missed, or may have: an inspection tells nothing of those that came after it."""
    waiters: Waiters = attrs.field(init=False, factory=Waiters, repr=False)
    index: dict[Translator, int] = attrs.field(init=False, repr=False)
    keys: Keys = attrs.field(init=False, repr=False)
    quorum: Quorum = attrs.field(init=False, repr=False)
    inodes: Inodes[reading.InodeState] = attrs.field(init=False, factory=lambda: Inodes(reading.InodeState), repr=False)
    under_way: set[Transaction] = attrs.field(init=False, factory=set, repr=False)
    """Transactions of one change each, until their last step is done."""
    choice: ReadChoice = attrs.field(init=False, repr=False)
    streams: Streams = attrs.field(init=False, repr=False)
    crawler: crawl.Crawler = attrs.field(init=False, repr=False)
    known: KnownChildren = attrs.field(init=False, repr=False)
    suspects: Suspects = attrs.field(init=False, repr=False)
    openings: Openings = attrs.field(init=False, repr=False)
    laggards: Laggards = attrs.field(init=False, repr=False)
    _owners: Iterator[int] = attrs.field(init=False, factory=lambda: itertools.count(1), repr=False)
    _owner_salt: bytes = attrs.field(init=False, default=b"", repr=False)

    def __attrs_post_init__(self) -> None:
        self.index = {child: number for number, child in enumerate(self.children)}
        self.quorum = self.asked_quorum
        self.choice = ReadChoice.asked_of(self)
        self.streams = Streams(self)
        self.crawler = crawl.Crawler(self)
        self.known = KnownChildren(self)
        self.suspects = Suspects(self)
        self.openings = Openings(self)
        self.laggards = Laggards(self)

    async def start(self) -> None:
        nested = [node.name for node in children_first(self) if isinstance(node, ReplicaSet) and node is not self]
        if self.name in nested:
            raise fail(errno.EINVAL, f"{self.name}: an afr below it has the same name, and would share its locks")
        dirty = self.dirty_key or (f"trusted.afr.{self.name}.dirty" if nested else "trusted.afr.dirty")
        names = self.pending_names or tuple(child.name for child in self.children)
        self.keys = Keys(tuple(f"trusted.afr.{name}" for name in names), dirty, f"trusted.afr.{self.name}.volgraph-id")
        self._owner_salt = self.seams.random.getrandbits(32).to_bytes(4, "big")
        self.choice.salt = self._owner_salt[0]

    # --- children that come and go -----------------------------------------------------------------------------------

    def notify(self, event: Event) -> None:
        """Count who is up. For its parents this node is up as long as a quorum of its children is."""
        child = self.index.get(event.source)
        if child is None or not event.rises:
            if isinstance(event, ParentDown):
                self.known.close()
                self.laggards.close()
                self.streams.close_all()
            super().notify(event)
            return
        if isinstance(event, Contention):
            self._contended(event)
            return
        if isinstance(event, ChildUp):
            self.known.came(child)
            self.laggards.back(child)
        elif isinstance(event, ChildDown):
            self.laggards.cut(child)
            self.known.went(child)
        elif isinstance(event, ChildChanged):
            self.generation += 1
            self.crawler.wake()
            self._tell(better=True)
            self.known.changed(child)

    def _contended(self, event: Contention) -> None:
        """Somebody wants a lock: one kept for changes to come is given up; any other is when its change is done."""
        if event.domain != self.name:
            self.rise(event)
        elif event.name is None:
            self.streams.close_soon(event.gfid)

    @property
    def settled(self) -> bool:
        return self.known.settled

    def settle(self, admitted: Collection[int], better: bool) -> None:
        """These children take part from now on, but for those that are fenced. `better`: somebody came, or knows more
        than before."""
        suspect = self.suspects.decisive
        self.admitted = frozenset(admitted)
        for child in sorted((self.admitted - self.laggards.fenced) ^ self.up):
            self._turn(child, child not in self.up)
        self._tell(better or self.suspects.decisive != suspect)

    def _turn(self, child: int, up: bool) -> None:
        self.generation += 1
        self.streams.child_turned(child)
        for transaction in self.under_way:
            transaction.live.discard(child)  # its locks went with it
        if up:
            self.up.add(child)
            self.crawler.wake()
        else:
            self.up.discard(child)

    def _tell(self, better: bool) -> None:
        if self.quorum.met(self.up):
            if self.state is not State.UP:
                self.rise(ChildUp(self))
            elif better:
                self.rise(ChildChanged(self))
        elif self.state is State.UP or (self.state is State.UNKNOWN and len(self.known.heard) == len(self.children)):
            self.rise(ChildDown(self, self.known.why_down()))
        else:
            self.known.explain()

    def disconnect(self, client: str) -> None:
        self.waiters.gone(client)
        super().disconnect(client)

    @property
    def healing_domain(self) -> str:
        """In which lock domain healers keep off each other; changes lock in the one that bears this afr's name."""
        return f"{self.name}:self-heal"

    def choose(self, copies: Collection[int], gfid: Gfid = NULL_GFID) -> int:
        """The copy to read from, among good ones; its attributes are told, too."""
        return self.choice.of(copies, gfid)

    def known_readable(self, gfid: Gfid) -> frozenset[int]:
        """The copies that are known to be good, without asking."""
        state = self.inodes.known(gfid)
        return state.readable if state is not None and state.generation == self.generation else frozenset()

    def missed(self, gfid: Gfid, children: Collection[int]) -> None:
        """These copies have just missed a change: they are not read from now on."""
        if children:
            self._changed(gfid).readable -= frozenset(children)

    def doubted(self, gfid: Gfid) -> None:
        """A change of unknown outcome: ask again before the next read."""
        self._changed(gfid).generation = reading.UNKNOWN

    def _changed(self, gfid: Gfid) -> reading.InodeState:
        state = self.inodes[gfid]
        self.moment += 1
        state.changed_at = self.moment
        return state

    def new_lock_owner(self) -> bytes:
        """Unlike any other owner's, of this process or another."""
        return self._owner_salt + next(self._owners).to_bytes(8, "big")

    def dated(self, new: NewAttributes) -> NewAttributes:
        """With the present time filled in: asked one by one, the copies would each tell their own."""
        now = {name: self.seams.clock.time_ns() for name in ("atime_ns", "mtime_ns") if getattr(new, name) == NOW_NS}
        return attrs.evolve(new, **now) if now else new

    @property
    def health(self) -> str:
        """For people: `up` or `down`, and behind commas which children are kept out or fenced, and why."""
        out = {name: f"kept out: {why}" for name, why in self.known.reasons.items()}
        out |= {self.children[child].name: "fenced: it owes an answer" for child in self.laggards.fenced}
        return ", ".join([self.state.value, *(f"{name} {why}" for name, why in out.items())])

    # --- healing -----------------------------------------------------------------------------------------------------

    async def accept(self, child_name: str) -> None:
        """Take a child that is kept out for one of this afr's: it counts as empty, and a full heal fills it.

        EINVAL no such child, or none beside it that is known; ENOTCONN a child cannot be asked.
        """
        await accept(self, child_name)

    async def heal(self, gfid: Gfid | None = None, full: bool = False) -> HealReport:
        """Heal one object, or all that the children's indices name; `full` looks at every object of the tree."""
        await self.known.quiet()
        return await self.crawler.heal(gfid, full)

    async def pending(self) -> HealReport:
        """What is to be healed, without healing it."""
        return await self.crawler.pending()

    # --- how each kind of fop is replicated --------------------------------------------------------------------------

    async def object_at(self, call: Call, target: T) -> T:
        """What a place that is given by its name alone stands for: good copies decide, each child need not agree."""
        if isinstance(target, Fd) or target.gfid != NULL_GFID:
            return target
        return Loc((await reading.lookup(self, call.with_xdata(None), target)).iatt.gfid)

    async def read(
        self,
        fop: Callable[Concatenate[Any, Call, T, P], Awaitable[R]],
        call: Call,
        target: T,
        *args: P.args,
        **_: P.kwargs,
    ) -> R:
        """From one good copy."""
        there = target if isinstance(target, Fd) else await self.object_at(call, target)
        reader = strict.read if self.strict_reads else reading.read
        return await reader(self, call, there, lambda child: getattr(child, fop.__name__)(call, there, *args))

    async def change_contents(
        self,
        span: Span,
        fop: Callable[Concatenate[Any, Call, T, P], Awaitable[R]],
        call: Call,
        target: T,
        *args: P.args,
        **_: P.kwargs,
    ) -> R:
        """The contents of one file, on all copies. EIO if no copy is known to be good."""
        there = await self.object_at(call, target)
        if isinstance(there, Fd):
            await usable(self, there, os.O_WRONLY)
        done: Change[R] = await self.streams.change(call, there, span, _winding(fop, there, *args))
        return done.reply

    async def change_attributes(
        self,
        fop: Callable[Concatenate[Any, Call, T, P], Awaitable[R]],
        call: Call,
        target: T,
        *args: P.args,
        **_: P.kwargs,
    ) -> R:
        """Attributes of one object, on all copies. EIO if no copy is known to be good."""
        there = await self.object_at(call, target)
        await reading.readable_for(self, call, there)
        locks, wind = [InodeLock.for_metadata(there)], _winding(fop, there, *args)
        done: Change[R] = await self._alone(call, Kind.METADATA, locks, [there], wind)
        return done.reply

    async def change_names(
        self,
        locks: Sequence[Lock],
        directories: Sequence[Gfid],
        fop: Callable[Concatenate[Any, Call, P], Awaitable[R]],
        call: Call,
        *args: P.args,
        **_: P.kwargs,
    ) -> Change[R]:
        """Names in one or two directories, on all copies."""
        marked = [Loc(gfid) for gfid in dict.fromkeys(directories)]
        for directory in marked:
            await reading.readable_for(self, call, directory)
        return await self._alone(call, Kind.ENTRY, locks, marked, _winding(fop, *args), fop in MAKERS)

    async def make(self, loc: Loc, fop: Callable[..., Awaitable[Made]], call: Call, *args: Any) -> Made:
        """A new object at `loc`."""
        return self.made(await self.change_names([EntryLock.on(loc)], [loc.parent], fop, call, *args))

    def made(self, done: Change[Made]) -> Made:
        """What is known of a new object's copies; of one that create has found, who knows."""
        state = self.inodes[done.reply.iatt.gfid]
        if done.made_anew and state.changed_at <= done.transaction.began:
            state.generation, state.readable = self.generation, done.done_on
        else:
            if state.generation == reading.UNKNOWN and not state.readable:
                state.readable = done.done_on  # until the copies are asked; should it lose its name first, for good
            state.generation = reading.UNKNOWN
        return done.reply

    async def _alone(
        self,
        call: Call,
        kind: Kind,
        locks: Sequence[Lock],
        marked: Sequence[Loc | Fd],
        wind: Wind,
        makes_object: bool = False,
    ) -> Change[Any]:
        """One change in a transaction of its own."""
        transaction = Transaction(self, kind, locks, marked)
        change: Change[Any] = Change(transaction, call, wind, makes_object)
        self.under_way.add(transaction)
        try:
            await transaction.steps.run(transaction.begin(lambda: change.operate(transaction.end)))
        finally:
            transaction.steps.when_over(partial(self.under_way.discard, transaction))
        error = change.error or transaction.error
        if error is not None:
            raise error
        return change

    def steps(self, transaction: Transaction) -> Steps:
        return Steps(self.index, self.tasks, self.laggards.patience(transaction))

    async def good_copies(self, call: Call, gfid: Gfid) -> frozenset[int]:
        """The copies whose word counts: as this client knows, or (strict reads) as a quorum holds for certain."""
        if self.strict_reads:
            return await strict.certain_copies(self, call, gfid)
        return await reading.readable_copies(self, call, gfid)

    def children_up(self) -> list[Translator]:
        return [self.children[child] for child in sorted(self.up)]

    # --- open files --------------------------------------------------------------------------------------------------

    async def opening(self, fd: Fd, flags: int, work: Awaitable[tuple[R, Missing]]) -> R:
        """What opens `fd`, and tells where it did not."""
        return await self.openings.opening(fd, flags, work)

    def release(self, fd: Fd) -> None:
        super().release(fd)
        self.openings.released(fd)

    def opened(self, outcomes: Sequence[Outcome[Acknowledged]], good: Collection[int]) -> Acknowledged:
        """Open on a quorum, and on a good copy. Where it is not open, a child acts on the gfid."""
        opened = {self.index[outcome.child]: outcome for outcome in outcomes if outcome.ok}
        if not self.quorum.met(opened) or not opened.keys() & good:
            raise combined_error(outcomes)
        return Acknowledged()

    def quorum_reply(self, outcomes: Sequence[Outcome[R]]) -> R:
        replies = {self.index[o.child]: o.value for o in outcomes if o.value is not None}
        if not self.quorum.met(replies):
            raise combined_error(outcomes)
        return replies[min(replies)]


def _winding(fop: Callable[..., Awaitable[Any]], *args: Any) -> Wind:
    return lambda to, child, call: to.wind(child, fop, call, *args)
