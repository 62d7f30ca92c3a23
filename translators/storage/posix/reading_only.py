"""A brick that may only be read: its file system is mounted so, or its own user has no right to write in it.

It is opened as it stands: nothing is mended, and whatever would change it is EROFS, as it is for a whole file system.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from typing import Any, NoReturn

from ....graph import fail
from ....graph.disk import Disk

CHANGING_CALLS = (
    *("pwrite", "ftruncate", "truncate", "copy_file_range", "fallocate", "mkdir", "mknod", "rmdir", "unlink", "rename"),
    *("link", "symlink", "chmod", "fchmod", "chown", "fchown", "utime", "setxattr", "removexattr"),
)
"""The calls of a `Disk` that change something; besides them there is only open."""
CHANGING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class ReadOnlyDisk(Disk):
    """A disk with every change of it refused. Its databases are copies in memory: sqlite would have to write to read
    one beside its log."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        calls = {name: getattr(disk, name) for name in dir(Disk) if not name.startswith("_")}
        calls |= dict.fromkeys(CHANGING_CALLS, _refuse)
        self.__dict__.update(calls, open=self._open, database=self._database)

    def _open(self, path: Any, flags: int, *args: Any, **more: Any) -> int:
        if flags & CHANGING_FLAGS:
            _refuse()
        return self._disk.open(path, flags, *args, **more)

    def _database(self, path: str) -> sqlite3.Connection:
        with tempfile.TemporaryDirectory() as folder:
            copy = f"{folder}/copy"
            shutil.copyfile(path, copy)
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}-wal", f"{copy}-wal")
            in_memory = sqlite3.connect(":memory:", isolation_level=None)
            with closing(sqlite3.connect(copy)) as database:
                database.backup(in_memory)
        return in_memory


def _refuse(*_: object, **__: object) -> NoReturn:
    raise fail(errno.EROFS)
