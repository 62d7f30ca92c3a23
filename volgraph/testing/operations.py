"""The changes that a sweep tries: how to prepare for one, make it, and look at what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Loc, Translator
from .invariants import Value

NAME = b"file"
PATH = Loc(parent=ROOT_GFID, name=NAME)
FILE_GFID = Gfid(bytes(range(16)))
OTHER_GFID = Gfid(bytes(range(16, 32)))
CALL = Call(client="sweep", lk_owner=b"app")

OLD = b"0123456789abcdef"
NEW = b"XYZ" * 4
NEW_OFFSET = 10
"""The write overlaps the end of the file and extends it."""

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


async def nothing(top: Translator) -> Fd:
    return Fd()


async def a_file(top: Translator) -> Fd:
    """The file with its old contents, open."""
    fd = Fd(FILE_GFID, os.O_RDWR)
    await top.create(CALL.with_xdata({"gfid-req": FILE_GFID}), PATH, os.O_RDWR, 0o644, 0, fd)
    await top.writev(CALL, fd, OLD, 0)
    return fd


async def contents(top: Translator) -> Value:
    try:
        found = await top.lookup(CALL, PATH)
    except FileNotFoundError:
        return None
    return bytes((await top.readv(CALL, Fd(found.iatt.gfid), 4096, 0)).data)


async def gfid_at_name(top: Translator) -> Value:
    try:
        return (await top.lookup(CALL, PATH)).iatt.gfid
    except FileNotFoundError:
        return None


async def write(top: Translator, fd: Fd) -> object:
    return await top.writev(CALL, fd, NEW, NEW_OFFSET)


async def truncate(top: Translator, fd: Fd) -> object:
    return await top.ftruncate(CALL, fd, 4)


async def create(top: Translator, fd: Fd) -> object:
    fd.gfid = FILE_GFID
    return await top.create(CALL.with_xdata({"gfid-req": FILE_GFID}), PATH, os.O_RDWR, 0o644, 0, fd)


async def mkdir(top: Translator, fd: Fd) -> object:
    return await top.mkdir(CALL.with_xdata({"gfid-req": OTHER_GFID}), PATH, 0o755, 0)


async def symlink(top: Translator, fd: Fd) -> object:
    return await top.symlink(CALL.with_xdata({"gfid-req": OTHER_GFID}), b"target", PATH, 0)


async def unlink(top: Translator, fd: Fd) -> object:
    return await top.unlink(CALL, Loc(FILE_GFID, ROOT_GFID, NAME))


WRITEV = Operation("writev", a_file, write, contents, OLD, OLD[:NEW_OFFSET] + NEW)
TRUNCATE = Operation("ftruncate", a_file, truncate, contents, OLD, OLD[:4])
CREATE = Operation("create", nothing, create, gfid_at_name, None, FILE_GFID)
MKDIR = Operation("mkdir", nothing, mkdir, gfid_at_name, None, OTHER_GFID)
SYMLINK = Operation("symlink", nothing, symlink, gfid_at_name, None, OTHER_GFID)
UNLINK = Operation("unlink", a_file, unlink, gfid_at_name, FILE_GFID, None)

OPERATIONS = {each.name: each for each in (WRITEV, TRUNCATE, CREATE, MKDIR, SYMLINK, UNLINK)}
