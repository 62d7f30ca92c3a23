"""Numbers that a caller may send and that no object can have. They are refused here: a system call would raise what is
no OSError, or take the number for another one."""

from __future__ import annotations

import errno

from ...graph import NOW_NS, NewAttributes, fail

OFFSET_MAX = (1 << 63) - 1
ID_MAX = (1 << 32) - 2
"""Of users and groups. The number above means to chown(2): leave it as it is."""
SECONDS_MAX = (1 << 63) - 1
"""And as many before 1970, and one."""
DEVICE_MAX = (1 << 32) - 1
XATTR_FLAGS = 0x03
"""XATTR_CREATE and XATTR_REPLACE."""


def check_offset(offset: int) -> None:
    """Of a byte, or a size. EINVAL."""
    if not 0 <= offset <= OFFSET_MAX:
        raise fail(errno.EINVAL, f"offset {offset}")


def check_attributes(new: NewAttributes) -> None:
    """EINVAL."""
    for number in (new.uid, new.gid):
        if number is not None and not 0 <= number <= ID_MAX:
            raise fail(errno.EINVAL, f"owner {number}")
    for time_ns in (new.atime_ns, new.mtime_ns):
        if time_ns is None or time_ns == NOW_NS:
            continue
        if not -SECONDS_MAX - 1 <= time_ns // 10**9 <= SECONDS_MAX:
            raise fail(errno.EINVAL, f"time {time_ns}")


def check_device(rdev: int) -> None:
    """EINVAL."""
    if not 0 <= rdev <= DEVICE_MAX:
        raise fail(errno.EINVAL, f"device {rdev}")


def check_xattr_flags(flags: int) -> None:
    """EINVAL."""
    if flags & ~XATTR_FLAGS:
        raise fail(errno.EINVAL, f"flags {flags}")
