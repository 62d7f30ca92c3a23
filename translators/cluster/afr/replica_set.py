"""What an afr is made of, below its fops."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import attrs

from ....graph import (
    Acknowledged,
    Call,
    Capability,
    ChildChanged,
    ChildDown,
    ChildUp,
    Event,
    Fd,
    Gfid,
    Inodes,
    Loc,
    Made,
    Outcome,
    State,
    Translator,
    children_first,
    option,
)
from ....graph import options as kinds
from . import crawl, reading
from .changelog import Keys, Kind
from .locks import EntryLock, InodeLock, Lock
from .report import HealReport
from .transaction import Transaction
from .verdict import Quorum, combined_error, quorum_of

R = TypeVar("R")
P = ParamSpec("P")


@attrs.define(eq=False)
class ReplicaSet(Translator):
    """The children of an afr as one: its options, who is up, what is known of their copies, and how each kind of fop is
    replicated."""

    quorum_type: str = option(
        kinds.one_of("none", "fixed", "auto"), default="", help="auto for more than two children, else none"
    )
    quorum_count: int = option(kinds.integer(low=1), default=1, help="children needed, for quorum-type fixed")
    read_subvolume: str = option(kinds.text, default="", help="the child to read from, if its copy is good")
    self_heal_daemon: bool = option(kinds.boolean, default=True, help="heal when a child comes back")
    pending_names: tuple[str, ...] = option(
        kinds.words(),
        default=(),
        key="afr-pending-xattr",
        help="names in the changelog keys, one per child; the children's names unless given",
    )
    dirty_key: str = option(
        kinds.text, default="", key="afr-dirty-xattr", help="trusted.afr.dirty unless an afr lies below"
    )
    replicate: str = option(kinds.text, default="", help="1.3's pattern: only *:N with N children is supported")

    up: set[int] = attrs.field(init=False, factory=set, repr=False)
    """The children that are up, by index."""
    heard: set[int] = attrs.field(init=False, factory=set, repr=False)
    generation: int = attrs.field(init=False, default=0, repr=False)
    """Counts the comings and goings of children: what is known of copies is valid for one generation."""
    index: dict[Translator, int] = attrs.field(init=False, repr=False)
    keys: Keys = attrs.field(init=False, repr=False)
    quorum: Quorum = attrs.field(init=False, repr=False)
    inodes: Inodes[reading.InodeState] = attrs.field(init=False, factory=lambda: Inodes(reading.InodeState), repr=False)
    crawler: crawl.Crawler = attrs.field(init=False, repr=False)
    _owners: Iterator[int] = attrs.field(init=False, factory=lambda: itertools.count(1), repr=False)
    _owner_salt: bytes = attrs.field(init=False, default=b"", repr=False)

    children_allowed: ClassVar[tuple[int, int | None]] = (1, None)
    needs: ClassVar[frozenset[Capability]] = frozenset(
        (Capability.PARTIAL_WRITES, Capability.XATTRS, Capability.XATTROP, Capability.LOCKS)
    )
    ignored_options: ClassVar[frozenset[str]] = frozenset(
        (
            *(f"{what}-{about}" for what in ("data", "metadata", "entry") for about in ("self-heal", "change-log")),
            *("background-self-heal-count", "heal-wait-queue-length", "data-self-heal-algorithm", "self-heal", "debug"),
            *(
                "data-self-heal-window-size",
                "choose-local",
                "read-hash-mode",
                "quorum-reads",
                "eager-lock",
                "lock-node",
            ),
            *("post-op-delay-secs", "optimistic-change-log", "pre-op-compat", "ensure-durability", "full-lock"),
            *("locking-scheme", "granular-entry-heal", "consistent-metadata", "iam-self-heal-daemon", "node-uuid"),
            *("iam-nfs-daemon", "heal-timeout", "shd-max-threads", "shd-wait-qlength", "use-anonymous-inode"),
            *("volume-id", "strict-readdir", "*-lock-server-count", "halo-*"),
        )
    )

    def __attrs_post_init__(self) -> None:
        self.index = {child: number for number, child in enumerate(self.children)}
        self.quorum = quorum_of(self.quorum_type, self.quorum_count, len(self.children))
        self.crawler = crawl.Crawler(self)

    def problems(self) -> Sequence[tuple[str | None, str, str]]:
        """Options that do not fit the children."""
        found: list[tuple[str | None, str, str]] = []
        count, names = len(self.children), [child.name for child in self.children]
        if self.quorum_type == "fixed" and self.quorum_count > count:
            found.append(
                ("quorum-count", f"a quorum of {self.quorum_count} needs more than {count} children", f"1 to {count}")
            )
        if self.pending_names and len(self.pending_names) != count:
            found.append(("afr-pending-xattr", f"needs {count} names, one per child", f"write {','.join(names)}"))
        if self.read_subvolume and self.read_subvolume not in names:
            found.append(("read-subvolume", f"'{self.read_subvolume}' is no child", f"one of {', '.join(names)}"))
        if self.replicate and self.replicate != f"*:{count}":
            found.append(("replicate", f"'{self.replicate}' is not supported: every child gets a copy", f"*:{count}"))
        return found

    async def start(self) -> None:
        below = [node for node in children_first(self) if node is not self]
        nested = any(isinstance(node, ReplicaSet) for node in below)
        dirty = self.dirty_key or (f"trusted.afr.{self.name}.dirty" if nested else "trusted.afr.dirty")
        names = self.pending_names or tuple(child.name for child in self.children)
        self.keys = Keys(tuple(f"trusted.afr.{name}" for name in names), dirty)
        self._owner_salt = self.seams.random.getrandbits(32).to_bytes(4, "big")

    # --- children that come and go -----------------------------------------------------------------------------------

    def notify(self, event: Event) -> None:
        """Count who is up. For its parents this node is up as long as a quorum of its children is."""
        child = self.index.get(event.source)
        if child is None or not event.rises:
            super().notify(event)
            return
        if isinstance(event, ChildUp):
            self._turn(child, up=True)
        elif isinstance(event, ChildDown):
            self._turn(child, up=False)
        elif isinstance(event, ChildChanged):
            self.generation += 1
            self.crawler.wake()
        self._tell(event)

    def _turn(self, child: int, up: bool) -> None:
        self.heard.add(child)
        if up == (child in self.up):
            return
        self.generation += 1
        if up:
            self.up.add(child)
            self.crawler.wake()
        else:
            self.up.discard(child)

    def _tell(self, event: Event) -> None:
        if self.quorum.met(self.up):
            if self.state is not State.UP:
                self.rise(ChildUp(self))
            elif not isinstance(event, ChildDown):
                self.rise(ChildChanged(self))
        elif self.state is State.UP or (self.state is State.UNKNOWN and len(self.heard) == len(self.children)):
            down = [child.name for number, child in enumerate(self.children) if number not in self.up]
            self.rise(ChildDown(self, f"below quorum: {', '.join(down)} down"))

    def choose(self, copies: Collection[int]) -> int:
        """The copy to read from, among good ones."""
        for child in copies:
            if self.children[child].name == self.read_subvolume:
                return child
        return min(copies)

    def missed(self, gfid: Gfid, children: Collection[int]) -> None:
        """These copies have just missed a change: they are not read from now on."""
        if children:
            state = self.inodes[gfid]
            state.readable -= frozenset(children)

    def doubted(self, gfid: Gfid) -> None:
        """A change of unknown outcome: ask again before the next read."""
        self.inodes[gfid].generation = -1

    def new_lock_owner(self) -> bytes:
        """Unlike any other owner's, of this process or another."""
        return self._owner_salt + next(self._owners).to_bytes(8, "big")

    # --- healing -----------------------------------------------------------------------------------------------------

    async def heal(self, gfid: Gfid | None = None, full: bool = False) -> HealReport:
        """Heal one object, or all that the children's indices name; `full` looks at every object of the tree."""
        return await self.crawler.heal(gfid, full)

    async def pending(self) -> HealReport:
        """What is to be healed, without healing it."""
        return await self.crawler.pending()

    # --- how each kind of fop is replicated --------------------------------------------------------------------------

    async def read_one(
        self,
        call: Call,
        target: Loc | Fd,
        fop: Callable[Concatenate[Any, P], Awaitable[R]],
        *args: P.args,
        **_: P.kwargs,
    ) -> R:
        """From one good copy."""
        return await reading.read(self, call, target, lambda child: getattr(child, fop.__name__)(*args))

    async def change(
        self,
        call: Call,
        kind: Kind,
        target: Loc | Fd,
        fop: Callable[Concatenate[Any, Call, P], Awaitable[R]],
        *args: P.args,
        **_: P.kwargs,
    ) -> R:
        """Contents or attributes of one object, on all copies. EIO if no copy is known to be good."""
        await reading.readable_for(self, call, target)
        lock = InodeLock.for_data(target) if kind is Kind.DATA else InodeLock.for_metadata(target)
        return self.best(await self._transaction(call, kind, [lock], [target], fop, *args))

    async def change_names(
        self,
        call: Call,
        locks: Sequence[Lock],
        directories: Sequence[Gfid],
        fop: Callable[Concatenate[Any, Call, P], Awaitable[R]],
        *args: P.args,
        **_: P.kwargs,
    ) -> dict[int, R]:
        """Names in one or two directories, on all copies."""
        marked = [Loc(gfid) for gfid in dict.fromkeys(directories)]
        for directory in marked:
            await reading.readable_for(self, call, directory)
        return await self._transaction(call, Kind.ENTRY, locks, marked, fop, *args)

    async def _transaction(
        self,
        call: Call,
        kind: Kind,
        locks: Sequence[Lock],
        marked: Sequence[Loc | Fd],
        fop: Callable[..., Awaitable[R]],
        *args: Any,
    ) -> dict[int, R]:
        makes = fop in (Translator.create, Translator.mknod, Translator.mkdir, Translator.symlink)
        transaction: Transaction[R] = Transaction(
            self, call, kind, locks, marked, lambda to, child, call: to.wind(child, fop, call, *args), makes
        )
        return await transaction.run()

    def best(self, replies: Mapping[int, R]) -> R:
        return replies[self.choose(replies)]

    async def make(self, call: Call, loc: Loc, fop: Callable[..., Awaitable[Made]], *args: Any) -> Made:
        """A new object at `loc`."""
        lock = EntryLock(Loc(loc.parent), loc.name)
        replies = await self.change_names(call, [lock], [loc.parent], fop, *args)
        made = self.best(replies)
        state = self.inodes[made.iatt.gfid]
        if made.iatt.gfid == call.asked("gfid-req"):
            state.generation, state.readable = self.generation, frozenset(replies)
        else:  # create has opened a file that was there: who knows how good its copies are
            state.generation = -1
        return made

    def children_up(self) -> list[Translator]:
        return [self.children[child] for child in sorted(self.up)]

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
        return self.best(replies)
