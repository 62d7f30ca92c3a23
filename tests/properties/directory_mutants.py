"""Planted defects that a machine comparing a stack with a directory has to find."""

import os
from typing import Any
from unittest import mock

from volgraph.graph import Call, Done, Entries, Fd, Loc, NewAttributes, Renamed, Translator
from volgraph.translators import Memory


class KeepsOldBytes(Memory):
    """A file that was cut shows its old bytes when it grows again."""

    def _resize(self, inode: Any, size: int, now: int) -> None:
        if inode.is_file and size < inode.contents.size:
            inode.contents.size = size
            inode.touch(now)
        else:
            super()._resize(inode, size, now)


class ForgetsTheReplaced(Memory):
    """What a rename replaces keeps its count of links."""

    def rename(self, call: Call, old: Loc, new: Loc) -> Done[Renamed]:
        def drop(parent: Any, name: bytes, now: int) -> None:
            parent.drop(name)

        with mock.patch.object(self.store, "take_away", drop):
            return super().rename(call, old, new)


class SkipsWhenGoingOn(Translator):
    """A listing that is taken up again leaves out a name."""

    async def readdir(self, call: Call, fd: Fd, size: int, offset: int) -> Entries:
        reply = await self.child.readdir(call, fd, size, offset)
        return Entries(reply.entries[1:] or reply.entries, reply.end) if offset else reply


class LosesTheUnlinked(Translator):
    """An open file without a name cannot be read any more: it is looked for by its gfid."""

    async def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Any:
        await self.child.stat(call, Loc(fd.gfid))
        return await self.child.readv(call, fd, size, offset, flags)


class ForgetsTheTime(Translator):
    """Cutting a file leaves its time as it was."""

    async def ftruncate(self, call: Call, fd: Fd, size: int) -> Any:
        before = (await self.child.fstat(call, fd)).iatt
        changed = await self.child.ftruncate(call, fd, size)
        await self.child.fsetattr(call, fd, NewAttributes(mtime_ns=before.mtime_ns))
        return changed


class MovesTheOffset(Translator):
    """A write through an fd that appends heeds the offset."""

    async def writev(self, call: Call, fd: Fd, data: Any, offset: int, flags: int = 0) -> Any:
        if not fd.flags & os.O_APPEND:
            return await self.child.writev(call, fd, data, offset, flags)
        return await self.child.writev(call, Fd(fd.gfid), data, offset, flags & ~os.O_APPEND)
