"""Who may do what: the verdicts of Linux on a caller, for bricks that hold objects of many owners.

Pure functions of the call and of what is known of the objects; each raises what the kernel would: EACCES the mode or
the access control list forbids it, EPERM it is for the owner (or for root) alone. The checks of a path are those of the
one component at hand: a lookup by name asks for the right to search its directory, and a gfid that is known needs none.

Root (uid 0) and the system's own calls (a pid below zero: healing, reopening) are never refused; whoever calls a check
in a hot path may leave it out for uid 0.

An fd that was never opened at a brick is *anonymous* there: the brick was away when it was opened, or has been started
anew. Reading and writing through it is judged anew, as the mode may have changed since; but the owner of a file passes,
whatever its mode: it may have made the file read-only while it was open for writing, as git does, and could change the
mode in any case. (NFS servers do the same.) Somebody else who lost the right meanwhile is refused there.
"""

from __future__ import annotations

import errno
import os
import stat as mode_bits
from collections.abc import Iterable
from typing import Protocol

import attrs

from ...graph import NOW_NS, Call, NewAttributes, fail
from ...graph.types import StatLike
from . import acl as acls
from .heal_index import AFR_PREFIX

READ, WRITE, EXECUTE = 4, 2, 1
SEARCH = EXECUTE
"""What the x of a directory is."""

PRESENT_SLACK_NS = 300 * 10**9
"""A caller's "now" reaches the brick as the time of a clock on the way, so that all copies get the same: times so near
to the brick's own count as its present time."""

_CONTENTS = {os.O_RDONLY: READ, os.O_WRONLY: WRITE, os.O_RDWR: READ | WRITE, os.O_ACCMODE: READ | WRITE}


class Subject(Protocol):
    """What a verdict is about."""

    @property
    def st(self) -> StatLike: ...

    def acl(self) -> bytes | None:
        """Its `system.posix_acl_access`, None where there is none. Asked only if the mode does not decide."""
        ...


def exempt(call: Call) -> bool:
    """Callers that are never refused."""
    return call.uid == 0 or call.pid < 0


def in_group(call: Call, gid: int) -> bool:
    return gid == call.gid or gid in call.groups


def allows(call: Call, subject: Subject, wanted: int) -> bool:
    """May the caller do all that is `wanted` (READ, WRITE, EXECUTE together) by mode and list?"""
    st = subject.st
    mode = st.st_mode
    if exempt(call):
        return not wanted & EXECUTE or mode_bits.S_ISDIR(mode) or bool(mode & 0o111)
    if call.uid == st.st_uid:
        return not wanted & ~(mode >> 6 & 7)
    if mode & 0o070 and not mode_bits.S_ISLNK(mode):
        value = subject.acl()
        if value is not None:
            groups = frozenset((call.gid, *call.groups))
            return acls.permitted(acls.parse(value), call.uid, groups, st.st_uid, st.st_gid, wanted)
    return not wanted & ~(mode >> 3 & 7 if in_group(call, st.st_gid) else mode & 7)


def check_access(call: Call, subject: Subject, wanted: int) -> None:
    """EACCES."""
    if not allows(call, subject, wanted):
        raise fail(errno.EACCES, f"uid {call.uid} wants {wanted:o} of {subject.st.st_mode & 0o7777:04o}")


# --- contents --------------------------------------------------------------------------------------------------------


def check_open(call: Call, subject: Subject, flags: int) -> None:
    """By the flags of open(2). EACCES; EPERM O_NOATIME is for the owner."""
    if exempt(call):
        return
    check_access(call, subject, _CONTENTS[flags & os.O_ACCMODE] | (WRITE if flags & os.O_TRUNC else 0))
    if flags & os.O_NOATIME and call.uid != subject.st.st_uid:
        raise _for_the_owner(call)


def check_anonymous(call: Call, subject: Subject, flags: int) -> None:
    """Through an fd that was not opened here. EACCES."""
    if call.uid != subject.st.st_uid:
        check_access(call, subject, _CONTENTS[flags & os.O_ACCMODE])


def mode_after_write(call: Call, st: StatLike) -> int:
    """Whoever writes to a program ends that it runs as its owner or group."""
    mode = st.st_mode
    if exempt(call) or not mode & (mode_bits.S_ISUID | mode_bits.S_ISGID) or mode_bits.S_ISDIR(mode):
        return mode
    return without_set_id(call, st)


