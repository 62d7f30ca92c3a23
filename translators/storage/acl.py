"""POSIX access control lists, in the form in which Linux keeps them as extended attributes. Pure functions."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from typing import NamedTuple

from ...graph import fail

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
"""What new objects in a directory begin with."""

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
"""Tags: the owner, a named user, the owning group, a named group, the most that all but the owner and others get, and
everybody else."""
NOBODY = 0xFFFFFFFF
"""The id of an entry that names nobody."""

_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_ORDER = (USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER)


class AclEntry(NamedTuple):
    tag: int
    rights: int
    id: int = NOBODY


Acl = Sequence[AclEntry]


def parse(value: bytes) -> list[AclEntry]:
    """The entries in their order. EOPNOTSUPP another version; EINVAL no valid list."""
    rest = len(value) - _VERSION.size
    if rest < 0 or rest % _ENTRY.size:
        raise fail(errno.EINVAL, "a list of access rights is cut off")
    if _VERSION.unpack_from(value)[0] != 2:
        raise fail(errno.EOPNOTSUPP, "a list of access rights of another version")
    entries = [AclEntry(*each) for each in _ENTRY.iter_unpack(value[_VERSION.size :])]
    if entries and not _is_valid(entries):
        raise fail(errno.EINVAL, "a list of access rights is not in order")
    return entries


def packed(acl: Acl) -> bytes:
    return _VERSION.pack(2) + b"".join(_ENTRY.pack(*entry) for entry in acl)


def _is_valid(acl: Acl) -> bool:
    tags = [entry.tag for entry in acl]
    if any(tag not in _ORDER for tag in tags) or any(entry.rights & ~7 for entry in acl):
        return False
    if tags != sorted(tags, key=_ORDER.index) or any(tags.count(tag) != 1 for tag in (USER_OBJ, GROUP_OBJ, OTHER)):
        return False
    return tags.count(MASK) == 1 or (MASK not in tags and not {USER, GROUP} & set(tags))


def permitted(acl: Acl, uid: int, groups: frozenset[int], owner: int, owning_group: int, wanted: int) -> bool:
    """Does one entry that is the caller's give all that is `wanted`? As acl(5) has it: the first class that the caller
    is in decides, and within the groups any entry may."""
    most = next((entry.rights for entry in acl if entry.tag == MASK), 7)
    in_a_group = False
    for tag, rights, id in acl:
        if tag == USER_OBJ and uid == owner:
            return rights & wanted == wanted
        if tag == USER and uid == id:
            return rights & most & wanted == wanted
        if (tag == GROUP_OBJ and owning_group in groups) or (tag == GROUP and id in groups):
            in_a_group = True
            if rights & wanted == wanted:
                return most & wanted == wanted
        if tag == OTHER:
            return not in_a_group and rights & wanted == wanted
    return False


# --- a list and the mode are one thing seen twice ---------------------------------------------------------------------


def mode_of(acl: Acl) -> int:
    """The nine bits that a list stands for: those of the group are the mask, where there is one."""
    by_tag = {entry.tag: entry.rights for entry in acl}
    return by_tag[USER_OBJ] << 6 | by_tag.get(MASK, by_tag[GROUP_OBJ]) << 3 | by_tag[OTHER]


def is_only_a_mode(acl: Acl) -> bool:
    """Nothing that nine bits could not say, so that nothing is kept."""
    return not {USER, GROUP, MASK} & {entry.tag for entry in acl}


def with_mode(acl: Acl, mode: int) -> list[AclEntry]:
    """The list after a chmod."""
    group = MASK if any(entry.tag == MASK for entry in acl) else GROUP_OBJ
    new = {USER_OBJ: mode >> 6 & 7, group: mode >> 3 & 7, OTHER: mode & 7}
    return [entry._replace(rights=new.get(entry.tag, entry.rights)) for entry in acl]


def inherited(default: Acl, mode: int) -> tuple[list[AclEntry], int]:
    """What a new object begins with in a directory with a default list: its list, and the bits of its mode, of which
    the maker's `mode` takes away."""
    made = with_mode(default, mode_of(default) & mode)
    return made, mode_of(made)
