"""`python -m benchmarks [--quick] [--only TABLE] [--json FILE]`: measure, and print one table for each subject."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import anyio

from benchmarks import afr, afr_shapes, bricks, copies, graph, inodes, names, specs, wire
from benchmarks.measure import FULL, QUICK, Scale
from benchmarks.tables import Table, as_json, as_text

LOCAL: dict[str, Callable[[Scale], Awaitable[Table]]] = {
    "pass-through": graph.pass_through,
    "storage/memory": graph.memory,
    "storage/posix": bricks.posix,
    "io-mode": bricks.io_modes,
    "names": names.names,
    "copies": copies.copies,
    "inodes": inodes.inodes,
    "cluster/afr": afr.beside_bare_calls,
    "afr beside GlusterFS": afr.beside_glusterfs,
    "afr shapes": afr_shapes.shapes,
    "specs": specs.specs,
}
WIRE = "wire"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    scale = QUICK if options.quick else FULL
    print(
        f"{platform.node()}: Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print("best and median turn, and the best by the other clock; ratio: best to best, and the median of the pairs\n")
    began = time.monotonic()
    tables = []
    for table in _tables(scale, options.only or [*LOCAL, WIRE]):
        tables.append(table)
        print(as_text(table), flush=True)
    missed = [f"{table.name}: {row.name}" for table in tables for row in table.rows if row.met is False]
    print(
        f"{time.monotonic() - began:.0f} s; " + ("every bound is met" if not missed else "missed: " + "; ".join(missed))
    )
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(tables), indent=1) + "\n")
    return 0


def _tables(scale: Scale, wanted: Sequence[str]) -> Iterator[Table]:
    for name in wanted:
        if name == WIRE:
            yield from wire.wire(scale)
        else:
            yield anyio.run(LOCAL[name], scale)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few calls each: the figures mean nothing")
    parser.add_argument("--only", action="append", choices=[*LOCAL, WIRE], help="this table alone; may be given again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every turn of every row to FILE too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
