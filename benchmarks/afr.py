"""cluster/afr over two local bricks: against bare system calls, and against GlusterFS's cluster/replicate over two
bricks of its own, in process through libgfapi. Where bricks can be in memory, all of them are.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

import volgraph
from benchmarks import bare, fops, gfapi_turn, names
from benchmarks.bricks import Comparison, compared, new_files, opened
from benchmarks.disk_time import TimedDisk
from benchmarks.measure import Case, Scale, timed
from benchmarks.names import Contender, Turn, in_memory
from benchmarks.places import FILE_BYTES, PIECE_BYTES, WRITERS, at_random, in_sequence
from benchmarks.stacks import BLOCK, PIECE, Stack, running
from benchmarks.tables import Row, Table, at_most
from tests.interop.gfapi import in_child, require_posix_in_process
from tests.interop.real_gluster import Missing, require_gluster
from tests.interop.volfiles import Option, volume
from volgraph.graph import Seams
from volgraph.graph.pool import Pool
from volgraph.translators import Afr, Posix

EAGER_BOUND = 10.0
"""How many times two bare `pwrite` a 4 KiB write may take, while the file stays locked for the next one."""
SEQUENCE_BOUND = 1 / 0.8
"""At least 0.8 of the speed of two plain writes."""

TURNS = 12
PEER = "GlusterFS's replicate"
ROWS: dict[str, tuple[str, float | None]] = {
    "write": ("4 KiB random write, one writer", 1 / 3),
    "writes": (f"4 KiB random write, {WRITERS} writers", 1 / 3),
    "read": ("4 KiB random read", 1 / 2),
    "create": ("create + 4 KiB write + close", 1 / 3),
    "rename": ("rename", 1 / 2),
    "unlink": ("unlink", 1 / 2),
    "pieces": ("1 MiB in sequence", None),
}
"""In words, and how much of GlusterFS's time each may take: a third of it is three times its speed."""


async def beside_bare_calls(scale: Scale) -> Table:
    """The file stays locked from one write to the next, so that a write is one round: the eager state."""
    with TemporaryDirectory(prefix="volgraph-bench-", dir=in_memory()) as folder:
        top = mirror(Path(folder))
        near, far = (f"{folder}/{child.name}/file" for child in top.children)
        async with running(top) as stack:
            await fops.fill(stack)
            with opened(near) as first, opened(far) as second:
                both = bare.random_writes(first, second)
                small: list[Comparison] = [
                    ("4 KiB random write, one writer", fops.random_writes(stack), both, "2 pwrite", EAGER_BOUND),
                    (
                        f"4 KiB random write, {WRITERS} writers",
                        fops.random_writes(stack, WRITERS),
                        both,
                        "2 pwrite",
                        EAGER_BOUND,
                    ),
                    ("4 KiB random read", fops.random_reads(stack), bare.random_reads(first), "1 pread", None),
                    ("stat", fops.stat(stack), bare.stat(near), "1 stat", None),
                ]
                rows = await compared(scale.fewer(3), small)
                large = bare.pieces_in_sequence(first, second)
                rows += await compared(
                    scale.fewer(60),
                    [("1 MiB in sequence", fops.pieces_in_sequence(stack), large, "2 pwrite", SEQUENCE_BOUND)],
                )
            peer = new_files(Path(folder, "bare-near"), Path(folder, "bare-far"))
            rows += await compared(scale.fewer(60), [("create + close", fops.create(stack), *peer, None)])
    return Table("cluster/afr", "an afr of two local bricks, against bare system calls (CPU time)", "cpu", rows)


async def beside_glusterfs(scale: Scale) -> Table:
    """By fops, and by paths as a program does. GlusterFS has threads that work beside the caller's, so its CPU time is
    up to half as much again as the wall clock's: the stricter clock decides. Turns are short and many, for a best one
    that nobody disturbed."""
    with TemporaryDirectory(prefix="volgraph-bench-", dir=in_memory()) as folder:
        async with AsyncExitStack() as opened_here:
            stack = await opened_here.enter_async_context(running(mirror(Path(folder, "fops"))))
            vol = await opened_here.enter_async_context(volgraph.open(mirror(Path(folder, "paths"))))
            file = await opened_here.enter_async_context(vol.open("/file", "x+b"))
            await fops.fill(stack)
            for offset in range(0, FILE_BYTES, PIECE_BYTES):
                await file.pwrite(PIECE, offset)
            disk = TimedDisk()
            timed_calls = running(mirror(Path(folder, "calls")), Seams(blocking=Pool(disk=disk)))
            calls = await opened_here.enter_async_context(timed_calls)
            ours = [
                Contender("fops", by_fops(stack)),
                Contender("Volume API", by_paths(vol, file)),
                Contender("system calls alone", names_by_fops(calls, disk)),
            ]
            peer, missing = None, ""
            try:
                peer = Contender(PEER, by_gfapi(Path(folder)))
            except Missing as reason:
                missing = str(reason).removeprefix("NOT RUN: ")
            contenders = [*ours, *([peer] if peer else [])]
            for number in range(min(scale.turns, TURNS)):
                for contender in contenders if number % 2 == 0 else reversed(contenders):
                    await contender.take_turn(scale.fewer(4).calls)
    rows = [
        row_of(contender, key, contender is ours[0], peer, missing)
        for contender in ours
        for key in ROWS
        if key in contender.found
    ]
    about = "two local copies, against GlusterFS's in process through libgfapi (wall time)"
    return Table("afr beside GlusterFS", about, "wall", rows)


