"""Names made, moved and removed in a brick: ours, and GlusterFS's storage/posix in process through libgfapi.

On a disk most of the time is the file system's, for the folders that handles stand in, and it varies from minute to
minute: so they work in memory where `trusted.*` attributes can be kept there.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

import volgraph
from benchmarks import gfapi_turn
from benchmarks.measure import Scale, Series
from benchmarks.stacks import BLOCK, Stack, running
from benchmarks.tables import Row, Table, at_most
from tests.interop.gfapi import in_child, require_posix_in_process
from tests.interop.real_gluster import Missing, require_gluster
from tests.interop.volfiles import volume
from volgraph.graph import ROOT_GFID, Loc
from volgraph.graph.disk import Disk
from volgraph.translators import Posix
from volgraph.translators.storage.posix.metadata import trusted_allowed

BOUND = 1.0
TURNS = 6
PEER = "GlusterFS's posix"
ROWS = {"create": "create + 4 KiB write + close", "rename": "rename", "unlink": "unlink"}

MEMORY = "/dev/shm"

Turn = Callable[[int], Awaitable[dict[str, tuple[float, float]]]]
Clocks = tuple[Callable[[], float], Callable[[], float]]
WALL_AND_CPU: Clocks = (time.perf_counter, time.process_time)


@attrs.define
class Contender:
    name: str
    turn: Turn
    found: dict[str, Series] = attrs.field(factory=lambda: defaultdict(Series))

    async def take_turn(self, files: int) -> None:
        for key, figures in (await self.turn(files)).items():
            self.found[key].add(*figures)


async def names(scale: Scale) -> Table:
    """The same by fops, as libgfapi winds them to its storage/posix, and by paths, as a program does."""
    with TemporaryDirectory(prefix="volgraph-bench-", dir=in_memory()) as folder:
        directories = {name: Path(folder, name) for name in ("fops", "paths", "theirs")}
        for directory in directories.values():
            directory.mkdir()
        brick = Posix("brick", directory=str(directories["fops"]))
        other = Posix("brick", directory=str(directories["paths"]))
        async with running(brick) as stack, volgraph.open(other) as vol:
            ours = [Contender("fops", by_fops(stack)), Contender("Volume API", by_paths(vol))]
            peer, missing = None, ""
            try:
                peer = Contender(PEER, by_gfapi(Path(folder), directories["theirs"]))
            except Missing as reason:
                missing = str(reason).removeprefix("NOT RUN: ")
            contenders = [*ours, *([peer] if peer else [])]
            for number in range(min(scale.turns, TURNS)):
                for contender in contenders if number % 2 == 0 else reversed(contenders):
                    await contender.take_turn(scale.fewer(6).calls)
    rows = []
    for contender in ours:
        for key, words in ROWS.items():
            name, found = f"{words}, {contender.name}", contender.found[key]
            bounded = contender is ours[0]
            if peer is None:
                rows.append(Row(name, found, bound=f"<= {BOUND:g} x" if bounded else "", not_run=missing))
            elif bounded:
                rows.append(at_most(BOUND, "cpu", name, found, peer.name, peer.found[key]))
            else:
                rows.append(Row(name, found, peer.name, peer.found[key]))
    about = "names of a brick, against GlusterFS's in process through libgfapi (CPU time of all threads)"
    return Table("names", about, "cpu", rows)


def in_memory() -> str | None:
    """A folder of a file system in memory that bricks can be on; None: the usual temporary one."""
    if not os.access(MEMORY, os.W_OK):
        return None
    with TemporaryDirectory(prefix="volgraph-bench-", dir=MEMORY) as probe:
        return MEMORY if trusted_allowed(Disk(), os.fsencode(probe)) else None


def by_fops(stack: Stack, clocks: Clocks = WALL_AND_CPU) -> Turn:
    top, call = stack.top, stack.call

    async def make(number: int) -> None:
        fd = await stack.create(b"file-%d" % number)
        await top.writev(call, fd, BLOCK, 0)
        await top.flush(call, fd)
        top.release(fd)

    async def rename(number: int) -> None:
        new = Loc(parent=ROOT_GFID, name=b"moved-%d" % number)
        await top.rename(call, Loc(parent=ROOT_GFID, name=b"file-%d" % number), new)

    async def unlink(number: int) -> None:
        await top.unlink(call, Loc(parent=ROOT_GFID, name=b"moved-%d" % number))

    return turn_of(make, rename, unlink, clocks=clocks)


def by_paths(vol: volgraph.Volume) -> Turn:
    async def make(number: int) -> None:
        async with vol.open(f"/file-{number}", "xb") as file:
            await file.write(BLOCK)

    return turn_of(
        make,
        lambda number: vol.rename(f"/file-{number}", f"/moved-{number}"),
        lambda number: vol.unlink(f"/moved-{number}"),
    )


def turn_of(*calls: Callable[[int], Awaitable[object]], clocks: Clocks = WALL_AND_CPU) -> Turn:
    async def turn(files: int) -> dict[str, tuple[float, float]]:
        return {key: await each(call, files, clocks) for key, call in zip(ROWS, calls, strict=True)}

    return turn


async def each(
    call: Callable[[int], Awaitable[object]], count: int, clocks: Clocks = WALL_AND_CPU
) -> tuple[float, float]:
    first, second = (clock() for clock in clocks)
    for number in range(count):
        await call(number)
    return (clocks[0]() - first) / count, (clocks[1]() - second) / count


def by_gfapi(folder: Path, directory: Path) -> Turn:
    """Each turn in a process of its own. Over storage/posix alone libgfapi finds no root: md-cache helps. The names of
    an object in its attributes are optional, and ours does not write them either. Missing."""
    require_posix_in_process()
    require_gluster(folder)
    volfile = folder / "theirs.vol"
    options: dict[str, str | int | Path] = {"directory": directory, "gfid2path": "off", "health-check-interval": 0}
    posix = volume("posix", "storage/posix", options)
    volfile.write_text(posix + volume("md-cache", "performance/md-cache", {}, "posix"))

    async def turn(files: int) -> dict[str, tuple[float, float]]:
        took = in_child(volfile, gfapi_turn.names_turn, files, log=folder / "gfapi.log")
        return {key: (wall, cpu) for key, (wall, cpu) in took.items()}

    return turn
