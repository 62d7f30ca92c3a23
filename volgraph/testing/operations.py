"""The changes that a sweep tries: how to prepare for one, make it, and look at what came of it.

Here are those of what a file holds; the others are in `operations_attributes` and `operations_names`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Loc, ParentDown, Translator, fail
from .fated import Fate, short
from .invariants import Quorum, Trial, Value

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
    twice: bool = False
    """It is two changes one after the other, each with all its phases: so it has the square of their schedules."""
    dies: bool = False
    """The client dies right after the answer: what it has put off for a while is never done."""
    between: tuple[Value, ...] = ()
    """What else `look` may give where the change has failed halfway."""
    refusal: int = 0
    """The errno with which it must end, where it must be refused."""
    also: tuple[Fate, ...] = ()
    """What else may become of the change itself, at each child."""

    def trial(self, children: Sequence[str], quorum: Quorum, below: Mapping[str, Collection[int]]) -> Trial:
        return Trial(children, quorum, self.before, self.after, self.between, self.refusal, below)


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


# --- after ---------------------------------------------------------------------------------------------------------


async def contents(top: Translator) -> Value:
    try:
        found = await top.lookup(CALL, PATH)
    except FileNotFoundError:
        return None
    return bytes((await top.readv(CALL, Fd(found.iatt.gfid), 4096, 0)).data)


# --- changes -------------------------------------------------------------------------------------------------------


async def write(top: Translator, fd: Fd) -> object:
    """It counts as done when the file is flushed: until then, marks may still be there for the next write."""
    await top.writev(CALL, fd, NEW, NEW_OFFSET)
    return await top.flush(CALL, fd)


async def write_and_leave(top: Translator, fd: Fd) -> object:
    """Neither flushed nor closed."""
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


async def write_and_stop(top: Translator, fd: Fd) -> object:
    """The client ends in order: what it has put off is done before."""
    reply = await top.writev(CALL, fd, NEW, NEW_OFFSET)
    top.notify(ParentDown(top))
    return reply


async def append(top: Translator, fd: Fd) -> object:
    await top.writev(CALL, fd, NEW, 0)
    return await top.flush(CALL, fd)


async def write_all(top: Translator, fd: Fd) -> object:
    """What a short write has left out is written by another one. EIO: not a byte more is taken."""
    done = 0
    while done < len(NEW):
        count = (await top.writev(CALL, fd, NEW[done:], NEW_OFFSET + done)).count
        if not count:
            raise fail(errno.EIO, "nothing was written")
        done += count
    return await top.flush(CALL, fd)


async def open_and_truncate(top: Translator, fd: Fd) -> object:
    again = Fd(FILE_GFID, os.O_RDWR | os.O_TRUNC)
    return await top.open(CALL, FILE, again.flags, again)


async def create_and_truncate(top: Translator, fd: Fd) -> object:
    """The file is there already: it is found, opened, and emptied."""
    found = Fd(FILE_GFID, os.O_RDWR)
    requesting = CALL.with_xdata({"gfid-req": OTHER_GFID})
    return await top.create(requesting, PATH, os.O_RDWR | os.O_TRUNC, 0o644, 0, found)


async def write_and_flush_twice(top: Translator, fd: Fd) -> object:
    """The second write finds nothing open: the flush has given lock and marks back."""
    await write(top, fd)
    return await write(top, fd)


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


def of_contents(name: str, perform: Perform, after: bytes, prepare: Prepare = a_file, **more: Any) -> Operation:
    return Operation(name, prepare, perform, contents, OLD, after, **more)


WRITEV = of_contents("writev", write, WRITTEN)
WRITE_AND_LEAVE = of_contents("writev and leave", write_and_leave, WRITTEN, dies=True)
WRITE_AND_REST = of_contents("writev and rest", write_and_leave, WRITTEN)
WRITE_AND_STOP = of_contents("writev and stop", write_and_stop, WRITTEN)
WRITE_TWICE = of_contents("writev twice", write_twice, WRITTEN)
WRITE_AND_FLUSH_TWICE = of_contents(
    "writev and flush twice", write_and_flush_twice, WRITTEN, locks_again=True, twice=True
)
WRITE_ALL = of_contents(
    "writev until all is written",
    write_all,
    WRITTEN,
    between=tuple(OLD[:NEW_OFFSET] + NEW[:count] + OLD[NEW_OFFSET + count :] for count in range(1, len(NEW))),
    also=(short(1), short(5)),
)
APPEND = of_contents("append", append, OLD + NEW, a_file_to_append_to)
APPEND_ALL = of_contents(
    "append until all is written",
    write_all,
    OLD + NEW,
    a_file_to_append_to,
    between=tuple(OLD + NEW[:count] for count in range(1, len(NEW))),
    also=(short(1), short(5)),
)
FSYNC = of_contents("writev and fsync", write_and_fsync, WRITTEN)
FTRUNCATE = of_contents("ftruncate", once(lambda top, fd: top.ftruncate(CALL, fd, 4)), OLD[:4])
TRUNCATE = of_contents("truncate", by_path(lambda top: top.truncate(CALL, FILE, 4)), OLD[:4])
FALLOCATE = of_contents("fallocate", once(lambda top, fd: top.fallocate(CALL, fd, 0, 8, 16)), OLD + bytes(8))
DISCARD = of_contents("discard", once(lambda top, fd: top.discard(CALL, fd, 4, 4)), OLD[:4] + bytes(4) + OLD[8:])
ZEROFILL = of_contents("zerofill", once(lambda top, fd: top.zerofill(CALL, fd, 12, 8)), OLD[:12] + bytes(8))
OPEN_TRUNCATING = of_contents("open with O_TRUNC", open_and_truncate, b"")
CREATE_TRUNCATING = of_contents("create of a file that is there, with O_TRUNC", create_and_truncate, b"", twice=True)

CHANGES_OF_CONTENTS = (
    *(WRITEV, WRITE_AND_LEAVE, WRITE_AND_REST, WRITE_AND_STOP, WRITE_TWICE, WRITE_AND_FLUSH_TWICE, WRITE_ALL),
    *(APPEND, APPEND_ALL, FSYNC),
    *(FTRUNCATE, TRUNCATE, FALLOCATE, DISCARD, ZEROFILL, OPEN_TRUNCATING, CREATE_TRUNCATING),
)
