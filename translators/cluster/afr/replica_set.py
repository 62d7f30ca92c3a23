"""What an afr is made of, below its fops."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import attrs

from ....graph import (
    NOW_NS,
    NULL_GFID,
    Acknowledged,
    Call,
    Capability,
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
    State,
    Translator,
    children_first,
    fail,
    option,
)
from ....graph import options as kinds
from . import crawl, reading
from .changelog import Keys, Kind
from .locks import EntryLock, InodeLock, Lock, Waiters
from .report import HealReport
from .transaction import Transaction
from .verdict import Quorum, combined_error, quorum_of

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T", Loc, Fd)


@attrs.define
class OpenFd:
    """The slot of an fd: the flags it was opened with, and of a directory the child that a listing has begun on."""

    flags: int
    serving: int | None = None


MAKERS = (Translator.create, Translator.mknod, Translator.mkdir, Translator.symlink)


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
    moment: int = attrs.field(init=False, default=0, repr=False)
    """Counts the changes that a copy missed, or may have: an inspection tells nothing of those that came after it."""
    waiters: Waiters = attrs.field(init=False, factory=Waiters, repr=False)
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
        nested = [node.name for node in children_first(self) if isinstance(node, ReplicaSet) and node is not self]
        if self.name in nested:
            raise fail(errno.EINVAL, f"{self.name}: an afr below it has the same name, and would share its locks")
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
        if isinstance(event, Contention):
            return  # about a lock of our own, which is given back as soon as its change is done
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

    def disconnect(self, client: str) -> None:
        self.waiters.gone(client)
        super().disconnect(client)

    @property
    def healing_domain(self) -> str:
        """In which lock domain healers keep off each other; changes lock in the one that bears this afr's name."""
        return f"{self.name}:self-heal"

    def choose(self, copies: Collection[int]) -> int:
        """The copy to read from, among good ones."""
        for child in copies:
            if self.children[child].name == self.read_subvolume:
                return child
        return min(copies)

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

    # --- healing -----------------------------------------------------------------------------------------------------

    async def heal(self, gfid: Gfid | None = None, full: bool = False) -> HealReport:
        """Heal one object, or all that the children's indices name; `full` looks at every object of the tree."""
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
        there = await self.object_at(call, target)
        return await reading.read(self, call, there, lambda child: getattr(child, fop.__name__)(call, there, *args))

    async def change(
        self,
        kind: Kind,
        fop: Callable[Concatenate[Any, Call, T, P], Awaitable[R]],
        call: Call,
        target: T,
        *args: P.args,
        **_: P.kwargs,
    ) -> R:
        """Contents or attributes of one object, on all copies. EIO if no copy is known to be good."""
        there = await self.object_at(call, target)
        await reading.readable_for(self, call, there)
        lock = InodeLock.for_data(there) if kind is Kind.DATA else InodeLock.for_metadata(there)
        return (await self._transaction(call, kind, [lock], [there], fop, there, *args)).reply

    async def change_names(
        self,
        locks: Sequence[Lock],
        directories: Sequence[Gfid],
        fop: Callable[Concatenate[Any, Call, P], Awaitable[R]],
        call: Call,
        *args: P.args,
        **_: P.kwargs,
    ) -> Transaction[R]:
        """Names in one or two directories, on all copies."""
        marked = [Loc(gfid) for gfid in dict.fromkeys(directories)]
        for directory in marked:
            await reading.readable_for(self, call, directory)
        return await self._transaction(call, Kind.ENTRY, locks, marked, fop, *args)

    async def make(self, loc: Loc, fop: Callable[..., Awaitable[Made]], call: Call, *args: Any) -> Made:
        """A new object at `loc`."""
        return self.made(await self.change_names([EntryLock.on(loc)], [loc.parent], fop, call, *args))

    def made(self, done: Transaction[Made]) -> Made:
        """What is known of a new object's copies; of one that create has found, who knows."""
        state = self.inodes[done.reply.iatt.gfid]
        if done.reply.iatt.gfid == done.call.asked("gfid-req") and state.changed_at <= done.began:
            state.generation, state.readable = self.generation, frozenset(done.replies)
        else:
            state.generation = reading.UNKNOWN
        return done.reply

    async def _transaction(
        self,
        call: Call,
        kind: Kind,
        locks: Sequence[Lock],
        marked: Sequence[Loc | Fd],
        fop: Callable[..., Awaitable[R]],
        *args: Any,
    ) -> Transaction[R]:
        transaction: Transaction[R] = Transaction(
            self, call, kind, locks, marked, lambda to, child, call: to.wind(child, fop, call, *args), fop in MAKERS
        )
        await transaction.run()
        return transaction

    def children_up(self) -> list[Translator]:
        return [self.children[child] for child in sorted(self.up)]

    # --- open files --------------------------------------------------------------------------------------------------

    async def opening(self, fd: Fd, flags: int, work: Awaitable[R]) -> R:
        """What opens `fd`. Where it fails, or nobody waits for it any more, the fd is open nowhere."""
        try:
            reply = await work
        except BaseException:
            self.release(fd)
            raise
        fd.slots[self] = OpenFd(flags)
        return reply

    def opened(self, outcomes: Sequence[Outcome[Acknowledged]], good: Collection[int]) -> Acknowledged:
        """Open on a quorum, and on a good copy. Where it is not open, a child acts on the gfid."""
        opened = {self.index[outcome.child]: outcome for outcome in outcomes if outcome.ok}
        if not self.quorum.met(opened) or not opened.keys() & good:
            raise combined_error(outcomes)
        return Acknowledged()

    def refuse_unless_open_for(self, fd: Fd, access: int) -> None:
        """EBADF. Not left to the children: where an fd is not open, a child takes it for one that may do everything."""
        slot: OpenFd | None = fd.slots.get(self)
        if slot is not None and slot.flags & os.O_ACCMODE not in (access, os.O_RDWR):
            raise fail(errno.EBADF, fd.gfid)

    def quorum_reply(self, outcomes: Sequence[Outcome[R]]) -> R:
        replies = {self.index[o.child]: o.value for o in outcomes if o.value is not None}
        if not self.quorum.met(replies):
            raise combined_error(outcomes)
        return replies[self.choose(replies)]
