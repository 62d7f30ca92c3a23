"""The nouns that every fop speaks of: gfid, iatt, loc, fd, call, locks.

The numbers (valid bits, lock commands, xattrop kinds) are GlusterFS's own, so that the wire needs no translation.
"""

from __future__ import annotations

import stat as mode_bits
from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import attrs

if TYPE_CHECKING:
    from .translator import Translator

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes of a file on their way; a leaf writes them as they are, nobody copies them to pass them on."""

XValue: TypeAlias = Any
"""A value of xdata: int, str, bytes, Gfid, float or Iatt: what the wire protocol can carry."""

Xdata: TypeAlias = Mapping[str, XValue]

NAME_BYTES_MAX = 255
"""Linux's limit for one name in a directory."""


class Gfid(bytes):
    """The 16-byte identity of a file, directory or symlink; the same on every copy."""

    __slots__ = ()

    @classmethod
    def from_text(cls, text: str) -> Gfid:
        """Read the text form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`. ValueError if it is not one."""
        raw = bytes.fromhex(text.replace("-", ""))
        if len(raw) != 16:
            raise ValueError(f"not a gfid: {text!r}")
        return cls(raw)

    @property
    def text(self) -> str:
        h = self.hex()
        return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"

    @property
    def ino(self) -> int:
        """The inode number that applications see: the low 8 bytes, as GlusterFS's mounts have it."""
        return int.from_bytes(self[8:], "big")

    def __repr__(self) -> str:
        return f"Gfid({self.text})"

    __str__ = __repr__


NULL_GFID = Gfid(bytes(16))
ROOT_GFID = Gfid(bytes(15) + b"\x01")


class StatLike(Protocol):
    """What an iatt is a view of: `os.stat_result`, or a `Stat`."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_nlink(self) -> int: ...
    @property
    def st_uid(self) -> int: ...
    @property
    def st_gid(self) -> int: ...
    @property
    def st_rdev(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_blksize(self) -> int: ...
    @property
    def st_blocks(self) -> int: ...
    @property
    def st_atime_ns(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


@attrs.define
class Stat:
    """Attributes that did not come from a system call: memory bricks, the wire, a merge of two answers."""

    st_mode: int = 0
    st_nlink: int = 1
    st_uid: int = 0
    st_gid: int = 0
    st_rdev: int = 0
    st_size: int = 0
    st_blksize: int = 4096
    st_blocks: int = 0
    st_atime_ns: int = 0
    st_mtime_ns: int = 0
    st_ctime_ns: int = 0


@attrs.define
class Iatt:
    """The attributes of one object, with its gfid: a view over a stat result, so that making one costs nothing.

    `links_hidden` is taken off the link count: a brick's own handle of a file is a hard link too.
    """

    gfid: Gfid
    st: StatLike
    links_hidden: int = 0

    @property
    def mode(self) -> int:
        """Type and permission bits."""
        return self.st.st_mode

    @property
    def kind(self) -> int:
        """The type alone, as in `stat.S_IFREG`, `stat.S_IFDIR`, ..."""
        return mode_bits.S_IFMT(self.st.st_mode)

    @property
    def is_dir(self) -> bool:
        return mode_bits.S_ISDIR(self.st.st_mode)

    @property
    def is_file(self) -> bool:
        return mode_bits.S_ISREG(self.st.st_mode)

    @property
    def is_symlink(self) -> bool:
        return mode_bits.S_ISLNK(self.st.st_mode)

    @property
    def nlink(self) -> int:
        return self.st.st_nlink - self.links_hidden

    @property
    def uid(self) -> int:
        return self.st.st_uid

    @property
    def gid(self) -> int:
        return self.st.st_gid

    @property
    def rdev(self) -> int:
        return self.st.st_rdev

    @property
    def size(self) -> int:
        """Bytes."""
        return self.st.st_size

    @property
    def blksize(self) -> int:
        return self.st.st_blksize

    @property
    def blocks(self) -> int:
        """Space taken, in units of 512 bytes."""
        return self.st.st_blocks

    @property
    def atime_ns(self) -> int:
        return self.st.st_atime_ns

    @property
    def mtime_ns(self) -> int:
        return self.st.st_mtime_ns

    @property
    def ctime_ns(self) -> int:
        return self.st.st_ctime_ns

    def replaced(self, **changes: int) -> Iatt:
        """The same object with some attributes exchanged: `iatt.replaced(size=0, mtime_ns=now)`."""
        values = {name: getattr(self.st, name) for name in STAT_FIELDS}
        values["st_nlink"] = self.nlink
        values.update({f"st_{name}": value for name, value in changes.items()})
        return Iatt(self.gfid, Stat(**values))


STAT_FIELDS = tuple(field.name for field in attrs.fields(Stat))


@attrs.define
class Loc:
    """What a fop acts on: a name in a directory (`parent` and `name`), or an object by its `gfid`.

    Both may be given: then `gfid` is the object that the caller believes to stand at that name.
    """

    gfid: Gfid = NULL_GFID
    parent: Gfid = NULL_GFID
    name: bytes = b""

    @property
    def named(self) -> bool:
        return bool(self.name)


ROOT_LOC = Loc(ROOT_GFID)


@attrs.define(eq=False)
class Fd:
    """An open file or directory. Made by whoever opens it, and seen by every node below as the same object.

    `gfid` is filled by the maker from the reply of a create; each node keeps its own state in `slots` under itself.
    At a node that holds no slot the fd is *anonymous*: the fop acts on the gfid.
    """

    gfid: Gfid = NULL_GFID
    flags: int = 0
    is_dir: bool = False
    slots: dict[Translator, Any] = attrs.field(factory=dict, repr=False)


@attrs.define(eq=False)
class Call:
    """On whose behalf a fop is wound, and what goes with it. The first argument of every fop.

    `client` names the connection whose locks and fds are released together; `lk_owner` the lock owner within it.
    `pid` below zero marks calls of our own (heal, ...). `stamp_ns`, `stamp_flags`: the caller's clock, and which
    times it is to set (as storage/posix does with `option ctime`).
    A caller that needs no attributes in the reply says so by `attributes=False`, and a node may then leave them out.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    pid: int = 0
    lk_owner: bytes = b""
    client: str = ""
    xdata: Xdata | None = None
    stamp_ns: int = 0
    stamp_flags: int = 0
    attributes: bool = True

    def with_xdata(self, xdata: Xdata | None) -> Call:
        """The same caller with other xdata (not added to what it had)."""
        return Call(
            self.uid,
            self.gid,
            self.groups,
            self.pid,
            self.lk_owner,
            self.client,
            xdata,
            self.stamp_ns,
            self.stamp_flags,
            self.attributes,
        )

    def owned_by(self, lk_owner: bytes, xdata: Xdata | None = None) -> Call:
        """The same caller as another lock owner: each transaction has one of its own, or two of one caller would
        not exclude each other."""
        return Call(
            self.uid,
            self.gid,
            self.groups,
            self.pid,
            lk_owner,
            self.client,
            xdata,
            self.stamp_ns,
            self.stamp_flags,
            self.attributes,
        )

    def asked(self, key: str) -> XValue | None:
        """The value of one xdata key, None where it was not sent."""
        return None if self.xdata is None else self.xdata.get(key)


