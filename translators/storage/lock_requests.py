"""What a request for a lock says, checked, and how a lock is told to others."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ...graph import Flock, LockType, fail
from .lock_queue import END, Lock


def check_owner(lock: Lock) -> None:
    """EINVAL."""
    if not lock.owner.strip(b"\0"):
        raise fail(errno.EINVAL, "a lock without an owner")


def byte_range(flock: Flock) -> tuple[int, int]:
    """The bytes a flock covers: start, and the end behind the last one. EINVAL."""
    start, length = flock.start, flock.length
    if start < 0 or length < 0 or start >= END or flock.whence:
        raise fail(errno.EINVAL, f"lock of {length} bytes from {start}, whence {flock.whence}")
    return start, min(start + length, END) if length else END


def first(locks: Sequence[Lock]) -> Flock | None:
    """The lowest of these locks, as GET answers it."""
    if not locks:
        return None
    lock = min(locks, key=lambda each: each.start)
    length = 0 if lock.end == END else lock.end - lock.start
    return Flock(LockType.WRITE if lock.exclusive else LockType.READ, lock.start, length, lock.pid, lock.owner)
