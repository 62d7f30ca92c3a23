"""What of a stack's answer may differ from a plain directory's: all of it is declared here."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Collection
from typing import Any, TypeAlias

import attrs

from .like_a_directory_plain import SEEKS, PlainDirectory
from .like_a_directory_stack import Listing, StackedDirectory
from .like_a_directory_steps import Step

OPTIONAL = ("reserve", "punch", "zero", "copy", "seek")
"""A stack may refuse these with EOPNOTSUPP (of seek: data and holes), or copying from one of its parts to another with
EXDEV; then they are not done on either side."""
REFUSALS = (errno.EOPNOTSUPP, errno.EXDEV)


@attrs.frozen
class Allowed:
    """A stack may answer one of `stack` where a plain directory answers one of `plain` (0: no error)."""

    operations: Collection[str]
    plain: Collection[int]
    stack: Collection[int]
    why: str


ANY: Collection[str] = ()
PATH_ERRORS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG)

ALLOWED = (
    Allowed(
        ("getxattr", "removexattr"),
        (errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE),
        (errno.ENODATA, errno.EPERM),
        "a name that no attribute can have: there is none, and that is all that is told",
    ),
    Allowed(
        ("setxattr", "getxattr", "removexattr"),
        (errno.E2BIG, errno.ERANGE),
        PATH_ERRORS,
        "two things are wrong: the kernel looks at the arguments before it looks for the object",
    ),
    Allowed(("open",), (errno.EISDIR,), (errno.EEXIST,), "to be made anew, and a directory: both are wrong"),
    Allowed(
        ("copy",),
        (errno.EBADF, errno.EOVERFLOW),
        (errno.EINVAL,),
        "an offset below zero, or ranges that overlap, and an fd that does not serve: all are wrong",
    ),
    Allowed(
        ("pread", "pwrite", "ftruncate", "reserve", "punch", "zero"),
        (errno.EINVAL,),
        (errno.EBADF,),
        "a range that cannot be, and an fd that does not serve: both are wrong",
    ),
    Allowed(ANY, (errno.EACCES,), (errno.ENAMETOOLONG,), "a name that cannot be, in a directory that is shut"),
    Allowed(
        ("setxattr",),
        (errno.EPERM, errno.EACCES),
        (errno.EINVAL, errno.EOPNOTSUPP),
        "a name that cannot be, of what cannot bear one",
    ),
    Allowed(("seek",), (errno.ENXIO,), (errno.EINVAL,), "data or holes before the beginning of the file"),
    Allowed(
        ("open", "read_bytes", "write_bytes"),
        (errno.EACCES,),
        (errno.ENXIO,),
        "what is no file is never opened, whoever asks",
    ),
    Allowed(
        ("chown",),
        (errno.EPERM,),
        (0,),
        "an owner that an object has already may be said: healing does, of files that the brick's user does not own",
    ),
    Allowed(
        ("open", "read_bytes", "write_bytes", "rmdir", "unlink", "rename"),
        (errno.EACCES,),
        (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY),
        "of the wrong kind, and not allowed either: both are wrong",
    ),
    Allowed(("link",), (errno.EACCES,), (errno.EPERM,), "of a directory, into one that is shut: both are wrong"),
    Allowed(("listxattr",), (0,), (errno.EACCES,), "names come with their values, and those may not be read"),
    Allowed(("rename",), (errno.EBUSY,), PATH_ERRORS, "onto the root, and of what is not there: both are wrong"),
    Allowed(
        ("rename",),
        (errno.ENOENT, errno.ENOTDIR, errno.ELOOP),
        (errno.ENAMETOOLONG,),
        "a name that cannot be, and another that is not there, or that no way leads to: both are wrong",
    ),
    Allowed(("rename",), (errno.ENOTEMPTY,), (errno.EISDIR,), "of a file, onto a directory that is not empty"),
)


class Differs(AssertionError):
    """The stack answered otherwise than the directory; the text says how."""


@attrs.frozen
class Outcome:
    """What one side made of a step: a value, or an errno."""

    value: Any = None
    code: int = 0

    def __str__(self) -> str:
        return errno.errorcode.get(self.code, str(self.code)) if self.code else _short(self.value)


def judge(step: Step, plain: Outcome, stack: Outcome) -> None:
    """`Differs` where the two are neither equal nor allowed to differ."""
    if plain == stack:
        return
    if plain.code != stack.code and any(_fits(allowed, step, plain.code, stack.code) for allowed in ALLOWED):
        return
    raise Differs(f"{shown(step)}: the stack answered {stack}, a directory {plain}")


def _fits(allowed: Allowed, step: Step, plain: int, stack: int) -> bool:
    return (
        (not allowed.operations or step[0] in allowed.operations) and plain in allowed.plain and stack in allowed.stack
    )


def judge_sought(step: Step, plain: Outcome, stack: Outcome, directory: PlainDirectory) -> None:
    """Where data and holes begin is told in units of the file system: what is said must only be true. Behind a hole
    there are zeros up to the data that is named; at the end of a file there is always a hole."""
    _, slot, offset, whence = step
    size = os.fstat(directory.fd(slot)).st_size
    if not {plain.code, stack.code} <= {0, errno.ENXIO} or not 0 <= offset < size:
        judge(step, plain, stack)
        return
    contents = directory.contents(slot)[max(offset, 0) :]
    if SEEKS[whence] == os.SEEK_DATA:
        passed = contents if stack.code else contents[: stack.value - offset]
        true = not any(passed) and (stack.code or offset <= stack.value < size)
    else:
        true = not contents if stack.code else offset <= stack.value <= size and _hole(contents, stack.value - offset)
    if not true:
        raise Differs(f"{shown(step)}: the stack answered {stack}, which is not so; a directory {plain}")


def _hole(contents: bytes, at: int) -> bool:
    return at == len(contents) or contents[at] == 0


Entries: TypeAlias = set[tuple[bytes, int]]


def judge_listings(plain: PlainDirectory, stack: StackedDirectory, steady: dict[int, Entries]) -> None:
    """Each entry that was there all the time that a listing took appears in it once. `steady`: those, so far. A name at
    which another object was put is another entry: file systems take it for a name that went and one that came."""
    for number in plain.streams:
        steady[number] &= plain.entries_in(number)
        listing = stack.streams[number]
        if listing.end:
            _judge_listing(listing, steady[number])


def _judge_listing(listing: Listing, steady: Entries) -> None:
    times = Counter(listing.names)
    wrong = {name: times[name] for name, _ in steady if times[name] != 1}
    if wrong:
        raise Differs(f"a listing showed names that were there all the time not once, but so often: {wrong}")


def shown(step: Step) -> str:
    """A step as Python."""
    return f"({', '.join(map(_short, step))}{',' if len(step) == 1 else ''})"


def _short(value: Any) -> str:
    if isinstance(value, bytes) and len(value) > 40:
        for size in (1, 2, 4):
            times = len(value) // size
            if value == value[:size] * times:
                return f"{value[:size]!r} * {times}"
    if isinstance(value, str) and len(value) > 40 and value == value[:5] + value[5] * (len(value) - 5):
        return f"{value[:5]!r} + {value[5]!r} * {len(value) - 5}"
    return repr(value)
