"""The changes that a sweep tries: how to prepare for one, make it, and look at what came of it.

Here are those of what a file holds; those of names are in `operations_names`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Loc, NewAttributes, Translator, XattropKind
from .invariants import Value

NAME = b"file"
PATH = Loc(parent=ROOT_GFID, name=NAME)
FILE_GFID = Gfid(bytes(range(16)))
OTHER_GFID = Gfid(bytes(range(16, 32)))
FILE = Loc(FILE_GFID)
CALL = Call(client="sweep", lk_owner=b"app")

OLD = b"0123456789abcdef"
NEW = b"XYZ" * 4
NEW_OFFSET = 10
"""The write overlaps the end of the file and extends it."""
WRITTEN = OLD[:NEW_OFFSET] + NEW
XATTR = "user.note"
UPPER_KEY = "trusted.upper"
"""A key that another cluster translator above counts under: to an afr it is like any other."""
ONE = b"\0\0\0\1\0\0\0\0\0\0\0\0"

Prepare = Callable[[Translator], Coroutine[Any, Any, Fd]]
Perform = Callable[[Translator, Fd], Coroutine[Any, Any, object]]
Look = Callable[[Translator], Coroutine[Any, Any, Value]]


@attrs.frozen
class Operation:
    """`look` gives `before` where the change has not happened, and `after` where it has."""

    name: str
    prepare: Prepare
    perform: Perform
    look: Look
    before: Value
    after: Value
    locks_again: bool = False
    """It takes the same lock twice: an unlock that a child refuses would make it wait for itself."""


# --- before --------------------------------------------------------------------------------------------------------


async def nothing(top: Translator) -> Fd:
    return Fd()


async def a_file(top: Translator) -> Fd:
    """The file with its old contents, open."""
    fd = Fd(FILE_GFID, os.O_RDWR)
    await top.create(CALL.with_xdata({"gfid-req": FILE_GFID}), PATH, os.O_RDWR, 0o644, 0, fd)
    await top.writev(CALL, fd, OLD, 0)
    await top.flush(CALL, fd)
    return fd


async def a_file_to_append_to(top: Translator) -> Fd:
    await a_file(top)
    fd = Fd(FILE_GFID, os.O_RDWR | os.O_APPEND)
    await top.open(CALL, FILE, fd.flags, fd)
    return fd


async def a_file_with_a_note(top: Translator) -> Fd:
    fd = await a_file(top)
    await top.setxattr(CALL, FILE, {XATTR: b"old"})
    return fd


# --- after ---------------------------------------------------------------------------------------------------------


async def contents(top: Translator) -> Value:
    try:
        found = await top.lookup(CALL, PATH)
    except FileNotFoundError:
        return None
    return bytes((await top.readv(CALL, Fd(found.iatt.gfid), 4096, 0)).data)


async def mode(top: Translator) -> Value:
    return b"%o" % ((await top.lookup(CALL, PATH)).iatt.mode & 0o777)


def xattr(name: str) -> Look:
    async def look(top: Translator) -> Value:
        try:
            return bytes((await top.getxattr(CALL, FILE, name)).values[name])
        except OSError as error:
            if error.errno == errno.ENODATA:
                return None
            raise

    return look


# --- changes -------------------------------------------------------------------------------------------------------


async def write(top: Translator, fd: Fd) -> object:
    """It counts as done when the file is flushed: until then, marks may still be there for the next write."""
    await top.writev(CALL, fd, NEW, NEW_OFFSET)
    return await top.flush(CALL, fd)


async def write_and_leave(top: Translator, fd: Fd) -> object:
    """The client dies right after the answer."""
    return await top.writev(CALL, fd, NEW, NEW_OFFSET)


async def write_twice(top: Translator, fd: Fd) -> object:
    """The second write finds the lock and the marks of the first. It writes the same, so there is nothing between
    the old contents and the new."""
    await top.writev(CALL, fd, NEW, NEW_OFFSET)
    await top.writev(CALL, fd, NEW, NEW_OFFSET)
    return await top.flush(CALL, fd)


async def write_and_fsync(top: Translator, fd: Fd) -> object:
    await top.writev(CALL, fd, NEW, NEW_OFFSET)
    return await top.fsync(CALL, fd)


async def append(top: Translator, fd: Fd) -> object:
    await top.writev(CALL, fd, NEW, 0)
    return await top.flush(CALL, fd)


async def write_and_flush_twice(top: Translator, fd: Fd) -> object:
    """The second write finds nothing open: the flush has given lock and marks back."""
    await write(top, fd)
    return await write(top, fd)


async def set_mode_twice(top: Translator, fd: Fd) -> object:
    """The second time it finds what the first has left on record, and sets the same."""
    await top.setattr(CALL, FILE, NewAttributes(mode=0o600))
    return await top.setattr(CALL, FILE, NewAttributes(mode=0o600))


def once(change: Callable[[Translator, Fd], Awaitable[object]]) -> Perform:
    """One fop, and then the file is flushed."""

    async def perform(top: Translator, fd: Fd) -> object:
        await change(top, fd)
        return await top.flush(CALL, fd)

    return perform


def by_path(change: Callable[[Translator], Awaitable[object]]) -> Perform:
    async def perform(top: Translator, fd: Fd) -> object:
        return await change(top)

    return perform


def of_contents(name: str, perform: Perform, after: bytes, prepare: Prepare = a_file) -> Operation:
    return Operation(name, prepare, perform, contents, OLD, after)


WRITEV = of_contents("writev", write, WRITTEN)
WRITE_AND_LEAVE = of_contents("writev and leave", write_and_leave, WRITTEN)
WRITE_TWICE = of_contents("writev twice", write_twice, WRITTEN)
WRITE_AND_FLUSH_TWICE = Operation(
    "writev and flush twice", a_file, write_and_flush_twice, contents, OLD, WRITTEN, locks_again=True
)
APPEND = of_contents("append", append, OLD + NEW, a_file_to_append_to)
FSYNC = of_contents("writev and fsync", write_and_fsync, WRITTEN)
FTRUNCATE = of_contents("ftruncate", once(lambda top, fd: top.ftruncate(CALL, fd, 4)), OLD[:4])
TRUNCATE = of_contents("truncate", by_path(lambda top: top.truncate(CALL, FILE, 4)), OLD[:4])
FALLOCATE = of_contents("fallocate", once(lambda top, fd: top.fallocate(CALL, fd, 0, 8, 16)), OLD + bytes(8))
DISCARD = of_contents("discard", once(lambda top, fd: top.discard(CALL, fd, 4, 4)), OLD[:4] + bytes(4) + OLD[8:])
ZEROFILL = of_contents("zerofill", once(lambda top, fd: top.zerofill(CALL, fd, 12, 8)), OLD[:12] + bytes(8))

SETATTR = Operation(
    "setattr", a_file, by_path(lambda top: top.setattr(CALL, FILE, NewAttributes(mode=0o600))), mode, b"644", b"600"
)
FSETATTR = Operation(
    "fsetattr",
    a_file,
    lambda top, fd: _awaited(top.fsetattr(CALL, fd, NewAttributes(mode=0o600))),
    mode,
    b"644",
    b"600",
)
SETATTR_TWICE = Operation("setattr twice", a_file, set_mode_twice, mode, b"644", b"600", locks_again=True)
SETXATTR = Operation(
    "setxattr",
    a_file_with_a_note,
    by_path(lambda top: top.setxattr(CALL, FILE, {XATTR: b"new"})),
    xattr(XATTR),
    b"old",
    b"new",
)
REMOVEXATTR = Operation(
    "removexattr",
    a_file_with_a_note,
    by_path(lambda top: top.removexattr(CALL, FILE, XATTR)),
    xattr(XATTR),
    b"old",
    None,
)
XATTROP = Operation(
    "xattrop of another's key",
    a_file,
    by_path(lambda top: top.xattrop(CALL, FILE, XattropKind.ADD_ARRAY, {UPPER_KEY: ONE})),
    xattr(UPPER_KEY),
    None,
    ONE,
)


async def _awaited(answer: Awaitable[object]) -> object:
    return await answer


CHANGES_OF_CONTENTS = (
    *(WRITEV, WRITE_AND_LEAVE, WRITE_TWICE, WRITE_AND_FLUSH_TWICE, APPEND, FSYNC),
    *(FTRUNCATE, TRUNCATE, FALLOCATE, DISCARD, ZEROFILL),
)
CHANGES_OF_ATTRIBUTES = (SETATTR, SETATTR_TWICE, FSETATTR, SETXATTR, REMOVEXATTR, XATTROP)
