"""storage/posix, run as root: what the kernel would refuse the caller is refused to it here.

The kernel sees every call of such a brick as root's. An ordinary user's brick is that user's alone, and the kernel
judges it. Each function returns at once for callers that are never refused (`permission.exempt`).
"""

from __future__ import annotations

import os
import stat as mode_bits
from collections.abc import Iterable
from contextlib import suppress

import attrs

from ....graph import NULL_GFID, Call, NewAttributes
from .. import acl as acls
from .. import permission
from .brick import Brick
from .places import Found, Where, itself


@attrs.define
class Seen:
    """An object as the verdicts need it: its attributes, and where its access control list is."""

    brick: Brick
    st: os.stat_result
    at: Where

    def acl(self) -> bytes | None:
        return self.brick.metadata.get(NULL_GFID, self.at, acls.ACCESS)


def free(brick: Brick, call: Call) -> bool:
    """Nothing is to be judged."""
    return not brick.privileged or permission.exempt(call)


def seen(brick: Brick, found: Found) -> Seen:
    return Seen(brick, found.st, found.where)


def directory(brick: Brick, fd: int) -> Seen:
    return Seen(brick, brick.disk.fstat(fd), itself(fd))


# --- names -----------------------------------------------------------------------------------------------------------


def search(brick: Brick, call: Call, parent_fd: int) -> None:
    """EACCES."""
    if not free(brick, call):
        permission.check_search(call, directory(brick, parent_fd))


def make(brick: Brick, call: Call, parent_fd: int, name: bytes, kind: int) -> None:
    """EACCES EPERM. A name that is there is left to be refused with EEXIST, which comes first."""
    if free(brick, call):
        return
    parent = directory(brick, parent_fd)
    permission.check_search(call, parent)
    if not _is_there(brick, parent_fd, name):
        permission.check_make(call, parent, kind)
        permission.check_made_xattrs(call, call.xdata or ())


def made_mode(brick: Brick, call: Call, parent_fd: int, mode: int) -> int:
    """The mode of a new file."""
    return mode if free(brick, call) else permission.made_mode(call, brick.disk.fstat(parent_fd), mode)


def remove(brick: Brick, call: Call, parent_fd: int, victim: Found) -> None:
    """EACCES EPERM."""
    if not free(brick, call):
        permission.check_remove(call, directory(brick, parent_fd), victim.st)


def rename(brick: Brick, call: Call, source: Found, parents: tuple[int, int], replaced: Found | None) -> None:
    """EACCES EPERM."""
    if free(brick, call):
        return
    old, new = (directory(brick, fd) for fd in parents)
    moves = (old.st.st_ino, old.st.st_dev) != (new.st.st_ino, new.st.st_dev)
    st = None if replaced is None else replaced.st
    permission.check_rename(call, seen(brick, source), old, new, st, moves)


def link(brick: Brick, call: Call, old: Found, parent_fd: int, name: bytes) -> None:
    """EACCES EPERM."""
    if free(brick, call):
        return
    parent = directory(brick, parent_fd)
    permission.check_search(call, parent)
    if not _is_there(brick, parent_fd, name):
        permission.check_link(call, seen(brick, old), parent)


def _is_there(brick: Brick, parent_fd: int, name: bytes) -> bool:
    with suppress(FileNotFoundError):
        brick.disk.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        return True
    return False


# --- contents --------------------------------------------------------------------------------------------------------


def access(brick: Brick, call: Call, found: Found, wanted: int) -> None:
    """EACCES."""
    if not free(brick, call):
        permission.check_access(call, seen(brick, found), wanted)


def opening(brick: Brick, call: Call, found: Found, flags: int) -> None:
    """EACCES EPERM. What no one could open so is left to be refused for that."""
    opens = found.is_file or (found.is_dir and not flags & (os.O_WRONLY | os.O_RDWR))
    if opens and not free(brick, call):
        permission.check_open(call, seen(brick, found), flags)


def anonymous(brick: Brick, call: Call, found: Found, flags: int) -> None:
    """EACCES."""
    opens = found.is_file or (found.is_dir and not flags & (os.O_WRONLY | os.O_RDWR))
    if opens and not free(brick, call):
        permission.check_anonymous(call, seen(brick, found), flags)


def before_write(brick: Brick, call: Call, fd: int) -> None:
    """A file that an ordinary caller writes to is no set-user-id program any more."""
    if free(brick, call):
        return
    st = brick.disk.fstat(fd)
    mode = permission.mode_after_write(call, st)
    if mode != st.st_mode:
        brick.disk.fchmod(fd, mode_bits.S_IMODE(mode))


# --- attributes ------------------------------------------------------------------------------------------------------


def attributes(brick: Brick, call: Call, object: Seen, new: NewAttributes, now_ns: int, opened: bool) -> NewAttributes:
    """What is left to change. EACCES EPERM."""
    return new if free(brick, call) else permission.check_attributes(call, object, new, now_ns, opened)


def get_xattr(brick: Brick, call: Call, at: Where, name: str) -> None:
    """ENODATA EACCES."""
    if not free(brick, call):
        permission.check_get_xattr(call, standing_at(brick, at), name)


def set_xattrs(brick: Brick, call: Call, at: Where, names: Iterable[str]) -> None:
    """EACCES EPERM."""
    if not free(brick, call):
        permission.check_set_xattr(call, standing_at(brick, at), names)


def after_acl(brick: Brick, call: Call, at: Where) -> None:
    """A list set by an ordinary caller may end set-group-id."""
    if free(brick, call):
        return
    st = standing_at(brick, at).st
    mode = permission.mode_after_acl(call, st)
    if mode != st.st_mode:
        brick.disk.chmod(b"/proc/self/fd/%d" % at if isinstance(at, int) else at, mode_bits.S_IMODE(mode))


def xattrop(brick: Brick, call: Call, at: Where, names: Iterable[str]) -> None:
    """EACCES EPERM."""
    if not free(brick, call):
        permission.check_xattrop(call, standing_at(brick, at), names)


def shown(brick: Brick, call: Call, at: Where, xattrs: dict[str, bytes], by_name: bool = False) -> dict[str, bytes]:
    """Those that the caller may see."""
    if free(brick, call) or not xattrs:
        return xattrs
    object = standing_at(brick, at)
    return {key: value for key, value in xattrs.items() if permission.shows_xattr(call, object, key, by_name)}


def may_read(brick: Brick, call: Call, at: Where) -> bool:
    return free(brick, call) or permission.allows(call, standing_at(brick, at), permission.READ)


def may_search(brick: Brick, call: Call, fd: int) -> bool:
    """Without this right a listing tells names, and nothing of what they stand for."""
    return free(brick, call) or permission.allows(call, directory(brick, fd), permission.SEARCH)


def standing_at(brick: Brick, at: Where) -> Seen:
    disk = brick.disk
    return Seen(brick, disk.fstat(at) if isinstance(at, int) else disk.stat(at, follow_symlinks=False), at)
