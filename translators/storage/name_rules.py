"""Which names a brick takes, and what the caller of a maker has to bring along."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from functools import lru_cache

from ...graph import NULL_GFID, ROOT_GFID, Call, Gfid, fail

NAME_BYTES_MAX = 255
RESERVED_IN_ROOT = b".glusterfs"
"""The brick's own directory: refused in every fop, and hidden from listings."""

XATTR_NAMESPACES = ("trusted.", "user.", "security.", "system.")
VOLUME_ID_KEY = "trusted.glusterfs.volume-id"
BOOKKEEPING = frozenset(("trusted.gfid", VOLUME_ID_KEY, "trusted.glusterfs.mdata"))
XATTR_NAME_BYTES_MAX = 255
XATTR_VALUE_BYTES_MAX = 65536


def check_name(parent: Gfid, name: bytes) -> None:
    """Refuse what cannot be one name in a directory. EINVAL, EPERM (a slash, or reserved), ENAMETOOLONG."""
    if b"/" in name:
        raise fail(errno.EPERM, name)
    if name in (b"", b".", b"..") or b"\0" in name:
        raise fail(errno.EINVAL, name)
    if len(name) > NAME_BYTES_MAX:
        raise fail(errno.ENAMETOOLONG, name)
    if name == RESERVED_IN_ROOT and parent == ROOT_GFID:
        raise fail(errno.EPERM, name)


def requested_gfid(call: Call) -> Gfid:
    """The gfid that the maker of an object must be told: a brick never invents one. EINVAL."""
    asked = call.asked("gfid-req")
    if not isinstance(asked, bytes) or len(asked) != 16 or asked in (NULL_GFID, ROOT_GFID):
        raise fail(errno.EINVAL, f"gfid-req: {asked!r}")
    return Gfid(asked)


def requested_xattrs(call: Call) -> dict[str, bytes]:
    """The xattrs that a new object shall have from the start. EINVAL a value that is not bytes."""
    wanted: dict[str, bytes] = {}
    for key, value in (call.xdata or {}).items():
        if key.startswith(XATTR_NAMESPACES) and not is_bookkeeping(key):
            if not isinstance(value, bytes):
                raise fail(errno.EINVAL, key)
            wanted[key] = bytes(value)
    return wanted


def is_bookkeeping(key: str) -> bool:
    """A brick's own xattrs (an object's gfid, its names, ...): no list shows them, no caller sets them."""
    return key in BOOKKEEPING or key.startswith(("trusted.gfid2path.", "trusted.pgfid."))


@lru_cache(maxsize=1024)
def check_counter_name(key: str) -> None:
    """Of what xattrop changes. EPERM a brick's own; ERANGE EINVAL as of any name."""
    if is_bookkeeping(key):
        raise fail(errno.EPERM, key)
    check_xattr_name(key)


@lru_cache(maxsize=1024)
def check_xattr_name(key: str) -> None:
    """As Linux does. ERANGE empty or too long; EINVAL what no system call can be told: a NUL in it, half a letter."""
    try:
        name = key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise fail(errno.EINVAL, ascii(key)) from None
    if b"\0" in name:
        raise fail(errno.EINVAL, ascii(key))
    if not 0 < len(name) <= XATTR_NAME_BYTES_MAX:
        raise fail(errno.ERANGE, key)


def check_xattrs(values: Mapping[str, bytes]) -> None:
    """As Linux does. E2BIG the value too long, EOPNOTSUPP no such namespace, EINVAL nothing else; a name is checked
    by `check_xattr_name`."""
    for key, value in values.items():
        check_xattr_name(key)
        if len(value) > XATTR_VALUE_BYTES_MAX:
            raise fail(errno.E2BIG, key)
        if not key.startswith(XATTR_NAMESPACES):
            raise fail(errno.EOPNOTSUPP, key)
        if key in XATTR_NAMESPACES:
            raise fail(errno.EINVAL, key)


def refuse_user_xattrs(names: Iterable[str]) -> None:
    """Linux keeps `user.` attributes on files and directories only: EPERM for anything else."""
    for key in names:
        if key.startswith("user."):
            raise fail(errno.EPERM, key)
