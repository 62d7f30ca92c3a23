"""The part of a Volume that makes, lists, moves and removes names. Names and meanings are those of `os`."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import AsyncIterator
from operator import index
from typing import AnyStr

from . import listing
from .attributes import Attributes
from .caller import is_mode
from .errors import StrPath, at_path, fresh, fresh_pair
from .graph import ROOT_GFID, Iatt, fail
from .listing import DirEntry
from .paths import as_bytes, as_given, wants_directory


class Names(Attributes):
    async def exists(self, path: StrPath) -> bool:
        """Is there something, behind a symlink too? Any error but ENOENT, ENOTDIR and ELOOP is raised."""
        try:
            await self.stat(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return False
            raise
        return True

    # --- listings --------------------------------------------------------------------------------------------------

    async def listdir(self, path: AnyStr | os.PathLike[AnyStr]) -> list[AnyStr]:
        """The names in a directory. ENOTDIR."""
        return [as_given(path, name) for name in await self._listdir(path)]

    @fresh
    async def _listdir(self, path: StrPath) -> list[bytes]:
        place = await self._paths.find(path)
        return [entry.name for entry in await listing.entries(self._caller, place.found.gfid)]

    async def scandir(self, path: AnyStr | os.PathLike[AnyStr]) -> AsyncIterator[DirEntry[AnyStr]]:
        """The entries of a directory with their attributes. ENOTDIR."""
        above = os.fspath(path)
        for name, found in await self._scan(path):
            own = as_given(path, name)
            yield DirEntry(own, os.path.join(above, own), found)

    @fresh
    async def _scan(self, path: StrPath) -> list[tuple[bytes, Iatt]]:
        place = await self._paths.find(path)
        return await listing.with_attributes(self._caller, place.found.gfid)

    async def walk(
        self, path: AnyStr | os.PathLike[AnyStr], topdown: bool = True
    ) -> AsyncIterator[tuple[AnyStr, list[AnyStr], list[AnyStr]]]:
        """(directory, names of directories, names of all else) for the whole tree, as `os.walk`. Top down, the caller
        may take names out of the second to leave those trees out. Symlinks are not followed."""
        todo: list[tuple[AnyStr, list[AnyStr] | None, list[AnyStr]]] = [(os.fspath(path), None, [])]
        while todo:
            above, directories, others = todo.pop()
            if directories is not None:
                yield above, directories, others
                continue
            directories = []
            async for entry in self.scandir(above):
                (directories if entry.is_dir() else others).append(entry.name)
            if topdown:
                yield above, directories, others
            else:
                todo.append((above, directories, others))
            todo.extend((os.path.join(above, name), None, []) for name in reversed(directories))

    # --- making ----------------------------------------------------------------------------------------------------

    @fresh
    async def mkdir(self, path: StrPath, mode: int = 0o777) -> None:
        """EEXIST ENOENT (its parent) ENOSPC; EINVAL no mode at all."""
        caller = self._caller
        if not is_mode(index(mode)):
            raise fail(errno.EINVAL)
        place = await self._paths.to_make(path, directory=True)
        allowed = mode & 0o1777 & ~caller.umask  # as mkdir(2), which sets no set-id bits
        await caller.wind(caller.top.mkdir, caller.making(), place.loc, allowed, caller.umask)

    async def makedirs(self, path: StrPath, mode: int = 0o777, exist_ok: bool = False) -> None:
        """Make a directory, and those above it that are missing. EEXIST, unless it is one and `exist_ok`; ENOTDIR."""
        above = os.fsencode(path)
        missing: list[bytes] = []
        while (above := os.path.dirname(above.rstrip(b"/"))).strip(b"/") and not await self.exists(above):
            missing.append(above)
        for each in reversed(missing):
            try:
                await self.mkdir(each, mode)
            except FileExistsError:
                continue  # somebody was faster
        try:
            await self.mkdir(path, mode)
        except FileExistsError:
            if not (exist_ok and mode_bits.S_ISDIR((await self.stat(path)).st_mode)):
                raise

    @fresh
    async def mknod(self, path: StrPath, mode: int = 0o600, device: int = 0) -> None:
        """Make a fifo, a socket or a device, as the type in `mode` says (`stat.S_IFIFO | 0o600`), or an empty file.
        EEXIST ENOENT (its parent) EPERM (devices are for root) ENOSPC."""
        caller, mode, device = self._caller, index(mode), index(device)
        place = await self._paths.to_make(path)
        mode = mode if mode_bits.S_IFMT(mode) else mode | mode_bits.S_IFREG
        await caller.wind(caller.top.mknod, caller.making(), place.loc, mode & ~caller.umask, device, caller.umask)

    @fresh_pair
    async def link(self, old: StrPath, new: StrPath) -> None:
        """Give a file (or a symlink itself) one more name. EEXIST EPERM (a directory) EMLINK."""
        source = await self._paths.find(old, follow=False)
        target = await self._paths.to_make(new)
        if source.found.is_dir:
            raise fail(errno.EPERM)
        await self._caller.wind(self._caller.top.link, self._caller.call, source.loc, target.loc)

    async def symlink(self, target: StrPath, path: StrPath) -> None:
        """Make a symlink at `path` that says `target`. EEXIST ENOENT (its parent)."""
        await self._symlink(path, as_bytes(target))

    @fresh
    async def _symlink(self, path: StrPath, target: bytes) -> None:
        caller = self._caller
        place = await self._paths.to_make(path)
        await caller.wind(caller.top.symlink, caller.making(), target, place.loc, caller.umask)

    async def readlink(self, path: AnyStr | os.PathLike[AnyStr]) -> AnyStr:
        """What a symlink says. EINVAL not a symlink."""
        return as_given(path, await self._readlink(path))

    @fresh
    async def _readlink(self, path: StrPath) -> bytes:
        place = await self._paths.find(path, follow=False)
        if not place.found.is_symlink:
            raise fail(errno.EINVAL)
        return await self._paths.target(place)

    # --- moving and removing ---------------------------------------------------------------------------------------

    @fresh_pair
    async def rename(self, old: StrPath, new: StrPath) -> None:
        """Move a name, replacing what stands at the new one. ENOENT EISDIR ENOTDIR ENOTEMPTY EINVAL (into itself) EBUSY
        (what has no name: the root, or a path that ends in dots)."""
        nameless = await self._paths.nameless(old)
        source = await self._paths.place(old)
        nameless |= await self._paths.nameless(new)
        target = await self._paths.place(new)
        if nameless:
            raise fail(errno.EBUSY)
        if (wants_directory(as_bytes(old)) or wants_directory(as_bytes(new))) and not source.found.is_dir:
            raise fail(errno.ENOTDIR)
        source.found  # noqa: B018 (raises ENOENT)
        await self._caller.wind(self._caller.top.rename, self._caller.call, source.loc, target.loc)

    @fresh
    async def unlink(self, path: StrPath) -> None:
        """Remove a name that is no directory. ENOENT EISDIR."""
        if await self._paths.nameless(path):
            raise fail(errno.EISDIR)
        place = await self._paths.to_remove(path)
        if place.found.is_dir:
            raise fail(errno.EISDIR)
        await self._caller.wind(self._caller.top.unlink, self._caller.call, place.loc)

    @fresh
    async def rmdir(self, path: StrPath) -> None:
        """Remove an empty directory. ENOENT ENOTDIR ENOTEMPTY (of a path that ends in `..` too) EBUSY (the root) EINVAL
        (of a path that ends in `.`)."""
        if await self._paths.nameless(path):
            last = as_bytes(path).rstrip(b"/").rpartition(b"/")[2]
            raise fail({b"..": errno.ENOTEMPTY, b".": errno.EINVAL}.get(last, errno.EBUSY))
        place = await self._paths.to_remove(path)
        if not place.found.is_dir:
            raise fail(errno.ENOTDIR)
        await self._caller.wind(self._caller.top.rmdir, self._caller.call, place.loc)

    async def rmtree(self, path: StrPath) -> None:
        """Remove a directory and all below it; of the root, all below it. ENOTDIR (a symlink to one too)."""
        st = await self.lstat(path)
        if not mode_bits.S_ISDIR(st.st_mode):
            raise at_path(fail(errno.ENOTDIR), self._caller.named(path))
        top = "/" if st.st_ino == ROOT_GFID.ino else os.fsdecode(path)  # whatever way leads to it
        async for above, _, others in self.walk(top, topdown=False):
            for name in others:
                await self.unlink(os.path.join(above, name))
            if above.strip("/"):
                await self.rmdir(above)
