"""cluster/afr: every child holds a copy of everything."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import ParamSpec, TypeVar

import attrs

from ....graph import (
    NULL_GFID,
    Acknowledged,
    Answers,
    Attributes,
    Buffer,
    Call,
    Changed,
    Checksums,
    Data,
    Entries,
    EntryLockCommand,
    Fd,
    Flock,
    Loc,
    LockCommand,
    Locked,
    LockType,
    LookedUp,
    Made,
    NewAttributes,
    Removed,
    Renamed,
    Sought,
    Space,
    Target,
    Translator,
    Written,
    XattropKind,
    Xattrs,
    wind,
)
from . import reading
from .caller_locks import lock_names, lock_range
from .change import Wind
from .changing_attributes import change_attributes, dated
from .changing_contents import WHOLE, Span
from .locks import EntryLock, InodeLock
from .open_fds import NOT_FOR_CHILDREN, Missing, OpenFd, caught_up, followed, opened_for, refuse_lost, usable
from .own_keys import hide_own, refuse_hidden, refuse_own, without_own
from .replica_set import ReplicaSet
from .suspects import SUSPECT_KEY

R = TypeVar("R")
P = ParamSpec("P")


@attrs.define(eq=False)
class Afr(ReplicaSet):
    """Keep every file on all children, read from those that missed nothing, and heal those that did.

        volume mirror
          type cluster/afr
          option quorum-type fixed
          option quorum-count 2
          subvolumes here there
        end-volume

    A child that misses an update is blamed for it on the children that have it, in `trusted.afr.*`; it is not
    read, and is healed when it is back. A child may be any translator: another afr, too.

    An fcntl lock is held on all children that are up, and taken once more on each that comes back. Where another client
    could have got it, because a quorum forgot it first, the fd is EBADFD until it is closed.
    """

    # --- names -------------------------------------------------------------------------------------------------

    async def lookup(self, call: Call, loc: Loc) -> LookedUp:
        return await reading.lookup(self, call, loc)

    async def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Made:
        return await self.openings.opening(fd, flags, self._create(call, loc, flags, mode, umask, fd))

    async def _create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> tuple[Made, Missing]:
        how = (flags & ~NOT_FOR_CHILDREN, mode, umask, fd)
        done = await self.name_changes.change([EntryLock.on(loc)], [loc.parent], Translator.create, call, loc, *how)
        for child in done.blame:  # what it has opened, if anything, is not this file
            self.children[child].release(fd)
        made = self.name_changes.learn(done)
        if flags & os.O_TRUNC and not done.object_is_new:
            await self.truncate(call, Loc(made.iatt.gfid), 0)
        return made, done.blame

    async def mknod(self, call: Call, loc: Loc, mode: int, rdev: int, umask: int) -> Made:
        return await self.name_changes.make(loc, Translator.mknod, call, loc, mode, rdev, umask)

    async def mkdir(self, call: Call, loc: Loc, mode: int, umask: int) -> Made:
        return await self.name_changes.make(loc, Translator.mkdir, call, loc, mode, umask)

    async def symlink(self, call: Call, target: bytes, loc: Loc, umask: int) -> Made:
        return await self.name_changes.make(loc, Translator.symlink, call, target, loc, umask)

    async def link(self, call: Call, old: Loc, new: Loc) -> Made:
        there, locks = await self.object_at(call, old), [EntryLock.on(new)]
        return (await self.name_changes.change(locks, [new.parent], Translator.link, call, there, new)).reply

    async def unlink(self, call: Call, loc: Loc, xflags: int = 0) -> Removed:
        locks = [EntryLock.on(loc)]
        return (await self.name_changes.change(locks, [loc.parent], Translator.unlink, call, loc, xflags)).reply

    async def rmdir(self, call: Call, loc: Loc, xflags: int = 0) -> Removed:
        inside = await self.object_at(call, loc)
        locks = [EntryLock.on(loc), EntryLock(inside, None)]
        return (await self.name_changes.change(locks, [loc.parent], Translator.rmdir, call, loc, xflags)).reply

    async def rename(self, call: Call, old: Loc, new: Loc) -> Renamed:
        locks = [EntryLock.on(old), EntryLock.on(new)]
        replaced = await self.name_changes.replaced(call, Loc(parent=new.parent, name=new.name))
        if replaced is not None and replaced.is_dir:  # nobody may put a name into it while it goes
            locks.append(EntryLock(Loc(replaced.gfid), None))
        directories = [new.parent, old.parent]  # told half, the object itself says which is right (`moved`)
        return (await self.name_changes.change(locks, directories, Translator.rename, call, old, new)).reply

    # --- attributes and contents -------------------------------------------------------------------------------

    async def stat(self, call: Call, loc: Loc) -> Attributes:
        return await self.read(Translator.stat, call, loc)

    async def fstat(self, call: Call, fd: Fd) -> Attributes:
        return await self.read(Translator.fstat, call, fd)

    async def access(self, call: Call, loc: Loc, mask: int) -> Acknowledged:
        return await self.read(Translator.access, call, loc, mask)

    async def readlink(self, call: Call, loc: Loc, size: int) -> Target:
        return await self.read(Translator.readlink, call, loc, size)

    async def setattr(self, call: Call, loc: Loc, new: NewAttributes) -> Changed:
        if new.size is None:
            return await change_attributes(self, Translator.setattr, call, loc, dated(self, new))
        return await self._resize(new, partial(self.truncate, call, loc), partial(self.setattr, call, loc))

    async def fsetattr(self, call: Call, fd: Fd, new: NewAttributes) -> Changed:
        if new.size is None:
            return await change_attributes(self, Translator.fsetattr, call, fd, dated(self, new))
        return await self._resize(new, partial(self.ftruncate, call, fd), partial(self.fsetattr, call, fd))

    async def _resize(
        self,
        new: NewAttributes,
        truncate: Callable[[int], Awaitable[Changed]],
        set_others: Callable[[NewAttributes], Awaitable[Changed]],
    ) -> Changed:
        """A new size changes contents, which are logged and healed apart from attributes."""
        assert new.size is not None
        resized = await truncate(new.size)
        others = attrs.evolve(new, size=None)
        return resized if others.empty else await set_others(others)

    async def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Acknowledged:
        return await self.openings.open(call, loc, flags, fd)

    async def opendir(self, call: Call, loc: Loc, fd: Fd) -> Acknowledged:
        return await self.openings.opendir(call, loc, fd)

    async def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Data:
        slot = opened_for(self, fd, os.O_RDONLY)
        if slot.missing:
            await caught_up(self, fd)
        return await self.read(Translator.readv, call, fd, size, offset, flags)

    async def seek(self, call: Call, fd: Fd, offset: int, what: int) -> Sought:
        return await self.read(Translator.seek, call, fd, offset, what)

    async def rchecksum(self, call: Call, fd: Fd, offset: int, length: int) -> Checksums:
        return await self.read(Translator.rchecksum, call, fd, offset, length)

    async def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Written:
        slot = opened_for(self, fd, os.O_WRONLY)
        if slot.missing:
            await caught_up(self, fd)
        opened = flags | slot.flags
        stable = opened & os.O_DSYNC != 0

        def at(place: int) -> Wind:
            return lambda children, call: wind(children, Translator.writev, call, fd, data, place, flags)

        if opened & os.O_APPEND:
            done = await self.content_changes.append(call, fd, at, stable=stable)
        else:
            span = Span(offset, offset + len(data))
            done = await self.content_changes.change(call, fd, span, at(offset), stable=stable)
        if done.blame:
            self.application_locks.failed_on(fd, done.blame)
        return done.reply

    async def truncate(self, call: Call, loc: Loc, size: int) -> Changed:
        return await self.content_changes.change_whole(Translator.truncate, call, loc, size)

    async def ftruncate(self, call: Call, fd: Fd, size: int) -> Changed:
        return await self.content_changes.change_whole(Translator.ftruncate, call, fd, size)

    async def fallocate(self, call: Call, fd: Fd, flags: int, offset: int, length: int) -> Changed:
        return await self.content_changes.change_whole(Translator.fallocate, call, fd, flags, offset, length)

    async def discard(self, call: Call, fd: Fd, offset: int, length: int) -> Changed:
        return await self.content_changes.change_whole(Translator.discard, call, fd, offset, length)

    async def zerofill(self, call: Call, fd: Fd, offset: int, length: int) -> Changed:
        return await self.content_changes.change_whole(Translator.zerofill, call, fd, offset, length)

    async def fsync(self, call: Call, fd: Fd, datasync: int = 0) -> Changed:
        """Whatever was written before is on the disks, and nobody's marks are left."""
        await caught_up(self, fd)

        def sync(children: Sequence[Translator], call: Call) -> Answers[Changed]:
            return wind(children, Translator.fsync, call, fd, datasync)

        reply: Changed = (await self.content_changes.change(call, fd, WHOLE, sync, stable=True, closes=True)).reply
        return reply

    async def flush(self, call: Call, fd: Fd) -> Acknowledged:
        """The caller closes the file, and holds no lock of it any more. EBADFD: nor did it before."""
        await followed(self, fd)
        await self.streams.close(fd.gfid)
        self.application_locks.flushed(call, fd)
        reply = self.quorum_reply(await self.laggards.fan_out(Translator.flush, call, fd))
        self.streams.raise_unsaved(fd.gfid)
        refuse_lost(self, fd)
        return reply

    def release(self, fd: Fd) -> None:
        """What is locked and marked by way of this fd has to be given back first."""
        self.application_locks.released(fd)
        stream = self.streams.held_through(fd)
        if stream is None:
            super().release(fd)
        else:
            self.streams.close_soon(fd.gfid)
            stream.over.when_settled(partial(super().release, fd))

    async def fsyncdir(self, call: Call, fd: Fd, datasync: int = 0) -> Acknowledged:
        """Nobody's marks are left, either."""
        await self.streams.close(fd.gfid)
        return self.quorum_reply(await self.laggards.fan_out(Translator.fsyncdir, call, fd, datasync))

    async def statfs(self, call: Call, loc: Loc) -> Space:
        """The smallest child decides: everything must fit into each."""
        outcomes = await self.laggards.fan_out(Translator.statfs, call, loc)
        self.quorum_reply(outcomes)
        return min((o.value for o in outcomes if o.value is not None), key=lambda space: space.bavail * space.frsize)

    # --- listings ----------------------------------------------------------------------------------------------

    async def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Entries:
        return await self._list(call, fd, offset, lambda child: child.readdir(call, fd, size, offset))

    async def readdirp(self, call: Call, fd: Fd, size: int, offset: int) -> Entries:
        """Attributes come only with entries whose copy is known to be good; a lookup tells about the others."""
        reply = await self._list(call, fd, offset, lambda child: child.readdirp(call, fd, size, offset))
        serving = self._slot(fd).serving
        for entry in reply.entries:
            state = self.inodes.known(entry.gfid or NULL_GFID)
            if state is None or state.generation != self.generation or serving not in state.readable:
                entry.iatt, entry.xdata = None, None
            else:
                entry.xdata = without_own(self.keys, entry.xdata)
        return reply

    async def _list(self, call: Call, fd: Fd, offset: int, ask: Callable[[Translator], Awaitable[Entries]]) -> Entries:
        """A listing begins on a good copy and stays there: another child's offsets mean nothing to it."""
        slot = self._slot(fd)
        await usable(self, fd, slot.flags & os.O_ACCMODE)
        if offset and slot.serving is not None:
            return await self.laggards.one(slot.serving, ask, self.known_readable(fd.gfid) or self.up)

        async def begin(child: Translator) -> Entries:
            reply = await ask(child)
            slot.serving = self.index[child]
            return reply

        return await self.read_with(call, fd, begin)

    def _slot(self, fd: Fd) -> OpenFd:
        slot: OpenFd = fd.slots.setdefault(self, OpenFd(os.O_DIRECTORY))
        return slot

    # --- extended attributes; this afr's own keys are hidden and refused ---------------------------------------

    async def getxattr(self, call: Call, loc: Loc, name: str | None) -> Xattrs:
        refuse_hidden(self.keys, name)
        return hide_own(self.keys, await self.read(Translator.getxattr, call, loc, name))

    async def fgetxattr(self, call: Call, fd: Fd, name: str | None) -> Xattrs:
        refuse_hidden(self.keys, name)
        return hide_own(self.keys, await self.read(Translator.fgetxattr, call, fd, name))

    async def setxattr(self, call: Call, loc: Loc, values: Mapping[str, bytes], flags: int = 0) -> Acknowledged:
        if SUSPECT_KEY in values:
            return await self.suspects.cleared(call, values)
        refuse_own(self, values, errno.EPERM)
        return await change_attributes(self, Translator.setxattr, call, loc, values, flags)

    async def fsetxattr(self, call: Call, fd: Fd, values: Mapping[str, bytes], flags: int = 0) -> Acknowledged:
        refuse_own(self, values, errno.EPERM)
        return await change_attributes(self, Translator.fsetxattr, call, fd, values, flags)

    async def removexattr(self, call: Call, loc: Loc, name: str) -> Acknowledged:
        refuse_own(self, (name,), errno.EPERM)
        return await change_attributes(self, Translator.removexattr, call, loc, name)

    async def fremovexattr(self, call: Call, fd: Fd, name: str) -> Acknowledged:
        refuse_own(self, (name,), errno.EPERM)
        return await change_attributes(self, Translator.fremovexattr, call, fd, name)

    async def xattrop(self, call: Call, loc: Loc, kind: XattropKind, values: Mapping[str, bytes]) -> Xattrs:
        refuse_own(self, values, errno.EINVAL)
        return await change_attributes(self, Translator.xattrop, call, loc, kind, values)

    async def fxattrop(self, call: Call, fd: Fd, kind: XattropKind, values: Mapping[str, bytes]) -> Xattrs:
        refuse_own(self, values, errno.EINVAL)
        return await change_attributes(self, Translator.fxattrop, call, fd, kind, values)

    # --- locks -------------------------------------------------------------------------------------------------

    async def inodelk(self, call: Call, domain: str, loc: Loc, command: LockCommand, flock: Flock) -> Acknowledged:
        return await lock_range(self, call, domain, InodeLock(loc, flock), command)

    async def finodelk(self, call: Call, domain: str, fd: Fd, command: LockCommand, flock: Flock) -> Acknowledged:
        return await lock_range(self, call, domain, InodeLock(fd, flock), command)

    async def entrylk(
        self, call: Call, domain: str, loc: Loc, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Acknowledged:
        return await lock_names(self, call, domain, EntryLock(loc, name, type), command)

    async def fentrylk(
        self, call: Call, domain: str, fd: Fd, name: bytes | None, command: EntryLockCommand, type: LockType
    ) -> Acknowledged:
        return await lock_names(self, call, domain, EntryLock(fd, name, type), command)

    async def lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Locked:
        return await self.application_locks.lk(call, fd, command, flock)
