"""The changes of attributes that a sweep tries."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable

from ..graph import Fd, NewAttributes, Translator, XattropKind
from .invariants import Value
from .operations import CALL, FILE, OLD, PATH, Look, Operation, Perform, a_file, by_path, contents

XATTR = "user.note"
UPPER_KEY = "trusted.upper"
"""A key that another cluster translator above counts under: to an afr it is like any other."""
ONE = b"\0\0\0\1\0\0\0\0\0\0\0\0"
SHORTER = NewAttributes(size=4, mode=0o600)


async def a_file_with_a_note(top: Translator) -> Fd:
    fd = await a_file(top)
    await top.setxattr(CALL, FILE, {XATTR: b"old"})
    return fd


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


async def contents_and_mode(top: Translator) -> Value:
    return b"%b %b" % (await contents(top) or b"", await mode(top) or b"")


async def set_mode_twice(top: Translator, fd: Fd) -> object:
    """The second time it finds what the first has left on record, and sets the same."""
    await top.setattr(CALL, FILE, NewAttributes(mode=0o600))
    return await top.setattr(CALL, FILE, NewAttributes(mode=0o600))


def by_fd(change: Callable[[Translator, Fd], Awaitable[object]]) -> Perform:
    async def perform(top: Translator, fd: Fd) -> object:
        return await change(top, fd)

    return perform


SETATTR = Operation(
    "setattr", a_file, by_path(lambda top: top.setattr(CALL, FILE, NewAttributes(mode=0o600))), mode, b"644", b"600"
)
FSETATTR = Operation(
    "fsetattr",
    a_file,
    by_fd(lambda top, fd: top.fsetattr(CALL, fd, NewAttributes(mode=0o600))),
    mode,
    b"644",
    b"600",
)
SETATTR_TWICE = Operation("setattr twice", a_file, set_mode_twice, mode, b"644", b"600", locks_again=True, twice=True)
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
FSETXATTR = Operation(
    "fsetxattr",
    a_file_with_a_note,
    by_fd(lambda top, fd: top.fsetxattr(CALL, fd, {XATTR: b"new"})),
    xattr(XATTR),
    b"old",
    b"new",
)
FREMOVEXATTR = Operation(
    "fremovexattr",
    a_file_with_a_note,
    by_fd(lambda top, fd: top.fremovexattr(CALL, fd, XATTR)),
    xattr(XATTR),
    b"old",
    None,
)
FXATTROP = Operation(
    "fxattrop of another's key",
    a_file,
    by_fd(lambda top, fd: top.fxattrop(CALL, fd, XattropKind.ADD_ARRAY, {UPPER_KEY: ONE})),
    xattr(UPPER_KEY),
    None,
    ONE,
)


def of_size_and_mode(name: str, perform: Perform) -> Operation:
    """Two changes of an afr's: contents and attributes are logged apart."""
    before, halfway, after = OLD + b" 644", OLD[:4] + b" 644", OLD[:4] + b" 600"
    return Operation(name, a_file, perform, contents_and_mode, before, after, between=(halfway,), twice=True)


SETATTR_WITH_SIZE = of_size_and_mode("setattr of size and mode", by_path(lambda top: top.setattr(CALL, FILE, SHORTER)))
FSETATTR_WITH_SIZE = of_size_and_mode(
    "fsetattr of size and mode", by_fd(lambda top, fd: top.fsetattr(CALL, fd, SHORTER))
)

CHANGES_OF_ATTRIBUTES = (
    *(SETATTR, SETATTR_TWICE, FSETATTR, SETATTR_WITH_SIZE, FSETATTR_WITH_SIZE),
    *(SETXATTR, FSETXATTR, REMOVEXATTR, FREMOVEXATTR, XATTROP, FXATTROP),
)
