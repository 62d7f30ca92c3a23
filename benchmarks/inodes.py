"""What a brick, and a Volume over it, remember of the objects that they have met: it must stop growing.

The disk is made up: a directory of any number of files that cost nothing, so that what grows is ours alone. Each curve
is taken in a process of its own, by its resident memory.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import anyio
import attrs

import volgraph
from benchmarks.measure import Scale
from benchmarks.tables import Row, Table
from volgraph.graph import ROOT_GFID, Call, Fd, Gfid, Graph, Loc, Seams
from volgraph.graph.disk import Disk
from volgraph.graph.pool import Pool
from volgraph.translators import Posix

ROOT = Path(__file__).parents[1]
GROWTH_MAX = 8 << 20
"""Bytes that the second half of a curve may add to the first."""
LISTING_BYTES = 1 << 17
NAMES = b"%08x"
_GFIDS = bytes.fromhex("feedfeedfeed4eed8eed") + bytes(2)
_FOLDER = b"fe/ed/"


@attrs.define(eq=False)
class MadeUpDisk(Disk):
    """The real one, and `count` files in the brick's root: names, handles and gfids follow from their numbers."""

    count: int = 0
    like: os.stat_result = attrs.field(factory=lambda: os.stat("/"))

    def stat(self, name: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if name.startswith(_FOLDER):
            return self._numbered(int(name[-8:], 16))
        if len(name) == 8 and name.startswith(b"000"):
            return self._numbered(int(name, 16))
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def getxattr(self, path: Any, attribute: Any, *, follow_symlinks: bool = True) -> bytes:
        number = path[-8:] if isinstance(path, bytes) else b""
        if number.startswith(b"000") and attribute == "trusted.gfid":
            return gfid_of(int(number, 16))
        return os.getxattr(path, attribute, follow_symlinks=follow_symlinks)

    def scandir(self, fd: int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        @contextmanager
        def entries() -> Iterator[Iterator[Any]]:
            yield (MadeUpEntry((NAMES % number).decode()) for number in range(self.count))

        return cast(AbstractContextManager[Iterator["os.DirEntry[str]"]], entries())

    def _numbered(self, number: int) -> os.stat_result:
        return os.stat_result((*self.like[:1], 1 << 40 | number, self.like.st_dev, 2, *self.like[4:]), TIMES)


TIMES = {"st_atime_ns": 1, "st_mtime_ns": 1, "st_ctime_ns": 1, "st_blksize": 4096, "st_blocks": 8, "st_rdev": 0}


@attrs.define
class MadeUpEntry:
    name: str

    def is_file(self, *, follow_symlinks: bool) -> bool:
        return True


def gfid_of(number: int) -> Gfid:
    return Gfid(_GFIDS + number.to_bytes(4, "big"))


# --- the curves ------------------------------------------------------------------------------------------------------


async def by_name(graph: Graph, first: int, end: int) -> None:
    call = Call(client="benchmark")
    for number in range(first, end):
        await graph.top.lookup(call, Loc(parent=ROOT_GFID, name=NAMES % number))


async def by_gfid(graph: Graph, first: int, end: int) -> None:
    call = Call(client="benchmark")
    for number in range(first, end):
        await graph.top.stat(call, Loc(gfid_of(number)))


async def by_listing(graph: Graph, first: int, end: int) -> None:
    """The directory as it is when it has so many files, listed anew to the end."""
    disk = graph.seams.blocking.disk
    assert isinstance(disk, MadeUpDisk)
    disk.count = end
    call, fd, offset = Call(client="benchmark"), Fd(ROOT_GFID, is_dir=True), 0
    await graph.top.opendir(call, Loc(ROOT_GFID), fd)
    while True:
        piece = await graph.top.readdirp(call, fd, LISTING_BYTES, offset)
        if piece.end:
            break
        offset = piece.entries[-1].offset
    graph.top.release(fd)


Touch = Callable[[Any, int, int], Awaitable[None]]


async def by_path(vol: volgraph.Volume, first: int, end: int) -> None:
    for number in range(first, end):
        await vol.stat("/" + (NAMES % number).decode())


CURVES: dict[str, Touch] = {"lookup": by_name, "stat": by_gfid, "readdirp": by_listing, "Volume.stat": by_path}


@asynccontextmanager
async def touched(folder: str, by: Touch) -> AsyncIterator[Any]:
    """What `by` works on: a graph of one brick, or a volume over one."""
    probe = Path(folder, "like-this")
    probe.touch()
    pool = Pool()
    pool.disk = MadeUpDisk(like=probe.lstat())
    brick, seams = Posix("brick", directory=folder), Seams(blocking=pool)
    if by is by_path:
        async with volgraph.open(brick, seams=seams) as vol:
            yield vol
    else:
        async with Graph(brick, seams) as graph:
            yield graph


async def curve(name: str, sizes: list[int]) -> list[int]:
    """Bytes of resident memory beyond those at the start, after so many objects have been met."""
    found, first, by = [], 0, CURVES[name]
    with TemporaryDirectory(prefix="volgraph-bench-") as folder:
        async with touched(folder, by) as at:
            await by(at, 0, 1000)
            start = resident()
            for size in sizes:
                await by(at, first, size)
                first = size
                found.append(resident() - start)
    return found


def resident() -> int:
    """What is held. The largest listing was held too, for a while, and the C library keeps its room for the next one:
    that is given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def inodes(scale: Scale) -> Table:
    sizes = list(scale.inodes)
    rows = []
    for name in CURVES:
        command = [sys.executable, "-m", "benchmarks.inodes", name, *map(str, sizes)]
        child = await anyio.run_process(command, cwd=ROOT, stderr=None)
        found = json.loads(child.stdout)
        rows.append(as_row(name, sizes, found))
    return Table("inodes", "memory more than at the start, after so many objects were met", "wall", rows)


def as_row(name: str, sizes: list[int], found: list[int]) -> Row:
    figure = "  ".join(f"{size:,}: {more / (1 << 20):.1f} MiB" for size, more in zip(sizes, found, strict=True))
    grown = found[-1] - found[len(found) // 2 - 1]
    met = grown <= GROWTH_MAX
    return Row(name, figure=figure, bound=f"second half <= {GROWTH_MAX >> 20} MiB", met=met)


if __name__ == "__main__":
    print(json.dumps(anyio.run(curve, sys.argv[1], [int(size) for size in sys.argv[2:]])))
