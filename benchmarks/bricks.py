"""storage/posix against the bare system calls on the same files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import bare, fops
from benchmarks.measure import Case, Scale, by_turns
from benchmarks.stacks import BLOCK, LARGE, Stack, running
from benchmarks.tables import Row, Table, at_most
from volgraph.translators import Posix

BOUND = 6.0
"""How many times a bare call a fop of a brick may take."""
LARGE_BOUND = 2.0
"""The same of 128 KiB, where the copying counts."""

MODES_SHOWN: dict[str, Callable[[Stack], Case]] = {
    "stat": fops.stat,
    "lookup by name": fops.lookup,
    "4 KiB read": fops.read,
    "4 KiB write": fops.write,
    "128 KiB read": partial(fops.read, size=len(LARGE)),
    "128 KiB write": partial(fops.write, block=LARGE),
    "16 stats at once": partial(fops.stats_at_once, number=16),
}

Comparison = tuple[str, Case, Case, str, float | None]
"""(name, the fop, its peer, the peer's name, how many times the peer it may take)"""


async def posix(scale: Scale) -> Table:
    """By default a reply carries attributes, which are system calls too; a caller may say that it wants none."""
    with TemporaryDirectory(prefix="volgraph-bench-") as folder:
        async with running(Posix("brick", directory=folder)) as stack:
            await stack.top.writev(stack.call, stack.fd, LARGE, 0)
            path = os.path.join(folder, os.fsdecode(stack.name))
            with opened(path) as fd:
                small: list[Comparison] = [
                    ("stat", fops.stat(stack), bare.stat(path), "stat", BOUND),
                    ("open + close", fops.open_and_close(stack), bare.open_and_close(path), "open + close", BOUND),
                    *reads_and_writes(stack, fd, "4 KiB", BLOCK, BOUND),
                    ("lookup by name", fops.lookup(stack), bare.stat(path), "stat", None),
                ]
                rows = await compared(scale, small)
                rows += await compared(scale.fewer(2), reads_and_writes(stack, fd, "128 KiB", LARGE, LARGE_BOUND))
            peer = new_files(Path(folder, "bare"))
            rows += await compared(scale.fewer(60), [("create + close", fops.create(stack), *peer, None)])
    return Table("storage/posix", "fops of a brick, against bare system calls (CPU time)", "cpu", rows)


async def io_modes(scale: Scale) -> Table:
    """What a thread of the brick's own costs, by which a disk that hangs stops nobody else."""
    with TemporaryDirectory(prefix="volgraph-bench-") as folder:
        inline_at, worker_at = (str(Path(folder, name)) for name in ("inline", "worker"))
        for directory in (inline_at, worker_at):
            os.mkdir(directory)
        async with (
            running(Posix("inline", directory=inline_at, io_mode="inline")) as inline,
            running(Posix("worker", directory=worker_at, io_mode="worker")) as worker,
        ):
            for stack in (inline, worker):
                await stack.top.writev(stack.call, stack.fd, LARGE, 0)
            comparisons: list[Comparison] = [
                (name, make(worker), make(inline), "inline", None) for name, make in MODES_SHOWN.items()
            ]
            rows = await compared(scale.fewer(10), comparisons)
            rows += await compared(
                scale.fewer(60), [("create + close", fops.create(worker), fops.create(inline), "inline", None)]
            )
    return Table("io-mode", "fops of a brick in io-mode worker, against io-mode inline (wall time)", "wall", rows)


def reads_and_writes(stack: Stack, fd: int, size: str, block: bytes, bound: float) -> list[Comparison]:
    """With attributes and without, against the bare call; and with them, against the same calls."""
    terse = stack.call.with_xdata(None)
    terse.attributes = False
    read, write = fops.read(stack, None, len(block)), fops.write(stack, None, block)
    read_only, write_only = bare.pread(fd, len(block)), bare.pwrite(fd, block=block)
    return [
        (f"{size} read, no attributes", fops.read(stack, terse, len(block)), read_only, "pread", bound),
        (f"{size} write, no attributes", fops.write(stack, terse, block), write_only, "pwrite", bound),
        (f"{size} read", read, read_only, "pread", bound),
        (f"{size} write", write, write_only, "pwrite", bound),
        (f"{size} read, its calls", read, bare.pread_and_stat(fd, len(block)), "pread fstat", None),
        (f"{size} write, its calls", write, bare.pwrite_between_stats(fd, block), "fstat pwrite fstat", None),
    ]


@contextmanager
def opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR)
    try:
        yield fd
    finally:
        os.close(fd)


def new_files(*folders: Path) -> tuple[Case, str]:
    """The peer of a create, in folders of its own, and its name."""
    for folder in folders:
        folder.mkdir()
    return bare.create([str(folder) for folder in folders]), f"{len(folders)} open + close"


async def compared(scale: Scale, comparisons: list[Comparison]) -> list[Row]:
    found = await by_turns(scale, [case for _, fop, peer, _, _ in comparisons for case in (fop, peer)])
    rows = []
    for comparison, ours, theirs in zip(comparisons, found[::2], found[1::2], strict=True):
        name, _, _, peer_name, bound = comparison
        if bound is None:
            rows.append(Row(name, ours, peer_name, theirs))
        else:
            rows.append(at_most(bound, "cpu", name, ours, peer_name, theirs))
    return rows
