"""The changes of names that a sweep tries."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Awaitable, Callable
from functools import partial

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Loc, ParentDown, Translator
from .invariants import Value
from .operations import (
    CALL,
    FILE_GFID,
    NAME,
    OTHER_GFID,
    PATH,
    Look,
    Operation,
    Perform,
    Prepare,
    a_file,
    by_path,
    nothing,
)

HERE, THERE, MOVED, REPLACED = (Gfid(bytes([number]) * 16) for number in range(2, 6))
SECOND_NAME = Loc(parent=ROOT_GFID, name=b"second")
REGULAR, DIRECTORY, FIFO = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFIFO | 0o600


def requesting(gfid: Gfid) -> Call:
    return CALL.with_xdata({"gfid-req": gfid})


async def gfid_at(top: Translator, place: Loc) -> Value:
    try:
        return (await top.lookup(CALL, place)).iatt.gfid
    except FileNotFoundError:
        return None


async def two_names(top: Translator) -> Value:
    """The first byte of what stands at each."""
    there = [await gfid_at(top, place) for place in (PATH, SECOND_NAME)]
    return b"".join(gfid[:1] if gfid else b"-" for gfid in there)


async def create(top: Translator, fd: Fd) -> object:
    fd.gfid = FILE_GFID
    return await top.create(requesting(FILE_GFID), PATH, os.O_RDWR, 0o644, 0, fd)


async def a_directory(top: Translator) -> Fd:
    await top.mkdir(requesting(OTHER_GFID), PATH, 0o755, 0)
    return Fd()


async def a_full_directory(top: Translator) -> Fd:
    await a_directory(top)
    await top.mknod(requesting(FILE_GFID), Loc(parent=OTHER_GFID, name=b"inside"), REGULAR, 0, 0)
    return Fd()


async def two_files(top: Translator) -> Fd:
    await top.mknod(requesting(OTHER_GFID), SECOND_NAME, REGULAR, 0, 0)
    return await a_file(top)


async def a_file_of_two_names(top: Translator) -> Fd:
    fd = await a_file(top)
    await top.link(CALL, Loc(FILE_GFID), SECOND_NAME)
    return fd


async def create_found(top: Translator, fd: Fd) -> object:
    """The file is there: it is opened, and what was asked for a new one does not count."""
    return await top.create(requesting(OTHER_GFID), PATH, os.O_RDWR, 0o600, 0, Fd(FILE_GFID, os.O_RDWR))


async def create_new_only(top: Translator, fd: Fd) -> object:
    flags = os.O_RDWR | os.O_EXCL
    return await top.create(requesting(OTHER_GFID), PATH, flags, 0o600, 0, Fd(OTHER_GFID, flags))


async def make_two(top: Translator, fd: Fd) -> object:
    """Two changes of one directory, one after the other."""
    await top.mknod(requesting(MOVED), PATH, REGULAR, 0, 0)
    return await top.mkdir(requesting(REPLACED), SECOND_NAME, 0o755, 0)


async def make_and_stop(top: Translator, fd: Fd) -> object:
    """The client ends in order: what it has put off is done before."""
    reply = await top.mknod(requesting(OTHER_GFID), PATH, REGULAR, 0, 0)
    top.notify(ParentDown(top))
    return reply


async def make_and_unlink(top: Translator, fd: Fd) -> object:
    await top.mknod(requesting(OTHER_GFID), PATH, REGULAR, 0, 0)
    return await top.unlink(CALL, Loc(OTHER_GFID, ROOT_GFID, NAME))


async def unlink_and_make(top: Translator, fd: Fd) -> object:
    """Another object is at the name in the end."""
    await top.unlink(CALL, Loc(FILE_GFID, ROOT_GFID, NAME))
    return await top.mknod(requesting(OTHER_GFID), PATH, REGULAR, 0, 0)


def making(name: str, make: Callable[[Translator], Awaitable[object]]) -> Operation:
    return Operation(name, nothing, by_path(make), partial(gfid_at, place=PATH), None, OTHER_GFID)


CREATE = Operation("create", nothing, create, partial(gfid_at, place=PATH), None, FILE_GFID)
MKNOD = making("mknod", lambda top: top.mknod(requesting(OTHER_GFID), PATH, FIFO, 0, 0))
MKDIR = making("mkdir", lambda top: top.mkdir(requesting(OTHER_GFID), PATH, 0o755, 0))
SYMLINK = making("symlink", lambda top: top.symlink(requesting(OTHER_GFID), b"target", PATH, 0))
LINK = Operation(
    "link",
    a_file,
    by_path(lambda top: top.link(CALL, Loc(FILE_GFID), SECOND_NAME)),
    partial(gfid_at, place=SECOND_NAME),
    None,
    FILE_GFID,
)
UNLINK = Operation(
    "unlink",
    a_file,
    by_path(lambda top: top.unlink(CALL, Loc(FILE_GFID, ROOT_GFID, NAME))),
    partial(gfid_at, place=PATH),
    FILE_GFID,
    None,
)
RMDIR = Operation(
    "rmdir",
    a_directory,
    by_path(lambda top: top.rmdir(CALL, Loc(OTHER_GFID, ROOT_GFID, NAME))),
    partial(gfid_at, place=PATH),
    OTHER_GFID,
    None,
)


@attrs.frozen
class Renaming:
    """MOVED goes from one place to another, over REPLACED where something stands there. Seen at both places."""

    old: Loc
    new: Loc
    mode: int
    over: bool

    async def prepare(self, top: Translator) -> Fd:
        for gfid, name in ((HERE, b"here"), (THERE, b"there")):
            await top.mkdir(requesting(gfid), Loc(parent=ROOT_GFID, name=name), 0o755, 0)
        await self._make(top, MOVED, self.old)
        if self.over:
            await self._make(top, REPLACED, self.new)
        return Fd()

    async def _make(self, top: Translator, gfid: Gfid, place: Loc) -> None:
        if stat.S_ISDIR(self.mode):
            await top.mkdir(requesting(gfid), place, 0o755, 0)
        else:
            await top.mknod(requesting(gfid), place, self.mode, 0, 0)

    async def perform(self, top: Translator, fd: Fd) -> object:
        return await top.rename(CALL, self.old, self.new)

    async def look(self, top: Translator) -> Value:
        there = [await gfid_at(top, place) for place in (self.old, self.new)]
        return b"".join(gfid[:1] if gfid else b"-" for gfid in there)

    def named(self, name: str) -> Operation:
        before = MOVED[:1] + (REPLACED[:1] if self.over else b"-")
        return Operation(f"rename of {name}", self.prepare, self.perform, self.look, before, b"-" + MOVED[:1])


OLD_PLACE, NEW_PLACE = Loc(parent=HERE, name=b"old"), Loc(parent=HERE, name=b"new")
ELSEWHERE = Loc(parent=THERE, name=b"new")
RENAMES_WITHIN = (
    Renaming(OLD_PLACE, NEW_PLACE, REGULAR, over=False).named("a file"),
    Renaming(OLD_PLACE, NEW_PLACE, REGULAR, over=True).named("a file over another"),
    Renaming(OLD_PLACE, NEW_PLACE, DIRECTORY, over=False).named("a directory"),
    Renaming(OLD_PLACE, NEW_PLACE, DIRECTORY, over=True).named("a directory over an empty one"),
)
RENAMES_ELSEWHERE = (
    Renaming(OLD_PLACE, ELSEWHERE, REGULAR, over=False).named("a file to another directory"),
    Renaming(OLD_PLACE, ELSEWHERE, REGULAR, over=True).named("a file over another elsewhere"),
    Renaming(OLD_PLACE, ELSEWHERE, DIRECTORY, over=False).named("a directory to another directory"),
)
RENAMES = (*RENAMES_WITHIN, *RENAMES_ELSEWHERE)


def refused(name: str, code: int, prepare: Prepare, perform: Perform, look: Look, there: Value) -> Operation:
    """Nothing changes, and the caller must hear why."""
    return Operation(name, prepare, perform, look, there, there, refusal=code)


def dying(operation: Operation) -> Operation:
    return attrs.evolve(operation, name=f"{operation.name} and leave", dies=True)


CREATE_FOUND = Operation(
    "create of a file that is there", a_file, create_found, partial(gfid_at, place=PATH), FILE_GFID, FILE_GFID
)
UNLINK_ONE_OF_TWO = Operation(
    "unlink of one of two names",
    a_file_of_two_names,
    by_path(lambda top: top.unlink(CALL, Loc(FILE_GFID, ROOT_GFID, NAME))),
    two_names,
    FILE_GFID[:1] * 2,
    b"-" + FILE_GFID[:1],
)
MAKE_AND_STOP = Operation("mknod and stop", nothing, make_and_stop, partial(gfid_at, place=PATH), None, OTHER_GFID)
MAKE_TWO = Operation(
    *("mknod, then mkdir beside it", nothing, make_two, two_names, b"--", MOVED[:1] + REPLACED[:1]),
    between=(MOVED[:1] + b"-",),
    locks_again=True,
    twice=True,
)
MAKE_AND_UNLINK = Operation(
    *("mknod, then unlink", nothing, make_and_unlink, partial(gfid_at, place=PATH), None, None),
    between=(OTHER_GFID,),
    locks_again=True,
    twice=True,
)
UNLINK_AND_MAKE = Operation(
    *("unlink, then mknod", a_file, unlink_and_make, partial(gfid_at, place=PATH), FILE_GFID, OTHER_GFID),
    between=(None,),
    locks_again=True,
    twice=True,
)
REFUSED = (
    refused(
        *("create, exclusive, of a file that is there", errno.EEXIST, a_file, create_new_only),
        *(partial(gfid_at, place=PATH), FILE_GFID),
    ),
    refused(
        *("link over a file", errno.EEXIST, two_files),
        by_path(lambda top: top.link(CALL, Loc(FILE_GFID), SECOND_NAME)),
        *(two_names, FILE_GFID[:1] + OTHER_GFID[:1]),
    ),
    refused(
        *("rmdir of a full directory", errno.ENOTEMPTY, a_full_directory),
        by_path(lambda top: top.rmdir(CALL, Loc(OTHER_GFID, ROOT_GFID, NAME))),
        *(partial(gfid_at, place=PATH), OTHER_GFID),
    ),
)
CHANGES_OF_NAMES = (
    *(CREATE, CREATE_FOUND, MKNOD, MKDIR, SYMLINK, LINK, UNLINK, UNLINK_ONE_OF_TWO, RMDIR, *RENAMES),
    *(MAKE_AND_STOP, MAKE_TWO, MAKE_AND_UNLINK, UNLINK_AND_MAKE, *REFUSED),
    *(dying(CREATE), dying(UNLINK), dying(RENAMES_WITHIN[1]), dying(RENAMES_ELSEWHERE[1])),
)