def row_of(ours: Contender, key: str, bounded: bool, peer: Contender | None, missing: str) -> Row:
    words, bound = ROWS[key]
    name, found = f"{words}, {ours.name}", ours.found[key]
    if not bounded:
        bound = None
    if peer is None:
        return Row(name, found, bound="" if bound is None else f"<= {bound:.3g} x", not_run=missing)
    if bound is None:
        return Row(name, found, peer.name, peer.found[key])
    return at_most(bound, "wall", name, found, peer.name, peer.found[key])


def mirror(folder: Path) -> Afr:
    """Over two bricks in new folders."""
    for name in ("near", "far"):
        Path(folder, name).mkdir(parents=True)
    return Afr("mirror", [Posix(name, directory=str(folder / name)) for name in ("near", "far")])


# --- one turn of everything ------------------------------------------------------------------------------------------


def shares(calls: int) -> tuple[int, int]:
    """For one turn of so many random calls: how many pieces in sequence, and how many files."""
    return max(calls // 30, 1), max(calls // 15, 1)


def by_fops(stack: Stack) -> Turn:
    cases = {
        "write": fops.random_writes(stack),
        "writes": fops.random_writes(stack, WRITERS),
        "read": fops.random_reads(stack),
        "pieces": fops.pieces_in_sequence(stack),
    }
    return turn_of(cases, names.by_fops(stack))


def names_by_fops(stack: Stack, disk: TimedDisk) -> Turn:
    """What the bricks ask of the system, without anything around it: no replication over such bricks takes less."""
    turn = names.by_fops(stack, (disk.clock, disk.clock))

    async def of_files(calls: int) -> dict[str, tuple[float, float]]:
        return await turn(shares(calls)[1])

    return of_files


def by_paths(vol: volgraph.Volume, file: volgraph.File) -> Turn:
    async def write(places: list[int]) -> None:
        for offset in places:
            await file.pwrite(BLOCK, offset)

    async def write_alone(count: int) -> None:
        await write(at_random(count))

    async def write_at_once(count: int) -> None:
        offsets = at_random(count)
        async with anyio.create_task_group() as group:
            for number in range(WRITERS):
                group.start_soon(write, offsets[number::WRITERS])

    async def read_random(count: int) -> None:
        for offset in at_random(count):
            await file.pread(len(BLOCK), offset)

    async def write_pieces(count: int) -> None:
        for offset in in_sequence(count):
            await file.pwrite(PIECE, offset)

    cases = {
        "write": Case(write_alone),
        "writes": Case(write_at_once),
        "read": Case(read_random),
        "pieces": Case(write_pieces),
    }
    return turn_of(cases, names.by_paths(vol))


WARM_UP_CALLS = 20
"""Not timed, before each turn: the first write after a pause locks the file."""


def turn_of(cases: dict[str, Case], names_turn: Turn) -> Turn:
    async def turn(calls: int) -> dict[str, tuple[float, float]]:
        pieces, files = shares(calls)
        await cases["write"].run(WARM_UP_CALLS)
        found = {key: await timed(case, pieces if key == "pieces" else calls) for key, case in cases.items()}
        return found | await names_turn(files)

    return turn


def by_gfapi(folder: Path) -> Turn:
    """Each turn in a process of its own. Missing."""
    require_posix_in_process()
    require_gluster(folder)
    volfile = folder / "theirs.vol"
    volfile.write_text(replicate_volfile([folder / "theirs" / name for name in ("a", "b")]))

    async def turn(calls: int) -> dict[str, tuple[float, float]]:
        took = in_child(volfile, gfapi_turn.mirror_turn, calls, *shares(calls), log=folder / "gfapi.log")
        return {key: (wall, cpu) for key, (wall, cpu) in took.items()}

    return turn


def replicate_volfile(directories: list[Path]) -> str:
    """A replicate over bricks without protocol between. Each has the least that replicate asks for: locks, an index."""
    text = ""
    for directory in directories:
        name, index = directory.name, directory / ".glusterfs/indices"
        index.mkdir(parents=True)  # it is looked for before the brick makes it
        posix: dict[str, Option] = {"directory": directory, "gfid2path": "off", "health-check-interval": 0}
        watched: dict[str, Option] = {
            "index-base": index,
            "xattrop-dirty-watchlist": "trusted.afr.dirty",
            "xattrop-pending-watchlist": "trusted.afr.",
        }
        text += volume(f"posix-{name}", "storage/posix", posix)
        text += volume(f"locks-{name}", "features/locks", {}, f"posix-{name}")
        text += volume(f"brick-{name}", "features/index", watched, f"locks-{name}")
    bricks = [f"brick-{directory.name}" for directory in directories]
    return text + volume("mirror", "cluster/replicate", {"afr-pending-xattr": ",".join(bricks)}, *bricks)
