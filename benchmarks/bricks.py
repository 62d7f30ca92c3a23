"""storage/posix, and a mirror of two of them, against the bare system calls on the same files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import bare, fops
from benchmarks.measure import Case, Scale, by_turns
from benchmarks.stacks import running
from benchmarks.tables import Row, Table, at_most
from volgraph.translators import Afr, Memory, Posix

BOUND = 6.0
"""How many times a bare call a fop of a brick may take."""

Comparison = tuple[str, Case, Case, str, float | None]
"""(name, the fop, its peer, the peer's name, how many times the peer it may take)"""


async def posix(scale: Scale) -> Table:
    """By default a reply carries attributes, which are system calls too; a caller may say that it wants none."""
    with TemporaryDirectory(prefix="volgraph-bench-") as folder:
        async with running(Posix("brick", directory=folder)) as stack:
            path = os.path.join(folder, os.fsdecode(stack.name))
            terse = stack.call.with_xdata(None)
            terse.attributes = False
            with opened(path) as fd:
                three, three_names = bare.pwrite_between_stats(fd), "fstat pwrite fstat"
                comparisons: list[Comparison] = [
                    ("stat", fops.stat(stack), bare.stat(path), "stat", BOUND),
                    ("open + close", fops.open_and_close(stack), bare.open_and_close(path), "open + close", BOUND),
                    ("4 KiB read", fops.read(stack), bare.pread(fd), "pread", BOUND),
                    ("4 KiB write", fops.write(stack), bare.pwrite(fd), "pwrite", BOUND),
                    ("4 KiB read, no attributes", fops.read(stack, terse), bare.pread(fd), "pread", BOUND),
                    ("4 KiB write, no attributes", fops.write(stack, terse), bare.pwrite(fd), "pwrite", BOUND),
                    ("4 KiB write, its calls", fops.write(stack), three, three_names, None),
                    ("lookup by name", fops.lookup(stack), bare.stat(path), "stat", None),
                ]
                rows = await compared(scale, comparisons)
            peer = new_files(Path(folder, "bare"))
            rows += await compared(scale.fewer(60), [("create + close", fops.create(stack), *peer, None)])
    return Table("storage/posix", "fops of a brick, against bare system calls (CPU time)", "cpu", rows)


async def mirror(scale: Scale) -> Table:
    """Every write in five phases: lock, pre-op, write, post-op, unlock."""
    with TemporaryDirectory(prefix="volgraph-bench-") as folder:
        near, far = (str(Path(folder, name)) for name in ("near", "far"))
        for directory in (near, far):
            os.mkdir(directory)
        local = Afr("mirror", [Posix("near", directory=near), Posix("far", directory=far)])
        async with running(local) as stack, running(Afr("mirror", [Memory("a"), Memory("b")])) as in_memory:
            with opened(f"{near}/file") as first, opened(f"{far}/file") as second:
                both = bare.pwrite(first, second)
                rows = await compared(
                    scale.fewer(10),
                    [
                        ("4 KiB write", fops.write(stack), both, "2 pwrite", None),
                        ("4 KiB read", fops.read(stack), bare.pread(first), "1 pread", None),
                        ("stat", fops.stat(stack), bare.stat(f"{near}/file"), "1 stat", None),
                        ("4 KiB write on storage/memory", fops.write(in_memory), both, "2 pwrite", None),
                    ],
                )
            peer = new_files(Path(folder, "bare-near"), Path(folder, "bare-far"))
            rows += await compared(scale.fewer(60), [("create + close", fops.create(stack), *peer, None)])
    about = "an afr of two local bricks, against bare system calls (CPU time)"
    return Table("cluster/afr", about, "cpu", rows)


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
