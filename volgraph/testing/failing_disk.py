"""Sick disks: one that fails a call of your choice, and one that hangs until told to go on.

Both stand in for the disk of the blocking seam: `seams.blocking.disk = FailingDisk()`.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..graph.disk import Disk

R = TypeVar("R")

MADE_OF_OTHERS = frozenset(("mounts", "boot_id"))
"""Calls of a `Disk` that consist of other calls."""
OPENING = frozenset(("open", "dup"))
"""Calls that give a descriptor."""
MAY_BE_SHORT = frozenset(("pread", "preadv", "pwrite", "copy_file_range"))
SHORT = 0
"""In the place of an errno: half of what was asked for is done, and told."""


class SickDisk(Disk):
    """A disk whose every call passes `called` first."""

    def called(self, name: str, call: Callable[..., R], args: tuple[Any, ...], more: dict[str, Any]) -> R:
        return call(*args, **more)

    def __getattribute__(self, name: str) -> Any:
        found = object.__getattribute__(self, name)
        if name.startswith("_") or name in MADE_OF_OTHERS or not hasattr(Disk, name):
            return found
        return lambda *args, **more: self.called(name, found, args, more)


class FailingDisk(SickDisk):
    """Fails one call; counts descriptors, so that one that is never closed is found.

    disk.arm(7, errno.EIO)      # of the calls from now on, number 7 (the first is 0) fails
    ...
    assert disk.failed == "rename" and disk.open_now == before

    disk.arm(7, errno.EIO, done=True)   # it takes effect, and fails all the same: as where the answer was lost
    """

    def __init__(self) -> None:
        self._left = -1
        self._code = 0
        self._done = False
        self.failed = ""
        """The name of the call that was failed, "" as long as none was."""
        self.open_now: set[int] = set()
        """The descriptors that were opened and not closed through this disk."""

    def arm(self, number: int, code: int, done: bool = False) -> None:
        """Fail the call with this number from now on with an errno; `SHORT`: make it come short, and count only calls
        that can. `done`: it takes effect before it fails."""
        self._left, self._code, self._done, self.failed = number, code, done, ""

    def disarm(self) -> None:
        self._left = -1

    def called(self, name: str, call: Callable[..., R], args: tuple[Any, ...], more: dict[str, Any]) -> R:
        if self._left < 0 or (self._code == SHORT and not _can_be_short(name, args)):
            return self._made(name, call(*args, **more), args)
        self._left -= 1
        if self._left >= 0:
            return self._made(name, call(*args, **more), args)
        self.failed = name
        if self._code == SHORT:
            return call(*_halved(name, args), **more)
        if name == "close":
            self._made(name, call(*args, **more), args)  # Linux closes a descriptor, whatever it says
        elif self._done:
            result = call(*args, **more)
            if name in OPENING:
                os.close(result)  # type: ignore[arg-type]  # what was made stays; a descriptor that nobody got does not
        raise OSError(self._code, os.strerror(self._code))

    def _made(self, name: str, result: R, args: tuple[Any, ...]) -> R:
        if name in OPENING:
            assert isinstance(result, int)
            self.open_now.add(result)
        elif name == "close":
            self.open_now.discard(args[0])
        return result


def _can_be_short(name: str, args: tuple[Any, ...]) -> bool:
    return name in MAY_BE_SHORT and _length(name, args) > 1


def _length(name: str, args: tuple[Any, ...]) -> int:
    if name == "pread":
        return int(args[1])
    if name == "copy_file_range":
        return int(args[2])
    return len(args[1][0] if name == "preadv" else args[1])


def _halved(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    half = _length(name, args) // 2
    if name == "pread":
        return (args[0], half, *args[2:])
    if name == "preadv":
        return (args[0], (memoryview(args[1][0])[:half],), *args[2:])
    if name == "pwrite":
        return (args[0], memoryview(args[1])[:half], *args[2:])
    return (*args[:2], half, *args[3:])


class HangingDisk(SickDisk):
    """Below `directory`, calls wait while it hangs; everything else goes on."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = os.fsencode(os.path.realpath(directory))
        self._names: frozenset[str] | None = None
        self._goes = threading.Event()
        self._goes.set()
        self._meeting = threading.Condition()
        self._waiting = 0

    @contextmanager
    def hanging(self, *names: str) -> Iterator[None]:
        """Within, calls of these names wait, or all if none is given; at the end they go on."""
        self._names = frozenset(names) or None
        self._goes.clear()
        try:
            yield
        finally:
            self.go_on()

    def go_on(self) -> None:
        self._goes.set()

    def wait_for(self, count: int, seconds: float = 10.0) -> bool:
        """Return once so many calls wait; False if that takes too long. Not on the event loop."""
        with self._meeting:
            return self._meeting.wait_for(lambda: self._waiting >= count, seconds)

    def called(self, name: str, call: Callable[..., R], args: tuple[Any, ...], more: dict[str, Any]) -> R:
        if not self._goes.is_set() and (self._names is None or name in self._names) and self._is_below(args, more):
            self._count(1)
            self._goes.wait()
            self._count(-1)
        return call(*args, **more)

    def _count(self, change: int) -> None:
        with self._meeting:
            self._waiting += change
            self._meeting.notify_all()

    def _is_below(self, args: tuple[Any, ...], more: dict[str, Any]) -> bool:
        for value in (*args[:1], more.get("dir_fd"), more.get("src_dir_fd"), more.get("dst_dir_fd")):
            path = _path(value)
            if path == self._directory or path.startswith(self._directory + b"/"):
                return True
        return False


def _path(value: object) -> bytes:
    if isinstance(value, int) and value >= 0:
        try:
            return os.fsencode(os.readlink(f"/proc/self/fd/{value}"))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBADF):
                raise
            return b""
    if not isinstance(value, str | bytes):
        return b""
    path = os.fsencode(value)
    if path.startswith(b"/proc/self/fd/"):
        descriptor, _, rest = path.removeprefix(b"/proc/self/fd/").partition(b"/")
        return _path(int(descriptor)) + (b"/" + rest if rest else b"")
    return path
