"""What people see: with rich, where it is installed and somebody watches; plain text otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from ..graph.render import ASCII, Strokes


def watched() -> bool:
    """A terminal, and rich to draw on it."""
    return sys.stdout.isatty() and find_spec("rich") is not None


def strokes() -> Strokes:
    return Strokes() if (sys.stdout.encoding or "").lower().startswith("utf") else ASCII


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if watched():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(*headers, box=box.SIMPLE_HEAD, header_style="bold")
        for row in rows:
            drawn.add_row(*(Text(cell) for cell in row))
        Console().print(drawn)
        return
    widths = [max(len(line[column]) for line in (headers, *rows)) for column in range(len(headers) - 1)]
    for line in (headers, *rows):
        print(*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1], sep="  ")


@contextmanager
def progress(title: str) -> Iterator[Callable[[bytes, int], None]]:
    """Takes each path with its size as it is done; shows how far a long copy is when a person is watching."""
    if not watched():
        yield lambda path, size: None
        return
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, transient=True) as shown:
        task = shown.add_task(title, total=None)
        files = 0

        def step(path: bytes, size: int) -> None:
            nonlocal files
            files += 1
            shown.update(task, advance=size, description=f"{title}: {files} names")

        yield step
