"""`Translator`, and with it the fop table: one typed method per file operation.

Every node of a graph is a translator, and all share this interface. A method that a class does not override goes
through `relay` to the node's only child; when the graph is linked such a method is bound to the child's own, so that a
layer costs nothing for the fops it leaves alone.

Each fop gets the `Call` first. It returns something to await; an error is an `OSError` with an errno. ENOTCONN (the
node is down), EIO and EOPNOTSUPP may come from any fop; ESTALE (no object has that gfid) from any fop on a gfid or fd.
The docstrings name the others. `pre/post` after a reply means that it carries attributes from before and after.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar

import attrs

from .capabilities import Capability
from .errors import fail
from .events import ChildDown, ChildUp, Event
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
    Gfid,
    Loc,
    LockCommand,
    LockType,
    NewAttributes,
    XattropKind,
)

if TYPE_CHECKING:
    from .graph import Graph
    from .seams import Seams
    from .tasks import Tasks

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
    def declare(method: F) -> F:
        FOPS[method.__name__] = kind
        return method

    return declare


class State(Enum):
    """What a node has told its parents."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


def _as_tuple(children: Iterable[Translator]) -> tuple[Translator, ...]:
    return tuple(children)


@attrs.define(eq=False, slots=False)
class Translator:
    """A node of the graph. Subclasses are decorated with `@attrs.define(eq=False)` where they declare options."""

    name: str
    children: tuple[Translator, ...] = attrs.field(default=(), converter=_as_tuple)

    parents: list[Translator] = attrs.field(init=False, factory=list, repr=False)
    state: State = attrs.field(init=False, default=State.UNKNOWN, repr=False)
    down_reason: str = attrs.field(init=False, default="", repr=False)
    type_name: str = attrs.field(init=False, repr=False)
    """The type as a spec writes it; of a node made in Python, what its class says, or the name of the class."""
    _graph: Graph | None = attrs.field(init=False, default=None, repr=False)

    children_allowed: ClassVar[tuple[int, int | None]] = (1, 1)
    """How many children the type takes, at least and at most (None: any number)."""
    loses: ClassVar[frozenset[Capability]] = frozenset()
    """What children can do and this node cannot pass on."""
    needs: ClassVar[frozenset[Capability]] = frozenset()
    """What each child must be able to do; link refuses a graph where one cannot."""
    leaf_capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What a node without children can do."""
    ignored_options: ClassVar[frozenset[str]] = frozenset()
    """Options that GlusterFS knows and this type does not use: accepted with a warning. `*` stands for any text."""
    remote: ClassVar[bool] = False
    """Does it answer from another process, perhaps far away?"""
    warning: ClassVar[str] = ""
    """What whoever writes a spec with this type should know."""

    @type_name.default
    def _class_name(self) -> str:
        return str(getattr(type(self), "type_name", type(self).__name__))

    # --- the node in its graph ---------------------------------------------------------------------------------------

    @property
    def child(self) -> Translator:
        """The only child."""
        (only,) = self.children
        return only

    @property
    def below(self) -> tuple[Translator, ...]:
        """Every node this one calls: its children, and those that an option names (unify's namespace)."""
        return self.children

    @property
    def settled(self) -> bool:
        """False while the node is finding out something upon which it may have more to say than now."""
        return True

    @property
    def graph(self) -> Graph:
        if self._graph is None:
            raise RuntimeError(f"{self.name} is not part of a graph yet")
        return self._graph

    @property
    def seams(self) -> Seams:
        return self.graph.seams

    @property
    def tasks(self) -> Tasks:
        return self.graph.tasks

    @classmethod
    def takes(cls, children: int) -> bool:
        """May a node of this type have so many children?"""
        low, high = cls.children_allowed
        return low <= children and (high is None or children <= high)

    def problems(self) -> Sequence[tuple[str | None, str, str]]:
        """What is wrong with this node's options taken together: (option or None, message, hint) each."""
        return ()

    def warnings(self) -> Sequence[str]:
        """What is allowed, and whoever wrote it should know what it means."""
        return ()

    async def start(self) -> None:
        """Get ready; all nodes below have started. An error here ends the start of the whole graph."""

    async def stop(self) -> None:
        """Give everything back; all nodes above have stopped."""

    def notify(self, event: Event) -> None:
        """Take an event, and by default pass it on: rising ones to the parents, the others to the nodes below.

        A node with several children overrides this and calls `rise` only when its *own* state changes.
        """
        if event.rises:
            self.rise(event)
        else:
            for node in self.below:
                node.notify(attrs.evolve(event, source=self))

    def rise(self, event: Event) -> None:
        """Tell the parents; ChildUp and ChildDown also become this node's own state."""
        if isinstance(event, ChildUp):
            self.state, self.down_reason = State.UP, ""
        elif isinstance(event, ChildDown):
            self.state, self.down_reason = State.DOWN, event.reason
        for parent in self.parents:
            parent.notify(attrs.evolve(event, source=self))
        if self._graph is not None:
            self._graph.node_changed()

    def detours(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """Fops that this node answers otherwise than by its class's methods; asked when the graph is linked. So a way
        that few nodes take (a thread for each call) costs the others nothing."""
        return {}

    # --- the one door ------------------------------------------------------------------------------------------------

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
        return self.relay(Translator.lookup, call, loc)

    @fop(FopKind.ENTRY)
    def mknod(self, call: Call, loc: Loc, mode: int, rdev: int, umask: int) -> Awaitable[Made]:
        """Make a file, fifo, socket or device; xdata `gfid-req` is its gfid. EEXIST EINVAL (no gfid-req) ENOSPC.
        Pre/post of the parent; so for all makers of names."""
        return self.relay(Translator.mknod, call, loc, mode, rdev, umask)

    @fop(FopKind.ENTRY)
    def mkdir(self, call: Call, loc: Loc, mode: int, umask: int) -> Awaitable[Made]:
        """Make a directory; xdata `gfid-req` is its gfid. EEXIST EINVAL ENOSPC."""
        return self.relay(Translator.mkdir, call, loc, mode, umask)

    @fop(FopKind.ENTRY)
    def symlink(self, call: Call, target: bytes, loc: Loc, umask: int) -> Awaitable[Made]:
        """Make a symlink; the target is kept as it is. xdata `gfid-req` is its gfid. EEXIST EINVAL ENOSPC."""
        return self.relay(Translator.symlink, call, target, loc, umask)

    @fop(FopKind.ENTRY)
    def link(self, call: Call, old: Loc, new: Loc) -> Awaitable[Made]:
        """Give an object (not a directory) one more name. EEXIST EPERM EMLINK."""
        return self.relay(Translator.link, call, old, new)

    @fop(FopKind.ENTRY)
    def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Awaitable[Removed]:
        """Take a name away; contents stay reachable through open fds. ENOENT EISDIR. Pre/post of the parent."""
        return self.relay(Translator.unlink, call, loc, xflags)

    @fop(FopKind.ENTRY)
    def rmdir(self, call: Call, loc: Loc, xflags: int = 0) -> Awaitable[Removed]:
        """Remove an empty directory. ENOENT ENOTDIR ENOTEMPTY. Pre/post of the parent."""
        return self.relay(Translator.rmdir, call, loc, xflags)

    @fop(FopKind.ENTRY)
    def rename(self, call: Call, old: Loc, new: Loc) -> Awaitable[Renamed]:
        """Move a name, atomically replacing what stands at the new one. ENOENT ENOTEMPTY EISDIR ENOTDIR EINVAL (into
        itself). Pre/post of both parents."""
        return self.relay(Translator.rename, call, old, new)

    @fop(FopKind.ENTRY)
    def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Awaitable[Made]:
        """Make a regular file and open it as `fd`; without O_EXCL an existing one is opened. xdata `gfid-req` is its
        gfid. EEXIST EISDIR EINVAL ENOSPC. Pre/post of the parent."""
        return self.relay(Translator.create, call, loc, flags, mode, umask, fd)

    # --- attributes --------------------------------------------------------------------------------------------------

    @fop(FopKind.READ)
    def stat(self, call: Call, loc: Loc) -> Awaitable[Attributes]:
        return self.relay(Translator.stat, call, loc)

    @fop(FopKind.READ)
    def fstat(self, call: Call, fd: Fd) -> Awaitable[Attributes]:
        return self.relay(Translator.fstat, call, fd)

    @fop(FopKind.READ)
    def access(self, call: Call, loc: Loc, mask: int) -> Awaitable[Acknowledged]:
        """May the caller read (4), write (2), execute (1)? EACCES."""
        return self.relay(Translator.access, call, loc, mask)

    @fop(FopKind.READ)
    def readlink(self, call: Call, loc: Loc, size: int) -> Awaitable[Target]:
        """The target of a symlink, cut at `size` bytes. EINVAL not a symlink."""
        return self.relay(Translator.readlink, call, loc, size)

    @fop(FopKind.METADATA)
    def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Awaitable[Changed]:
        """Change what `new` names. EPERM. Pre/post."""
        return self.relay(Translator.setattr, call, loc, new)

    @fop(FopKind.METADATA)
    def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Awaitable[Changed]:
        """EPERM. Pre/post."""
        return self.relay(Translator.fsetattr, call, fd, new)

    @fop(FopKind.OTHER)
    def statfs(self, call: Call, loc: Loc) -> Awaitable[Space]:
        """The space of the file system that holds the object."""
        return self.relay(Translator.statfs, call, loc)

    # --- contents ----------------------------------------------------------------------------------------------------

    @fop(FopKind.OTHER)
    def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Awaitable[Acknowledged]:
        """Open the file `loc.gfid` as `fd`, which already bears that gfid. EISDIR for writing; EACCES."""
        return self.relay(Translator.open, call, loc, flags, fd)

    @fop(FopKind.READ)
    def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Awaitable[Data]:
        """At most `size` bytes from `offset`. EBADF not open for reading; EISDIR."""
        return self.relay(Translator.readv, call, fd, size, offset, flags)

    @fop(FopKind.DATA)
    def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Awaitable[Written]:
        """Write at `offset` (at the end if the fd is O_APPEND); `flags` are the fd's. ENOSPC EFBIG EBADF. Pre/post.
        xdata `glusterfs.write-is-append` is answered with 1 for a write at the end of the file."""
        return self.relay(Translator.writev, call, fd, data, offset, flags)

    @fop(FopKind.DATA)
    def truncate(self, call: Call, loc: Loc, size: int) -> Awaitable[Changed]:
        """EISDIR EFBIG EINVAL. Pre/post."""
        return self.relay(Translator.truncate, call, loc, size)

    @fop(FopKind.DATA)
    def ftruncate(self, call: Call, fd: Fd, size: int) -> Awaitable[Changed]:
        """EBADF EFBIG EINVAL. Pre/post."""
        return self.relay(Translator.ftruncate, call, fd, size)

    @fop(FopKind.DATA)
    def fallocate(self, call: Call, fd: Fd, flags: int, offset: int, length: int) -> Awaitable[Changed]:
        """Reserve space; `flags` 1 keeps the size. ENOSPC EFBIG. Pre/post."""
        return self.relay(Translator.fallocate, call, fd, flags, offset, length)

    @fop(FopKind.DATA)
    def discard(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Changed]:
        """Punch a hole; the size stays. Pre/post."""
        return self.relay(Translator.discard, call, fd, offset, length)

    @fop(FopKind.DATA)
    def zerofill(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Changed]:
        """Write zeros, extending the file if need be. ENOSPC EFBIG. Pre/post."""
        return self.relay(Translator.zerofill, call, fd, offset, length)

    @fop(FopKind.READ)
    def seek(self, call: Call, fd: Fd, offset: int, what: int) -> Awaitable[Sought]:
        """The next data (`SEEK_DATA`) or hole (`SEEK_HOLE`) from `offset` on. ENXIO none."""
        return self.relay(Translator.seek, call, fd, offset, what)

    @fop(FopKind.READ)
    def rchecksum(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Checksums]:
        return self.relay(Translator.rchecksum, call, fd, offset, length)

    @fop(FopKind.DATA)
    def copy_file_range(
        self, call: Call, fd_in: Fd, offset_in: int, fd_out: Fd, offset_out: int, length: int, flags: int = 0
    ) -> Awaitable[Copied]:
        """Copy within the volume. ENOSPC EFBIG EBADF. Pre/post of the target."""
        return self.relay(Translator.copy_file_range, call, fd_in, offset_in, fd_out, offset_out, length, flags)

    @fop(FopKind.OTHER)
    def flush(self, call: Call, fd: Fd) -> Awaitable[Acknowledged]:
        """The application closes the file: report what went wrong so far; its fcntl locks are given back."""
        return self.relay(Translator.flush, call, fd)

    @fop(FopKind.DATA)
    def fsync(self, call: Call, fd: Fd, datasync: int = 0) -> Awaitable[Changed]:
        """What was written survives a power loss once this has answered. Pre/post."""
        return self.relay(Translator.fsync, call, fd, datasync)

    # --- directories -------------------------------------------------------------------------------------------------

    @fop(FopKind.LIST)
    def opendir(self, call: Call, loc: Loc, fd: Fd) -> Awaitable[Acknowledged]:
        """ENOTDIR."""
        return self.relay(Translator.opendir, call, loc, fd)

    @fop(FopKind.LIST)
    def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        """Names from `offset` (0 or an entry's own) on; `size` is a soft limit in bytes."""
        return self.relay(Translator.readdir, call, fd, size, offset)

    @fop(FopKind.LIST)
    def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Awaitable[Entries]:
        """As readdir, with each entry's iatt and the xdata keys that the call asks for."""
        return self.relay(Translator.readdirp, call, fd, size, offset)

    @fop(FopKind.OTHER)
    def fsyncdir(self, call: Call, fd: Fd, datasync: int = 0) -> Awaitable[Acknowledged]:
        """The names of the directory survive a power loss once this has answered."""
        return self.relay(Translator.fsyncdir, call, fd, datasync)

    # --- extended attributes -----------------------------------------------------------------------------------------

    @fop(FopKind.READ)
    def getxattr(self, call: Call, loc: Loc, name: str | None) -> Awaitable[Xattrs]:
        """One attribute, or all. ENODATA no such one."""
        return self.relay(Translator.getxattr, call, loc, name)

    @fop(FopKind.READ)
    def fgetxattr(self, call: Call, fd: Fd, name: str | None) -> Awaitable[Xattrs]:
        """ENODATA."""
        return self.relay(Translator.fgetxattr, call, fd, name)

    @fop(FopKind.METADATA)
    def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Awaitable[Acknowledged]:
        """`flags` as in setxattr(2): XATTR_CREATE 1, XATTR_REPLACE 2. EEXIST ENODATA ENOSPC EPERM."""
        return self.relay(Translator.setxattr, call, loc, values, flags)

    @fop(FopKind.METADATA)
    def fsetxattr(self, call: Call, fd: Fd, values: Mapping[str, bytes], flags: int = 0) -> Awaitable[Acknowledged]:
        """EEXIST ENODATA ENOSPC EPERM."""
        return self.relay(Translator.fsetxattr, call, fd, values, flags)

    @fop(FopKind.METADATA)
    def removexattr(self, call: Call, loc: Loc, name: str) -> Awaitable[Acknowledged]:
        """ENODATA EPERM."""
        return self.relay(Translator.removexattr, call, loc, name)

    @fop(FopKind.METADATA)
    def fremovexattr(self, call: Call, fd: Fd, name: str) -> Awaitable[Acknowledged]:
        """ENODATA EPERM."""
        return self.relay(Translator.fremovexattr, call, fd, name)

    @fop(FopKind.METADATA)
    def xattrop(self, call: Call, loc: Loc, kind: XattropKind, values: Mapping[str, bytes]) -> Awaitable[Xattrs]:
        """Join each value with the stored one, atomically per object; answers the new values. A value of zeros only
        reads, and makes nothing. EINVAL a length that does not fit; ENOSPC."""
        return self.relay(Translator.xattrop, call, loc, kind, values)

    @fop(FopKind.METADATA)
    def fxattrop(self, call: Call, fd: Fd, kind: XattropKind, values: Mapping[str, bytes]) -> Awaitable[Xattrs]:
        """EINVAL ENOSPC."""
        return self.relay(Translator.fxattrop, call, fd, kind, values)

    # --- locks: owned by (call.client, call.lk_owner) ----------------------------------------------------------------

    @fop(FopKind.LOCK)
    def lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Locked]:
        """An application's fcntl lock. EAGAIN held by another (SET); EDEADLK."""
        return self.relay(Translator.lk, call, fd, command, flock)

    @fop(FopKind.LOCK)
    def inodelk(self, call: Call, domain: str, loc: Loc, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        """A byte range of an object, in a named domain, between translators. EAGAIN held by another (SET); EINVAL
        unlocking what is not held. The same owner may lock again."""
        return self.relay(Translator.inodelk, call, domain, loc, command, flock)

    @fop(FopKind.LOCK)
    def finodelk(self, call: Call, domain: str, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        """EAGAIN EINVAL."""
        return self.relay(Translator.finodelk, call, domain, fd, command, flock)

    @fop(FopKind.LOCK)
    def entrylk(
        self, call: Call, domain: str, loc: Loc, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        """One name of a directory (`loc.gfid`), or with None all its names. EAGAIN held by another (TRY); EINVAL
        unlocking what is not held."""
        return self.relay(Translator.entrylk, call, domain, loc, name, command, type)

    @fop(FopKind.LOCK)
    def fentrylk(
        self, call: Call, domain: str, fd: Fd, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Awaitable[Acknowledged]:
        """EAGAIN EINVAL."""
        return self.relay(Translator.fentrylk, call, domain, fd, name, command, type)

    # --- the rest ----------------------------------------------------------------------------------------------------

    @fop(FopKind.OTHER)
    def ipc(self, call: Call, op: int) -> Awaitable[Acknowledged]:
        """A message between translators of one kind."""
        return self.relay(Translator.ipc, call, op)

    @fop(FopKind.OTHER)
    def getspec(self, call: Call, key: str, flags: int = 0) -> Awaitable[Volfile]:
        """The spec that a server hands out under a key. ENOENT."""
        return self.relay(Translator.getspec, call, key, flags)

    # --- callbacks: synchronous, without an answer, to every node below ----------------------------------------------

    def release(self, fd: Fd) -> None:
        """The last use of an fd (file or directory) is over: drop its slot."""
        fd.slots.pop(self, None)
        for node in self.below:
            node.release(fd)

    def forget(self, gfid: Gfid) -> None:
        """Nobody above knows the object any more: its inode context may go."""
        for node in self.below:
            node.forget(gfid)

    def disconnect(self, client: str) -> None:
        """A client is gone: give its locks back, and cancel those it waits for."""
        for node in self.below:
            node.disconnect(client)