def without_set_id(call: Call, st: StatLike) -> int:
    """The mode without set-user-id; and without set-group-id where it makes a program run as the group, or where the
    caller is not in that group."""
    mode = st.st_mode & ~mode_bits.S_ISUID
    stranger = not exempt(call) and not in_group(call, st.st_gid)
    return mode & ~mode_bits.S_ISGID if mode & mode_bits.S_IXGRP or stranger else mode


# --- names -----------------------------------------------------------------------------------------------------------


def check_search(call: Call, parent: Subject) -> None:
    """EACCES."""
    if not exempt(call):
        check_access(call, parent, SEARCH)


def check_make(call: Call, parent: Subject, kind: int = mode_bits.S_IFREG) -> None:
    """A new name in a directory. EACCES; EPERM a device, which only root may make."""
    if exempt(call):
        return
    check_access(call, parent, WRITE | SEARCH)
    if kind in (mode_bits.S_IFCHR, mode_bits.S_IFBLK):
        raise _for_the_owner(call)


def check_made_xattrs(call: Call, names: Iterable[str]) -> None:
    """What an object is to have from the start. EPERM: `security.` makes programs more powerful than their maker."""
    if not exempt(call) and any(name.startswith("security.") for name in names):
        raise _for_the_owner(call)


def made_mode(call: Call, parent: StatLike, mode: int) -> int:
    """The mode of a new file (not a directory). In a set-group-id directory nobody makes programs that run as a group
    that the maker is not in."""
    program = mode_bits.S_ISGID | mode_bits.S_IXGRP
    inherits = parent.st_mode & mode_bits.S_ISGID and mode & program == program
    if inherits and not exempt(call) and not in_group(call, parent.st_gid):
        return mode & ~mode_bits.S_ISGID
    return mode


def check_remove(call: Call, parent: Subject, victim: StatLike) -> None:
    """A name goes away, or is replaced. EACCES; EPERM a sticky directory keeps what is others'."""
    if exempt(call):
        return
    check_access(call, parent, WRITE | SEARCH)
    sticky = parent.st.st_mode & mode_bits.S_ISVTX
    if sticky and call.uid not in (victim.st_uid, parent.st.st_uid):
        raise _for_the_owner(call)


def check_rename(
    call: Call, source: Subject, source_parent: Subject, target_parent: Subject, replaced: StatLike | None, moves: bool
) -> None:
    """`moves`: to another directory; a directory that moves changes, as its `..` does. EACCES; EPERM sticky."""
    if exempt(call):
        return
    check_remove(call, source_parent, source.st)
    if replaced is None:
        check_make(call, target_parent)
    else:
        check_remove(call, target_parent, replaced)
    if moves and mode_bits.S_ISDIR(source.st.st_mode):
        check_access(call, source, WRITE)


def check_link(call: Call, old: Subject, parent: Subject) -> None:
    """As Linux with `protected_hardlinks`, its setting nearly everywhere: nobody keeps alive a file of somebody else's
    that they could not write to. EPERM; EACCES."""
    if exempt(call):
        return
    if call.uid != old.st.st_uid and not _safe_to_link(call, old):
        raise _for_the_owner(call)
    check_make(call, parent)


def _safe_to_link(call: Call, old: Subject) -> bool:
    mode = old.st.st_mode
    program = mode & mode_bits.S_ISUID or (mode & mode_bits.S_ISGID and mode & mode_bits.S_IXGRP)
    return mode_bits.S_ISREG(mode) and not program and allows(call, old, READ | WRITE)


# --- attributes ------------------------------------------------------------------------------------------------------


