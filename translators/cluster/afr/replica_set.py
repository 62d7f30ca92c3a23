"""What an afr is made of, below its fops."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from ....graph import (
    NULL_GFID,
    Call,
    ChildChanged,
    ChildDown,
    ChildUp,
    Coming,
    Contention,
    Event,
    Fd,
    Gfid,
    Inodes,
    Loc,
    Outcome,
    ParentDown,
    State,
    Translator,
    children_first,
    fail,
)
from . import crawl, reading, strict
from .accepting import accept
from .application_locks import ApplicationLocks
from .caller_locks import Waiters
from .changelog import Keys
from .changing_contents import ContentChanges
from .changing_names import NameChanges
from .choice import ReadChoice
from .known_children import KnownChildren
from .laggards import Laggards
from .open_fds import refuse_lost
from .openings import Openings
from .phases import Steps
from .report import HealReport
from .settings import AfrSettings
from .streams import Streams
from .suspects import Suspects
from .transaction import Transaction
from .verdict import Quorum, combined_error

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T", Loc, Fd)


@attrs.define(eq=False)
class ReplicaSet(AfrSettings):
    """The children of an afr as one: who is up, what is known of their copies, how each kind of fop is replicated."""

    up: set[int] = attrs.field(init=False, factory=set, repr=False)
    """The children that are up, and known to be this afr's, by index."""
    admitted: frozenset[int] = attrs.field(init=False, default=frozenset(), repr=False)
    """The same, and those that are fenced."""
    generation: int = attrs.field(init=False, default=0, repr=False)
    """Counts the comings and goings of children: what is known of copies is valid for one generation."""
    departures: list[int] = attrs.field(init=False, repr=False)
    """How often each child has gone: what it had granted until then it has given back."""
    moment: int = attrs.field(init=False, default=0, repr=False)
    """Counts the changes that a copy missed, or may have: an inspection tells nothing of those that came after it."""
    waiters: Waiters = attrs.field(init=False, repr=False)
    index: dict[Translator, int] = attrs.field(init=False, repr=False)
    keys: Keys = attrs.field(init=False, repr=False)
    quorum: Quorum = attrs.field(init=False, repr=False)
    inodes: Inodes[reading.InodeState] = attrs.field(init=False, repr=False)
    under_way: set[Transaction] = attrs.field(init=False, factory=set, repr=False)
    """Transactions of one change each, until their last step is done."""
    choice: ReadChoice = attrs.field(init=False, repr=False)
    finishing: set[Coming[None]] = attrs.field(init=False, factory=set, repr=False)
    """Settled when what is finished with nobody waiting is done, as what cancelled callers have begun."""
    streams: Streams = attrs.field(init=False, repr=False)
    content_changes: ContentChanges = attrs.field(init=False, repr=False)
    name_changes: NameChanges = attrs.field(init=False, repr=False)
    crawler: crawl.Crawler = attrs.field(init=False, repr=False)
    known: KnownChildren = attrs.field(init=False, repr=False)
    suspects: Suspects = attrs.field(init=False, repr=False)
    openings: Openings = attrs.field(init=False, repr=False)
    laggards: Laggards = attrs.field(init=False, repr=False)
    application_locks: ApplicationLocks = attrs.field(init=False, repr=False)
    _owners: Iterator[int] = attrs.field(init=False, factory=lambda: itertools.count(1), repr=False)
    _owner_salt: bytes = attrs.field(init=False, default=b"", repr=False)

    def _make_parts(self) -> None:
        """Not before it is started: a spec of thousands of volumes is checked, and most of it not used."""
        self.index = {child: number for number, child in enumerate(self.children)}
        self.waiters = Waiters()
        self.inodes = Inodes(reading.InodeState)
        self.quorum = self.asked_quorum
        self.choice = ReadChoice.asked_of(self)
        self.streams = Streams(self)
        self.content_changes = ContentChanges(self)
        self.name_changes = NameChanges(self)
        self.crawler = crawl.Crawler(self)
        self.known = KnownChildren(self)
        self.suspects = Suspects(self)
        self.openings = Openings(self)
        self.laggards = Laggards(self)
        self.application_locks = ApplicationLocks(self)
        self.departures = [0] * len(self.children)

    async def start(self) -> None:
        self._make_parts()
        nested = [node.name for node in self.afrs_below]
        if self.name in nested:
            raise fail(errno.EINVAL, f"{self.name}: an afr below it has the same name, and would share its locks")
        dirty = self.dirty_key or (f"trusted.afr.{self.name}.dirty" if nested else "trusted.afr.dirty")
        names = self.pending_names or tuple(child.name for child in self.children)
        self.keys = Keys(tuple(f"trusted.afr.{name}" for name in names), dirty, f"trusted.afr.{self.name}.volgraph-id")
        self._owner_salt = self.seams.random.getrandbits(32).to_bytes(4, "big")
        self.choice.know_client(self._owner_salt[0])

    async def stop(self) -> None:
        self.streams.stop()

    @property
    def afrs_below(self) -> list[ReplicaSet]:
        """Those in this graph, the lowest first."""
        return [node for node in children_first(self) if isinstance(node, ReplicaSet) and node is not self]

    # --- children that come and go -----------------------------------------------------------------------------------

    def notify(self, event: Event) -> None:
        """Count who is up. For its parents this node is up as long as a quorum of its children is."""
        child = self.index.get(event.source)
        if child is None or not event.rises:
            if isinstance(event, ParentDown):
                self.known.close()
                self.laggards.close()
                self.application_locks.close()
                self.streams.keep_none()
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
            self.streams.close_all_soon()  # what came back below the child holds no lock of theirs
            self.application_locks.changed(child)
            self.crawler.wake()
            self._tell_parents(better=True)
            self.known.changed(child)

    def _contended(self, event: Contention) -> None:
        """Somebody wants a lock: one kept for changes to come is given up; any other is when its change is done."""
        if event.domain != self.name:
            self.rise(event)
        elif not event.name:
            self.streams.contended(event.gfid, is_dir=event.name is not None)

    @property
    def settled(self) -> bool:
        return self.known.settled

    def take_part(self, admitted: Collection[int], better: bool) -> None:
        """These children take part from now on, but for those that are fenced. `better`: somebody came, or knows more
        than before."""
        suspect = self.suspects.decisive
        gone, self.admitted = self.admitted - frozenset(admitted), frozenset(admitted)
        for child in sorted((self.admitted - self.laggards.fenced) ^ self.up):
            self._turn(child, child not in self.up)
        for child in sorted(gone):
            self.departures[child] += 1
            self.application_locks.went(child)
        self.application_locks.wake()
        self._tell_parents(better or self.suspects.decisive != suspect)

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

    def _tell_parents(self, better: bool) -> None:
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
        self.application_locks.disconnected(client)
        super().disconnect(client)

    def children_up(self) -> list[Translator]:
        return [self.children[child] for child in sorted(self.up)]

    @property
    def health(self) -> str:
        """For people: `up` or `down`, and behind commas which children are kept out or fenced, and why, and what broke
        off the last heal."""
        out = {name: f"kept out: {why}" for name, why in self.known.reasons.items()}
        out |= {self.children[child].name: "fenced: it owes an answer" for child in self.laggards.fenced}
        words = [*(f"{name} {why}" for name, why in out.items())]
        words += [f"the healer {self.crawler.trouble}"] if self.crawler.trouble else []
        return ", ".join([self.state.value, *words])

    # --- what is known of copies -------------------------------------------------------------------------------------

    def known_readable(self, gfid: Gfid) -> frozenset[int]:
        """The copies that are known to be good, without asking."""
        state = self.inodes.known(gfid)
        return state.readable if state is not None and state.generation == self.generation else frozenset()

    def last_readable(self, gfid: Gfid) -> frozenset[int]:
        """The same, as they were when last asked: in the midst of a change, or with marks left, that is not known for
        the next time. Whoever is blamed then may have been healed since; nobody else is."""
        state = self.inodes.known(gfid)
        valid = state is not None and state.generation in (self.generation, reading.UNKNOWN)
        return state.readable if state is not None and valid else frozenset()

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

    async def good_copies(self, call: Call, gfid: Gfid) -> frozenset[int]:
        """The copies whose word counts: as this client knows, or (strict reads) as a quorum holds for certain."""
        if self.strict_reads:
            return await strict.certain_copies(self, call, gfid)
        return await reading.readable_copies(self, call, gfid)

    # --- what fops are made of ---------------------------------------------------------------------------------------

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
        if isinstance(target, Fd):
            refuse_lost(self, target)
            there: Loc | Fd = target
        else:
            there = await self.object_at(call, target)
        return await self.read_with(call, there, lambda child: getattr(child, fop.__name__)(call, there, *args))

    async def read_with(self, call: Call, target: Loc | Fd, ask: Callable[[Translator], Awaitable[R]]) -> R:
        """Ask one good copy of `target`, and the next one where that fails."""
        return await (strict.read if self.strict_reads else reading.read)(self, call, target, ask)

    def choose(self, copies: Collection[int], gfid: Gfid = NULL_GFID) -> int:
        """The copy to read from, among good ones; its attributes are told, too."""
        return self.choice.of(copies, gfid)

    def quorum_reply(self, outcomes: Sequence[Outcome[R]]) -> R:
        replies = {self.index[o.child]: o.value for o in outcomes if o.value is not None}
        if not self.quorum.met(replies):
            raise combined_error(outcomes)
        return replies[min(replies)]

    def steps(self, transaction: Transaction) -> Steps:
        return Steps(self.index, self.tasks, self.finishing, self.laggards.patience(transaction))

    def new_lock_owner(self) -> bytes:
        """Unlike any other owner's, of this process or another."""
        return self._owner_salt + next(self._owners).to_bytes(8, "big")

    def release(self, fd: Fd) -> None:
        super().release(fd)
        self.openings.released(fd)

    # --- healing -----------------------------------------------------------------------------------------------------

    async def accept(self, child_name: str) -> None:
        """Take a child that is kept out for one of this afr's: it counts as empty, and a full heal fills it.

        EINVAL no such child, or none beside it that is known; ENOTCONN a child cannot be asked.
        """
        await accept(self, child_name)

    async def heal(self, gfid: Gfid | None = None, full: bool = False) -> HealReport:
        """Heal one object, or all that the children's indices name; `full` looks at every object of the tree."""
        await self.known.quiet()
        await self.rest()
        return await self.crawler.heal(gfid, full)

    async def pending(self) -> HealReport:
        """What is to be healed, without healing it."""
        await self.rest()
        return await self.crawler.pending()

    async def rest(self) -> None:
        """Return when no lock and no mark is kept for changes to come."""
        await self.streams.close_all()

    @property
    def healing_domain(self) -> str:
        """In which lock domain healers keep off each other; changes lock in the one that bears this afr's name."""
        return f"{self.name}:self-heal"
