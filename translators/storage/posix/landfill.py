"""Taking away a whole directory tree: it leaves its place in one step, then its contents are removed one by one."""

from __future__ import annotations

import errno
import os

from ....graph import NULL_GFID, Gfid
from .brick import LANDFILL, Brick
from .doubt import attempted, is_at, is_gone
from .places import Found, where


def throw_away(brick: Brick, found: Found) -> None:
    """Remove a directory with everything in it, from the callers' view at once."""
    grave = LANDFILL + b"/" + _grave(found)
    failed = _moved(brick, found, brick.fd, grave)
    brick.bury(found)
    purge(brick)
    if failed is not None:
        raise failed


def _moved(brick: Brick, found: Found, dir_fd: int, grave: bytes) -> OSError | None:
    disk = brick.disk
    return attempted(
        lambda: disk.rename(found.name, grave, src_dir_fd=found.dir_fd, dst_dir_fd=dir_fd),
        lambda: is_at(disk, dir_fd, grave, found.st),
    )


def purge(brick: Brick) -> None:
    """Empty the landfill. Directories inside directories are moved up to it first: no recursion, however deep."""
    landfill = brick.disk.open(LANDFILL, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=brick.fd)
    try:
        while names := brick.disk.listdir(landfill):
            brick.disk.fsync(landfill)  # a power loss must not bring a tree back of which parts are gone
            for name in names:
                _purge_one(brick, landfill, os.fsencode(name))
    finally:
        brick.disk.close(landfill)


def _grave(found: Found) -> bytes:
    """The name of a directory in the landfill: its gfid, where it has one."""
    return (found.gfid.text if found.gfid != NULL_GFID else f"{found.st.st_ino}").encode()


def _purge_one(brick: Brick, landfill: int, name: bytes) -> None:
    try:
        fd = brick.disk.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=landfill)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        brick.disk.unlink(name, dir_fd=landfill)
        return
    try:
        parent = Gfid.from_text(name.decode()) if len(name) == 36 else NULL_GFID
        for entry in brick.disk.listdir(fd):
            _purge_entry(brick, landfill, parent, fd, os.fsencode(entry))
    finally:
        brick.disk.close(fd)
    brick.disk.rmdir(name, dir_fd=landfill)


def _purge_entry(brick: Brick, landfill: int, parent: Gfid, fd: int, name: bytes) -> None:
    """Remove one name from a directory in the landfill, and the object's handle only if it is the object's own."""
    st = brick.disk.stat(name, dir_fd=fd, follow_symlinks=False)
    claim = brick.metadata.claim(where(fd, name), st, (parent, name))
    found = Found(NULL_GFID if claim is None else claim[0], fd, name, st)
    if found.is_dir:
        if brick.handles.place(found.gfid) != (parent, name):
            found.gfid = NULL_GFID
        failed = _moved(brick, found, landfill, _grave(found))
        brick.bury(found)
        if failed is not None:
            raise failed
        return
    handle = brick.handles.stat(found.gfid)
    if handle is not None and handle.st_ino == st.st_ino:
        found.hidden = 1
    elif handle is not None:
        found.gfid = NULL_GFID
    failed = attempted(lambda: brick.disk.unlink(name, dir_fd=fd), lambda: is_gone(brick.disk, fd, name))
    if found.names_left == 1:
        brick.bury(found)
    if failed is not None:
        raise failed
