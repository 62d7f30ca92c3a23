"""The frame of storage/memory: its life, its crashes, how it finds objects and answers questions in xdata."""

from __future__ import annotations

import errno
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from ....graph import (
    NULL_GFID,
    ROOT_GFID,
    Call,
    ChildDown,
    ChildUp,
    Event,
    Fd,
    Gfid,
    Iatt,
    Loc,
    ParentUp,
    State,
    Xdata,
    fail,
    option,
)
from ....graph.options import size
from .. import permission
from ..heal_index import COUNT_KEY, COUNT_VALUE, XATTROP
from ..leaf import SUSPECT_KEY, Leaf, is_pattern, matching
from ..name_rules import XATTR_NAMESPACES, check_name
from .inode import Inode
from .journal import Keep
from .sparse import PAGE
from .store import Item, MemoryStore

UP = State.UP


@attrs.define
class OpenFile:
    """What an fd means at this node."""

    inode: Inode
    flags: int


@attrs.define(eq=False)
class MemoryNode(Leaf):
    """See `Memory`."""

    size_limit: int = option(size(low=PAGE), default=4 << 30, help="space for contents; ENOSPC beyond it")

    store: MemoryStore = attrs.field(factory=MemoryStore, kw_only=True, repr=False)
    """The contents. A new node on an old store is the brick after a restart."""
    _open: set[Fd] = attrs.field(init=False, factory=set, repr=False)
    _crashed: bool = attrs.field(init=False, default=False, repr=False)

    # --- life --------------------------------------------------------------------------------------------------------

    def detours(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        faults = self.store.faults
        return super().detours() if faults is None else faults.detours(self)

    def notify(self, event: Event) -> None:
        if isinstance(event, ParentUp) and not self._crashed:
            self.rise(ChildUp(self))

    async def stop(self) -> None:
        self._forget_process()

    def crash(self, keep: Keep = "all", rng: random.Random | None = None) -> None:
        """End as a process does that is killed: locks and fds are gone, and the node is down until `restart`. An fd
        through which something was locked is EBADFD from then on, until it is closed.

        Unless `keep` is "all" the power went as well: what fsync and fsyncdir have pinned is left, and of the rest so
        much as `keep` says, chosen by `rng` (which it needs, and a store with a journal, for more than "synced"). From
        then on the brick says that it is suspect, as storage/posix does.
        """
        self._crashed = True
        self.rise(ChildDown(self, "crashed"))  # first: nobody who is answered below may find the brick up
        self._forget_process()
        self.store.lose(keep, rng or random.Random(0))

    def restart(self) -> None:
        """Come up again after a crash."""
        self._crashed = False
        self.rise(ChildUp(self))

    def _forget_process(self) -> None:
        locks, self._lockers = self.locks, self._holders()
        for fd in self._open - self._lockers.keys():
            fd.slots.pop(self, None)
        self._forget_locks()
        self._open.clear()
        self.store.forget_fds()
        locks.close()

    def image(self) -> dict[str, Item]:
        """The whole tree, comparable: {path: (kind, mode, uid, gid, content or target, xattrs, gfid)}."""
        return self.store.image()

    def marks(self) -> dict[Gfid, dict[str, tuple[int, ...]]]:
        """Afr's counters that are not all zero: {gfid: {key: (data, metadata, entry)}}."""
        return self.store.marks()

    # --- finding -----------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return self.seams.clock.time_ns()

    def _check_up(self) -> None:
        if self.state is not UP:
            raise fail(errno.ENOTCONN, self.name)

    def _by_gfid(self, gfid: Gfid) -> Inode:
        if self.state is not UP:
            raise fail(errno.ENOTCONN, self.name)
        inode = self.store.inodes.get(gfid) or self.store.virtual.get(gfid)
        if inode is None:
            raise fail(errno.EINVAL if gfid == NULL_GFID else errno.ESTALE, gfid)
        return inode

    def _object(self, loc: Loc) -> Inode:
        """By gfid where there is one, else by name."""
        if loc.gfid == NULL_GFID and loc.name:
            return self._child(self._parent(loc), loc.name)
        return self._by_gfid(loc.gfid)

    def _parent(self, loc: Loc) -> Inode:
        """The directory of a name, which is checked."""
        parent = self._by_gfid(loc.parent)
        if not parent.is_dir:
            raise fail(errno.ENOTDIR, loc.parent)
        check_name(loc.parent, loc.name)
        return parent

    def _child(self, parent: Inode, name: bytes) -> Inode:
        inode = parent.names.get(name)
        if inode is None:
            raise fail(errno.ENOENT, name)
        return inode

    def _opened(self, fd: Fd) -> Inode:
        """What an fd stands for; one that was not opened here is anonymous and stands for its gfid."""
        slot: OpenFile | None = fd.slots.get(self)
        if self.state is not UP:
            raise fail(errno.ENOTCONN, self.name)
        if slot is not None:
            return slot.inode
        if fd.gfid in self.store.unlinked and fd.gfid not in self.store.inodes:
            return self.store.unlinked[fd.gfid]
        return self._by_gfid(fd.gfid)

    def _keep_open(self, fd: Fd, inode: Inode, flags: int) -> None:
        if self in fd.slots:
            raise fail(errno.EINVAL, "this fd is open already")
        fd.slots[self] = OpenFile(inode, flags)
        inode.open_fds += 1
        self._open.add(fd)

    def release(self, fd: Fd) -> None:
        slot = fd.slots.pop(self, None)
        if isinstance(slot, OpenFile):
            self._unlock_through(fd)
            self._open.discard(fd)
            slot.inode.open_fds -= 1
            self.store.free(slot.inode)

    # --- space -------------------------------------------------------------------------------------------------------

    def _room_for(self, pages: int) -> None:
        if (self.store.pages + pages) * PAGE > self.size_limit:
            raise fail(errno.ENOSPC, self.name)

    def _room_for_xattrs(self, xattrs: Mapping[str, bytes]) -> None:
        """May an object have all these? ENOSPC."""
        limit = self.store.xattr_bytes_max
        if limit is not None and sum(len(key) + len(value) for key, value in xattrs.items()) > limit:
            raise fail(errno.ENOSPC, self.name)

    # --- answers in xdata --------------------------------------------------------------------------------------------

    def _answers(self, call: Call, inode: Inode, parent: Inode | None = None, name: bytes = b"") -> Xdata | None:
        """What the call's xdata asks about an object; a key that is not known, or has no value, is left out."""
        asked = call.xdata
        suspect = self.store.suspect and inode is self.store.root
        if not asked:
            return {SUSPECT_KEY: 1} if suspect else None
        found: dict[str, Any] = {SUSPECT_KEY: 1} if suspect else {}
        for key, value in asked.items():
            if key.startswith(XATTR_NAMESPACES):
                if key in inode.xattrs:
                    found |= self._shown(call, inode, {key: inode.xattrs[key]}, by_name=True)
                elif is_pattern(key):
                    found |= self._shown(call, inode, matching(inode.xattrs, key))
            elif key == "list-xattr":
                found |= self._shown(call, inode, inode.xattrs)
            elif key == COUNT_KEY:
                if value == COUNT_VALUE:
                    found[key] = len(self.store.index[XATTROP])
            elif key == "glusterfs.content":
                wanted = inode.is_file and isinstance(value, int) and inode.contents.size <= value
                if wanted and permission.allows(call, inode, permission.READ):
                    found[key] = inode.contents.read(0, inode.contents.size)
            elif key.startswith("glusterfs."):
                place = None if parent is None else (parent.gfid, name)
                count = self._count(inode.gfid, key, value, inode.open_fds, place)
                if count is not None:
                    found[key] = count
        return found or None

    @staticmethod
    def _shown(call: Call, inode: Inode, xattrs: dict[str, bytes], by_name: bool = False) -> dict[str, bytes]:
        """Those that the caller may see."""
        if permission.exempt(call):
            return xattrs
        return {key: value for key, value in xattrs.items() if permission.shows_xattr(call, inode, key, by_name)}

    @staticmethod
    def _iatt(inode: Inode) -> Iatt:
        return Iatt(inode.gfid, inode.st)

    def _is_root(self, inode: Inode) -> bool:
        return inode.gfid == ROOT_GFID
