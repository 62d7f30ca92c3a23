"""`python -m benchmarks` prints every table with every row; how fast anything is, is not asked here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

LOCAL_ROWS = {
    "pass-through": ["10 layers that leave it alone", "10 layers of async def + await"],
    "storage/memory": ["stat", "lookup by name", "open + close", "4 KiB read", "4 KiB write", "create + close"],
    "storage/posix": [
        "stat",
        "open + close",
        "4 KiB read",
        "4 KiB write",
        "4 KiB read, no attributes",
        "4 KiB write, no attributes",
        "4 KiB write, its calls",
        "lookup by name",
        "create + close",
    ],
    "cluster/afr": ["4 KiB write", "4 KiB read", "stat", "4 KiB write on storage/memory", "create + close"],
    "specs": ["50 volumes, YAML", "100 volumes", "200 volumes", "200 volumes, collector off"],
}
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
    _, tables = benchmarks(tmp_path, "--only", "wire")

    for row in (row for table in WIRE_TABLES for row in tables[table].values()):
        if "glusterfsd" in row["not_run"] or "libgfapi" in row["not_run"]:
            pytest.skip(f"NOT RUN: {row['not_run']}")
        assert row["ratio"] > 0
