"""Healing as an ordinary user: modes such as 0444 bind the owner of a file too, but a copy must still be mended.

For the system's own calls (those with a pid below zero) that the kernel refuses, the owner's bits are added to the
mode for the length of the fop. What is lent is written down first, so that a crash in between is mended at the start.
"""

from __future__ import annotations

import os
import stat as mode_bits
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, TypeVar, cast

from ....graph import NULL_GFID, Call, Fd, Gfid, Loc
from .brick import Brick
from .places import Found

F = TypeVar("F", bound=Callable[..., Any])


def insisting(fop: F) -> F:
    """A fop that acts when called: one of our own that is refused is done again with the owner's bits lent."""

    @wraps(fop)
    def insist(self: Any, call: Call, *args: Any, **kwargs: Any) -> Any:
        try:
            return fop(self, call, *args, **kwargs)
        except PermissionError:
            brick: Brick = self.brick
            if call.pid >= 0 or brick.privileged:
                raise
        with granted(brick, _objects(args)):
            return fop(self, call, *args, **kwargs)

    return cast(F, insist)


def _objects(args: tuple[Any, ...]) -> list[Gfid]:
    """What a fop's arguments name: objects, and the directories that hold them."""
    named: list[Gfid] = []
    for argument in args:
        if isinstance(argument, Loc):
            named += [argument.parent, argument.gfid]
        elif isinstance(argument, Fd | Found):
            named.append(argument.gfid)
    return [gfid for gfid in dict.fromkeys(named) if gfid != NULL_GFID]


@contextmanager
def granted(brick: Brick, gfids: list[Gfid]) -> Iterator[None]:
    """Within, the owner may do anything to these objects, as far as they are the brick user's own."""
    lent: list[Gfid] = []
    try:
        for gfid in gfids:
            if _lend(brick, gfid):
                lent.append(gfid)
        yield
    finally:
        for gfid in lent:
            take_back(brick, gfid)


def _lend(brick: Brick, gfid: Gfid) -> bool:
    found = brick.find(gfid)
    mode = mode_bits.S_IMODE(found.st.st_mode)
    wider = mode | (0o700 if found.is_dir else 0o600)
    if wider == mode or found.is_symlink or found.st.st_uid != os.geteuid():
        return False
    brick.metadata.lend(gfid, mode, wider)
    brick.chmod(found.dir_fd, found.name, wider)
    return True


def take_back(brick: Brick, gfid: Gfid) -> None:
    """Set the mode that was, unless the object is gone or its mode was changed meanwhile."""
    mode, wider = brick.metadata.lent()[gfid]
    with suppress(OSError):
        found = brick.find(gfid)
        if mode_bits.S_IMODE(found.st.st_mode) == wider:
            brick.chmod(found.dir_fd, found.name, mode)
    brick.metadata.taken_back(gfid)
