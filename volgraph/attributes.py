"""The part of a Volume that asks for and changes attributes. Names and meanings are those of `os`."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from operator import index

from .caller import Caller, is_mode, process_umask
from .errors import StrPath, at_path, fresh
from .graph import NOW_NS, Graph, Iatt, NewAttributes, fail
from .listing import stat_result
from .paths import Paths

HIDDEN_KEYS = "trusted.afr."
"""Replication's own attributes: applications neither see nor set them."""
BRICKS_KEYS = ("trusted.gfid", "trusted.glusterfs.volume-id", "trusted.glusterfs.mdata", "trusted.pgfid.")
"""Those of the bricks, or what they begin with. A brick passes them over in silence, as GlusterFS does."""


class Attributes:
    """What is no number is TypeError, as from `os`, before anything is asked: a brick might keep it."""

    def __init__(self, graph: Graph, umask: int | None = None, label: str = "") -> None:
        """`umask` None: that of the process. With a `label`, errors name `label:path`."""
        self.graph = graph
        self._caller = Caller(graph, process_umask() if umask is None else umask, label)
        self._paths = Paths(self._caller)

    @fresh
    async def _find(self, path: StrPath, follow: bool) -> Iatt:
        return (await self._paths.find(path, follow=follow)).found

    async def stat(self, path: StrPath, follow_symlinks: bool = True) -> os.stat_result:
        """ENOENT ENOTDIR ELOOP. The inode number comes from the gfid; `st_dev` is 0."""
        return stat_result(await self._find(path, follow_symlinks))

    async def lstat(self, path: StrPath) -> os.stat_result:
        """As stat, of a symlink itself."""
        return await self.stat(path, follow_symlinks=False)

    @fresh
    async def statvfs(self, path: StrPath) -> os.statvfs_result:
        """The space of the volume that holds the path."""
        place = await self._paths.find(path)
        space = await self._caller.wind(self._caller.top.statfs, self._caller.call, place.loc)
        blocks = (space.bsize, space.frsize, space.blocks, space.bfree, space.bavail)
        return os.statvfs_result((*blocks, space.files, space.ffree, space.favail, space.flag, space.namemax))

    # --- changes ---------------------------------------------------------------------------------------------------

    async def chmod(self, path: StrPath, mode: int, follow_symlinks: bool = True) -> None:
        """Set the permission bits. EPERM; EINVAL no mode at all."""
        if not is_mode(index(mode)):
            raise at_path(fail(errno.EINVAL), self._caller.named(path))
        await self._setattr(path, NewAttributes(mode=mode & 0o7777), follow_symlinks)

    async def chown(self, path: StrPath, uid: int, gid: int, follow_symlinks: bool = True) -> None:
        """Set owner and group; -1 leaves one as it is. EPERM."""
        new = NewAttributes(uid=None if uid == -1 else index(uid), gid=None if gid == -1 else index(gid))
        await self._setattr(path, new, follow_symlinks)

    async def utime(
        self,
        path: StrPath,
        times: tuple[float, float] | None = None,
        *,
        ns: tuple[int, int] | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        """Set access and modification time: in seconds, in nanoseconds (`ns`), or to now. EPERM."""
        if times is not None and ns is not None:
            raise ValueError("utime: you may specify either 'times' or 'ns' but not both")
        if times is not None:
            ns = (int(times[0] * 1e9), int(times[1] * 1e9))
        access, change = (NOW_NS, NOW_NS) if ns is None else map(index, ns)
        await self._setattr(path, NewAttributes(atime_ns=access, mtime_ns=change), follow_symlinks)

    @fresh
    async def _setattr(self, path: StrPath, new: NewAttributes, follow: bool) -> None:
        place = await self._paths.find(path, follow=follow)
        if not new.empty:
            await self._caller.wind(self._caller.top.setattr, self._caller.call, place.loc, new)

    @fresh
    async def truncate(self, path: StrPath, size: int) -> None:
        """Cut or extend a file. EISDIR EINVAL (below 0, or no regular file) EFBIG."""
        size = index(size)
        if size < 0:
            raise fail(errno.EINVAL)
        place = await self._paths.find(path)
        if place.found.is_dir:
            raise fail(errno.EISDIR)
        if not place.found.is_file:
            raise fail(errno.EINVAL)
        await self._caller.wind(self._caller.top.truncate, self._caller.call, place.loc, size)

    # --- extended attributes ---------------------------------------------------------------------------------------

    async def getxattr(self, path: StrPath, name: str | bytes, follow_symlinks: bool = True) -> bytes:
        """ENODATA no such one."""
        key = os.fsdecode(name)
        found = {} if key.startswith(HIDDEN_KEYS) else await self._getxattr(path, key, follow_symlinks)
        if key not in found:
            raise at_path(fail(errno.ENODATA), self._caller.named(path))
        return found[key]

    async def listxattr(self, path: StrPath, follow_symlinks: bool = True) -> list[str]:
        """The names; replication's own are left out."""
        found = await self._getxattr(path, None, follow_symlinks)
        return [name for name in found if not name.startswith(HIDDEN_KEYS)]

    @fresh
    async def _getxattr(self, path: StrPath, name: str | None, follow: bool) -> Mapping[str, bytes]:
        place = await self._paths.find(path, follow=follow)
        return (await self._caller.wind(self._caller.top.getxattr, self._caller.call, place.loc, name)).values

    @fresh
    async def setxattr(
        self, path: StrPath, name: str | bytes, value: bytes, flags: int = 0, follow_symlinks: bool = True
    ) -> None:
        """EEXIST (XATTR_CREATE) ENODATA (XATTR_REPLACE) ENOSPC EPERM."""
        key, data = self._own_key(name), bytes(memoryview(value))  # bytes(5) would be five zeros
        flags = index(flags)
        place = await self._paths.find(path, follow=follow_symlinks)
        await self._caller.wind(self._caller.top.setxattr, self._caller.call, place.loc, {key: data}, flags)

    @fresh
    async def removexattr(self, path: StrPath, name: str | bytes, follow_symlinks: bool = True) -> None:
        """ENODATA EPERM."""
        key = self._own_key(name)
        place = await self._paths.find(path, follow=follow_symlinks)
        await self._caller.wind(self._caller.top.removexattr, self._caller.call, place.loc, key)

    def _own_key(self, name: str | bytes) -> str:
        key = os.fsdecode(name)
        if key.startswith((HIDDEN_KEYS, *BRICKS_KEYS)):
            raise fail(errno.EPERM)
        return key
