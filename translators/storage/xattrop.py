"""How xattrop joins the values sent with those stored: pure functions, shared by the bricks."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from operator import add, and_, or_
from typing import TypeAlias

from ...graph import XattropKind, fail

ADD, ADD64, OR, AND, GET_AND_SET, ADD_WITH_DEFAULT, ADD64_WITH_DEFAULT = XattropKind

Joiner: TypeAlias = Callable[[bytes | None, bytes], bytes]
"""The value stored (None: none yet) and the value sent; the new value."""


def join_all(
    kind: XattropKind, stored: Mapping[str, bytes], values: Mapping[str, bytes]
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What an xattrop answers, and what it stores: nothing under a key to which all zeros are sent, which only reads.

    What is stored and ends at zero comes last, so that a crash on the way leaves a mark too many, never one too few.
    EINVAL a length that does not fit; EOVERFLOW; EOPNOTSUPP an unknown kind.
    """
    joined = _joiner(kind)
    answer: dict[str, bytes] = {}
    set_to: dict[str, bytes] = {}
    cleared: dict[str, bytes] = {}
    for key, sent in values.items():
        before, changes = stored.get(key), any(sent)
        after = joined(before, sent)
        if changes and any(after):
            set_to[key] = after
        elif changes:
            cleared[key] = after
        if kind == GET_AND_SET or not changes:
            answer[key] = bytes(len(after)) if before is None else before
        else:
            answer[key] = after
    return answer, set_to | cleared


def join(kind: XattropKind, stored: bytes | None, sent: bytes) -> bytes:
    """The new value; big-endian arrays throughout.

    What is added is signed, what is stored is not: a sum that does not fit is EOVERFLOW, never a wrapped counter.
    EINVAL a length that does not fit; EOPNOTSUPP an unknown kind.
    """
    return _joiner(kind)(stored, sent)


def _joiner(kind: XattropKind) -> Joiner:
    try:
        return _JOINERS[kind]
    except KeyError:
        raise fail(errno.EOPNOTSUPP, f"xattrop kind {kind}") from None


def _add(width: int, stored: bytes | None, sent: bytes) -> bytes:
    size = len(sent)
    if stored is None:
        stored = bytes(size)
    if not sent or size % width or len(stored) != size:
        raise fail(errno.EINVAL, f"xattrop: {size} bytes onto {len(stored)}")
    if not any(sent):
        return stored
    signed, unsigned = _arrays(width, size // width)
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


def _bitwise(operator: Callable[[int, int], int], stored: bytes | None, sent: bytes) -> bytes:
    before = bytes(len(sent)) if stored is None else stored
    if len(before) != len(sent) or not sent:
        raise fail(errno.EINVAL, f"xattrop: {len(sent)} bytes onto {len(before)}")
    joined = operator(int.from_bytes(before, "big"), int.from_bytes(sent, "big"))
    return joined.to_bytes(len(sent), "big")


def _set(stored: bytes | None, sent: bytes) -> bytes:
    return sent


_JOINERS: Mapping[int, Joiner] = {
    ADD: partial(_add, 4),
    ADD64: partial(_add, 8),
    OR: partial(_bitwise, or_),
    AND: partial(_bitwise, and_),
    GET_AND_SET: _set,
    ADD_WITH_DEFAULT: partial(_add_with_default, 4),
    ADD64_WITH_DEFAULT: partial(_add_with_default, 8),
}