NOW_NS = -(1 << 96)
"""A time of `NewAttributes` that means: the brick's present time. No object can have it: seconds have 64 bits."""


@attrs.define
class NewAttributes:
    """What setattr is to change; None leaves a field as it is. Times in nanoseconds, or `NOW_NS`."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None

    @property
    def empty(self) -> bool:
        return attrs.astuple(self) == (None,) * 7


class XattropKind(IntEnum):
    """How xattrop joins the value sent with the value stored, both big-endian arrays."""

    ADD_ARRAY = 0
    ADD_ARRAY64 = 1
    OR = 2
    AND = 3
    GET_AND_SET = 4
    ADD_ARRAY_WITH_DEFAULT = 5
    ADD_ARRAY64_WITH_DEFAULT = 6


class LockCommand(IntEnum):
    """Of lk and inodelk. `WAIT` is the blocking form."""

    GET = 0
    SET = 1
    WAIT = 2


class LockType(IntEnum):
    READ = 0
    WRITE = 1
    UNLOCK = 2


class EntryLockCommand(IntEnum):
    """Of entrylk. `LOCK` blocks."""

    LOCK = 0
    UNLOCK = 1
    TRY = 2


@attrs.define
class Flock:
    """A byte range to lock; `length` 0 means to the end. The true owner is in the `Call`; `owner` is information."""

    type: int = LockType.WRITE
    start: int = 0
    length: int = 0
    pid: int = 0
    owner: bytes = b""
    whence: int = 0


WHOLE_FILE = (0, 0)

SEEK_DATA = 0
SEEK_HOLE = 1
"""The `what` of the seek fop: as on the wire, not as lseek(2) numbers them."""
