"""A brick on a directory, with short ways to fill it and to look at it."""

import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from volgraph.graph import ROOT_GFID, Call, Entry, Fd, Gfid, Graph, Loc, Made, Seams
from volgraph.graph.disk import Disk
from volgraph.translators.storage.posix import Posix
from volgraph.translators.storage.posix.metadata import trusted_allowed


def _trusted_works() -> bool:
    with tempfile.TemporaryDirectory() as directory:
        return trusted_allowed(Disk(), os.fsencode(directory))


AS_ROOT = os.geteuid() == 0
MODES = ("xattr", "sidecar") if _trusted_works() else ("sidecar",)
"""What can be tested here: an ordinary user has only the sidecar."""

in_both_modes = pytest.mark.parametrize("mode", MODES)


_numbers = itertools.count(1)


class Hand:
    """A started brick and what a test does with it."""

    def __init__(self, brick: Posix, directory: Path) -> None:
        self.brick = brick
        self.directory = directory

    def gfid(self) -> Gfid:
        """One that no test has had yet."""
        return Gfid(b"\xab\xcd" + bytes(10) + next(_numbers).to_bytes(4, "big"))

    def call(self, **xdata: Any) -> Call:
        """With a fresh gfid-req."""
        return Call(xdata={"gfid-req": self.gfid(), **xdata})

    async def file(self, name: bytes, data: bytes = b"", parent: Gfid = ROOT_GFID, mode: int = 0o644) -> Gfid:
        fd = Fd(flags=os.O_RDWR)
        made = await self.brick.create(self.call(), Loc(parent=parent, name=name), os.O_RDWR | os.O_EXCL, mode, 0, fd)
        fd.gfid = made.iatt.gfid
        if data:
            await self.brick.writev(Call(), fd, data, 0)
        self.brick.release(fd)
        return fd.gfid

    async def dir(self, name: bytes, parent: Gfid = ROOT_GFID, mode: int = 0o755) -> Gfid:
        made = await self.brick.mkdir(self.call(), Loc(parent=parent, name=name), mode, 0)
        return made.iatt.gfid

    async def symlink(self, name: bytes, target: bytes, parent: Gfid = ROOT_GFID) -> Made:
        return await self.brick.symlink(self.call(), target, Loc(parent=parent, name=name), 0)

    async def opened(self, gfid: Gfid, flags: int = os.O_RDWR) -> Fd:
        fd = Fd(gfid, flags)
        await self.brick.open(Call(), Loc(gfid), flags, fd)
        return fd

    async def read(self, gfid: Gfid, size: int = 1 << 20, offset: int = 0) -> bytes:
        return bytes((await self.brick.readv(Call(), Fd(gfid), size, offset)).data)

    async def find(self, name: bytes, parent: Gfid = ROOT_GFID) -> Gfid:
        return (await self.brick.lookup(Call(), Loc(parent=parent, name=name))).iatt.gfid

    async def entries(self, gfid: Gfid = ROOT_GFID, call: Call | None = None) -> list[Entry]:
        return (await self.brick.readdirp(call or Call(), Fd(gfid), 1 << 20, 0)).entries

    async def names(self, gfid: Gfid = ROOT_GFID) -> list[bytes]:
        return [entry.name for entry in await self.entries(gfid)]

    def handle(self, gfid: Gfid) -> Path:
        text = gfid.text
        return self.directory / ".glusterfs" / text[:2] / text[2:4] / text


@asynccontextmanager
async def running(
    directory: Path, mode: str = "auto", seams: Seams | None = None, **options: Any
) -> AsyncIterator[Hand]:
    brick = Posix("brick", directory=str(directory), metadata=mode, **options)
    async with Graph(brick, seams or Seams()):
        yield Hand(brick, directory)


@contextmanager
def fails(code: int) -> Iterator[None]:
    """What stands within must raise OSError with this errno."""
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno == code, caught.value
