"""A volume of ours, as a session tells it what to do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import volgraph
from tests.interop.sessions import Verbs
from volgraph.translators import Afr

ALIKE = ("truncate", "chmod", "chown", "removexattr", "mkdir", "rmdir", "unlink", "rename", "link", "symlink", "mknod")
"""The verbs that a session says in the words of a volume."""


@contextmanager
def connected(volfile: Path, log: Path, bricks: Sequence[str]) -> Iterator[Verbs]:
    del log, bricks
    with volgraph.open_sync(volfile) as volume:
        afr = volume.graph.top
        assert isinstance(afr, Afr)
        files: dict[int, Any] = {}

        def create(path: str, number: int) -> None:
            files[number] = volume.open(path, "x+b", 0o644)

        def open_file(path: str, number: int) -> None:
            files[number] = volume.open(path, "r+b")

        def write(number: int, text: str, offset: int) -> None:
            files[number].pwrite(text.encode(), offset)

        def setxattr(path: str, name: str, text: str) -> None:
            volume.setxattr(path, name, text.encode())

        yield {
            "up": lambda: sorted(afr.up),
            "create": create,
            "open": open_file,
            "write": write,
            "ftruncate": lambda number, size: files[number].truncate(size),
            "fallocate": lambda number, offset, size: files[number].allocate(offset, size),
            "fsync": lambda number: files[number].fsync(),
            "close": lambda number: files.pop(number).close(),
            "setxattr": setxattr,
            **{verb: getattr(volume, verb) for verb in ALIKE},
        }
