"""cluster/afr: every child holds a copy of everything."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import attrs

from ....graph import (
    NULL_GFID,
    Acknowledged,
    Attributes,
    Buffer,
    Call,
    Capability,
    Changed,
    Checksums,
    ChildChanged,
    ChildDown,
    ChildUp,
    Data,
    Entries,
    EntryLockCommand,
    Event,
    Fd,
    Flock,
    Gfid,
    Inodes,
    Loc,
    LockCommand,
    Locked,
    LockType,
    LookedUp,
    Made,
    NewAttributes,
    Outcome,
    Removed,
    Renamed,
    Sought,
    Space,
    State,
    Target,
    Translator,
    Written,
    XattropKind,
    Xattrs,
    children_first,
    fail,
    fan_out,
    option,
)
from ....graph import options as kinds
from . import crawl, reading
from .changelog import Keys, Kind
from .locks import EntryLock, FcntlLock, InodeLock, Lock, give_back, hold
from .report import HealReport
from .transaction import Transaction
from .verdict import Quorum, combined_error, quorum_of

R = TypeVar("R")
P = ParamSpec("P")


@attrs.define(eq=False)
class Afr(Translator):
    """Keep every file on all children, read from those that missed nothing, and heal those that did.

        volume mirror
          type cluster/afr
          option quorum-type fixed
          option quorum-count 2
          subvolumes here there
        end-volume

    A child that misses an update is blamed for it on the children that have it, in `trusted.afr.*` (afr.md 10); it is
    not read, and is healed when it is back. A child may be any translator: another afr, too.
    """

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
            found.append(("quorum-count", f"a quorum of {self.quorum_count} needs more than {count} children", ""))
        if self.pending_names and len(self.pending_names) != count:
            found.append(("afr-pending-xattr", f"needs {count} names, one per child", f"write {','.join(names)}"))
        if self.read_subvolume and self.read_subvolume not in names:
            found.append(("read-subvolume", f"'{self.read_subvolume}' is no child", f"one of {', '.join(names)}"))
        if self.replicate and self.replicate != f"*:{count}":
            found.append(("replicate", f"'{self.replicate}' is not supported: every child gets a copy", f"*:{count}"))
        return found

    async def start(self) -> None:
        below = [node for node in children_first(self) if node is not self]
        nested = any(isinstance(node, Afr) for node in below)
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
            self.rise(ChildUp(self) if self.state is not State.UP else ChildChanged(self))
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

    async def _read(
        self,
        call: Call,
        target: Loc | Fd,
        fop: Callable[Concatenate[Any, P], Awaitable[R]],
        *args: P.args,
        **_: P.kwargs,
    ) -> R:
        """From one good copy."""
        return await reading.read(self, call, target, lambda child: getattr(child, fop.__name__)(*args))

    async def _change(
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
        return self._best(await self._transaction(call, kind, [lock], [target], fop, *args))

    async def _change_names(
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

    def _best(self, replies: Mapping[int, R]) -> R:
        return replies[self.choose(replies)]

    async def _make(self, call: Call, loc: Loc, fop: Callable[..., Awaitable[Made]], *args: Any) -> Made:
        """A new object at `loc`."""
        lock = EntryLock(Loc(loc.parent), loc.name)
        replies = await self._change_names(call, [lock], [loc.parent], fop, *args)
        made = self._best(replies)
        state = self.inodes[made.iatt.gfid]
        state.generation, state.readable = self.generation, frozenset(replies)
        return made

    # --- fops: names -------------------------------------------------------------------------------------------------

    async def lookup(self, call: Call, loc: Loc) -> LookedUp:
        return await reading.lookup(self, call, loc)

    async def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Made:
        return await self._make(call, loc, Translator.create, loc, flags, mode, umask, fd)

    async def mknod(self, call: Call, loc: Loc, mode: int, rdev: int, umask: int) -> Made:
        return await self._make(call, loc, Translator.mknod, loc, mode, rdev, umask)

    async def mkdir(self, call: Call, loc: Loc, mode: int, umask: int) -> Made:
        return await self._make(call, loc, Translator.mkdir, loc, mode, umask)

    async def symlink(self, call: Call, target: bytes, loc: Loc, umask: int) -> Made:
        return await self._make(call, loc, Translator.symlink, target, loc, umask)

    async def link(self, call: Call, old: Loc, new: Loc) -> Made:
        locks = [EntryLock(Loc(new.parent), new.name)]
        return self._best(await self._change_names(call, locks, [new.parent], Translator.link, old, new))

    async def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Removed:
        locks = [EntryLock(Loc(loc.parent), loc.name)]
        return self._best(await self._change_names(call, locks, [loc.parent], Translator.unlink, loc, xflags))

    async def rmdir(self, call: Call, loc: Loc, xflags: int = 0) -> Removed:
        inside = await self._gfid_at(call, loc)
        locks = [EntryLock(Loc(loc.parent), loc.name), EntryLock(Loc(inside), None)]
        return self._best(await self._change_names(call, locks, [loc.parent], Translator.rmdir, loc, xflags))

    async def rename(self, call: Call, old: Loc, new: Loc) -> Renamed:
        locks = [EntryLock(Loc(old.parent), old.name), EntryLock(Loc(new.parent), new.name)]
        try:
            found = await reading.lookup(self, call.with_xdata(None), Loc(parent=new.parent, name=new.name))
        except FileNotFoundError:
            pass
        else:
            if found.iatt.is_dir:  # nobody may put a name into a directory that is about to be replaced
                locks.append(EntryLock(Loc(found.iatt.gfid), None))
        directories = [old.parent, new.parent]
        return self._best(await self._change_names(call, locks, directories, Translator.rename, old, new))

    async def _gfid_at(self, call: Call, loc: Loc) -> Gfid:
        if loc.gfid != NULL_GFID:
            return loc.gfid
        return (await reading.lookup(self, call.with_xdata(None), loc)).iatt.gfid

    # --- fops: attributes and contents -------------------------------------------------------------------------------

    async def stat(self, call: Call, loc: Loc) -> Attributes:
        return await self._read(call, loc, Translator.stat, call, loc)

    async def fstat(self, call: Call, fd: Fd) -> Attributes:
        return await self._read(call, fd, Translator.fstat, call, fd)

    async def access(self, call: Call, loc: Loc, mask: int) -> Acknowledged:
        return await self._read(call, loc, Translator.access, call, loc, mask)

    async def readlink(self, call: Call, loc: Loc, size: int) -> Target:
        return await self._read(call, loc, Translator.readlink, call, loc, size)

    async def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Changed:
        return await self._change(call, Kind.METADATA, loc, Translator.setattr, loc, new)

    async def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Changed:
        return await self._change(call, Kind.METADATA, fd, Translator.fsetattr, fd, new)

    async def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Acknowledged:
        good = await reading.readable_copies(self, call, loc.gfid)
        outcomes = await fan_out(self._children_up(), Translator.open, call, loc, flags & ~os.O_TRUNC, fd)
        reply = self._opened(outcomes, good)
        if flags & os.O_TRUNC:
            await self.ftruncate(call, fd, 0)
        return reply

    async def opendir(self, call: Call, loc: Loc, fd: Fd) -> Acknowledged:
        good = await reading.readable_copies(self, call, loc.gfid)
        return self._opened(await fan_out(self._children_up(), Translator.opendir, call, loc, fd), good)

    def _opened(self, outcomes: Sequence[Outcome[Acknowledged]], good: Collection[int]) -> Acknowledged:
        """Open on a quorum, and on a good copy. Where it is not open, a child acts on the gfid."""
        opened = {self.index[outcome.child]: outcome for outcome in outcomes if outcome.ok}
        if not self.quorum.met(opened) or not opened.keys() & good:
            raise combined_error(outcomes)
        return Acknowledged()

    def _children_up(self) -> list[Translator]:
        return [self.children[child] for child in sorted(self.up)]

    async def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Data:
        return await self._read(call, fd, Translator.readv, call, fd, size, offset, flags)

    async def seek(self, call: Call, fd: Fd, offset: int, what: int) -> Sought:
        return await self._read(call, fd, Translator.seek, call, fd, offset, what)

    async def rchecksum(self, call: Call, fd: Fd, offset: int, length: int) -> Checksums:
        return await self._read(call, fd, Translator.rchecksum, call, fd, offset, length)

    async def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Written:
        return await self._change(call, Kind.DATA, fd, Translator.writev, fd, data, offset, flags)

    async def truncate(self, call: Call, loc: Loc, size: int) -> Changed:
        return await self._change(call, Kind.DATA, loc, Translator.truncate, loc, size)

    async def ftruncate(self, call: Call, fd: Fd, size: int) -> Changed:
        return await self._change(call, Kind.DATA, fd, Translator.ftruncate, fd, size)

    async def fallocate(self, call: Call, fd: Fd, flags: int, offset: int, length: int) -> Changed:
        return await self._change(call, Kind.DATA, fd, Translator.fallocate, fd, flags, offset, length)

    async def discard(self, call: Call, fd: Fd, offset: int, length: int) -> Changed:
        return await self._change(call, Kind.DATA, fd, Translator.discard, fd, offset, length)

    async def zerofill(self, call: Call, fd: Fd, offset: int, length: int) -> Changed:
        return await self._change(call, Kind.DATA, fd, Translator.zerofill, fd, offset, length)

    async def fsync(self, call: Call, fd: Fd, datasync: int = 0) -> Changed:
        return await self._change(call, Kind.DATA, fd, Translator.fsync, fd, datasync)

    async def flush(self, call: Call, fd: Fd) -> Acknowledged:
        return self._quorum_reply(await fan_out(self._children_up(), Translator.flush, call, fd))

    async def fsyncdir(self, call: Call, fd: Fd, datasync: int = 0) -> Acknowledged:
        return self._quorum_reply(await fan_out(self._children_up(), Translator.fsyncdir, call, fd, datasync))

    def _quorum_reply(self, outcomes: Sequence[Outcome[R]]) -> R:
        replies = {self.index[o.child]: o.value for o in outcomes if o.value is not None}
        if not self.quorum.met(replies):
            raise combined_error(outcomes)
        return self._best(replies)

    async def statfs(self, call: Call, loc: Loc) -> Space:
        """The smallest child decides: everything must fit into each."""
        outcomes = await fan_out(self._children_up(), Translator.statfs, call, loc)
        self._quorum_reply(outcomes)
        return min((o.value for o in outcomes if o.value is not None), key=lambda space: space.bavail * space.frsize)

    # --- fops: listings ----------------------------------------------------------------------------------------------

    async def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Entries:
        return await self._list(call, fd, offset, lambda child: child.readdir(call, fd, size, offset))

    async def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Entries:
        """Attributes come only with entries whose copy is known to be good; a lookup tells about the others."""
        reply = await self._list(call, fd, offset, lambda child: child.readdirp(call, fd, size, offset))
        serving = fd.slots[self]
        for entry in reply.entries:
            state = self.inodes.known(entry.gfid or NULL_GFID)
            if state is None or state.generation != self.generation or serving not in state.readable:
                entry.iatt, entry.xdata = None, None
            else:
                entry.xdata = reading.without_own(self.keys, entry.xdata)
        return reply

    async def _list(self, call: Call, fd: Fd, offset: int, wind: Callable[[Translator], Awaitable[Entries]]) -> Entries:
        """A listing begins on a good copy and stays there: another child's offsets mean nothing to it."""
        if offset and self in fd.slots:
            return await wind(self.children[fd.slots[self]])

        async def begin(child: Translator) -> Entries:
            reply = await wind(child)
            fd.slots[self] = self.index[child]
            return reply

        return await reading.read(self, call, fd, begin)

    # --- fops: extended attributes; this afr's own keys are hidden and refused ---------------------------------------

    async def getxattr(self, call: Call, loc: Loc, name: str | None) -> Xattrs:
        self._readable_name(name)
        return self._without_own(await self._read(call, loc, Translator.getxattr, call, loc, name))

    async def fgetxattr(self, call: Call, fd: Fd, name: str | None) -> Xattrs:
        self._readable_name(name)
        return self._without_own(await self._read(call, fd, Translator.fgetxattr, call, fd, name))

    def _readable_name(self, name: str | None) -> None:
        if name is not None and (self.keys.owned(name) or name.startswith("glusterfs.xattrop_")):
            raise fail(errno.ENODATA, name)  # an index is one brick's, not the volume's

    def _without_own(self, reply: Xattrs) -> Xattrs:
        if any(map(self.keys.owned, reply.values)):
            values = {name: value for name, value in reply.values.items() if not self.keys.owned(name)}
            return attrs.evolve(reply, values=values)
        return reply

    async def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Acknowledged:
        self._refuse_own(values, errno.EPERM)
        return await self._change(call, Kind.METADATA, loc, Translator.setxattr, loc, values, flags)

    async def fsetxattr(self, call: Call, fd: Fd, values: Mapping[str, bytes], flags: int = 0) -> Acknowledged:
        self._refuse_own(values, errno.EPERM)
        return await self._change(call, Kind.METADATA, fd, Translator.fsetxattr, fd, values, flags)

    async def removexattr(self, call: Call, loc: Loc, name: str) -> Acknowledged:
        self._refuse_own((name,), errno.EPERM)
        return await self._change(call, Kind.METADATA, loc, Translator.removexattr, loc, name)

    async def fremovexattr(self, call: Call, fd: Fd, name: str) -> Acknowledged:
        self._refuse_own((name,), errno.EPERM)
        return await self._change(call, Kind.METADATA, fd, Translator.fremovexattr, fd, name)

    async def xattrop(self, call: Call, loc: Loc, kind: XattropKind, values: Mapping[str, bytes]) -> Xattrs:
        self._refuse_own(values, errno.EINVAL)
        return await self._change(call, Kind.METADATA, loc, Translator.xattrop, loc, kind, values)

    async def fxattrop(self, call: Call, fd: Fd, kind: XattropKind, values: Mapping[str, bytes]) -> Xattrs:
        self._refuse_own(values, errno.EINVAL)
        return await self._change(call, Kind.METADATA, fd, Translator.fxattrop, fd, kind, values)

    def _refuse_own(self, names: Collection[str], code: int) -> None:
        for name in names:
            if self.keys.owned(name):
                error = fail(code, name)
                error.add_note(
                    f"{self.name} keeps its own changelog under this key: an afr above it needs other names, by its "
                    "options afr-pending-xattr and afr-dirty-xattr"
                )
                raise error

    # --- fops: locks -------------------------------------------------------------------------------------------------

    async def inodelk(self, call: Call, domain: str, loc: Loc, command: LockCommand, flock: Flock) -> Acknowledged:
        reply: Acknowledged = await self._lock(call, InodeLock(loc, flock), domain, command, flock.type)
        return reply

    async def finodelk(self, call: Call, domain: str, fd: Fd, command: LockCommand, flock: Flock) -> Acknowledged:
        reply: Acknowledged = await self._lock(call, InodeLock(fd, flock), domain, command, flock.type)
        return reply

    async def lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Locked:
        if command == LockCommand.GET:
            return await self._read(call, fd, Translator.lk, call, fd, command, flock)
        reply: Locked = await self._lock(call, FcntlLock(fd, flock), "", command, flock.type)
        return reply

    async def entrylk(
        self, call: Call, domain: str, loc: Loc, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Acknowledged:
        reply: Acknowledged = await self._lock_names(call, EntryLock(loc, name, type), domain, command)
        return reply

    async def fentrylk(
        self, call: Call, domain: str, fd: Fd, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Acknowledged:
        reply: Acknowledged = await self._lock_names(call, EntryLock(fd, name, type), domain, command)
        return reply

    async def _lock(self, call: Call, lock: Lock, domain: str, command: LockCommand, type: int) -> Any:
        if type == LockType.UNLOCK:
            return await give_back(self, call, lock, domain)
        return await hold(self, call, lock, domain, wait=command == LockCommand.WAIT)

    async def _lock_names(self, call: Call, lock: Lock, domain: str, command: EntryLockCommand) -> Any:
        if command == EntryLockCommand.UNLOCK:
            return await give_back(self, call, lock, domain)
        return await hold(self, call, lock, domain, wait=command == EntryLockCommand.LOCK)
