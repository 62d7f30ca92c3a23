"""The fop table: one typed method per file operation, the same on every translator.

Each fop gets the `Call` first. It returns something to await; an error is an `OSError` with an errno. ENOTCONN (the
node is down), EIO and EOPNOTSUPP may come from any fop; ESTALE (no object has that gfid) from any fop on a gfid or fd.
The docstrings name the others. Where they say `Pre/post`, the reply carries attributes from before and after.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from .errors import fail
from .replies import (
    Acknowledged,
    Attributes,
    Changed,
    Checksums,
    Copied,
    Data,
    Entries,
    Locked,
    LookedUp,
    Made,
    Removed,
    Renamed,
    Sought,
    Space,
    Target,
    Volfile,
    Written,
    Xattrs,
)
from .types import (
    Buffer,
    Call,
    EntryLockCommand,
    Fd,
    Flock,
    Loc,
    LockCommand,
    LockType,
    NewAttributes,
    XattropKind,
)

if TYPE_CHECKING:
    from .translator import Translator

R = TypeVar("R")
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])


class FopKind(Enum):
    """What a fop touches: replication treats each kind in one way."""

    READ = "reads an object"
    LIST = "reads a directory"
    DATA = "changes the contents of a file"
    METADATA = "changes attributes of an object"
    ENTRY = "changes names in a directory"
    LOCK = "takes or gives back a lock"
    OTHER = "anything else"


FOPS: dict[str, FopKind] = {}
"""Every fop by name, in the order of the table below."""


def fop(kind: FopKind) -> Callable[[F], F]:
    """Enter a method into `FOPS`."""

    def declare(method: F) -> F:
        FOPS[method.__name__] = kind
        return method

    return declare


class Fops:
    """What every translator answers. A fop that a class does not override goes through `relay` to the only child; when
    the graph is linked it is bound to the child's own method, so that a layer costs nothing for the fops it leaves
    alone."""

    name: str
    children: tuple[Translator, ...]

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        """Where every fop goes that the class does not override. Override it to see, or to refuse, them all."""
        if len(self.children) != 1:
            raise fail(errno.EOPNOTSUPP, f"{self.name}: {fop.__name__}")
        answer: Awaitable[R] = getattr(self.children[0], fop.__name__)(*args, **kwargs)
        return answer

    # --- names -------------------------------------------------------------------------------------------------------

    @fop(FopKind.READ)
    def lookup(self, call: Call, loc: Loc) -> Awaitable[LookedUp]:
        """Find an object by name, or by gfid where `loc` has no name. Reply xdata answers the keys asked in the call's.
        ENOENT no such name (or gfid); ESTALE no such parent."""
        return self.relay(Fops.lookup, call, loc)

    @fop(FopKind.ENTRY)
    def mknod(self, call: Call, loc: Loc, mode: int, rdev: int, umask: int) -> Awaitable[Made]:
        """Make a file, fifo, socket or device; xdata `gfid-req` is its gfid. EEXIST EINVAL (no gfid-req) ENOSPC.
        Pre/post of the parent; so for all makers of names."""
        return self.relay(Fops.mknod, call, loc, mode, rdev, umask)

    @fop(FopKind.ENTRY)
    def mkdir(self, call: Call, loc: Loc, mode: int, umask: int) -> Awaitable[Made]:
        """Make a directory; xdata `gfid-req` is its gfid. EEXIST EINVAL ENOSPC."""
        return self.relay(Fops.mkdir, call, loc, mode, umask)

    @fop(FopKind.ENTRY)
    def symlink(self, call: Call, target: bytes, loc: Loc, umask: int) -> Awaitable[Made]:
        """Make a symlink; the target is kept as it is. xdata `gfid-req` is its gfid. EEXIST EINVAL ENOSPC."""
        return self.relay(Fops.symlink, call, target, loc, umask)

    @fop(FopKind.ENTRY)
    def link(self, call: Call, old: Loc, new: Loc) -> Awaitable[Made]:
        """Give an object (not a directory) one more name. EEXIST EPERM EMLINK."""
        return self.relay(Fops.link, call, old, new)

    @fop(FopKind.ENTRY)
    def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Awaitable[Removed]:
        """Take a name away; contents stay reachable through open fds. ENOENT EISDIR. Pre/post of the parent."""
        return self.relay(Fops.unlink, call, loc, xflags)

    @fop(FopKind.ENTRY)
    def rmdir(self, call: Call, loc: Loc, xflags: int = 0) -> Awaitable[Removed]:
        """Remove an empty directory. ENOENT ENOTDIR ENOTEMPTY. Pre/post of the parent."""
        return self.relay(Fops.rmdir, call, loc, xflags)

    @fop(FopKind.ENTRY)
    def rename(self, call: Call, old: Loc, new: Loc) -> Awaitable[Renamed]:
        """Move a name, atomically replacing what stands at the new one. ENOENT ENOTEMPTY EISDIR ENOTDIR EINVAL (into
        itself). Pre/post of both parents."""
        return self.relay(Fops.rename, call, old, new)

    @fop(FopKind.ENTRY)
    def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Awaitable[Made]:
        """Make a regular file and open it as `fd`; without O_EXCL an existing one is opened. xdata `gfid-req` is its
        gfid. EEXIST EISDIR EINVAL ENOSPC. Pre/post of the parent."""
        return self.relay(Fops.create, call, loc, flags, mode, umask, fd)

    # --- attributes --------------------------------------------------------------------------------------------------

    @fop(FopKind.READ)
    def stat(self, call: Call, loc: Loc) -> Awaitable[Attributes]:
        """The attributes of an object."""
        return self.relay(Fops.stat, call, loc)

    @fop(FopKind.READ)
    def fstat(self, call: Call, fd: Fd) -> Awaitable[Attributes]:
        """As stat, of an open object."""
        return self.relay(Fops.fstat, call, fd)

    @fop(FopKind.READ)
    def access(self, call: Call, loc: Loc, mask: int) -> Awaitable[Acknowledged]:
        """May the caller read (4), write (2), execute (1)? EACCES."""
        return self.relay(Fops.access, call, loc, mask)

    @fop(FopKind.READ)
    def readlink(self, call: Call, loc: Loc, size: int) -> Awaitable[Target]:
        """The target of a symlink, cut at `size` bytes. EINVAL not a symlink."""
        return self.relay(Fops.readlink, call, loc, size)

    @fop(FopKind.METADATA)
    def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Awaitable[Changed]:
        """Change what `new` names. EPERM. Pre/post."""
        return self.relay(Fops.setattr, call, loc, new)

    @fop(FopKind.METADATA)
    def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Awaitable[Changed]:
        """As setattr, of an open object. EPERM. Pre/post."""
        return self.relay(Fops.fsetattr, call, fd, new)

    @fop(FopKind.OTHER)
    def statfs(self, call: Call, loc: Loc) -> Awaitable[Space]:
        """The space of the file system that holds the object."""
        return self.relay(Fops.statfs, call, loc)

    # --- contents ----------------------------------------------------------------------------------------------------

    @fop(FopKind.OTHER)
    def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Awaitable[Acknowledged]:
        """Open the file `loc.gfid` as `fd`, which already bears that gfid. EISDIR for writing; EACCES."""
        return self.relay(Fops.open, call, loc, flags, fd)

    @fop(FopKind.READ)
    def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Awaitable[Data]:
        """At most `size` bytes from `offset`. EBADF not open for reading; EISDIR."""
        return self.relay(Fops.readv, call, fd, size, offset, flags)

    @fop(FopKind.DATA)
    def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Awaitable[Written]:
        """Write at `offset` (at the end if the fd is O_APPEND); `flags` are the fd's. ENOSPC EFBIG EBADF. Pre/post.
        xdata `glusterfs.write-is-append` is answered with 1 for a write at the end of the file."""
        return self.relay(Fops.writev, call, fd, data, offset, flags)

    @fop(FopKind.DATA)
    def truncate(self, call: Call, loc: Loc, size: int) -> Awaitable[Changed]:
        """Cut a file, or extend it with zeros, to `size` bytes. EISDIR EFBIG EINVAL. Pre/post."""
        return self.relay(Fops.truncate, call, loc, size)

    @fop(FopKind.DATA)
    def ftruncate(self, call: Call, fd: Fd, size: int) -> Awaitable[Changed]:
        """As truncate, of an open file. EBADF EFBIG EINVAL. Pre/post."""
        return self.relay(Fops.ftruncate, call, fd, size)

    @fop(FopKind.DATA)
    def fallocate(self, call: Call, fd: Fd, flags: int, offset: int, length: int) -> Awaitable[Changed]:
        """Reserve space; `flags` 1 keeps the size. ENOSPC EFBIG. Pre/post."""
        return self.relay(Fops.fallocate, call, fd, flags, offset, length)

    @fop(FopKind.DATA)
    def discard(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Changed]:
        """Punch a hole; the size stays. Pre/post."""
        return self.relay(Fops.discard, call, fd, offset, length)

    @fop(FopKind.DATA)
    def zerofill(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Changed]:
        """Write zeros, extending the file if need be. ENOSPC EFBIG. Pre/post."""
        return self.relay(Fops.zerofill, call, fd, offset, length)

    @fop(FopKind.READ)
    def seek(self, call: Call, fd: Fd, offset: int, what: int) -> Awaitable[Sought]:
        """The next data (`SEEK_DATA`) or hole (`SEEK_HOLE`) from `offset` on. ENXIO none."""
        return self.relay(Fops.seek, call, fd, offset, what)

    @fop(FopKind.READ)
    def rchecksum(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Checksums]:
        """Checksums of a range: so copies can be compared without moving their bytes."""
        return self.relay(Fops.rchecksum, call, fd, offset, length)

    @fop(FopKind.DATA)
    def copy_file_range(
        self, call: Call, fd_in: Fd, offset_in: int, fd_out: Fd, offset_out: int, length: int, flags: int = 0
    ) -> Awaitable[Copied]:
        """Copy within the volume. ENOSPC EFBIG EBADF. Pre/post of the target."""
        return self.relay(Fops.copy_file_range, call, fd_in, offset_in, fd_out, offset_out, length, flags)

    @fop(FopKind.OTHER)
    def flush(self, call: Call, fd: Fd) -> Awaitable[Acknowledged]:
        """The application closes the file: report what went wrong so far; its fcntl locks are given back."""
        return self.relay(Fops.flush, call, fd)

    @fop(FopKind.DATA)
    def fsync(self, call: Call, fd: Fd, datasync: int = 0) -> Awaitable[Changed]:
        """What was written survives a power loss once this has answered. Pre/post."""
        return self.relay(Fops.fsync, call, fd, datasync)

    # --- directories -------------------------------------------------------------------------------------------------

    @fop(FopKind.LIST)
    def opendir(self, call: Call, loc: Loc, fd: Fd) -> Awaitable[Acknowledged]:
        """Open the directory `loc.gfid` as `fd`, which already bears that gfid. ENOTDIR."""
        return self.relay(Fops.opendir, call, loc, fd)

    @fop(FopKind.LIST)
    def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        """Names from `offset` (0 or an entry's own) on; `size` is a soft limit in bytes."""
        return self.relay(Fops.readdir, call, fd, size, offset)

    @fop(FopKind.LIST)
    def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        """As readdir, with each entry's iatt and the xdata keys that the call asks for."""
        return self.relay(Fops.readdirp, call, fd, size, offset)

    @fop(FopKind.OTHER)
    def fsyncdir(self, call: Call, fd: Fd, datasync: int = 0) -> Awaitable[Acknowledged]:
        """The names of the directory survive a power loss once this has answered."""
        return self.relay(Fops.fsyncdir, call, fd, datasync)

    # --- extended attributes -----------------------------------------------------------------------------------------

    @fop(FopKind.READ)
    def getxattr(self, call: Call, loc: Loc, name: str | None) -> Awaitable[Xattrs]:
        """One attribute, or all. ENODATA no such one."""
        return self.relay(Fops.getxattr, call, loc, name)

    @fop(FopKind.READ)
    def fgetxattr(self, call: Call, fd: Fd, name: str | None) -> Awaitable[Xattrs]:
        """As getxattr, of an open object. ENODATA."""
        return self.relay(Fops.fgetxattr, call, fd, name)

    @fop(FopKind.METADATA)
    def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Awaitable[Acknowledged]:
        """Set attributes. `flags` as in setxattr(2): XATTR_CREATE 1, XATTR_REPLACE 2. EEXIST ENODATA ENOSPC EPERM."""
        return self.relay(Fops.setxattr, call, loc, values, flags)

    @fop(FopKind.METADATA)
    def fsetxattr(self, call: Call, fd: Fd, values: Mapping[str, bytes], flags: int = 0) -> Awaitable[Acknowledged]:
        """As setxattr, of an open object. EEXIST ENODATA ENOSPC EPERM."""
        return self.relay(Fops.fsetxattr, call, fd, values, flags)

    @fop(FopKind.METADATA)
    def removexattr(self, call: Call, loc: Loc, name: str) -> Awaitable[Acknowledged]:
        """Take one attribute away. ENODATA EPERM."""
        return self.relay(Fops.removexattr, call, loc, name)

    @fop(FopKind.METADATA)
    def fremovexattr(self, call: Call, fd: Fd, name: str) -> Awaitable[Acknowledged]:
        """As removexattr, of an open object. ENODATA EPERM."""
        return self.relay(Fops.fremovexattr, call, fd, name)

    @fop(FopKind.METADATA)
    def xattrop(self, call: Call, loc: Loc, kind: XattropKind, values: Mapping[str, bytes]) -> Awaitable[Xattrs]:
        """Join each value with the stored one, atomically per object; answers the new values. A value of zeros only
        reads, and makes nothing. EINVAL a length that does not fit; ENOSPC."""
        return self.relay(Fops.xattrop, call, loc, kind, values)

    @fop(FopKind.METADATA)
    def fxattrop(self, call: Call, fd: Fd, kind: XattropKind, values: Mapping[str, bytes]) -> Awaitable[Xattrs]:
        """As xattrop, of an open object. EINVAL ENOSPC."""
        return self.relay(Fops.fxattrop, call, fd, kind, values)

    # --- locks: owned by (call.client, call.lk_owner) ----------------------------------------------------------------

    @fop(FopKind.LOCK)
    def lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Locked]:
        """An application's fcntl lock. EAGAIN held by another (SET); EDEADLK."""
        return self.relay(Fops.lk, call, fd, command, flock)

    @fop(FopKind.LOCK)
    def inodelk(self, call: Call, domain: str, loc: Loc, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        """A byte range of an object, in a named domain, between translators. EAGAIN held by another (SET); EINVAL
        unlocking what is not held. The same owner may lock again."""
        return self.relay(Fops.inodelk, call, domain, loc, command, flock)

    @fop(FopKind.LOCK)
    def finodelk(self, call: Call, domain: str, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        """As inodelk, of an open object. EAGAIN EINVAL."""
        return self.relay(Fops.finodelk, call, domain, fd, command, flock)

    @fop(FopKind.LOCK)
    def entrylk(
        self, call: Call, domain: str, loc: Loc, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        """One name of a directory (`loc.gfid`), or with None all its names. EAGAIN held by another (TRY); EINVAL
        unlocking what is not held."""
        return self.relay(Fops.entrylk, call, domain, loc, name, command, type)

    @fop(FopKind.LOCK)
    def fentrylk(
        self, call: Call, domain: str, fd: Fd, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        """As entrylk, of an open directory. EAGAIN EINVAL."""
        return self.relay(Fops.fentrylk, call, domain, fd, name, command, type)

    # --- the rest ----------------------------------------------------------------------------------------------------

    @fop(FopKind.OTHER)
    def ipc(self, call: Call, op: int) -> Awaitable[Acknowledged]:
        """A message between translators of one kind."""
        return self.relay(Fops.ipc, call, op)

    @fop(FopKind.OTHER)
    def getspec(self, call: Call, key: str, flags: int = 0) -> Awaitable[Volfile]:
        """The spec that a server hands out under a key. ENOENT."""
        return self.relay(Fops.getspec, call, key, flags)
