"""What all fops of storage/posix share: options, start and stop, open files, and the answers to xdata keys."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

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
    Translator,
    Xdata,
    fail,
    option,
)
from ....graph.disk import Disk
from ....graph.options import Share, one_of, path, uuid
from ..heal_index import COUNT_KEY, COUNT_VALUE, XATTROP
from ..leaf import Leaf, is_pattern, matching
from ..name_rules import XATTR_NAMESPACES, check_name, is_bookkeeping
from .brick import Brick, unlinked_name
from .granting import insisting
from .opening import open_brick
from .places import Found, Place, Where
from .reserve import Reserve, percent_or_size

CONTENT_MAX = 1 << 20
"""The largest file that a lookup hands over whole (`glusterfs.content`)."""
SUSPECT_KEY = "volgraph.suspect"

IGNORED_OPTIONS = frozenset(
    (
        "background-unlink",
        "batch-fsync-*",
        "brick-gid",
        "brick-uid",
        "create-*mask",
        "ctime",
        "export-statfs-size",
        "force-*-mode",
        "gfid2path*",
        "glusterd-uuid",
        "health-check-*",
        "hostname",
        "inode-lru-limit",
        "janitor-sleep-duration",
        "linux-aio",
        "linux-io_uring",
        "mandate-attribute",
        "max-hardlinks",
        "node-uuid-pathinfo",
        "o-direct",
        "shared-brick-count",
        "span-devices",
        "update-link-count-parent",
    )
)

_GONE = frozenset(
    (
        errno.ENODATA,  # nor is the volume-id: an empty mount point
        errno.ENOENT,
        errno.EIO,
        errno.ENODEV,
        errno.ENXIO,
        errno.EROFS,  # a disk with errors, which the kernel lets nobody write to any more
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
    )
)
"""A directory that is not there, on a disk or file system that may come back: the rest of a cluster goes on."""


@attrs.define(eq=False)
class OpenFile:
    """What an fd is at this node: an open descriptor, and whose. `fd` is -1 once it is closed."""

    fd: int
    gfid: Gfid
    flags: int
    hidden: int = 0


@attrs.define(eq=False)
class OpenDirectory:
    """An open directory; `names` is what the listing under way shows. `index` names one of the heal index."""

    fd: int
    gfid: Gfid
    names: list[tuple[bytes, int]] | None = None
    index: str | None = None
    flags: int = os.O_RDONLY | os.O_DIRECTORY
    hidden: int = 0


@attrs.define(eq=False)
class PosixNode(Leaf):
    """See `Posix`."""

    directory: str = option(path, help="the brick: a directory of its own on a local file system")
    metadata: str = option(
        one_of("auto", "xattr", "sidecar"),
        default="auto",
        help="where gfids and trusted.* attributes are kept: on the files, as GlusterFS does, or (sidecar) in a"
        " database beside them, which needs no root; auto: as the brick always has, else what works here",
    )
    reserve: Share = option(  # noqa: RUF009 (an attrs field)
        percent_or_size,
        default=Share(percent=1.0),
        help="how much of the disk is to stay free, in percent or as a size: below it what takes space is refused with"
        " ENOSPC, but for healing; 0: nothing",
    )
    volume_id: str | None = option(
        uuid,
        default=None,
        help="what trusted.glusterfs.volume-id of the directory must be: a brick whose disk is not mounted, or is"
        " another one's, does not start",
    )

    suspect: bool = attrs.field(init=False, default=False, repr=False)
    """The machine went down while the brick was in use: what was not fsynced may be lost."""
    disk: Disk = attrs.field(init=False, repr=False)
    _brick: Brick | None = attrs.field(init=False, default=None, repr=False)
    _absent: str = attrs.field(init=False, default="not started", repr=False)
    _open_slots: set[OpenFile | OpenDirectory] = attrs.field(init=False, factory=set, repr=False)

    ignored_options: ClassVar[frozenset[str]] = IGNORED_OPTIONS

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the directory. A missing one is a down child below a cluster translator, else FileNotFoundError.
        EBUSY another process has it; EINVAL its metadata are kept otherwise."""
        self.disk = self.seams.blocking.disk
        try:
            self._brick = open_brick(self.disk, self.directory, self.metadata, self.volume_id, self.seams.new_gfid)
        except OSError as error:
            if error.errno not in _GONE or not self._in_cluster():
                if isinstance(error.filename, bytes):  # a name in the brick, which says nothing alone
                    error.filename = f"brick {self.directory}: {os.fsdecode(error.filename)}"
                raise
            self._absent = f"{self.directory}: {error.filename if error.errno == errno.ENODATA else error.strerror}"
            return
        brick = self._brick
        brick.reserve = Reserve(self.disk, self.seams.clock, brick.root_fd, self.reserve, brick.privileged)
        self.suspect = self._brick.owner.suspect

    async def stop(self) -> None:
        if self._brick is not None:
            for slot in list(self._open_slots):
                self._close(slot)
            brick, self._brick, self._absent = self._brick, None, "stopped"
            self.locks.close()
            brick.close()

    def notify(self, event: Event) -> None:
        if isinstance(event, ParentUp) and self.state is State.UNKNOWN:
            self.rise(ChildUp(self) if self._brick is not None else ChildDown(self, self._absent))

    def _in_cluster(self) -> bool:
        """Whether some node above has other nodes below it too, so that it can go on without this one."""
        above, seen = list(self.parents), set[Translator]()
        while above:
            node = above.pop()
            if len(node.below) > 1:
                return True
            if node not in seen:
                seen.add(node)
                above += node.parents
        return False

    @property
    def brick(self) -> Brick:
        """The open brick. ENOTCONN there is none."""
        if self._brick is None:
            raise fail(errno.ENOTCONN, f"{self.name}: {self._absent}")
        return self._brick

    # --- what a fop acts on ------------------------------------------------------------------------------------------

    def _found(self, loc: Loc) -> Found:
        """The object of a loc, by gfid, else by name. ESTALE; ENOENT; EINVAL neither is given."""
        if loc.gfid != NULL_GFID or not loc.name:
            return self.brick.find(loc.gfid)
        dir_fd = self.brick.directory(loc.parent)
        check_name(loc.parent, loc.name)
        return self.brick.at(loc.parent, dir_fd, loc.name)

    def _keep(self, fd: Fd, slot: OpenFile | OpenDirectory) -> None:
        """From now on `fd` is `slot` at this node."""
        fd.slots[self] = slot
        self._open_slots.add(slot)
        if isinstance(slot, OpenFile):
            self.brick.opened(slot.gfid)

    def _check_unopened(self, fd: Fd) -> None:
        if self in fd.slots:
            raise fail(errno.EINVAL, "this fd is open already")

    def _gfid_of(self, fd: Fd) -> Gfid:
        slot: OpenFile | OpenDirectory | None = fd.slots.get(self)
        return fd.gfid if slot is None else slot.gfid

    def release(self, fd: Fd) -> None:
        slot = fd.slots.pop(self, None)
        if slot is not None and slot in self._open_slots:
            self._close(slot)

    def _close(self, slot: OpenFile | OpenDirectory) -> None:
        self._open_slots.discard(slot)
        descriptor, slot.fd = slot.fd, -1
        if descriptor >= 0:
            self.disk.close(descriptor)
        if isinstance(slot, OpenFile):
            self.brick.closed(slot.gfid)

    @contextmanager
    def _anonymous(self, call: Call, fd: Fd, flags: int) -> Iterator[OpenFile]:
        """An fd that was never opened here: the object is opened by its gfid for the one fop."""
        found = self._still_open(fd.gfid) or self.brick.find(fd.gfid)
        if found.is_dir and not flags & (os.O_WRONLY | os.O_RDWR):
            descriptor = self.disk.open(found.name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=found.dir_fd)
            slot = OpenFile(descriptor, fd.gfid, flags)
        else:
            slot = self._open_file(call, found, flags)
        try:
            yield slot
        finally:
            self.disk.close(slot.fd)

    def _still_open(self, gfid: Gfid) -> Found | None:
        """A file without a name that somebody has open."""
        brick = self.brick
        if gfid not in brick.unlinked:
            return None
        name = unlinked_name(gfid)
        try:
            st = self.disk.stat(name, dir_fd=brick.fd, follow_symlinks=False)
        except FileNotFoundError:  # it never had a handle: only those who opened it reach it
            return None
        return Found(gfid, brick.fd, name, st, 1)

    @insisting
    def _open_file(self, call: Call, found: Found, flags: int) -> OpenFile:
        """EISDIR; ELOOP, ENXIO what is neither directory nor file is never opened; EACCES."""
        if not found.is_file:
            code = errno.EISDIR if found.is_dir else errno.ELOOP if found.is_symlink else errno.ENXIO
            raise fail(code, found.gfid.text)
        descriptor = self.disk.open(found.name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=found.dir_fd)
        return OpenFile(descriptor, found.gfid, flags, found.hidden)

    # --- xdata -------------------------------------------------------------------------------------------------------

    def _answers(self, call: Call, iatt: Iatt, at: Where, place: Place | None = None) -> Xdata | None:
        """The keys that a call asks for, with their values: those that are known. `place` is where a lookup or a
        listing met the object."""
        asked = call.xdata
        if not asked:
            return {SUSPECT_KEY: 1} if self.suspect and iatt.gfid == ROOT_GFID else None
        brick, gfid = self.brick, iatt.gfid
        answers: dict[str, Any] = {}
        for key, value in asked.items():
            if key.startswith(XATTR_NAMESPACES):
                answers.update(self._xattrs_like(gfid, at, key))
            elif key == "list-xattr":
                answers.update(brick.metadata.all(gfid, at))
            elif key == "glusterfs.content":
                if iatt.is_file and isinstance(value, int) and iatt.size <= min(value, CONTENT_MAX):
                    answers[key] = self._content(gfid, iatt.size)
            elif key == COUNT_KEY and value == COUNT_VALUE:
                answers[key] = len(brick.index.listed[XATTROP])
            elif key.startswith("glusterfs."):
                count = self._count(gfid, key, value, brick.opens.get(gfid, 0), place)
                if count is not None:
                    answers[key] = count
        if gfid == ROOT_GFID and self.suspect:
            answers[SUSPECT_KEY] = 1
        return answers or None

    def _xattrs_like(self, gfid: Gfid, at: Where, key: str) -> dict[str, bytes]:
        metadata = self.brick.metadata
        if is_pattern(key):
            return matching(metadata.all(gfid, at), key)
        value = None if is_bookkeeping(key) else metadata.get(gfid, at, key)
        return {} if value is None else {key: value}

    def _content(self, gfid: Gfid, size: int) -> bytes:
        with self._anonymous(Call(), Fd(gfid), os.O_RDONLY) as slot:
            return self.disk.pread(slot.fd, size, 0)

    def _iatt_of(self, slot: OpenFile | OpenDirectory) -> Iatt:
        return Iatt(slot.gfid, self.disk.fstat(slot.fd), slot.hidden)
