"""The changes of names that a sweep tries."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable
from functools import partial

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Loc, Translator
from .invariants import Value
from .operations import CALL, FILE_GFID, NAME, OTHER_GFID, PATH, Operation, a_file, by_path, nothing

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


async def create(top: Translator, fd: Fd) -> object:
    fd.gfid = FILE_GFID
    return await top.create(requesting(FILE_GFID), PATH, os.O_RDWR, 0o644, 0, fd)


async def a_directory(top: Translator) -> Fd:
    await top.mkdir(requesting(OTHER_GFID), PATH, 0o755, 0)
    return Fd()


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
CHANGES_OF_NAMES = (CREATE, MKNOD, MKDIR, SYMLINK, LINK, UNLINK, RMDIR, *RENAMES)
