"""The other side of the model machine: a stack, through the Volume API, and through fops where that has no method."""

from __future__ import annotations

import errno
import os
from typing import Any

import attrs

from ..files import File
from ..graph import ROOT_GFID, Fd, Gfid, Loc, NewAttributes, fail
from ..volume import Volume
from .like_a_directory_plain import SEEKS, Seen, sane, seen


@attrs.define
class Listing:
    """A listing under way: where it goes on, and what it has shown."""

    fd: Fd
    offset: int = 0
    names: list[bytes] = attrs.field(factory=list)
    end: bool = False


def place(path: bytes) -> bytes:
    return b"/" + path


@attrs.define(eq=False)
class StackedDirectory:
    """Each step is a method, as in `PlainDirectory`."""

    volume: Volume
    files: dict[int, File] = attrs.field(factory=dict)
    streams: dict[int, Listing] = attrs.field(factory=dict)

    @property
    def _caller(self) -> Any:
        return self.volume._caller

    # --- names -------------------------------------------------------------------------------------------------------

    async def mkdir(self, path: bytes, mode: int) -> None:
        await self.volume.mkdir(place(path), mode)

    async def makedirs(self, path: bytes) -> None:
        await self.volume.makedirs(place(path))

    async def mknod(self, path: bytes, mode: int, rdev: int) -> None:
        await self.volume.mknod(place(path), mode, rdev)

    async def symlink(self, target: bytes, path: bytes) -> None:
        await self.volume.symlink(target, place(path))

    async def link(self, old: bytes, new: bytes) -> None:
        await self.volume.link(place(old), place(new))

    async def rename(self, old: bytes, new: bytes) -> None:
        await self.volume.rename(place(old), place(new))

    async def unlink(self, path: bytes) -> None:
        await self.volume.unlink(place(path))

    async def rmdir(self, path: bytes) -> None:
        await self.volume.rmdir(place(path))

    async def listdir(self, path: bytes) -> list[bytes]:
        return sorted(await self.volume.listdir(place(path)))

    async def scandir(self, path: bytes) -> list[tuple[bytes, Seen]]:
        return sorted([(entry.name, seen(entry.stat())) async for entry in self.volume.scandir(place(path))], key=str)

    async def list_start(self, stream: int, path: bytes) -> None:
        if stream in self.streams:
            self._caller.top.release(self.streams.pop(stream).fd)
        found = await self.volume._paths.find(place(path))
        self.streams[stream] = await self._listing(found.found.gfid)

    async def _listing(self, gfid: Gfid) -> Listing:
        fd = Fd(gfid, os.O_RDONLY | os.O_DIRECTORY, is_dir=True)
        await self._caller.wind(self._caller.top.opendir, self._caller.call, Loc(gfid), fd)
        return Listing(fd)

    async def list_more(self, stream: int, size: int) -> None:
        """A copy that goes in the middle of a listing (ENOTCONN) takes its offsets along: it is begun again."""
        listing = self.streams.get(stream)
        if listing is None:
            raise fail(errno.EBADF, stream)
        if listing.end:
            return
        try:
            await self._list(listing, size)
        except OSError as error:
            if error.errno != errno.ENOTCONN or not listing.offset:
                raise
            self.streams[stream] = again = await self._listing(listing.fd.gfid)
            self._caller.top.release(listing.fd)
            await self._list(again, size)

    async def _list(self, listing: Listing, size: int) -> None:
        reply = await self._caller.wind(self._caller.top.readdir, self._caller.call, listing.fd, size, listing.offset)
        listing.names += [entry.name for entry in reply.entries if entry.name not in (b".", b"..")]
        listing.end = reply.end or not reply.entries
        if reply.entries:
            listing.offset = reply.entries[-1].offset

    # --- attributes --------------------------------------------------------------------------------------------------

    async def stat(self, path: bytes) -> Seen:
        return await self._seen(path, follow=True)

    async def lstat(self, path: bytes) -> Seen:
        return await self._seen(path, follow=False)

    async def _seen(self, path: bytes, follow: bool) -> Seen:
        st = await self.volume.stat(place(path), follow_symlinks=follow)
        return seen(st, st.st_ino == ROOT_GFID.ino)

    async def ino(self, path: bytes) -> int:
        return (await self.volume.lstat(place(path))).st_ino

    async def readlink(self, path: bytes) -> bytes:
        return await self.volume.readlink(place(path))

    async def access(self, path: bytes, mask: int) -> None:
        found = await self.volume._paths.find(place(path))
        await self._caller.wind(self._caller.top.access, self._caller.call, found.loc, mask)

    async def statvfs(self, path: bytes) -> bool:
        return sane(await self.volume.statvfs(place(path)))

    async def chmod(self, path: bytes, mode: int) -> None:
        await self.volume.chmod(place(path), mode)

    async def chown(self, path: bytes, uid: int, gid: int, follow: bool) -> None:
        await self.volume.chown(place(path), uid, gid, follow_symlinks=follow)

    async def utime(self, path: bytes, atime_ns: int, mtime_ns: int, follow: bool) -> int:
        found = (await self.volume._paths.find(place(path), follow=follow)).found
        await self.volume.utime(place(path), ns=(atime_ns, mtime_ns), follow_symlinks=follow)
        reply = await self._caller.wind(self._caller.top.stat, self._caller.call, Loc(found.gfid))
        return int(reply.iatt.st.st_atime_ns)

    async def truncate(self, path: bytes, size: int) -> None:
        await self.volume.truncate(place(path), size)

    async def setxattr(self, path: bytes, name: str, value: bytes, flags: int, follow: bool) -> None:
        await self.volume.setxattr(place(path), name, value, flags, follow_symlinks=follow)

    async def getxattr(self, path: bytes, name: str, follow: bool) -> bytes:
        return await self.volume.getxattr(place(path), name, follow_symlinks=follow)

    async def listxattr(self, path: bytes, follow: bool) -> list[str]:
        names = await self.volume.listxattr(place(path), follow_symlinks=follow)
        return sorted(name for name in names if name.startswith("user."))

    async def removexattr(self, path: bytes, name: str, follow: bool) -> None:
        await self.volume.removexattr(place(path), name, follow_symlinks=follow)

    # --- files -------------------------------------------------------------------------------------------------------

    async def write_bytes(self, path: bytes, data: bytes) -> int:
        return await self.volume.write_bytes(place(path), data)

    async def read_bytes(self, path: bytes) -> bytes:
        return await self.volume.read_bytes(place(path))

    async def open(self, slot: int, path: bytes, mode: str, permissions: int) -> None:
        if slot in self.files:
            await self.close(slot)
        self.files[slot] = await self.volume.open(place(path), mode, permissions)

    def _file(self, slot: int) -> File:
        if slot not in self.files:
            raise fail(errno.EBADF, slot)
        return self.files[slot]

    async def close(self, slot: int) -> None:
        await self._file(slot).close()
        del self.files[slot]

    async def pread(self, slot: int, size: int, offset: int) -> bytes:
        return await self._file(slot).pread(size, offset)

    async def pwrite(self, slot: int, data: bytes, offset: int) -> int:
        return await self._file(slot).pwrite(data, offset)

    async def read(self, slot: int, size: int) -> bytes:
        return await self._file(slot).read(size)

    async def write(self, slot: int, data: bytes) -> int:
        return await self._file(slot).write(data)

    async def seek(self, slot: int, offset: int, whence: int) -> int:
        return await self._file(slot).seek(offset, SEEKS[whence])

    async def ftruncate(self, slot: int, size: int) -> None:
        await self._file(slot).truncate(size)

    async def fstat(self, slot: int) -> Seen:
        return seen(await self._file(slot).stat())

    async def fchmod(self, slot: int, mode: int) -> None:
        await self._file(slot).set_attributes(NewAttributes(mode=mode))

    async def futime(self, slot: int, atime_ns: int, mtime_ns: int) -> int:
        await self._file(slot).set_attributes(NewAttributes(atime_ns=atime_ns, mtime_ns=mtime_ns))
        return (await self._file(slot).stat()).st_atime_ns

    async def fsync(self, slot: int, datasync: bool) -> None:
        await self._file(slot).fsync(datasync)

    async def reserve(self, slot: int, keep: bool, offset: int, length: int) -> None:
        await self._wind("fallocate", slot, int(keep), offset, length)

    async def punch(self, slot: int, offset: int, length: int) -> None:
        await self._wind("discard", slot, offset, length)

    async def zero(self, slot: int, offset: int, length: int) -> None:
        await self._wind("zerofill", slot, offset, length)

    async def _wind(self, fop: str, slot: int, *args: int) -> None:
        await self._caller.wind(getattr(self._caller.top, fop), self._caller.call, self._file(slot)._fd, *args)

    async def copy(self, source: int, offset_in: int, target: int, offset_out: int, length: int) -> int:
        one, other = self._file(source)._fd, self._file(target)._fd
        wound = self._caller.top.copy_file_range
        reply = await self._caller.wind(wound, self._caller.call, one, offset_in, other, offset_out, length)
        return int(reply.count)

    async def umask(self, mask: int) -> None:
        self._caller.umask = mask
