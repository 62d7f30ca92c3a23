"""The life of a brick: how it comes up, goes down when its disk is sick, comes back, and ends."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import anyio
import attrs

from ....graph import ChildDown, ChildUp, Done, Event, Fd, ParentUp, State, Translator, fail
from ....graph.disk import Disk
from ....graph.options import Share
from ..name_rules import RESERVED_IN_ROOT
from .brick import Brick
from .health import Watch, examine, look_at, text_of
from .opening import open_brick
from .reserve import Reserve
from .settings import PosixSettings
from .sweeping import sweep
from .worker import Worker

log = logging.getLogger("volgraph.posix")

_GONE = frozenset(
    (
        errno.ENODATA,  # nor is the volume-id: an empty mount point
        errno.ENOENT,
        errno.EIO,
        errno.ENODEV,
        errno.ENXIO,
        errno.EROFS,  # a disk with errors, which the kernel lets nobody write to any more
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EUCLEAN,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EREMOTEIO,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    )
)
"""A directory that is not there, a disk that is sick or full, a file system that may come back: the rest of a cluster
goes on."""


class Away:
    """Stands for a brick that is down, for its disk and its locks: whatever is asked of it is ENOTCONN. So a brick that
    is up need not ask, at each fop, whether it is."""

    def __init__(self, node: PosixLife) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        raise fail(errno.ENOTCONN, f"{self._node.name}: {self._node.absent}")


@attrs.define(eq=False)
class PosixLife(PosixSettings):
    """See `Posix`."""

    suspect: bool = attrs.field(init=False, default=False, repr=False)
    """The machine went down while the brick was in use: what was not fsynced may be lost."""
    space: os.statvfs_result | None = attrs.field(init=False, default=None, repr=False)
    """What the last health check has found."""
    brick: Brick = attrs.field(init=False, repr=False)
    """What fops work on. `Away` as long as there is none, and while one that works inline is down."""
    disk: Disk = attrs.field(init=False, repr=False)
    """`Away` while a brick that works inline is down."""
    _real_disk: Disk = attrs.field(init=False, repr=False)
    _opened: Brick | None = attrs.field(init=False, default=None, repr=False)
    """The brick, up or down, from its opening to its end."""
    _absent: str = attrs.field(init=False, default="not started", repr=False)
    """Why the brick is down; "" while it is up."""
    _on_worker: bool = attrs.field(init=False, default=False, repr=False)
    _worker: Worker = attrs.field(init=False, repr=False)
    _watch: Watch = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.brick = cast(Brick, Away(self))

    # --- what is told ------------------------------------------------------------------------------------------------

    @property
    def absent(self) -> str:
        """Why the brick is down; "" while it is up."""
        return self._absent

    @property
    def health(self) -> str:
        """For people: `up`, with `suspect`, `full` or `read-only` behind commas, or `down: ` and why. Asks the disk
        nothing."""
        if self._absent:
            return f"down: {self._absent}"
        full = self._opened is not None and self._opened.reserve.full
        read_only = self._opened is not None and self._opened.read_only
        return ", ".join(["up"] + ["suspect"] * self.suspect + ["full"] * full + ["read-only"] * bool(read_only))

    # --- coming up ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take the directory. A missing one is a down child below a cluster translator, else FileNotFoundError.
        EBUSY another process has it; EINVAL its metadata are kept otherwise."""
        blocking, clock = self.seams.blocking, self.seams.clock
        self._real_disk = self.disk = blocking.disk
        if self._on_worker:
            self._worker = Worker(blocking.alone(1), clock, self.io_timeout, self._hangs)
            self.tasks.start_daemon(self._worker.watch())
        else:
            self._worker = Worker(blocking.alone(), clock)
        checks = Worker(blocking.alone(1), clock)
        self._watch = Watch(self, clock, self._worker, checks, self.health_check_interval, self.health_check_timeout)
        try:
            await self._done(self._take)
        except OSError as error:
            if error.errno not in _GONE or not self._in_cluster():
                raise
            self._absent = text_of(error)
        else:
            self._come_up()
        self.tasks.start_daemon(self._watch.run())

    async def _done(self, call: Callable[[], None]) -> None:
        """Do something where fops are done: on the thread, or here."""
        if self._on_worker:
            await self._worker.run(call)
        else:
            call()

    def _take(self) -> None:
        """Open the brick. On a worker it may come late: then it is put to use by the health check, or given back."""
        disk = self._real_disk
        try:
            alone = not self._in_cluster()
            brick = open_brick(disk, self.directory, self.metadata, self.volume_id, self.seams.new_gfid, or_read=alone)
        except OSError as error:
            _name(error, self.directory)
            raise
        if brick.read_only:
            log.warning("%s: brick %s is read, and takes no changes: %s", self.name, self.directory, brick.read_only)
        wanted = Share() if brick.read_only else self.reserve
        brick.reserve = Reserve(disk, self.seams.clock, brick.root_fd, wanted, brick.privileged)
        self._opened = brick

    def notify(self, event: Event) -> None:
        if isinstance(event, ParentUp) and self.state is State.UNKNOWN:
            self.rise(ChildDown(self, self._absent) if self._absent else ChildUp(self))

    def _in_cluster(self) -> bool:
        """Whether some node above has other nodes below it too, so that it can go on without this one."""
        above, seen = list(self.parents), set[Translator]()
        while above:
            node = above.pop()
            if len(node.below) > 1:
                return True
            if node not in seen:
                seen.add(node)
                above += node.parents
        return False

    def disconnect(self, client: str) -> None:
        if not self._absent:
            super().disconnect(client)
            return
        for whose in self._lockers.values():  # of those who had a lock when the brick went down
            whose -= {each for each in whose if each[0] == client}

    def _unlock_through(self, fd: Fd) -> None:
        if self._absent:
            self._lockers.pop(fd, None)
        else:
            super()._unlock_through(fd)

    # --- down and up again -------------------------------------------------------------------------------------------

    def go_down(self, reason: str) -> None:
        """From now on every fop is ENOTCONN; so is the answer of those on their way. Locks are forgotten, and the fds
        through which applications had them are good for nothing any more."""
        was_up, self._absent = not self._absent, reason
        if not was_up:
            self.down_reason = reason
            self._worker.give_up(f"{self.name}: {reason}")
            self._watch.disturb()
            return
        away: Any = Away(self)
        self._lockers = self._holders()
        locks, self.locks = self.locks, away
        if not self._on_worker:  # there a fop on its way goes on with what it has
            self.brick = self.disk = away
        if self.state is not State.UNKNOWN:
            self.rise(ChildDown(self, reason))  # first: nobody who is answered now may take the brick for up
        self._worker.give_up(f"{self.name}: {reason}")
        locks.close()
        self._watch.disturb()

    def _hangs(self) -> None:
        self.go_down(f"{self.directory}: a system call takes longer than {self.io_timeout:g} s (io-timeout)")

    def _come_up(self) -> None:
        brick = self._opened
        assert brick is not None
        self.brick, self.disk, self._absent = brick, brick.disk, ""
        self.suspect = brick.owner.suspect
        if isinstance(self.locks, Away):
            self._forget_locks()
        if not brick.owner.swept:
            self.tasks.start_daemon(self._sweep(brick))
        if self.state is not State.UNKNOWN:
            self.rise(ChildUp(self))

    async def _sweep(self, brick: Brick) -> None:
        """Look for what a crash has left, beside the fops. After an error, or where the brick goes down meanwhile, it
        is done again when the brick next comes up."""
        slices = sweep(brick)
        with suppress(OSError):
            while self._opened is brick and not self._absent and not brick.owner.swept:
                if self._on_worker:
                    await self._worker.run(next, slices, None)
                else:
                    next(slices, None)
                await self.seams.clock.sleep(0)

    async def examined(self) -> None:
        """Write to the brick and read it back; one that could not be opened yet is opened. OSError."""
        if self._opened is None:
            await self._done(self._take_again)
        assert self._opened is not None
        text = f"{self.seams.clock.time_ns():020d} {os.getpid():010d}".encode()
        descriptor = self._real_disk.dup(self._opened.fd)  # of its own: stop may close the brick meanwhile
        try:
            checks = self._watch.checks
            if self._opened.read_only:
                self.space = await checks.run_anyway(look_at, self._real_disk, descriptor)
            else:
                self.space = await checks.run_anyway(examine, self._real_disk, descriptor, text)
        except OSError as error:
            _name(error, self.directory)
            if self._absent and not self._worker.busy:
                with suppress(OSError):
                    await self._done(self._leave_if_replaced)
            raise

    def _leave_if_replaced(self) -> None:
        """Something else is mounted at the directory now: a brick that fails is given up for it. What was open in it
        is EBADF from then on."""
        brick, disk = self._opened, self._real_disk
        there = disk.stat(self.directory)
        try:
            here = None if brick is None else disk.fstat(brick.root_fd)
        except OSError:
            here = None  # a mount that is dead
        if here is None or (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            with suppress(OSError):
                self._give_back(False)

    def _take_again(self) -> None:
        """One that is a brick already: a new one in the place of a disk that is not there would be a surprise."""
        self._real_disk.stat(os.path.join(self.directory, os.fsdecode(RESERVED_IN_ROOT)))
        self._take()

    def well(self) -> None:
        """A health check has passed."""
        if self._absent:
            self._come_up()

    # --- the end -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Give the brick back; one that hangs gets it back by itself, when it no longer does."""
        was_up, self._absent = not self._absent, "stopped"
        if was_up:
            self.locks.close()
        try:
            if not self._on_worker:
                written = False
                try:
                    written = was_up and await self._written_back()
                finally:
                    self._give_back(written)
            else:
                given = self._worker.run_anyway(self._give_back, was_up)
                with anyio.move_on_after(self.io_timeout if was_up else 0):
                    await given
        finally:
            self._worker.close()
            self._watch.checks.close()

    async def _written_back(self) -> bool:
        """Bring what was written to the disk, on a thread, as it may take long, and wait for what else is on threads.
        False: it cannot, or too long."""
        brick = self._opened
        assert brick is not None
        with suppress(OSError):
            answer = self._worker.run_anyway(brick.disk.syncfs, brick.fd)
            if isinstance(answer, Done):  # a seam without threads
                return True
            with anyio.move_on_after(self.io_timeout):
                await answer
                await self._worker.idle()
                return True
        return False

    def _give_back(self, clean: bool) -> None:
        brick, self._opened, self.brick = self._opened, None, cast(Brick, Away(self))
        if brick is None:
            return
        self._close_all(brick)
        if not clean:
            brick.owner.abandon()
        brick.close()

    def _close_all(self, brick: Brick) -> None:
        """Close what is open in it."""


def _name(error: OSError, directory: str) -> None:
    """Make an error tell which brick it is about: a name in it, or the number of a descriptor, says nothing alone."""
    subject = error.filename
    if directory not in str(error):
        about = os.fsdecode(subject) if isinstance(subject, bytes | str) else error.strerror
        error.filename = f"brick {directory}: {about}"
