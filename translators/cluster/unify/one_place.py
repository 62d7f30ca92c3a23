"""The fops on one object: each goes to the one node that answers for that object."""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeVar

import attrs

from ....graph import (
    Acknowledged,
    Buffer,
    Call,
    Changed,
    Checksums,
    Copied,
    Data,
    Fd,
    Flock,
    Gfid,
    Loc,
    LockCommand,
    Locked,
    Sought,
    Target,
    Translator,
    Written,
    XattropKind,
    Xattrs,
    fail,
)

R = TypeVar("R")

HEAL_INDEX_KEYS = frozenset(("glusterfs.xattrop_index_gfid", "glusterfs.xattrop_dirty_gfid"))
"""Marks lie on the namespace and on the children, and no index has them all: none is shown, a healer walks the tree."""


@attrs.define(eq=False)
class OnePlace(Translator):
    """See `Unify`: a directory's place is the namespace, a file's is its holder."""

    intent_key: str = attrs.field(init=False, repr=False)
    """The xattr that this node keeps on the namespace for itself."""

    @abstractmethod
    def known_place(self, gfid: Gfid) -> Translator | None:
        """The node that answers for an object, if that is known without asking."""

    @abstractmethod
    async def place_of(self, call: Call, loc: Loc) -> tuple[Translator, Gfid]:
        """The node that answers for an object, and its gfid. ENOENT ESTALE; EIO no child, or two, have it."""

    async def place_of_fd(self, call: Call, fd: Fd) -> Translator:
        """The same for an fd, which may be anonymous here."""
        place: Translator | None = fd.slots.get(self)
        return place or (await self.place_of(call, Loc(fd.gfid)))[0]

    def _on(self, call: Call, loc: Loc, wind: Callable[[Translator, Loc], Awaitable[R]]) -> Awaitable[R]:
        """Wind a fop to the node that answers for an object: at once where that is known."""
        place = self.known_place(loc.gfid)
        return self._on_placed(call, loc, wind) if place is None else wind(place, Loc(loc.gfid))

    async def _on_placed(self, call: Call, loc: Loc, wind: Callable[[Translator, Loc], Awaitable[R]]) -> R:
        place, gfid = await self.place_of(call, loc)
        return await wind(place, Loc(gfid))

    def _by(self, call: Call, fd: Fd, wind: Callable[[Translator], Awaitable[R]]) -> Awaitable[R]:
        """The same for an fd."""
        place = fd.slots.get(self) or self.known_place(fd.gfid)
        return wind(place) if place is not None else self._on_placed(call, Loc(fd.gfid), lambda place, _: wind(place))

    def readlink(self, call: Call, loc: Loc, size: int) -> Awaitable[Target]:
        return self._on(call, loc, lambda place, loc: place.readlink(call, loc, size))

    # --- fops: contents, all on the holder ---------------------------------------------------------------------------

    async def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Acknowledged:
        place, gfid = await self.place_of(call, loc)
        reply = await place.open(call, Loc(gfid), flags, fd)
        fd.slots[self] = place
        return reply

    def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Awaitable[Data]:
        return self._by(call, fd, lambda place: place.readv(call, fd, size, offset, flags))

    def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Awaitable[Written]:
        return self._by(call, fd, lambda place: place.writev(call, fd, data, offset, flags))

    def truncate(self, call: Call, loc: Loc, size: int) -> Awaitable[Changed]:
        return self._on(call, loc, lambda place, loc: place.truncate(call, loc, size))

    def ftruncate(self, call: Call, fd: Fd, size: int) -> Awaitable[Changed]:
        return self._by(call, fd, lambda place: place.ftruncate(call, fd, size))

    def fallocate(self, call: Call, fd: Fd, flags: int, offset: int, length: int) -> Awaitable[Changed]:
        return self._by(call, fd, lambda place: place.fallocate(call, fd, flags, offset, length))

    def discard(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Changed]:
        return self._by(call, fd, lambda place: place.discard(call, fd, offset, length))

    def zerofill(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Changed]:
        return self._by(call, fd, lambda place: place.zerofill(call, fd, offset, length))

    def seek(self, call: Call, fd: Fd, offset: int, what: int) -> Awaitable[Sought]:
        return self._by(call, fd, lambda place: place.seek(call, fd, offset, what))

    def rchecksum(self, call: Call, fd: Fd, offset: int, length: int) -> Awaitable[Checksums]:
        return self._by(call, fd, lambda place: place.rchecksum(call, fd, offset, length))

    async def copy_file_range(
        self, call: Call, fd_in: Fd, offset_in: int, fd_out: Fd, offset_out: int, length: int, flags: int = 0
    ) -> Copied:
        """EXDEV between files on different children: the caller copies by reading and writing."""
        source = await self.place_of_fd(call, fd_in)
        target = await self.place_of_fd(call, fd_out)
        if source is not target:
            raise fail(errno.EXDEV, f"{self.name}: the files are on {source.name} and {target.name}")
        return await source.copy_file_range(call, fd_in, offset_in, fd_out, offset_out, length, flags)

    def flush(self, call: Call, fd: Fd) -> Awaitable[Acknowledged]:
        return self._by(call, fd, lambda place: place.flush(call, fd))

    def fsync(self, call: Call, fd: Fd, datasync: int = 0) -> Awaitable[Changed]:
        return self._by(call, fd, lambda place: place.fsync(call, fd, datasync))

    # --- fops: extended attributes -----------------------------------------------------------------------------------

    async def getxattr(self, call: Call, loc: Loc, name: str | None) -> Xattrs:
        self._refuse_hidden(name)
        return self._shown(await self._on(call, loc, lambda place, loc: place.getxattr(call, loc, name)))

    async def fgetxattr(self, call: Call, fd: Fd, name: str | None) -> Xattrs:
        self._refuse_hidden(name)
        return self._shown(await self._by(call, fd, lambda place: place.fgetxattr(call, fd, name)))

    def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Awaitable[Acknowledged]:
        self._refuse_own(values)
        return self._on(call, loc, lambda place, loc: place.setxattr(call, loc, values, flags))

    def fsetxattr(self, call: Call, fd: Fd, values: Mapping[str, bytes], flags: int = 0) -> Awaitable[Acknowledged]:
        self._refuse_own(values)
        return self._by(call, fd, lambda place: place.fsetxattr(call, fd, values, flags))

    def removexattr(self, call: Call, loc: Loc, name: str) -> Awaitable[Acknowledged]:
        self._refuse_own((name,))
        return self._on(call, loc, lambda place, loc: place.removexattr(call, loc, name))

    def fremovexattr(self, call: Call, fd: Fd, name: str) -> Awaitable[Acknowledged]:
        self._refuse_own((name,))
        return self._by(call, fd, lambda place: place.fremovexattr(call, fd, name))

    def xattrop(self, call: Call, loc: Loc, kind: XattropKind, values: Mapping[str, bytes]) -> Awaitable[Xattrs]:
        self._refuse_own(values)
        return self._on(call, loc, lambda place, loc: place.xattrop(call, loc, kind, values))

    def fxattrop(self, call: Call, fd: Fd, kind: XattropKind, values: Mapping[str, bytes]) -> Awaitable[Xattrs]:
        self._refuse_own(values)
        return self._by(call, fd, lambda place: place.fxattrop(call, fd, kind, values))

    def _refuse_hidden(self, name: str | None) -> None:
        if name == self.intent_key or name in HEAL_INDEX_KEYS:
            raise fail(errno.ENODATA, name)

    def _refuse_own(self, keys: Collection[str]) -> None:
        if self.intent_key in keys:
            raise fail(errno.EPERM, self.intent_key)

    def _shown(self, reply: Xattrs) -> Xattrs:
        """A directory's xattrs without this node's own."""
        if self.intent_key in reply.values:
            reply.values = {key: value for key, value in reply.values.items() if key != self.intent_key}
        return reply

    # --- fops: locks -------------------------------------------------------------------------------------------------

    def lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Locked]:
        return self._by(call, fd, lambda place: place.lk(call, fd, command, flock))

    def inodelk(self, call: Call, domain: str, loc: Loc, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        return self._on(call, loc, lambda place, loc: place.inodelk(call, domain, loc, command, flock))

    def finodelk(self, call: Call, domain: str, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Acknowledged]:
        return self._by(call, fd, lambda place: place.finodelk(call, domain, fd, command, flock))
