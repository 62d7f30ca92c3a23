"""What a brick in memory holds: inodes with a volatile and a durable image, and the heal index.

A `MemoryStore` outlives the node that works on it, as a disk outlives a process.
"""

from __future__ import annotations

import os
import stat as mode_bits
import struct
from collections.abc import Iterator
from typing import NamedTuple

import attrs

from ....graph import ROOT_GFID, Gfid, Stat
from ..heal_index import AFR_PREFIX, ENTRY_CHANGES, INDEX_OF_GFID, INDEXES, index_of, marked
from .sparse import PAGE, SparseBytes

INTERNAL_XATTRS = (AFR_PREFIX, "trusted.gfid", "trusted.glusterfs.")
"""Xattrs that belong to the machinery, by their beginning: no part of what a user stored."""

KINDS = {
    mode_bits.S_IFREG: "file",
    mode_bits.S_IFDIR: "directory",
    mode_bits.S_IFLNK: "symlink",
    mode_bits.S_IFIFO: "fifo",
    mode_bits.S_IFSOCK: "socket",
    mode_bits.S_IFCHR: "character device",
    mode_bits.S_IFBLK: "block device",
}


class Item(NamedTuple):
    """One name of an image. `content` is a file's bytes or a symlink's target; empty for the rest."""

    kind: str
    mode: int
    uid: int
    gid: int
    content: bytes
    xattrs: dict[str, bytes]
    gfid: Gfid


@attrs.define(eq=False)
class Durable:
    """What of an inode is left after a power loss."""

    st: Stat
    contents: SparseBytes
    xattrs: dict[str, bytes]
    names: dict[bytes, Inode]


