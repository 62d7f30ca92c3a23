"""Taking away a whole directory tree: it leaves its place in one step, and its contents are removed behind the scene."""

from __future__ import annotations

import errno
import os

from ....graph import NULL_GFID, Gfid
from .brick import LANDFILL, Brick
from .places import Found, where


def throw_away(brick: Brick, found: Found, name: bytes) -> None:
    """Remove a directory with everything in it, from the callers' view at once."""
    grave = LANDFILL + b"/" + name
    brick.disk.rename(found.name, grave, src_dir_fd=found.dir_fd, dst_dir_fd=brick.fd)
    brick.bury(found)
    purge(brick)


def purge(brick: Brick) -> None:
    """Empty the landfill. Directories inside directories are moved up to it first: no recursion, however deep."""
    landfill = brick.disk.open(LANDFILL, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=brick.fd)
    try:
        while names := brick.disk.listdir(landfill):
            for name in names:
                _purge_one(brick, landfill, os.fsencode(name))
    finally:
        brick.disk.close(landfill)


def _purge_one(brick: Brick, landfill: int, name: bytes) -> None:
    try:
        fd = brick.disk.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=landfill)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        brick.disk.unlink(name, dir_fd=landfill)
        return
    try:
        for entry in brick.disk.listdir(fd):
            _purge_entry(brick, landfill, fd, os.fsencode(entry))
    finally:
        brick.disk.close(fd)
    brick.disk.rmdir(name, dir_fd=landfill)


def _purge_entry(brick: Brick, landfill: int, fd: int, name: bytes) -> None:
    st = brick.disk.stat(name, dir_fd=fd, follow_symlinks=False)
    claim = brick.metadata.claim(where(fd, name), st, (NULL_GFID, name))
    found = Found(NULL_GFID if claim is None else claim[0], fd, name, st)
    if found.is_dir:
        grave = (found.gfid.text if found.gfid != NULL_GFID else f"{st.st_ino}").encode()
        brick.disk.rename(name, grave, src_dir_fd=fd, dst_dir_fd=landfill)
        brick.bury(found)
        return
    handle = None if claim is None else brick.handles.stat(found.gfid)
    if handle is not None and handle.st_ino == st.st_ino:
        found.hidden = 1
    elif handle is not None:
        found.gfid = Gfid(NULL_GFID)  # another object's
    brick.disk.unlink(name, dir_fd=fd)
    if found.names_left == 1:
        brick.bury(found)
