"""cluster/unify: the files of many children in one tree."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import ClassVar, TypeVar

import attrs

from ....graph import (
    NULL_GFID,
    ROOT_LOC,
    Acknowledged,
    Attributes,
    Call,
    Capability,
    Changed,
    ChildChanged,
    ChildDown,
    ChildUp,
    Entries,
    EntryLockCommand,
    Event,
    Fd,
    Gfid,
    Inodes,
    Loc,
    LockType,
    LookedUp,
    Made,
    NewAttributes,
    ParentUp,
    Removed,
    Renamed,
    Space,
    State,
    Translator,
    Xdata,
    fail,
    fan_out,
    option,
)
from ....graph import options as kinds
from ..afr.suspects import SUSPECT_KEY
from . import attributes, directory_heal, listing, moving, names, suspicion
from .holders import Known, find
from .intents import settled
from .lost_namespace import refuse_lost_namespace
from .one_place import OnePlace
from .schedulers import RoundRobin, Scheduler
from .verdict import answers, everywhere, summed

R = TypeVar("R")

FIRST_WORD_SECONDS = 10.0
"""How long a child may keep silent before this node says up or down without it."""

OWN_PID = -6
"""How bricks know calls that are no application's: their pid is below zero."""

SCHEDULERS = ("rr", "random", "alu", "nufa", "switch")
SELF_HEAL_OFF = ("off", "no", "false", "disable", "0")
SELF_HEAL_ON = ("on", "yes", "true", "enable", "1", "foreground", "background")


