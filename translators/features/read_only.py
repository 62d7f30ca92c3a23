"""features/read-only: a volume that can be read and locked, and not changed."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from ...graph import FOPS, Acknowledged, Call, Fd, FopKind, Loc, Translator, fail, option
from ...graph.options import boolean

R = TypeVar("R")
P = ParamSpec("P")

CHANGING_FOPS = frozenset(
    name for name, kind in FOPS.items() if kind in (FopKind.DATA, FopKind.METADATA, FopKind.ENTRY) and name != "fsync"
)
"""Every fop that changes contents, attributes or names: xattrop too. fsync makes lasting what was done before."""

CHANGING_FLAGS = os.O_ACCMODE | os.O_TRUNC | os.O_CREAT


@attrs.define(eq=False)
class ReadOnly(Translator):
    """Refuse every changing fop with EROFS; reads, listings and locks pass.

        volume readable
          type features/read-only
          subvolumes brick
        end-volume

    As on a file system that is mounted read-only, opening for writing and asking for the right to write are refused
    too. A lookup passes whole: a brick still takes the gfid that it is given for a file that has none.
    """

    read_only: bool = option(boolean, default=True, help="off: hand everything on, as stock volfiles write it")

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        if self.read_only and fop.__name__ in CHANGING_FOPS:
            raise self._refusal(fop.__name__)
        answer: Awaitable[R] = getattr(self.child, fop.__name__)(*args, **kwargs)
        return answer

    def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Awaitable[Acknowledged]:
        if self.read_only and flags & CHANGING_FLAGS:
            raise self._refusal("open")
        return self.child.open(call, loc, flags, fd)

    def access(self, call: Call, loc: Loc, mask: int) -> Awaitable[Acknowledged]:
        if self.read_only and mask & os.W_OK:
            raise self._refusal("access")
        return self.child.access(call, loc, mask)

    def _refusal(self, name: str) -> OSError:
        return fail(errno.EROFS, f"{self.name}: {name}")
