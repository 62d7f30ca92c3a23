"""What people see: with rich, where it is installed and somebody watches; plain text otherwise."""

from __future__ import annotations

import codecs
import errno
import io
import os
import string
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import groupby

from ..graph.render import ASCII, Strokes
from ..volspec.errors import printable

_PLAIN = frozenset(string.ascii_letters + string.digits + "%+,-./:@_")
TELLING = (errno.ENOTCONN, errno.EIO, errno.ENOSPC)
"""Where it helps to know which node it was, or what it keeps back; nowhere else."""
_ESCAPES = {7: r"\a", 8: r"\b", 9: r"\t", 10: r"\n", 11: r"\v", 12: r"\f", 13: r"\r"}


def open_streams() -> None:
    """Whatever we were started with: 0, 1 and 2 are never given to a file or a socket of ours, and every file name
    can be printed: one that is no text, or that the stream's encoding lacks, as the bytes it is."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    codecs.register_error("as-bytes", _as_bytes)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="as-bytes")


def _as_bytes(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    try:
        return os.fsencode(text), error.end
    except UnicodeEncodeError:
        return text.encode("ascii", "backslashreplace"), error.end


def name_of(name: str, literal: bool = False) -> str:
    """A name to be printed: on a terminal, which might act on what is in it, as ls of the GNU tools quotes it; as it is
    where a program reads it, or where `literal` asks for it."""
    return quoted(name) if sys.stdout.isatty() and not literal else name


def quoted(name: str) -> str:
    """A name as a shell reads it back: itself, or in quotes, with `$'\\n'` for what is not to be seen."""
    if name and all(char in _PLAIN or (char >= "\x80" and char.isprintable()) for char in name):
        return name
    if "'" in name and name.isprintable() and not set(name) & set('"$\\`!'):
        return f'"{name}"'
    pieces = []
    for visible, run in groupby(name, str.isprintable):
        text = "".join(run)
        if visible:
            pieces.append("'" + text.replace("'", "'\\''") + "'")
        else:
            escaped = "".join(_ESCAPES.get(byte, f"\\{byte:03o}") for byte in os.fsencode(text))
            pieces.append(f"$'{escaped}'")
    return ("" if pieces and pieces[0][0] == "'" else "''") + "".join(pieces)


def describe(error: OSError) -> str:
    """An error in one line: `mirror.vol:/a: No such file or directory`."""
    text = error.strerror or str(error) or type(error).__name__
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    if names:
        text = f"{' -> '.join(names)}: {text}"
    notes: list[str] = getattr(error, "__notes__", [])
    if error.errno not in TELLING:
        notes = [note for note in notes if not note.startswith("from ")]
    text += "".join(f" ({note})" for note in notes)
    return printable(text)


def complain(error: OSError) -> None:
    print(f"volgraph: {describe(error)}", file=sys.stderr)


def human(size: int) -> str:
    """Bytes as people read them: `7.5 GiB`."""
    number, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if number < 1024 or unit == "PiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" or number >= 99.95 else f"{number:.1f} {unit}"


def watched() -> bool:
    """A terminal, and rich to draw on it."""
    return sys.stdout.isatty() and sys.stderr.isatty() and find_spec("rich") is not None


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
def progress(title: str, total: int | None = None) -> Iterator[Callable[[str, int], None]]:
    """Takes each path with the bytes that have come; shows how far a long copy is when a person is watching. `total`
    bytes, where that is known."""
    if not watched():
        yield lambda path, size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(printable(title), total=total)
        names, last = 0, ""

        def step(path: str, size: int) -> None:
            nonlocal names, last
            names, last = names + (path != last), path
            shown.update(task, advance=size, description=printable(f"{title}: {names} name{'' if names == 1 else 's'}"))

        yield step
