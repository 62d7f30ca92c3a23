"""Where an object stands: one name below an open directory. Names are never joined into paths."""

from __future__ import annotations

import os
import stat as mode_bits
from functools import lru_cache
from typing import TypeAlias

import attrs

from ....graph import ROOT_GFID, Gfid, Iatt
from ..name_rules import RESERVED_IN_ROOT

Place: TypeAlias = tuple[Gfid, bytes]
"""A name as the volume sees it: the parent's gfid, and one component."""

NOWHERE: Place = (ROOT_GFID, RESERVED_IN_ROOT)
"""Where no object of the volume can stand."""

READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
"""How a directory is opened, even one that was found to be one: a symlink may stand at its name by now."""

READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
"""The same of a file: a fifo may stand there, which nobody will ever write to."""

Where: TypeAlias = bytes | int
"""What a call on extended attributes takes: an open descriptor, or a path by `where`."""


def where(dir_fd: int, name: bytes) -> bytes:
    """A path to one name below an open directory, for calls that know no dir_fd. The last component is not followed."""
    return b"/proc/self/fd/%d/%s" % (dir_fd, name)


@lru_cache(maxsize=1024)
def itself(fd: int) -> bytes:
    """A path to an open directory: unlike `.` below it, it asks for no right to search it."""
    return b"/proc/self/fd/%d/" % fd


@attrs.define(eq=False)
class Found:
    """An object of the brick, and a place where system calls reach it: `name` below the open directory `dir_fd`.

    A directory found by gfid is open, and `name` is the path `itself`; of others it is the handle, or a name.
    `gfid` is null where the object was put into the brick from outside and has none yet. `hidden` is 1 where its handle
    is a hard link, which nobody counts. `readable`: `dir_fd` is the object itself, open for reading.
    """

    gfid: Gfid
    dir_fd: int
    name: bytes
    st: os.stat_result
    hidden: int = 0
    readable: bool = False

    @property
    def where(self) -> Where:
        if self.readable:
            return self.dir_fd
        return self.name if self.name.startswith(b"/") else where(self.dir_fd, self.name)

    @property
    def iatt(self) -> Iatt:
        return Iatt(self.gfid, self.st, self.hidden)

    @property
    def is_dir(self) -> bool:
        return mode_bits.S_ISDIR(self.st.st_mode)

    @property
    def is_file(self) -> bool:
        return mode_bits.S_ISREG(self.st.st_mode)

    @property
    def is_symlink(self) -> bool:
        return mode_bits.S_ISLNK(self.st.st_mode)

    @property
    def names_left(self) -> int:
        """How many names it has that callers can see."""
        return self.st.st_nlink - self.hidden