@attrs.define(eq=False)
class Unify(OnePlace):
    """Show the files of many children as one tree; each file is on one of them, each directory on all.

        volume one
          type cluster/unify
          option namespace names
          option scheduler rr
          subvolumes left right
        end-volume

    The namespace is a volume of its own, with every directory and an empty stand-in for every file, under the same
    gfids: it decides which names exist, their types, modes and owners. A file's xattrs and locks are on the child that
    holds it, a directory's on the namespace; so replication works below and above.

    Up while the namespace and at least one child are up. A file whose child is down is ENOTCONN, never ENOENT, and
    listings show all names. Names change under entry locks on the namespace, and an intent in an xattr there lets the
    next lookup settle what a failure left in the middle.
    """

    namespace: Translator = option(  # noqa: RUF009 (an attrs field)
        kinds.volume, help="the volume that holds the names; not one of the subvolumes"
    )
    scheduler: str = option(
        kinds.one_of(*SCHEDULERS), default="rr", help="which child gets a new file; only rr is supported"
    )
    self_heal: str = option(
        kinds.one_of(*SELF_HEAL_ON, *SELF_HEAL_OFF), default="on", help="make directories that a child lacks, on lookup"
    )
    read_only_subvolumes: tuple[str, ...] = option(
        kinds.words(),
        default=(),
        key="rr.read-only-subvolumes",
        aliases=("scheduler.read-only-subvolumes",),
        help="children that get no new files",
    )

    known: Inodes[Known] = attrs.field(init=False, factory=lambda: Inodes(Known), repr=False)
    generation: int = attrs.field(init=False, default=0, repr=False)
    """Counts the comings of children: directories are compared once in each generation."""
    namespace_trusted: bool = attrs.field(init=False, default=False, repr=False)
    """It has names, or nothing has any: then it is not a lost one."""
    _placement: Scheduler = attrs.field(init=False, repr=False)
    _patient: bool = attrs.field(init=False, default=True, repr=False)
    _owners: Iterator[int] = attrs.field(init=False, factory=lambda: itertools.count(1), repr=False)
    _owner_salt: bytes = attrs.field(init=False, default=b"", repr=False)

    children_allowed: ClassVar[tuple[int, int | None]] = (1, None)
    needs: ClassVar[frozenset[Capability]] = frozenset((Capability.XATTRS, Capability.LOCKS))
    ignored_options: ClassVar[frozenset[str]] = frozenset(
        (
            *("rr.limits.min-free-disk", "rr.limits.min-disk-free", "scheduler.limits.min-free-disk"),
            *("rr.refresh-interval", "scheduler.refresh-interval", "inode-lru-limit", "optimist"),
        )
    )
    not_asked: ClassVar[frozenset[str]] = frozenset(("gfid-req", "link-count"))
    """xdata of a lookup that goes no further: nobody below may give an object a gfid of its own, or count alone."""

    def __attrs_post_init__(self) -> None:
        self.intent_key = f"trusted.volgraph.{self.name}.intent"
        self._placement = RoundRobin(self.children, self.read_only_subvolumes)

    def problems(self) -> Sequence[tuple[str | None, str, str]]:
        """Options that do not fit together."""
        found: list[tuple[str | None, str, str]] = []
        names = [child.name for child in self.children]
        if self.namespace in self.children:
            found.append(("namespace", "the namespace is one of the subvolumes", "give it a volume of its own"))
        if self.scheduler != "rr":
            found.append(("scheduler", f"scheduler '{self.scheduler}' is not supported yet", "use rr"))
        for name in self.read_only_subvolumes:
            if name not in names:
                found.append(("rr.read-only-subvolumes", f"'{name}' is no child", f"one of {', '.join(names)}"))
        if set(names) <= set(self.read_only_subvolumes):
            found.append(("rr.read-only-subvolumes", "leaves no child for new files", "leave one out"))
        return found

    @property
    def below(self) -> tuple[Translator, ...]:
        return (*self.children, self.namespace)

    @property
    def heals(self) -> bool:
        return self.self_heal not in SELF_HEAL_OFF

    @property
    def lock_domain(self) -> str:
        """Of the entry locks under which names change: every client of the volume must give this node the same name."""
        return self.name

    async def start(self) -> None:
        for _, message, hint in self.problems():
            raise ValueError(f"{self.name}: {message}: {hint}")
        self._owner_salt = self.seams.random.getrandbits(64).to_bytes(8, "big")

    # --- children that come and go -----------------------------------------------------------------------------------

    def notify(self, event: Event) -> None:
        """Up while the namespace and a child are. Parents hear of each child: what was missed there can be healed."""
        if isinstance(event, ParentUp) and self._patient:
            self.tasks.start_daemon(self._wait_for_first_words())
        if event.source not in self.below or not isinstance(event, (ChildUp, ChildDown, ChildChanged)):
            super().notify(event)
            return
        if isinstance(event, ChildUp):
            self.generation += 1
        self._tell()

    async def _wait_for_first_words(self) -> None:
        await self.seams.clock.sleep(FIRST_WORD_SECONDS)
        self._patient = False
        if self.state is State.UNKNOWN:
            self._tell()

    def _tell(self) -> None:
        if self._patient and any(node.state is State.UNKNOWN for node in self.below):
            return
        self._patient = False
        if self.namespace.state is State.UP and any(child.state is State.UP for child in self.children):
            self.rise(ChildUp(self) if self.state is not State.UP else ChildChanged(self))
        elif self.state is not State.DOWN:
            down = self.children_down() if self.namespace.state is State.UP else [self.namespace]
            self.rise(ChildDown(self, f"{', '.join(node.name for node in down)} down"))

    def children_down(self) -> list[Translator]:
        return [child for child in self.children if child.state is not State.UP]

    def need(self, *nodes: Translator) -> None:
        """ENOTCONN unless all these are up: asked before the first step of a change."""
        down = [node.name for node in nodes if node.state is not State.UP]
        if down:
            raise fail(errno.ENOTCONN, f"{self.name}: {', '.join(down)} down")

    def need_namespace(self) -> None:
        self.need(self.namespace)

    def need_everyone(self) -> None:
        self.need(*self.below)

    def choose(self, loc: Loc) -> Translator:
        """The child for a new file."""
        chosen = self._placement.choose([child for child in self.children if child.state is State.UP], loc)
        if chosen is None:
            raise fail(errno.ENOTCONN, f"{self.name}: no child that may get new files is up")
        return chosen

    # --- calls -------------------------------------------------------------------------------------------------------

    def own_call(self, xdata: Xdata | None = None) -> Call:
        """A call of this node's own, as a lock owner unlike any other."""
        return Call(pid=OWN_PID, lk_owner=self._owner_salt + next(self._owners).to_bytes(8, "big"), xdata=xdata)

    def without_lone_keys(self, call: Call) -> Call:
        """The same call without the keys that must not go to one child alone."""
        if not call.xdata or self.not_asked.isdisjoint(call.xdata):
            return call
        return call.with_xdata({key: value for key, value in call.xdata.items() if key not in self.not_asked})

    def known_place(self, gfid: Gfid) -> Translator | None:
        known = self.known.known(gfid)
        return None if known is None else known.place

    async def place_of(self, call: Call, loc: Loc) -> tuple[Translator, Gfid]:
        place = self.known_place(loc.gfid)
        if place is not None:
            return place, loc.gfid
        plain, loc = call.with_xdata(None), loc if loc.gfid == NULL_GFID else Loc(loc.gfid)
        try:
            found = await settled(self, lambda: find(self, plain, loc))
        except FileNotFoundError as error:
            if loc.named:
                raise
            raise fail(errno.ESTALE, loc.gfid.text) from error
        return found.holder or self.namespace, found.gfid

    # --- fops: names. What takes several steps runs in the graph's tasks: cancelling the caller does not cut it short

    async def lookup(self, call: Call, loc: Loc) -> LookedUp:
        """EIO: a file that is on no child, or on two, or of another kind there."""
        await refuse_lost_namespace(self)
        found = await settled(self, lambda: find(self, call, loc))
        if found.held is None:
            await directory_heal.compare(self, loc, found.entry.iatt)
            return await suspicion.shown(self, call, found.entry)
        return LookedUp(found.iatt, found.entry.postparent, answers(found.entry.xdata, found.held.xdata))

    def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Awaitable[Made]:
        return self.tasks.start(names.create(self, call, loc, flags, mode, umask, fd))

    def mknod(self, call: Call, loc: Loc, mode: int, rdev: int, umask: int) -> Awaitable[Made]:
        return self.tasks.start(names.mknod(self, call, loc, mode, rdev, umask))

    def mkdir(self, call: Call, loc: Loc, mode: int, umask: int) -> Awaitable[Made]:
        return self.tasks.start(names.mkdir(self, call, loc, mode, umask))

    def symlink(self, call: Call, target: bytes, loc: Loc, umask: int) -> Awaitable[Made]:
        return self.tasks.start(names.symlink(self, call, target, loc, umask))

    def link(self, call: Call, old: Loc, new: Loc) -> Awaitable[Made]:
        return self.tasks.start(names.link(self, call, old, new))

    def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Awaitable[Removed]:
        return self.tasks.start(names.unlink(self, call, loc, xflags))

    def rmdir(self, call: Call, loc: Loc, xflags: int = 0) -> Awaitable[Removed]:
        return self.tasks.start(names.rmdir(self, call, loc, xflags))

    def rename(self, call: Call, old: Loc, new: Loc) -> Awaitable[Renamed]:
        return self.tasks.start(moving.rename(self, call, old, new))

    def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Awaitable[Acknowledged]:
        if SUSPECT_KEY in values:
            return suspicion.ended(self, call, values)
        return super().setxattr(call, loc, values, flags)

    # --- fops: attributes --------------------------------------------------------------------------------------------

    def stat(self, call: Call, loc: Loc) -> Awaitable[Attributes]:
        return attributes.stat(self, call, loc)

    def fstat(self, call: Call, fd: Fd) -> Awaitable[Attributes]:
        return attributes.fstat(self, call, fd)

    def access(self, call: Call, loc: Loc, mask: int) -> Awaitable[Acknowledged]:
        return self.namespace.access(call, loc, mask)

    def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Awaitable[Changed]:
        return self.tasks.start(attributes.setattr(self, call, loc, new))

    def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Awaitable[Changed]:
        return self.tasks.start(attributes.fsetattr(self, call, fd, new))

    async def statfs(self, call: Call, loc: Loc) -> Space:
        """The sum over the children that are up."""
        return summed(await fan_out(self.children, Translator.statfs, call, ROOT_LOC))

    # --- fops: directories -------------------------------------------------------------------------------------------

    async def opendir(self, call: Call, loc: Loc, fd: Fd) -> Acknowledged:
        await refuse_lost_namespace(self)
        reply = await self.namespace.opendir(call, loc, fd)
        fd.slots[self] = self.namespace
        return reply

    def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        return self.namespace.readdir(call, fd, size, offset)

    def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        return listing.readdirp(self, call, fd, size, offset)

    async def fsyncdir(self, call: Call, fd: Fd, datasync: int = 0) -> Acknowledged:
        """The names on every node: ENOTCONN if one is down."""
        return everywhere(await fan_out(self.below, Translator.fsyncdir, call, fd, datasync))

    # --- fops: entry locks, which are a directory's ------------------------------------------------------------------

    def entrylk(
        self, call: Call, domain: str, loc: Loc, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        return self.namespace.entrylk(call, domain, loc, name, command, type)

    def fentrylk(
        self, call: Call, domain: str, fd: Fd, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        return self.namespace.fentrylk(call, domain, fd, name, command, type)

    def forget(self, gfid: Gfid) -> None:
        self.known.forget(gfid)
        super().forget(gfid)
