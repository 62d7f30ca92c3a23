"""storage/posix: what a brick leaves free on its disk, so that there is room for its marks, and for healing it."""

from __future__ import annotations

import errno
import math
from contextlib import suppress

import attrs

from ....graph import Call, fail
from ....graph.disk import Disk
from ....graph.options import OptionType, Share, percent, share
from ....graph.seams import Clock

LOOK_SECONDS = 1.0
"""The file system is asked at most so often."""
CREDIT = 1 << 20
WRITE_COST = 4096
"""The clock costs as much as a small write: it is asked once for so many bytes, each write counting this much more."""


def _read(value: str) -> Share:
    """A bare number up to 100 is percent, as GlusterFS takes it."""
    return Share(percent=percent.read(value)) if value.isdecimal() and int(value) <= 100 else share.read(value)


percent_or_size = OptionType(
    "percent or size", _read, lambda value: value if isinstance(value, Share) else _read(str(value))
)


@attrs.define(eq=False)
class Reserve:
    """Refuses what takes space while less than `wanted` is free, by what this process may use of the disk.

    The system's own calls (those with a pid below zero) may use what is left: healing has to go on.
    """

    disk: Disk
    clock: Clock
    root_fd: int
    wanted: Share
    privileged: bool
    _credit: float = attrs.field(init=False, default=0)
    _next_look: float = attrs.field(init=False, default=-math.inf)
    _full: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        if not self.wanted.of(1 << 62):
            self._credit = math.inf
            return
        with suppress(OSError):  # a disk that cannot say fails the first fop, or the health check
            self._look()

    @property
    def full(self) -> bool:
        """Whether it was so when last looked."""
        return self._full

    def written(self, call: Call, size: int) -> None:
        """A write of so many bytes begins. ENOSPC."""
        self._credit -= size + WRITE_COST
        if self._credit < 0:
            self.check(call)

    def check(self, call: Call) -> None:
        """Anything else that takes space begins. ENOSPC."""
        if self._credit == math.inf:
            return
        self._look()
        self._credit = 0 if self._full else CREDIT
        if self._full and call.pid >= 0:
            raise fail(errno.ENOSPC, f"less than the reserve is free ({self.wanted})")

    def _look(self) -> None:
        now = self.clock.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._full = self._is_full()

    def _is_full(self) -> bool:
        st = self.disk.fstatvfs(self.root_fd)
        free = st.f_bfree if self.privileged else st.f_bavail
        return free * st.f_frsize < self.wanted.of(st.f_blocks * st.f_frsize)