@attrs.define(eq=False)
class Inode:
    """`st` is never changed in place but replaced, so that whoever holds it has a snapshot."""

    gfid: Gfid
    st: Stat
    parent: Inode | None = None
    """Of a directory; None for the root."""
    xattrs: dict[str, bytes] = attrs.field(factory=dict)
    contents: SparseBytes = attrs.field(factory=SparseBytes)
    target: bytes = b""
    names: dict[bytes, Inode] = attrs.field(factory=dict)
    cookies: dict[bytes, int] = attrs.field(factory=dict)
    """Where each name stands in a listing: numbers that grow in the order of `names` and never change."""
    next_cookie: int = 1
    open_fds: int = 0
    durable: Durable | None = None
    tied: set[Inode] = attrs.field(factory=set)
    """Directories that exchanged a name with this one since it was last pinned: a rename is atomic."""

    @property
    def is_dir(self) -> bool:
        return self.st.st_mode & 0o170000 == mode_bits.S_IFDIR

    @property
    def is_file(self) -> bool:
        return self.st.st_mode & 0o170000 == mode_bits.S_IFREG

    @property
    def is_symlink(self) -> bool:
        return self.st.st_mode & 0o170000 == mode_bits.S_IFLNK

    def touch(self, now_ns: int) -> None:
        """Contents or names have changed."""
        self.st = st = _copied(self.st)
        if self.is_file:
            st.st_size, st.st_blocks = self.contents.size, len(self.contents.pages) * (PAGE // 512)
        st.st_mtime_ns = st.st_ctime_ns = now_ns

    def restat(self, **changes: int) -> None:
        """Replace some attributes: `inode.restat(st_nlink=2, st_ctime_ns=now)`."""
        self.st = st = _copied(self.st)
        for name, value in changes.items():
            setattr(st, name, value)

    def put(self, name: bytes, inode: Inode) -> None:
        self.names[name] = inode
        self.cookies[name] = self.next_cookie
        self.next_cookie += 1

    def drop(self, name: bytes) -> Inode:
        del self.cookies[name]
        return self.names.pop(name)

    def pin(self) -> None:
        """fsync: what there is now survives a power loss; for a directory its names, too."""
        self.durable = Durable(self.st, self.contents.copy(), self.xattrs.copy(), self.names.copy())

    def restore(self) -> None:
        """After a power loss: what was pinned last."""
        durable = self.durable
        assert durable is not None, "pinned when it was made"
        self.st, self.xattrs, self.contents = durable.st, durable.xattrs.copy(), durable.contents.copy()
        self.names = durable.names.copy()
        self.cookies = {name: at for at, name in enumerate(self.names, 1)}
        self.next_cookie = len(self.names) + 1
        self.open_fds = 0
        self.tied = set()


class MemoryStore:
    """A tree of inodes. `pages` counts the space taken, in units of `PAGE` bytes."""

    def __init__(self) -> None:
        self.root = Inode(ROOT_GFID, Stat(mode_bits.S_IFDIR | 0o755, 2, st_size=PAGE))
        self.root.pin()
        self.inodes: dict[Gfid, Inode] = {ROOT_GFID: self.root}
        self.unlinked: dict[Gfid, Inode] = {}
        """Objects without a name that are still open."""
        self.pages = 0
        self.index: dict[str, dict[Gfid, int]] = {index: {} for index in (*INDEXES, ENTRY_CHANGES)}
        """Of each heal index the objects it lists, with their place in its listing."""
        self._next_place = 1
        virtual = Stat(mode_bits.S_IFDIR | 0o700, 2, st_size=PAGE)
        self.virtual = {gfid: Inode(gfid, virtual) for gfid in INDEX_OF_GFID}
        """The directories as which the indexes are read; no part of the tree."""

    # --- changes -----------------------------------------------------------------------------------------------------

    def add(self, parent: Inode, name: bytes, inode: Inode, now_ns: int) -> None:
        """Put a new object into the tree. Its making is durable as soon as its name is; its contents are not."""
        inode.pin()
        self.inodes[inode.gfid] = inode
        parent.put(name, inode)
        if inode.is_dir:
            inode.parent = parent
            parent.restat(st_nlink=parent.st.st_nlink + 1)
        parent.touch(now_ns)
        if inode.xattrs:
            self.list_marks(inode)

    def take_away(self, parent: Inode, name: bytes, now_ns: int) -> None:
        """Remove a name; with the last one, and no open fd, the object goes."""
        inode = parent.drop(name)
        if inode.is_dir:
            parent.restat(st_nlink=parent.st.st_nlink - 1)
            inode.restat(st_nlink=0, st_ctime_ns=now_ns)
        else:
            inode.restat(st_nlink=inode.st.st_nlink - 1, st_ctime_ns=now_ns)
        parent.touch(now_ns)
        if not inode.st.st_nlink:
            del self.inodes[inode.gfid]
            self.unlinked[inode.gfid] = inode
            for index in self.index.values():
                index.pop(inode.gfid, None)
            self.free(inode)

    def free(self, inode: Inode) -> None:
        """Give back the space of an object that has neither a name nor an open fd."""
        if not inode.st.st_nlink and not inode.open_fds:
            self.pages -= len(inode.contents.pages)
            if self.unlinked.get(inode.gfid) is inode:
                del self.unlinked[inode.gfid]

    def list_marks(self, inode: Inode) -> None:
        """Bring the heal index in line with an object's xattrs."""
        wanted = marked(inode.xattrs) if inode.gfid in self.inodes else ()
        for index, listed in self.index.items():
            if index not in wanted:
                listed.pop(inode.gfid, None)
            elif inode.gfid not in listed:
                listed[inode.gfid] = self._next_place
                self._next_place += 1

    def pin_names(self, directory: Inode) -> None:
        """fsyncdir. What was moved between directories is pinned in both, or a name could be in both, or in none."""
        rest = [directory]
        while rest:
            each = rest.pop()
            each.pin()
            rest += each.tied
            each.tied = set()

    # --- the end of a process, and of the power ----------------------------------------------------------------------

    def forget_fds(self) -> None:
        """The process is gone: what only an open fd held goes too."""
        for inode in self.inodes.values():
            inode.open_fds = 0
        self.unlinked.clear()
        self._recount()

    def forget_unsynced(self) -> None:
        """The power is gone: every inode falls back to what was pinned last."""
        self.root.restore()
        self.unlinked.clear()
        self.inodes = {ROOT_GFID: self.root}
        links: dict[Gfid, int] = {}
        rest = [self.root]
        while rest:
            directory = rest.pop()
            subdirectories = 0
            for inode in directory.names.values():
                links[inode.gfid] = links.get(inode.gfid, 0) + 1
                if inode.gfid not in self.inodes:
                    self.inodes[inode.gfid] = inode
                    inode.restore()
                if inode.is_dir:
                    inode.parent = directory
                    subdirectories += 1
                    rest.append(inode)
            directory.restat(st_nlink=2 + subdirectories)
        for gfid, count in links.items():
            if not self.inodes[gfid].is_dir:
                self.inodes[gfid].restat(st_nlink=count)
        for listed in self.index.values():
            listed.clear()
        for inode in self.inodes.values():
            self.list_marks(inode)
        self._recount()

    def _recount(self) -> None:
        self.pages = sum(len(inode.contents.pages) for inode in self.inodes.values())

    # --- what tests compare ------------------------------------------------------------------------------------------

    def walk(self) -> Iterator[tuple[str, Inode]]:
        """Every name from the root down, as a path; a directory before what is in it."""
        rest = [("/", self.root)]
        while rest:
            path, inode = rest.pop()
            yield path, inode
            before = path if path == "/" else path + "/"
            rest += [(before + os.fsdecode(name), each) for name, each in sorted(inode.names.items(), reverse=True)]

    def image(self) -> dict[str, Item]:
        """The whole tree, comparable: no times, no internal xattrs."""
        return {path: _item(inode) for path, inode in self.walk()}

    def marks(self) -> dict[Gfid, dict[str, tuple[int, ...]]]:
        """The counters of afr that are not all zero, by object and key: (data, metadata, entry)."""
        found: dict[Gfid, dict[str, tuple[int, ...]]] = {}
        for gfid, inode in self.inodes.items():
            for key, value in inode.xattrs.items():
                if any(value) and index_of(key) is not None:
                    found.setdefault(gfid, {})[key] = _counters(value)
        return found


def _copied(st: Stat) -> Stat:
    """As attrs.evolve, at a fifth of its price: every change of an inode pays it."""
    return Stat(
        st.st_mode,
        st.st_nlink,
        st.st_uid,
        st.st_gid,
        st.st_rdev,
        st.st_size,
        st.st_blksize,
        st.st_blocks,
        st.st_atime_ns,
        st.st_mtime_ns,
        st.st_ctime_ns,
    )


def _item(inode: Inode) -> Item:
    content = inode.target if inode.is_symlink else inode.contents.read(0, inode.contents.size)
    xattrs = {key: value for key, value in inode.xattrs.items() if not key.startswith(INTERNAL_XATTRS)}
    st = inode.st
    kind = KINDS[mode_bits.S_IFMT(st.st_mode)]
    return Item(kind, st.st_mode & 0o7777, st.st_uid, st.st_gid, content, xattrs, inode.gfid)


def _counters(value: bytes) -> tuple[int, ...]:
    whole = len(value) - len(value) % 4
    return struct.unpack(f">{whole // 4}I", value[:whole])
