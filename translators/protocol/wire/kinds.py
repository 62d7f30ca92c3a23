"""The kinds of field that the messages of program 400 are made of."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from typing import Any

from ....graph import (
    NULL_GFID,
    EntryLockCommand,
    Flock,
    Gfid,
    LockCommand,
    LockType,
    XattropKind,
    fail,
)
from . import dicts
from . import iatt as iatts
from .layout import Kind
from .xdr import Reader, from_text, opaque, text

NAME_BYTES_MAX = 255
TARGET_BYTES_MAX = 4096
LABEL_BYTES_MAX = 4096
OWNER_BYTES_MAX = 1024
FILE_BYTES_MAX = (1 << 63) - 1


def checked_name(name: bytes) -> bytes:
    """One component of a path, as it came from a peer. EPERM for a slash, as GlusterFS answers."""
    if len(name) > NAME_BYTES_MAX:
        raise fail(errno.ENAMETOOLONG)
    if b"/" in name:
        raise fail(errno.EPERM)
    if not name or b"\0" in name or name in (b".", b".."):
        raise fail(errno.EINVAL)
    return name


def _name(reader: Reader) -> bytes:
    return checked_name(reader.opaque(reader.end))


def _looked_up(reader: Reader) -> bytes:
    """Empty: the object itself is looked up. libgfapi says `.` for that, and tells the gfid."""
    name = reader.opaque(reader.end)
    return checked_name(name) if name not in (b"", b".") else name


def _within(limit: int) -> Callable[[Reader], bytes]:
    def read(reader: Reader) -> bytes:
        value = reader.opaque(reader.end)
        if len(value) > limit:
            raise fail(errno.ENAMETOOLONG)
        return value

    return read


def _label(reader: Reader) -> str:
    """A domain, or the name of an xattr."""
    raw = reader.opaque(reader.end)
    if len(raw) > LABEL_BYTES_MAX:
        raise fail(errno.ENAMETOOLONG)
    if b"\0" in raw:
        raise fail(errno.EINVAL)
    return from_text(raw)


def _offset(value: int) -> int:
    """A place in a file."""
    if value > FILE_BYTES_MAX:
        raise fail(errno.EINVAL, f"offset {value}")
    return value


def _one_of(enum: type[IntEnum]) -> Callable[[int], IntEnum]:
    known = {member.value: member for member in enum}

    def read(value: int) -> IntEnum:
        member = known.get(value)
        if member is None:
            raise fail(errno.EINVAL, f"{enum.__name__} {value}")
        return member

    return read


# --- open flags: Linux x86-64's numbers on the wire, whatever this machine's are -------------------------------------

WIRE_SYNC = 0o10000
FULL_SYNC = 0o4010000
SAME_NUMBERS = os.O_DIRECTORY == 0o200000
WIRE_FLAGS = (
    (os.O_CREAT, 0o100),
    (os.O_EXCL, 0o200),
    (os.O_NOCTTY, 0o400),
    (os.O_TRUNC, 0o1000),
    (os.O_APPEND, 0o2000),
    (os.O_NONBLOCK, 0o4000),
    (os.O_SYNC, WIRE_SYNC),
    (getattr(os, "O_DIRECT", 0), 0o40000),
    (os.O_DIRECTORY, 0o200000),
    (os.O_NOFOLLOW, 0o400000),
    (getattr(os, "O_NOATIME", 0), 0o1000000),
)
ACCESS_MODE = 0o3


@lru_cache(maxsize=4096)
def flags_to_wire(flags: int) -> int:
    """O_SYNC is a single bit there."""
    if SAME_NUMBERS:
        return flags & ~FULL_SYNC | (WIRE_SYNC if flags & FULL_SYNC else 0)
    return flags & ACCESS_MODE | sum(theirs for ours, theirs in WIRE_FLAGS if flags & ours)


@lru_cache(maxsize=4096)
def flags_from_wire(wire: int) -> int:
    if SAME_NUMBERS:
        return wire & ~FULL_SYNC | (os.O_SYNC if wire & WIRE_SYNC else 0)
    return wire & ACCESS_MODE | sum(ours for ours, theirs in WIRE_FLAGS if wire & theirs)


# --- locks -----------------------------------------------------------------------------------------------------------

FLOCK = Struct(">IIQQI")


def pack_flock(flock: Flock) -> bytes:
    owner = flock.owner[:OWNER_BYTES_MAX]
    pid = flock.pid & 0xFFFFFFFF
    return FLOCK.pack(flock.type, flock.whence, flock.start, flock.length, pid) + opaque(owner)


def unpack_flock(reader: Reader) -> Flock:
    kind, whence, start, length, pid = reader.fixed(FLOCK)
    owner = reader.opaque(OWNER_BYTES_MAX)
    return Flock(_lock_type(kind), start, length, pid, owner, whence)


_lock_type = _one_of(LockType)


# --- the rest --------------------------------------------------------------------------------------------------------

STRONG_BYTES = 32
MD5_BYTES = 16


def _strong(reader: Reader) -> bytes:
    return reader.opaque(STRONG_BYTES)[:MD5_BYTES]


def enum(members: type[IntEnum]) -> Kind:
    return Kind(next(iter(members)), "I", None, _one_of(members))


KINDS: dict[str, Kind] = {
    "u32": Kind(0, "I"),
    "i32": Kind(0, "i"),
    "u64": Kind(0, "Q"),
    "i64": Kind(0, "q"),
    "offset": Kind(0, "Q", None, _offset),
    "open-flags": Kind(0, "I", flags_to_wire, flags_from_wire),
    "gfid": Kind(NULL_GFID, "16s", None, Gfid),
    "iatt": Kind(None, "148s", iatts.pack, iatts.unpack),
    "iatt?": Kind(None, "148s", iatts.pack, iatts.unpack_known),
    "new": Kind(None, f"{iatts.NEW_BYTES}s", iatts.pack_new, iatts.unpack_new),
    "lock-command": enum(LockCommand),
    "lock-type": enum(LockType),
    "entry-lock-command": enum(EntryLockCommand),
    "xattrop-kind": enum(XattropKind),
    "name": Kind(b"", "", opaque, _name),
    "name?": Kind(b"", "", opaque, _looked_up),
    "entry-name": Kind(b"", "", lambda name: opaque(name or b""), _within(NAME_BYTES_MAX)),
    "target": Kind(b"", "", opaque, _within(TARGET_BYTES_MAX)),
    "label": Kind("", "", lambda label: opaque(text(label or "")), _label),
    "dict": Kind(None, "", dicts.encode, dicts.decode),
    "xattrs": Kind(None, "", dicts.encode_xattrs, dicts.decode_xattrs),
    "flock": Kind(Flock(LockType.READ), "", pack_flock, unpack_flock),
    "strong": Kind(b"", "", lambda value: opaque(value[:STRONG_BYTES].ljust(STRONG_BYTES, b"\0")), _strong),
}


def extended(**more: Any) -> dict[str, Kind]:
    """The kinds above with others beside them."""
    return {**KINDS, **more}