def check_attributes(call: Call, subject: Subject, new: NewAttributes, now_ns: int, opened: bool) -> NewAttributes:
    """What setattr may change, and what becomes of it for this caller. EPERM; EACCES. `opened`: through an fd, which
    was judged as it was opened, so that a new size is not."""
    if exempt(call):
        return new
    st = subject.st
    if new.size is not None and not opened:
        check_access(call, subject, WRITE)
    mine = call.uid == st.st_uid
    if new.uid is not None and not (mine and new.uid == st.st_uid):
        raise _for_the_owner(call)
    if new.gid is not None and not (mine and (new.gid == st.st_gid or in_group(call, new.gid))):
        raise _for_the_owner(call)
    if new.mode is not None and not mine:
        raise _for_the_owner(call)
    if not mine and (new.atime_ns is not None or new.mtime_ns is not None):
        if not _is_present(new, now_ns):
            raise _for_the_owner(call)
        check_access(call, subject, WRITE)
    return _for_this_caller(call, st, new)


def _for_this_caller(call: Call, st: StatLike, new: NewAttributes) -> NewAttributes:
    """Set-group-id goes where the caller is not in the group, and with a change of owner."""
    mode = new.mode
    if mode is not None:
        if not in_group(call, st.st_gid if new.gid is None else new.gid):
            mode &= ~mode_bits.S_ISGID
    elif (new.uid is not None or new.gid is not None) and not mode_bits.S_ISDIR(st.st_mode):
        kept = without_set_id(call, st)
        mode = None if kept == st.st_mode else kept & 0o7777
    return new if mode == new.mode else attrs.evolve(new, mode=mode)


def mode_after_acl(call: Call, st: StatLike) -> int:
    """A new access control list is a new mode, and like one it ends set-group-id for a group that is not the
    caller's."""
    foreign = not exempt(call) and not in_group(call, st.st_gid)
    return st.st_mode & ~mode_bits.S_ISGID if foreign else st.st_mode


def _is_present(new: NewAttributes, now_ns: int) -> bool:
    """Both times, and both the present one: what whoever may write may set."""
    return all(
        time is not None and (time == NOW_NS or abs(time - now_ns) <= PRESENT_SLACK_NS)
        for time in (new.atime_ns, new.mtime_ns)
    )


# --- extended attributes ---------------------------------------------------------------------------------------------


def check_get_xattr(call: Call, subject: Subject, name: str) -> None:
    """ENODATA what only root sees, or what such an object cannot have; EACCES a user's attribute of an object that the
    caller may not read."""
    if exempt(call):
        return
    if name.startswith("trusted."):
        raise fail(errno.ENODATA, name)
    if name.startswith("user."):
        if not _bears_user_xattrs(subject.st):
            raise fail(errno.ENODATA, name)
        check_access(call, subject, READ)


def check_set_xattr(call: Call, subject: Subject, names: Iterable[str]) -> None:
    """Setting and removing. EPERM `trusted.` and `security.` are for root, an access control list for the owner,
    `user.` for files and directories, and in a sticky one for its owner; EACCES `user.` is for those who may write."""
    if exempt(call):
        return
    st = subject.st
    mine = call.uid == st.st_uid
    for name in names:
        if name.startswith("user."):
            sticky = mode_bits.S_ISDIR(st.st_mode) and st.st_mode & mode_bits.S_ISVTX
            if not _bears_user_xattrs(st) or (sticky and not mine):
                raise fail(errno.EPERM, name)
            check_access(call, subject, WRITE)
        elif not (mine and name in (acls.ACCESS, acls.DEFAULT)):
            raise fail(errno.EPERM, name)


def check_xattrop(call: Call, subject: Subject, names: Iterable[str]) -> None:
    """As for setting, but for the counters of replication, which it keeps in the name of whoever writes. EPERM EACCES.
    (Clients that must not count are kept away from a brick by its server.)"""
    if not exempt(call):
        check_set_xattr(call, subject, [name for name in names if not name.startswith(AFR_PREFIX)])


def shows_xattr(call: Call, subject: Subject, name: str, by_name: bool = False) -> bool:
    """May a list, or an answer in xdata, hold it? Asked for `by_name`, `trusted.` is told to anybody: translators put
    such questions into their callers' calls."""
    if exempt(call):
        return True
    if name.startswith("trusted."):
        return by_name
    return not name.startswith("user.") or allows(call, subject, READ)


def _bears_user_xattrs(st: StatLike) -> bool:
    return mode_bits.S_ISREG(st.st_mode) or mode_bits.S_ISDIR(st.st_mode)


def _for_the_owner(call: Call) -> OSError:
    return fail(errno.EPERM, f"uid {call.uid}")
