"""After an end that was not clean: what a crash may have left in a brick is looked for, handle by handle.

A process that is killed leaves at most one handle that has no name (of the object that it was making, or removing). A
machine that goes down may besides have kept the one and lost the other of things that belong together. All that a name
leads to is mended when it is looked up; the sweep is for what no name leads to any more, and for the heal index:

- a handle without an object, or of an object without a name, is removed, and what the sidecar knows of it;
- an object that the sidecar does not know gets back the gfid that its handle says;
- an object that bears marks, and is not in the heal index, is put there.

It goes on while the brick is at work, a few handles at a time. Where the brick ends before it, the next start goes on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ....graph import ROOT_GFID, Gfid
from ..heal_index import INDEXES
from .brick import Brick
from .handles import DEPTH_MAX, handle_name, is_symlink_alone
from .places import itself, where

SLICE = 64
"""How many handles are looked at in one go."""


def sweep(brick: Brick) -> Iterator[None]:
    """Yields between slices, so that whoever runs it can let others work meanwhile."""
    for outer in _folders(brick, b"."):
        for inner in _folders(brick, outer):
            with _listed(brick, outer + b"/" + inner) as names:
                for number, name in enumerate(names):
                    gfid = _gfid(name)
                    if gfid is not None:
                        with suppress(PermissionError):  # an ordinary user may not look: it stays as it is
                            _check(brick, gfid)
                    if number % SLICE == SLICE - 1:
                        yield
            yield
    last = Gfid()
    while known := brick.metadata.gfids(last, SLICE):
        for gfid in known:
            with suppress(PermissionError):
                _check_row(brick, gfid)
        last = known[-1]
        yield
    brick.owner.swept = True


def _folders(brick: Brick, above: bytes) -> list[bytes]:
    with _listed(brick, above) as names:
        return sorted(name for name in names if len(name) == 2 and name.strip(b"0123456789abcdef") == b"")


@contextmanager
def _listed(brick: Brick, folder: bytes) -> Iterator[Iterator[bytes]]:
    """The names in a folder of the brick's own, as they are read."""
    fd = brick.disk.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=brick.fd)
    try:
        with brick.disk.scandir(fd) as entries:
            yield (os.fsencode(entry.name) for entry in entries)
    finally:
        brick.disk.close(fd)


def _gfid(name: bytes) -> Gfid | None:
    try:
        gfid = Gfid.from_text(name.decode())
    except ValueError:
        return None
    return None if gfid == ROOT_GFID else gfid


def _check(brick: Brick, gfid: Gfid) -> None:
    st = brick.handles.stat(gfid)
    if st is None or gfid in brick.opens:
        return
    if st.st_nlink > 1:
        at = where(brick.fd, handle_name(gfid))
        brick.metadata.restore(gfid, at, st)
        brick.marks.relist(gfid, at)
    elif is_symlink_alone(st) and _directory_is_there(brick, gfid):
        brick.marks.relist(gfid, itself(brick.directory(gfid)))
    else:  # where the sidecar knows better it is made again, and the object listed again
        brick.index.drop(INDEXES, gfid)
        brick.directories.drop(gfid)
        brick.handles.remove(gfid)


def _directory_is_there(brick: Brick, gfid: Gfid) -> bool:
    """Whether its handle leads to a directory. Those above it, and it, get back a gfid that the sidecar has lost."""
    way = [gfid]
    while brick.directories.known(way[-1]) is None:
        place = brick.handles.place(way[-1])
        if place is None or len(way) == DEPTH_MAX:
            return False
        way.append(place[0])
    try:
        for below in reversed(way[:-1]):
            _recognise(brick, below)
    except OSError as error:
        if error.errno not in (errno.ESTALE, errno.ENOTDIR, errno.EXDEV, errno.ENOENT, errno.ELOOP):
            raise
        return False
    return True


def _recognise(brick: Brick, gfid: Gfid) -> None:
    """Find a directory by its handle; one that the sidecar has lost is told its gfid. ESTALE."""
    try:
        brick.directory(gfid)
    except OSError as error:
        place = brick.handles.place(gfid)
        if error.errno != errno.ESTALE or place is None:
            raise
        parent_fd, name = brick.directory(place[0]), place[1]
        st = brick.disk.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        brick.metadata.restore(gfid, where(parent_fd, name), st, place)
        brick.directory(gfid)


def _check_row(brick: Brick, gfid: Gfid) -> None:
    """What the sidecar says of an object that is not there any more is forgotten."""
    if gfid == ROOT_GFID or gfid in brick.opens or gfid in brick.unlinked:
        return
    try:
        brick.find(gfid)
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        brick.disown(gfid)
