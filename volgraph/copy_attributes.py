"""What goes with a copy besides its contents: owner, mode, extended attributes."""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

NO_HOLES = frozenset((errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS))
"""Nobody here knows where the holes are."""
NO_XATTRS = frozenset((errno.EOPNOTSUPP, errno.EPERM, errno.EACCES))
"""An attribute that the other side does not take is left out, as `cp -a` does."""

PRIVATE = 0o600
"""The permissions of a file until its copy is whole."""

NEVER_COPIED = (
    *("trusted.afr.", "trusted.gfid", "trusted.pgfid.", "trusted.glusterfs.", "trusted.volgraph."),
    *("security.selinux", "security.ima", "security.evm"),
)
"""What a brick, or the system, says of this one object."""


def kept(xattrs: Mapping[str, bytes]) -> dict[str, bytes]:
    """The attributes that go with a copy; only root may set other than `user.` ones and access lists."""
    wanted = (
        ("user.", "system.posix_acl_", "trusted.", "security.") if os.geteuid() == 0 else ("user.", "system.posix_acl_")
    )
    return {
        name: value for name, value in xattrs.items() if name.startswith(wanted) and not name.startswith(NEVER_COPIED)
    }


def owner_of(st: os.stat_result) -> tuple[int, int] | None:
    """Whom the copy is to belong to; None: whoever makes it."""
    return (st.st_uid, st.st_gid) if os.geteuid() == 0 else None


def mode_of(st: os.stat_result, owned: bool) -> int:
    """The permissions of a copy. A file runs as its owner, or group, only if those are kept."""
    mode = mode_bits.S_IMODE(st.st_mode)
    if owned or mode_bits.S_ISDIR(st.st_mode) or (st.st_uid, st.st_gid) == (os.geteuid(), os.getegid()):
        return mode
    return mode & ~(mode_bits.S_ISUID | mode_bits.S_ISGID)


@contextmanager
def leaving_out() -> Iterator[None]:
    """An attribute that cannot be had, or set, is no reason not to copy."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_XATTRS:
            raise
