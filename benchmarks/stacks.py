"""Graphs to measure on: a top translator, started, with a file that is open."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from volgraph.graph import ROOT_GFID, Call, Fd, Graph, Loc, Seams, Translator

BLOCK = bytes(range(256)) * 16
"""The 4 KiB that are read and written."""
LARGE = BLOCK * 32
"""And the 128 KiB."""
PIECE = bytes(1 << 20)
"""And the 1 MiB of a sequence."""
START_SECONDS = 20.0


@attrs.define(eq=False)
class Stack:
    """`fd` is open on `name` in the root, which holds one block."""

    top: Translator
    graph: Graph
    call: Call = attrs.field(factory=lambda: Call(client="benchmark", lk_owner=b"benchmark"))
    name: bytes = b"file"
    fd: Fd = attrs.field(factory=Fd, init=False)

    @property
    def at_name(self) -> Loc:
        return Loc(parent=ROOT_GFID, name=self.name)

    @property
    def by_gfid(self) -> Loc:
        return Loc(self.fd.gfid)

    async def create(self, name: bytes) -> Fd:
        """Make a file in the root and leave it open."""
        fd = Fd(flags=os.O_RDWR)
        call = self.call.with_xdata({"gfid-req": self.graph.seams.new_gfid()})
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        made = await self.top.create(call, Loc(parent=ROOT_GFID, name=name), flags, 0o644, 0, fd)
        fd.gfid = made.iatt.gfid
        return fd

    async def open_the_file(self) -> None:
        """Make it, or open what an earlier stack has made."""
        try:
            self.fd = await self.create(self.name)
        except FileExistsError:
            found = await self.top.lookup(self.call, self.at_name)
            self.fd = Fd(found.iatt.gfid, os.O_RDWR)
            await self.top.open(self.call, Loc(found.iatt.gfid), os.O_RDWR, self.fd)
        await self.top.writev(self.call, self.fd, BLOCK, 0)


@asynccontextmanager
async def running(top: Translator, seams: Seams | None = None) -> AsyncIterator[Stack]:
    """The graph below `top`, started, its file open."""
    async with Graph(top, seams or Seams()) as graph:
        if not await graph.up(START_SECONDS):
            raise OSError(errno.ENOTCONN, f"{top.name} is not up: {top.down_reason}")
        stack = Stack(top, graph)
        await stack.open_the_file()
        try:
            yield stack
        finally:
            top.release(stack.fd)
