"""Raw fops on any stack, by path."""

from __future__ import annotations

import os
import stat

import attrs

from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Graph, Iatt, Loc, NewAttributes, Translator

LISTING_BYTES = 1 << 16


@attrs.define(eq=False)
class Paths:
    """Raw fops on any stack, by path relative to the root."""

    graph: Graph
    top: Translator
    call: Call = attrs.field(factory=lambda: Call(client="test", lk_owner=b"owner000"), kw_only=True)

    def requesting(self) -> Call:
        return self.call.with_xdata({"gfid-req": self.graph.seams.new_gfid()})

    async def find(self, path: str) -> Iatt:
        gfid, iatt = ROOT_GFID, None
        for name in path.split("/"):
            iatt = (await self.top.lookup(self.call, Loc(parent=gfid, name=name.encode()))).iatt
            gfid = iatt.gfid
        assert iatt is not None
        return iatt

    async def loc(self, path: str) -> Loc:
        """The place of a path, whether or not something stands there."""
        above, _, name = path.rpartition("/")
        parent = (await self.find(above)).gfid if above else ROOT_GFID
        return Loc(parent=parent, name=name.encode())

    async def mkdir(self, path: str, mode: int = 0o755) -> Gfid:
        return (await self.top.mkdir(self.requesting(), await self.loc(path), mode, 0)).iatt.gfid

    async def create(self, path: str, flags: int = os.O_RDWR | os.O_EXCL, mode: int = 0o644) -> Fd:
        fd = Fd(flags=flags)
        reply = await self.top.create(self.requesting(), await self.loc(path), flags | os.O_CREAT, mode, 0, fd)
        fd.gfid = reply.iatt.gfid
        return fd

    async def open(self, path: str, flags: int = os.O_RDWR) -> Fd:
        gfid = (await self.find(path)).gfid
        fd = Fd(gfid, flags)
        await self.top.open(self.call, Loc(gfid), flags, fd)
        return fd

    async def write(self, path: str, data: bytes) -> None:
        """Create or overwrite a whole file."""
        fd = await self.create(path, os.O_RDWR | os.O_TRUNC)
        try:
            await self.top.writev(self.call, fd, data, 0)
            await self.top.flush(self.call, fd)
        finally:
            self.top.release(fd)

    async def read(self, path: str) -> bytes:
        fd = await self.open(path, os.O_RDONLY)
        try:
            return bytes((await self.top.readv(self.call, fd, 1 << 20, 0)).data)
        finally:
            self.top.release(fd)

    async def symlink(self, target: str, path: str) -> None:
        await self.top.symlink(self.requesting(), target.encode(), await self.loc(path), 0)

    async def readlink(self, path: str) -> str:
        gfid = (await self.find(path)).gfid
        return (await self.top.readlink(self.call, Loc(gfid), 4096)).target.decode()

    async def mkfifo(self, path: str) -> None:
        await self.top.mknod(self.requesting(), await self.loc(path), stat.S_IFIFO | 0o600, 0, 0)

    async def link(self, old: str, new: str) -> None:
        await self.top.link(self.call, Loc((await self.find(old)).gfid), await self.loc(new))

    async def unlink(self, path: str) -> None:
        await self.top.unlink(self.call, await self.loc(path))

    async def rmdir(self, path: str) -> None:
        await self.top.rmdir(self.call, await self.loc(path))

    async def rename(self, old: str, new: str) -> None:
        await self.top.rename(self.call, await self.loc(old), await self.loc(new))

    async def chmod(self, path: str, mode: int) -> None:
        await self.top.setattr(self.call, Loc((await self.find(path)).gfid), NewAttributes(mode=mode))

    async def entries(self, path: str = "") -> dict[str, Iatt | None]:
        gfid = (await self.find(path)).gfid if path else ROOT_GFID
        fd, offset = Fd(gfid, is_dir=True), 0
        found: dict[str, Iatt | None] = {}
        await self.top.opendir(self.call, Loc(gfid), fd)
        try:
            while True:
                reply = await self.top.readdirp(self.call, fd, LISTING_BYTES, offset)
                found |= {entry.name.decode(): entry.iatt for entry in reply.entries}
                if reply.end or not reply.entries:
                    return found
                offset = reply.entries[-1].offset
        finally:
            self.top.release(fd)

    async def tree(self, path: str = "") -> dict[str, object]:
        """What an application sees, by path: None for a directory, a file's bytes, a symlink's target, or the kind."""
        seen: dict[str, object] = {}
        for name in await self.entries(path):
            inside = f"{path}/{name}" if path else name
            try:
                iatt = await self.find(inside)
            except FileNotFoundError:
                continue  # what a failure left was settled by this lookup
            if iatt.is_dir:
                seen |= {inside: None, **await self.tree(inside)}
            elif iatt.is_file:
                seen[inside] = await self.read(inside)
            else:
                seen[inside] = await self.readlink(inside) if iatt.is_symlink else iatt.kind
        return seen
