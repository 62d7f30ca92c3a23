"""How xattrop joins the value sent with the value stored: a pure function, shared by the bricks."""

from __future__ import annotations

import errno
import struct
from functools import lru_cache
from operator import add

from ...graph import XattropKind, fail

_WIDTH = {
    XattropKind.ADD_ARRAY: 4,
    XattropKind.ADD_ARRAY64: 8,
    XattropKind.ADD_ARRAY_WITH_DEFAULT: 4,
    XattropKind.ADD_ARRAY64_WITH_DEFAULT: 8,
}


def join(kind: XattropKind, stored: bytes | None, sent: bytes) -> bytes:
    """The new value; big-endian arrays throughout (wire.md 9). A caller stores nothing when `sent` is all zeros.

    What is added is signed, what is stored is not: a sum that does not fit is EOVERFLOW, never a wrapped counter.
    EINVAL a length that does not fit; EOPNOTSUPP an unknown kind.
    """
    if kind == XattropKind.ADD_ARRAY or kind == XattropKind.ADD_ARRAY64:
        return _add(_WIDTH[kind], bytes(len(sent)) if stored is None else stored, sent)
    if kind == XattropKind.ADD_ARRAY_WITH_DEFAULT or kind == XattropKind.ADD_ARRAY64_WITH_DEFAULT:
        return _add_with_default(_WIDTH[kind], stored, sent)
    if kind == XattropKind.GET_AND_SET:
        return sent
    if kind == XattropKind.OR or kind == XattropKind.AND:
        return _bitwise(kind, bytes(len(sent)) if stored is None else stored, sent)
    raise fail(errno.EOPNOTSUPP, f"xattrop kind {kind}")


def _add(width: int, stored: bytes, sent: bytes) -> bytes:
    count = len(sent) // width
    if not sent or len(sent) % width or len(stored) != len(sent):
        raise fail(errno.EINVAL, f"xattrop: {len(sent)} bytes onto {len(stored)}")
    signed, unsigned = _arrays(width, count)
    try:
        return unsigned.pack(*map(add, unsigned.unpack(stored), signed.unpack(sent)))
    except struct.error:
        raise fail(errno.EOVERFLOW, "xattrop: a counter would wrap") from None


@lru_cache(maxsize=64)
def _arrays(width: int, count: int) -> tuple[struct.Struct, struct.Struct]:
    """What is added, and what is stored."""
    letter = "i" if width == 4 else "q"
    return struct.Struct(f">{count}{letter}"), struct.Struct(f">{count}{letter.upper()}")


def _add_with_default(width: int, stored: bytes | None, sent: bytes) -> bytes:
    """`sent` is two halves: what to add, and the defaults that stand in where the stored value is zero."""
    half = len(sent) // 2
    if len(sent) % 2 or half % width:
        raise fail(errno.EINVAL, f"xattrop: {len(sent)} bytes are not two arrays")
    before = bytes(half) if stored is None else stored
    if len(before) != half:
        raise fail(errno.EINVAL, f"xattrop: {half} bytes onto {len(before)}")
    defaults = sent[half:]
    words = [before[at : at + width] for at in range(0, half, width)]
    filled = [word if any(word) else defaults[n * width : (n + 1) * width] for n, word in enumerate(words)]
    return _add(width, b"".join(filled), sent[:half])


def _bitwise(kind: XattropKind, stored: bytes, sent: bytes) -> bytes:
    if len(stored) != len(sent) or not sent:
        raise fail(errno.EINVAL, f"xattrop: {len(sent)} bytes onto {len(stored)}")
    a, b = int.from_bytes(stored, "big"), int.from_bytes(sent, "big")
    return (a | b if kind == XattropKind.OR else a & b).to_bytes(len(sent), "big")
