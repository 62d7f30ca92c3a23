"""Is the disk of a brick well? It is asked now and then, on a thread of its own; if it is not, the brick goes down."""

from __future__ import annotations

import errno
import math
import os
from typing import Protocol

import anyio
import attrs

from ....graph import Coming, fail
from ....graph.disk import Disk
from ....graph.seams import Clock
from .worker import Worker

FILE_NAME = b"health_check"
RETRY_SECONDS = 5.0
"""How often a brick that is down is looked at again, where the option does not say: sooner."""

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


def text_of(error: OSError) -> str:
    """For people, as the reason of a node that is down."""
    return f"{error.filename}: {error.strerror}"


def examine(disk: Disk, glusterfs_fd: int, text: bytes) -> os.statvfs_result:
    """Write `text` into a brick, read it back, and answer the space there is; closes the descriptor. A full disk is
    well. EIO something else is read; or what the disk says."""
    try:
        file = disk.open(FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=glusterfs_fd)
        try:
            disk.pwrite(file, text, 0)
            disk.fdatasync(file)
            if disk.pread(file, len(text), 0) != text:
                raise fail(errno.EIO, "what was written is not what is read")
        except OSError as error:
            if error.errno not in _FULL:
                raise
        finally:
            disk.close(file)
        return disk.fstatvfs(glusterfs_fd)
    finally:
        disk.close(glusterfs_fd)


def look_at(disk: Disk, glusterfs_fd: int) -> os.statvfs_result:
    """As `examine`, of a brick that cannot be written."""
    try:
        disk.fstat(glusterfs_fd)
        return disk.fstatvfs(glusterfs_fd)
    finally:
        disk.close(glusterfs_fd)


class Patient(Protocol):
    """What is watched: a brick."""

    @property
    def absent(self) -> str:
        """Why it is down, "" while it is up."""
        ...

    async def examined(self) -> None:
        """Return when it has passed a check. OSError."""
        ...

    def well(self) -> None:
        """It has passed: if it is down it comes up."""
        ...

    def go_down(self, reason: str) -> None: ...


@attrs.define(eq=False)
class Watch:
    """Examines a brick every `interval` seconds (0: only one that is down), and takes it down when it fails or takes
    longer than `timeout` (0: any). `work` is where its fops run: as long as one hangs there it does not come up."""

    brick: Patient
    clock: Clock
    work: Worker
    checks: Worker
    interval: float
    timeout: float
    _disturbed: Coming[None] = attrs.field(init=False, factory=Coming)

    def disturb(self) -> None:
        """The brick has gone down: do not wait until the next check is due."""
        self._disturbed.resolve(None)

    async def run(self) -> None:
        """Without an end."""
        while True:
            with anyio.move_on_after(self._pause):
                await self._disturbed
            self._disturbed = Coming()
            failure = await self._failure()
            if failure:
                self.brick.go_down(failure)
                self._disturbed = Coming()

    @property
    def _pause(self) -> float:
        """Seconds until the next check."""
        if not self.brick.absent:
            return self.interval or math.inf
        return min(self.interval or RETRY_SECONDS, RETRY_SECONDS)

    async def _failure(self) -> str:
        """Why the brick cannot be up; "" if it can, and is."""
        await self.checks.idle()
        if self.brick.absent:
            await self.work.idle()
        try:
            with anyio.move_on_after(self.timeout or math.inf) as limit:
                await self.brick.examined()
        except OSError as error:
            return text_of(error)
        if limit.cancelled_caught:
            return f"the health check takes longer than {self.timeout:g} s (health-check-timeout)"
        if not self.brick.absent or not self.work.busy:
            self.brick.well()
        return ""
