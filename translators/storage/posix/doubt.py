"""A disk that does what it is asked, and says that it failed: the answer was lost, or what came after it failed.

So it can be with EIO, and on NFS with ENOENT and EEXIST, where a request was sent twice. Whoever takes the call for not
done takes back what belongs to it, and leaves half an object. So it is looked at, and what was done is carried through;
the caller is told the error all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ....graph.disk import Disk


def attempted(call: Callable[[], object], happened: Callable[[], bool]) -> OSError | None:
    """Make a call. The error of one that failed, and has happened: to be raised when all that belongs to it is done.
    That of one that has not happened is raised here."""
    try:
        call()
    except OSError as error:
        if not happened():
            raise
        return error
    return None


def is_at(disk: Disk, dir_fd: int, name: bytes, st: os.stat_result) -> bool:
    """Whether an object stands at a name now."""
    try:
        there = disk.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (st.st_dev, st.st_ino)


def is_gone(disk: Disk, dir_fd: int, name: bytes) -> bool:
    """Whether nothing stands at a name any more."""
    try:
        disk.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
