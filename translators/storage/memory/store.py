"""What a brick in memory holds: inodes with a volatile and a durable image, and the heal index.

A `MemoryStore` outlives the node that works on it, as a disk outlives a process.
"""

from __future__ import annotations

import os
import random
import stat as mode_bits
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ....graph import ROOT_GFID, Gfid, Stat
from ..heal_index import AFR_PREFIX, ENTRY_CHANGES, INDEX_OF_GFID, INDEXES, index_of, marked
from .faults import Faults
from .inode import Inode
from .journal import Block, Contents, Journal, Keep, Names, Place
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


class MemoryStore:
    """A tree of inodes. `pages` counts the space taken, in units of `PAGE` bytes.

    With a `journal` every change that is not synced is remembered, so that a crash may lose some of them; without one
    it loses all or none. `xattr_bytes_max` is what the xattrs of one object may take, `faults` which calls fail. While
    the store is `lying`, fsync does nothing, and says that it has.
    """

    def __init__(
        self, *, journal: bool = False, xattr_bytes_max: int | None = None, faults: Faults | None = None
    ) -> None:
        self.journal = Journal() if journal else None
        self.xattr_bytes_max = xattr_bytes_max
        self.faults = faults
        self.lying = False
        self.suspect = False
        """Has the power gone since all was known to be here?"""
        self.root = Inode(ROOT_GFID, Stat(mode_bits.S_IFDIR | 0o755, 2, os.geteuid(), os.getegid(), st_size=PAGE))
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
        self.renamed((), [(parent, name, inode)])
        if inode.is_dir:
            inode.parent = parent
            parent.restat(st_nlink=parent.st.st_nlink + 1)
        parent.touch(now_ns)
        if inode.xattrs:
            self.list_marks(inode)

    def take_away(self, parent: Inode, name: bytes, now_ns: int, *, replaced: bool = False) -> None:
        """Remove a name; with the last one, and no open fd, the object goes. `replaced`: as part of a rename."""
        inode = parent.drop(name)
        if not replaced:
            self.renamed([(parent, name, inode)], ())
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

    def change(self, inode: Inode, how: Callable[..., None], *args: Any) -> None:
        """Change a file's contents: `how(contents, *args)`."""
        how(inode.contents, *args)
        if self.journal is not None:
            self.journal.add(Contents(inode, how, args))

    def write(self, inode: Inode, offset: int, data: bytes | bytearray | memoryview) -> None:
        if self.journal is None:
            inode.contents.write(offset, data)
        else:
            self.change(inode, SparseBytes.write, offset, bytes(data))

    def described(self, inode: Inode) -> None:
        """Attributes or xattrs of an object have changed."""
        if self.journal is not None:
            self.journal.add(Block(inode, inode.st, inode.xattrs.copy()))

    def renamed(self, gone: Sequence[Place], come: Sequence[Place]) -> None:
        """Names have changed, at once."""
        if self.journal is not None:
            self.journal.add(Names(gone, come))

    # --- to the disk -------------------------------------------------------------------------------------------------

    def sync(self, inode: Inode) -> None:
        """fsync of a file: its contents, size, attributes and xattrs."""
        if not self.lying:
            inode.pin()
            self._cannot_be_lost([inode])

    def sync_names(self, directory: Inode) -> None:
        """fsyncdir. What was moved between directories is pinned in both, or a name could be in both, or in none; and
        what leads to them, or what was moved could be in neither."""
        if self.lying:
            return
        pinned: list[Inode] = []
        rest = [(directory, False)]
        while rest:
            each, must_be_found = rest.pop()
            tied, each.tied = each.tied, set()
            each.pin()
            pinned.append(each)
            rest += [(other, True) for other in tied]
            if (must_be_found or tied) and each.parent is not None and not each.parent.has_for_good(each):
                rest.append((each.parent, True))
        self._cannot_be_lost(pinned)

    def _cannot_be_lost(self, pinned: list[Inode]) -> None:
        if self.journal is not None:
            self.journal.synced(pinned)

    # --- the end of a process, and of the power ----------------------------------------------------------------------

    def forget_fds(self) -> None:
        """The process is gone: what only an open fd held goes too."""
        for inode in self.inodes.values():
            inode.open_fds = 0
        self.unlinked.clear()
        self._recount()

    def lose(self, keep: Keep, rng: random.Random) -> None:
        """The machine is gone: of what was not synced so much is left as `keep` says, and the seed of `rng`."""
        if keep == "all":
            return
        if self.journal is not None:
            self.journal.lose(keep, rng)
        elif keep != "synced":
            raise ValueError(f"a store without a journal cannot keep {keep!r}")
        self._fall_back()
        self.suspect = True

    def flip_bit(self, rng: random.Random, gfid: Gfid | None = None) -> tuple[Gfid, int] | None:
        """One bit of a file (or of this one) goes bad on the disk, unnoticed: which file, at which byte. None where no
        file holds any data."""
        files = [inode for _, inode in self.walk() if inode.is_file and inode.contents.stored]
        files = [inode for inode in files if gfid in (None, inode.gfid)]
        if not files:
            return None
        inode = rng.choice(files)
        page, piece = rng.choice(inode.contents.stored)
        at = rng.randrange(len(piece))
        bad = piece[:at] + bytes([piece[at] ^ 1 << rng.randrange(8)]) + piece[at + 1 :]
        for image in (inode, inode.durable):
            if image is not None and image.contents.pages.get(page) == piece:
                image.contents.pages[page] = bad
        return inode.gfid, page * PAGE + at

    def _fall_back(self) -> None:
        """Every inode is what its durable image says."""
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


def _item(inode: Inode) -> Item:
    content = inode.target if inode.is_symlink else inode.contents.read(0, inode.contents.size)
    xattrs = {key: value for key, value in inode.xattrs.items() if not key.startswith(INTERNAL_XATTRS)}
    st = inode.st
    kind = KINDS[mode_bits.S_IFMT(st.st_mode)]
    return Item(kind, st.st_mode & 0o7777, st.st_uid, st.st_gid, content, xattrs, inode.gfid)


def _counters(value: bytes) -> tuple[int, ...]:
    whole = len(value) - len(value) % 4
    return struct.unpack(f">{whole // 4}I", value[:whole])
