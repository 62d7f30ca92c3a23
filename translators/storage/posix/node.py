"""What all fops of storage/posix share: open files, and the answers to xdata keys."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs

from ....graph import (
    NULL_GFID,
    ROOT_GFID,
    Call,
    Fd,
    Gfid,
    Iatt,
    Loc,
    Xdata,
    fail,
)
from ..heal_index import COUNT_KEY, COUNT_VALUE, XATTROP
from ..leaf import SUSPECT_KEY, Forgotten, is_pattern, matching
from ..name_rules import XATTR_NAMESPACES, check_name, check_xattr_name, is_bookkeeping
from . import judging
from .brick import Brick, unlinked_name
from .granting import insisting
from .life import PosixLife
from .listed_names import ListedNames
from .places import READ_DIRECTORY, READ_FILE, Found, Place, Where

CONTENT_MAX = 1 << 20
"""The largest file that a lookup hands over whole (`glusterfs.content`)."""


@attrs.define(eq=False)
class OpenFile:
    """What an fd is at this node: an open descriptor, and whose. `fd` is -1 once it is closed. O_SYNC among the flags
    is not the kernel's business: what is written is brought to the disk elsewhere, before it is answered."""

    fd: int
    gfid: Gfid
    flags: int
    hidden: int = 0


@attrs.define(eq=False)
class OpenDirectory:
    """An open directory; `names` is what the listing under way shows. `index` names one of the heal index."""

    fd: int
    gfid: Gfid
    names: ListedNames | None = None
    index: str | None = None
    flags: int = os.O_RDONLY | os.O_DIRECTORY
    hidden: int = 0


@attrs.define(eq=False)
class PosixNode(PosixLife):
    """See `Posix`."""

    _open_slots: set[OpenFile | OpenDirectory] = attrs.field(init=False, factory=set, repr=False)

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
        self._unlock_through(fd)
        if not self._on_worker or self._opened is None:
            self._release(fd)
        elif not self._worker.closed:  # else all are closed together
            self._worker.run_anyway(self._release, fd)  # after an open of it that is still on its way

    def _release(self, fd: Fd) -> None:
        slot = fd.slots.pop(self, None)
        if isinstance(slot, Forgotten):
            slot = slot.was
        if slot is not None and slot in self._open_slots:
            assert self._opened is not None
            self._close(slot, self._opened)

    def _close_all(self, brick: Brick) -> None:
        for slot in list(self._open_slots):
            self._close(slot, brick)

    def _close(self, slot: OpenFile | OpenDirectory, brick: Brick) -> None:
        """A brick that is down closes files too. What fails is told to nobody: flush and fsync were the time for it,
        and what is left of a file without a name goes at the next start."""
        self._open_slots.discard(slot)
        descriptor, slot.fd = slot.fd, -1
        try:
            if descriptor >= 0:
                self._real_disk.close(descriptor)
        except OSError:
            pass
        try:
            if isinstance(slot, OpenFile):
                brick.closed(slot.gfid)
        except OSError:
            pass

    @contextmanager
    def _anonymous(self, call: Call, fd: Fd, flags: int) -> Iterator[OpenFile]:
        """An fd that was never opened here: the object is opened by its gfid for the one fop."""
        found = self._still_open(fd.gfid) or self.brick.find(fd.gfid)
        if call.uid:
            judging.anonymous(self.brick, call, found, flags)
        if found.is_dir and not flags & (os.O_WRONLY | os.O_RDWR):
            descriptor = self.disk.open(found.name, READ_DIRECTORY, dir_fd=found.dir_fd)
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
        descriptor = self.disk.open(found.name, flags & ~os.O_SYNC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=found.dir_fd)
        if call.uid and flags & os.O_TRUNC:
            judging.before_write(self.brick, call, descriptor)
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
                answers.update(self._xattrs_like(call, gfid, at, key))
            elif key == "list-xattr":
                answers.update(judging.shown(brick, call, at, brick.metadata.all(gfid, at)))
            elif key == "glusterfs.content":
                wanted = iatt.is_file and isinstance(value, int) and iatt.size <= min(value, CONTENT_MAX)
                if wanted and judging.may_read(brick, call, at):
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

    def _xattrs_like(self, call: Call, gfid: Gfid, at: Where, key: str) -> dict[str, bytes]:
        brick = self.brick
        if is_pattern(key):
            return judging.shown(brick, call, at, matching(brick.metadata.all(gfid, at), key))
        if is_bookkeeping(key):
            return {}
        try:
            check_xattr_name(key)
        except OSError:
            return {}
        value = brick.metadata.get(gfid, at, key)
        return {} if value is None else judging.shown(brick, call, at, {key: value}, by_name=True)

    @contextmanager
    def _reached(self, found: Found) -> Iterator[Where]:
        """Where several attributes of an object are best reached: by a path, each one of a file costs more than to open
        it. One that this user may not read has but the path."""
        descriptor = -1
        if found.is_file and not self.brick.metadata.apart:
            with suppress(OSError):
                descriptor = self.disk.open(found.name, READ_FILE, dir_fd=found.dir_fd)
        try:
            yield descriptor if descriptor >= 0 else found.where
        finally:
            if descriptor >= 0:
                self.disk.close(descriptor)

    def _content(self, gfid: Gfid, size: int) -> bytes:
        with self._anonymous(Call(), Fd(gfid), os.O_RDONLY) as slot:
            return self.disk.pread(slot.fd, size, 0)

    def _iatt_of(self, slot: OpenFile | OpenDirectory) -> Iatt:
        return Iatt(slot.gfid, self.disk.fstat(slot.fd), slot.hidden)
