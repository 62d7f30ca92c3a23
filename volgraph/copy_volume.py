"""A volume as one side of a copy."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import attrs

from .copy_attributes import NO_HOLES, PRIVATE, kept, leaving_out, mode_of, owner_of
from .copying import Identity
from .files import File, Mode
from .graph import Buffer, NewAttributes

if TYPE_CHECKING:
    from .volume import Volume

READ, WRITE, NEW = Mode.parse("rb"), Mode.parse("wb"), Mode.parse("xb")


@attrs.define
class VolumeReader:
    file: File
    size: int
    _end: int = -1

    async def read(self, size: int, offset: int) -> Buffer:
        if offset == self._end:
            return b""
        data = await self.file.pread_buffer(size, offset)
        if len(data) < size:
            self._end = offset + len(data)
        return data

    async def data_after(self, offset: int) -> tuple[int, int] | None:
        try:
            start = await self.file.seek(offset, os.SEEK_DATA)
            return start, await self.file.seek(start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            if error.errno not in NO_HOLES:
                raise
        return (offset, self.size) if offset < self.size else None

    async def xattrs(self) -> Mapping[str, bytes]:
        return await self.file.xattrs()


@attrs.define
class VolumeWriter:
    file: File
    made: Identity | None

    async def write(self, data: Buffer, offset: int) -> None:
        await self.file.pwrite(data, offset)

    async def finish(self, st: os.stat_result, size: int | None, xattrs: Mapping[str, bytes]) -> None:
        if size is not None:
            await self.file.truncate(size)
        for name, value in kept(xattrs).items():
            with leaving_out():
                await self.file.set_xattrs({name: value})
        try:
            await self.file.set_attributes(_attributes(st, owner_of(st)))
        except PermissionError:
            await self.file.set_attributes(_attributes(st, None))


@attrs.define
class VolumeTree:
    volume: Volume

    def named(self, path: str) -> str:
        return os.fsdecode(self.volume._caller.named(path))

    def bricks(self) -> frozenset[Identity]:
        from .translators.storage.posix import Posix

        found = set()
        for brick in self.volume.graph.find(Posix):
            with suppress(OSError):
                st = os.stat(brick.directory)
                found.add((st.st_dev, st.st_ino))
        return frozenset(found)

    async def stat(self, path: str, follow: bool) -> os.stat_result:
        return await self.volume.stat(path, follow_symlinks=follow)

    async def entries(self, path: str) -> list[tuple[str, os.stat_result]]:
        return [(entry.name, entry.stat()) async for entry in self.volume.scandir(path)]

    async def readlink(self, path: str) -> str:
        return await self.volume.readlink(path)

    async def xattrs(self, path: str, follow: bool) -> Mapping[str, bytes]:
        return await self.volume._getxattr(path, None, follow)

    @asynccontextmanager
    async def reading(self, path: str, follow: bool) -> AsyncIterator[VolumeReader]:
        async with await self.volume._open(path, READ, 0, follow) as file:
            yield VolumeReader(file, (await file.stat()).st_size)

    @asynccontextmanager
    async def writing(self, path: str, follow: bool) -> AsyncIterator[VolumeWriter]:
        made: Identity | None = None
        try:
            file = await self.volume._open(path, NEW, PRIVATE, follow)
            made = (0, file._fd.gfid.ino)
        except FileExistsError:
            file = await self.volume._open(path, WRITE, PRIVATE, follow)
        async with file:
            yield VolumeWriter(file, made)

    async def mkdir(self, path: str) -> None:
        await self.volume.mkdir(path, 0o700)

    async def symlink(self, target: str, path: str) -> None:
        await self.volume.symlink(target, path)

    async def mknod(self, path: str, mode: int, device: int) -> None:
        await self.volume.mknod(path, mode, device)

    async def link(self, old: str, new: str) -> None:
        await self.volume.link(old, new)

    async def unlink(self, path: str) -> None:
        await self.volume.unlink(path)

    async def finish(self, path: str, st: os.stat_result, xattrs: Mapping[str, bytes]) -> None:
        follow = mode_bits.S_ISDIR(st.st_mode)
        for name, value in kept(xattrs).items():
            with leaving_out():
                await self.volume.setxattr(path, name, value, follow_symlinks=follow)
        try:
            await self.volume._setattr(path, _attributes(st, owner_of(st)), follow)
        except PermissionError:
            await self.volume._setattr(path, _attributes(st, None), follow)


def _attributes(st: os.stat_result, owner: tuple[int, int] | None) -> NewAttributes:
    uid, gid = owner or (None, None)
    mode = None if mode_bits.S_ISLNK(st.st_mode) else mode_of(st, owner is not None)
    return NewAttributes(mode, uid, gid, atime_ns=st.st_atime_ns, mtime_ns=st.st_mtime_ns)
