"""A large file copied into a volume of one brick and out of it, against a plain copy between the same folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs

import volgraph
from benchmarks.measure import Case, Scale, by_turns
from benchmarks.tables import Row, Table, at_most
from volgraph.translators import Posix

BOUND = 1 / 0.7
"""At least 0.7 of the speed of a plain copy."""
TURNS = 5
PIECE = 1 << 20


async def copies(scale: Scale) -> Table:
    """Neither side waits for the disk. Each copy begins without its goal, in what the page cache holds."""
    with TemporaryDirectory(prefix="volgraph-bench-") as folder:
        source, plain, out, brick = (Path(folder, name) for name in ("source", "plain", "out", "brick"))
        with source.open("wb") as file:
            for _ in range(scale.copied // PIECE):
                file.write(os.urandom(PIECE))
        brick.mkdir()
        async with volgraph.open(Posix("brick", directory=str(brick))) as vol:
            await vol.copy_in(source, "/kept")

            async def copy_in(count: int) -> None:
                await vol.copy_in(source, "/file")

            async def copy_out(count: int) -> None:
                await vol.copy_out("/kept", out)

            async def remove_in() -> None:
                await vol.unlink("/file")

            async def remove_out() -> None:
                out.unlink()

            async def copy_plainly(count: int) -> None:
                shutil.copyfile(source, plain)

            async def remove_plain() -> None:
                plain.unlink()

            cases = [Case(copy_in, remove_in), Case(copy_out, remove_out), Case(copy_plainly, remove_plain)]
            once = attrs.evolve(scale, turns=min(scale.turns, TURNS), calls=1)
            into, out_of, peer = await by_turns(once, cases)
    rows: list[Row] = [
        at_most(BOUND, "cpu", "copied in", into, "plain copy", peer),
        at_most(BOUND, "cpu", "copied out", out_of, "plain copy", peer),
    ]
    about = f"{scale.copied >> 20} MiB through the Volume API, against a plain copy (CPU time)"
    return Table("copies", about, "cpu", rows)
