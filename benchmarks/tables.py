"""Rows and tables: figures beside those of the peer, the ratio, and the bound with whether it is met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

import attrs

from benchmarks.measure import Series

HEADINGS = ("", "", "best", "median", "{other}", "peer", "best", "median", "{other}", "ratio", "(pairs)", "bound", "")
TEXT_COLUMNS = (0, 1, 5, 11, 12)


@attrs.frozen
class Row:
    """One figure, in seconds beside the peer's or in words. `bound` is in words, `met` None where there is none;
    `not_run` says why there is no figure."""

    name: str
    ours: Series | None = None
    peer_name: str = ""
    peer: Series | None = None
    bound: str = ""
    met: bool | None = None
    not_run: str = ""
    figure: str = ""


@attrs.frozen
class Table:
    """Rows of one subject. `clock` is the one that ratios and bounds go by: "cpu" or "wall"."""

    name: str
    about: str
    clock: str
    rows: list[Row]

    def ratio(self, row: Row) -> float | None:
        """Best to best."""
        if row.ours is None or row.peer is None:
            return None
        return row.ours.best(self.clock) / row.peer.best(self.clock)

    def paired_ratio(self, row: Row) -> float | None:
        """The median of the ratios of each turn to the peer's turn beside it."""
        if row.ours is None or row.peer is None:
            return None
        pairs = zip(row.ours.times(self.clock), row.peer.times(self.clock), strict=False)
        return statistics.median(ours / peer for ours, peer in pairs)


def at_most(bound: float, clock: str, name: str, ours: Series, peer_name: str, peer: Series) -> Row:
    """A row whose cost may be `bound` times the peer's, by the best turn of each."""
    met = ours.best(clock) <= bound * peer.best(clock)
    return Row(name, ours, peer_name, peer, f"<= {bound:.3g} x", met)


# --- as text ---------------------------------------------------------------------------------------------------------


def as_text(table: Table) -> str:
    other = "wall" if table.clock == "cpu" else "cpu"
    cells = [tuple(heading.format(other=other) for heading in HEADINGS)]
    cells += [_cells(table, row) for row in table.rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    shown = [column for column in range(len(HEADINGS)) if any(line[column] for line in cells[1:])]
    lines = [f"{table.name}: {table.about}", ""]
    for line, row in zip(cells, [None, *table.rows], strict=True):
        if row is not None and row.not_run and row.ours is None and not row.figure:
            lines.append(f"  {row.name.ljust(widths[0])}  NOT RUN: {row.not_run}")
            continue
        padded = (
            line[column].ljust(widths[column]) if column in TEXT_COLUMNS else line[column].rjust(widths[column])
            for column in shown
        )
        lines.append(("  " + "  ".join(padded)).rstrip())
    return "\n".join(lines) + "\n"


def _cells(table: Table, row: Row) -> tuple[str, ...]:
    peer_name = f"NOT RUN: {row.not_run}" if row.not_run else row.peer_name
    ratio, paired = table.ratio(row), table.paired_ratio(row)
    return (
        row.name,
        row.figure,
        *_times(table, row.ours),
        peer_name,
        *_times(table, row.peer),
        "" if ratio is None else f"{ratio:.2f}",
        "" if paired is None else f"({paired:.2f})",
        row.bound,
        {None: "", True: "met", False: "MISSED"}[row.met],
    )


def _times(table: Table, series: Series | None) -> tuple[str, str, str]:
    if series is None:
        return "", "", ""
    other = "wall" if table.clock == "cpu" else "cpu"
    return duration(series.best(table.clock)), duration(series.median(table.clock)), duration(series.best(other))


def duration(seconds: float) -> str:
    """Three digits in the unit that suits: ns, us, ms or s."""
    for factor, unit in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


# --- as JSON ---------------------------------------------------------------------------------------------------------


def as_json(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """All of it, each turn with its seconds per call."""
    return [
        {
            **attrs.asdict(table, filter=lambda field, _: field.name != "rows"),
            "rows": [_row(table, r) for r in table.rows],
        }
        for table in tables
    ]


def _row(table: Table, row: Row) -> dict[str, Any]:
    return {**attrs.asdict(row), "ratio": table.ratio(row), "paired_ratio": table.paired_ratio(row)}
