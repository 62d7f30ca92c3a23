"""Cases of one fop each, on any stack."""

from __future__ import annotations

import os

from benchmarks.measure import Case
from benchmarks.stacks import BLOCK, Stack
from volgraph.graph import ROOT_GFID, Call, Fd, Loc


def lookup(stack: Stack) -> Case:
    """By name."""
    top, call, loc = stack.top, stack.call, stack.at_name

    async def run(count: int) -> None:
        for _ in range(count):
            await top.lookup(call, loc)

    return Case(run)


def stat(stack: Stack) -> Case:
    """By gfid."""
    top, call, loc = stack.top, stack.call, stack.by_gfid

    async def run(count: int) -> None:
        for _ in range(count):
            await top.stat(call, loc)

    return Case(run)


def open_and_close(stack: Stack) -> Case:
    """Open by gfid, and release."""
    top, call, loc = stack.top, stack.call, stack.by_gfid

    async def run(count: int) -> None:
        for _ in range(count):
            fd = Fd(loc.gfid, os.O_RDWR)
            await top.open(call, loc, os.O_RDWR, fd)
            top.release(fd)

    return Case(run)


def read(stack: Stack, call: Call | None = None) -> Case:
    """One block, which is in memory."""
    top, fd, caller = stack.top, stack.fd, call or stack.call

    async def run(count: int) -> None:
        for _ in range(count):
            await top.readv(caller, fd, len(BLOCK), 0)

    return Case(run)


def write(stack: Stack, call: Call | None = None) -> Case:
    """One block, the same again and again."""
    top, fd, caller = stack.top, stack.fd, call or stack.call

    async def run(count: int) -> None:
        for _ in range(count):
            await top.writev(caller, fd, BLOCK, 0)

    return Case(run)


def create(stack: Stack) -> Case:
    """Create a new file in the root, and release; all are removed between turns."""
    made: list[bytes] = []

    async def run(count: int) -> None:
        for number in range(count):
            name = b"%d" % number
            stack.top.release(await stack.create(name))
            made.append(name)

    async def clean() -> None:
        for name in made:
            await stack.top.unlink(stack.call, Loc(parent=ROOT_GFID, name=name))
        made.clear()

    return Case(run, clean)
