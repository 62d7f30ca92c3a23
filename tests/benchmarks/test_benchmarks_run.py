"""`python -m benchmarks` prints every table with every row; how fast anything is, is not asked here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.inodes import as_row

ROOT = Path(__file__).parents[2]


def reads_and_writes(size: str) -> list[str]:
    return [f"{size} {fop}{how}" for how in (", no attributes", "", ", its calls") for fop in ("read", "write")]


LOCAL_ROWS = {
    "pass-through": ["10 layers that leave it alone", "10 layers of async def + await"],
    "storage/memory": ["stat", "lookup by name", "open + close", "4 KiB read", "4 KiB write", "create + close"],
    "storage/posix": [
        "stat",
        "open + close",
        *reads_and_writes("4 KiB"),
        "lookup by name",
        *reads_and_writes("128 KiB"),
        "create + close",
    ],
    "io-mode": [
        "stat",
        "lookup by name",
        "4 KiB read",
        "4 KiB write",
        "128 KiB read",
        "128 KiB write",
        "16 stats at once",
        "create + close",
    ],
    "copies": ["copied in", "copied out"],
    "cluster/afr": [
        "4 KiB random write, one writer",
        "4 KiB random write, 16 writers",
        "4 KiB random read",
        "stat",
        "1 MiB in sequence",
        "create + close",
    ],
    "specs": ["50 volumes, YAML", "100 volumes", "200 volumes", "200 volumes, collector off"],
}
CURVES = ["lookup", "stat", "readdirp", "Volume.stat"]
NAMES = [
    f"{what}, {by}" for by in ("fops", "Volume API") for what in ("create + 4 KiB write + close", "rename", "unlink")
]
BESIDE_GLUSTERFS = "afr beside GlusterFS"
MIRRORED = [
    f"{what}, {by}"
    for by in ("fops", "Volume API")
    for what in (
        "4 KiB random write, one writer",
        "4 KiB random write, 16 writers",
        "4 KiB random read",
        "create + 4 KiB write + close",
        "rename",
        "unlink",
        "1 MiB in sequence",
    )
] + [f"{what}, system calls alone" for what in ("create + 4 KiB write + close", "rename", "unlink")]
SHAPES = [
    f"{fop}, {shape}"
    for fop in ("4 KiB eager write", "4 KiB read", "create + close")
    for shape in (
        *(f"{count} children" for count in range(2, 9)),
        *(f"depth {depth}, {2**depth} bricks" for depth in range(1, 5)),
    )
]
WIRE_TABLES = ("protocol/client", "protocol/server")
WIRE_FOPS = ("stat by path (a lookup)", "fstat", "4 KiB read")


def benchmarks(folder: Path, *arguments: str, path: str | None = None) -> tuple[str, dict[str, dict[str, Any]]]:
    """What a quick run prints, and its rows by table and name."""
    figures = folder / "figures.json"
    environment = os.environ if path is None else {**os.environ, "PATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json", figures, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    tables = json.loads(figures.read_text())
    return done.stdout, {table["name"]: {row["name"]: row for row in table["rows"]} for table in tables}


def test_every_local_table_has_every_row_with_a_figure_and_a_peer(tmp_path: Path) -> None:
    only = [argument for table in LOCAL_ROWS for argument in ("--only", table)]
    printed, tables = benchmarks(tmp_path, *only)

    assert {table: list(rows) for table, rows in tables.items()} == LOCAL_ROWS
    for table, rows in tables.items():
        assert f"\n{table}: " in printed
        for name, row in rows.items():
            assert f"  {name} " in printed
            assert row["ours"]["cpu"], name
            assert row["ratio"] > 0, name


def test_a_curve_of_memory_is_told_and_judged(tmp_path: Path) -> None:
    printed, tables = benchmarks(tmp_path, "--only", "inodes")

    assert list(tables["inodes"]) == CURVES
    for name, row in tables["inodes"].items():
        assert [point.partition(":")[0] for point in row["figure"].split("  ")] == ["100", "200"]
        assert f"  {name} " in printed
        assert row["met"] is True, "so few objects take next to nothing"


def test_memory_that_grows_with_every_object_misses_its_bound() -> None:
    sizes = [100, 200, 300, 400]
    assert as_row("bounded", sizes, [5 << 20, 6 << 20, 6 << 20, 7 << 20]).met is True
    assert as_row("growing", sizes, [10 << 20, 20 << 20, 30 << 20, 40 << 20]).met is False


def test_names_are_measured_with_or_without_a_peer(tmp_path: Path) -> None:
    printed, tables = benchmarks(tmp_path, "--only", "names", path=str(tmp_path))

    assert list(tables["names"]) == NAMES
    for row in tables["names"].values():
        assert row["ours"]["wall"]
        assert f"NOT RUN: {row['not_run']}" in printed


def test_two_copies_are_measured_with_or_without_a_peer(tmp_path: Path) -> None:
    printed, tables = benchmarks(tmp_path, "--only", BESIDE_GLUSTERFS, path=str(tmp_path))

    assert list(tables[BESIDE_GLUSTERFS]) == MIRRORED
    for name, row in tables[BESIDE_GLUSTERFS].items():
        assert row["ours"]["cpu"], name
        assert f"NOT RUN: {row['not_run']}" in printed
    bounded = [name for name, row in tables[BESIDE_GLUSTERFS].items() if row["bound"]]
    assert bounded == MIRRORED[:6], "what is measured by fops has a bound, whether or not its peer is there"


def test_more_copies_and_deeper_trees_are_each_a_row_with_a_bar(tmp_path: Path) -> None:
    _, tables = benchmarks(tmp_path, "--only", "afr shapes")

    assert list(tables["afr shapes"]) == SHAPES
    for name, row in tables["afr shapes"].items():
        assert row["ours"]["cpu"], name
        assert set(row["figure"]) == {"#"}, name


def test_a_pass_through_layer_is_told_apart_from_one_that_takes_part(tmp_path: Path) -> None:
    printed, tables = benchmarks(tmp_path, "--only", "pass-through")

    assert tables["pass-through"]["10 layers that leave it alone"]["met"] is True
    assert "the leaf's own method  met" in printed


def test_without_a_real_glusterfs_its_rows_say_why_they_did_not_run(tmp_path: Path) -> None:
    printed, tables = benchmarks(tmp_path, "--only", "wire", path=str(tmp_path))

    assert tuple(tables) == WIRE_TABLES
    for table in WIRE_TABLES:
        assert {name.rpartition(", ")[0] for name in tables[table]} == set(WIRE_FOPS)
        for row in tables[table].values():
            assert row["not_run"]
            assert f"NOT RUN: {row['not_run']}" in printed
    assert all(row["ours"]["wall"] for row in tables["protocol/server"].values())


@pytest.mark.interop
def test_beside_a_real_glusterfs_every_row_has_its_peer(tmp_path: Path) -> None:
    _, tables = benchmarks(tmp_path, "--only", "wire", "--only", "names", "--only", BESIDE_GLUSTERFS)

    for row in (row for table in (*WIRE_TABLES, "names", BESIDE_GLUSTERFS) for row in tables[table].values()):
        if any(program in row["not_run"] for program in ("glusterfsd", "libgfapi")):
            pytest.skip(f"NOT RUN: {row['not_run']}")
        assert row["ratio"] > 0
