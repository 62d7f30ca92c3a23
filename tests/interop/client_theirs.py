"""The real client, by libgfapi, as a session tells it what to do."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.interop.gfapi import Gfapi
from tests.interop.sessions import Verbs

ALIKE = ("truncate", "chmod", "chown", "removexattr", "mkdir", "rmdir", "unlink", "rename", "link", "symlink", "mknod")
"""The verbs that a session says in the words of libgfapi."""


@contextmanager
def connected(volfile: Path, log: Path, bricks: Sequence[str]) -> Iterator[Verbs]:
    client = Gfapi(volfile, log)
    files: dict[int, int] = {}

    def up() -> list[int]:
        place = client.getxattr("/", "trusted.glusterfs.pathinfo").decode()
        return [number for number, name in enumerate(bricks) if f"<POSIX({name})" in place]

    def create(path: str, number: int) -> None:
        files[number] = client.creat(path, os.O_RDWR | os.O_EXCL)

    def open_file(path: str, number: int) -> None:
        files[number] = client.open(path, os.O_RDWR)

    def write(number: int, text: str, offset: int) -> None:
        assert client.pwrite(files[number], text.encode(), offset) == len(text)

    def setxattr(path: str, name: str, text: str) -> None:
        client.setxattr(path, name, text.encode())

    yield {
        "up": up,
        "create": create,
        "open": open_file,
        "write": write,
        "ftruncate": lambda number, size: client.ftruncate(files[number], size),
        "fallocate": lambda number, offset, size: client.fallocate(files[number], offset, size),
        "fsync": lambda number: client.fsync(files[number]),
        "close": lambda number: client.close(files.pop(number)),
        "setxattr": setxattr,
        **{verb: getattr(client, verb) for verb in ALIKE},
    }
