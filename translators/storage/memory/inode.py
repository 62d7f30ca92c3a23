"""One object of a brick in memory: as it is, and as a power loss would leave it."""

from __future__ import annotations

import stat as mode_bits

import attrs

from ....graph import Gfid, Stat
from .. import acl as acls
from .sparse import PAGE, SparseBytes


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

    def acl(self) -> bytes | None:
        return self.xattrs.get(acls.ACCESS)

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
        self._measure()
        self.st.st_mtime_ns = self.st.st_ctime_ns = now_ns

    def _measure(self) -> None:
        self.st = st = _copied(self.st)
        if self.is_file:
            st.st_size, st.st_blocks = self.contents.size, len(self.contents.pages) * (PAGE // 512)

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

    def has_for_good(self, child: Inode) -> bool:
        """Would a power loss leave the child a name in this directory?"""
        return self.durable is not None and any(each is child for each in self.durable.names.values())

    def restore(self) -> None:
        """After a power loss: what was pinned last."""
        durable = self.durable
        assert durable is not None, "pinned when it was made"
        self.st, self.xattrs, self.contents = durable.st, durable.xattrs.copy(), durable.contents.copy()
        if self.is_file:
            self._measure()
        self.names = durable.names.copy()
        self.cookies = {name: at for at, name in enumerate(self.names, 1)}
        self.next_cookie = len(self.names) + 1
        self.open_fds = 0
        self.tied = set()


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
