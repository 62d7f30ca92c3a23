"""Cases of one fop each, on any stack."""

from __future__ import annotations

import os
from collections.abc import Sequence

import anyio

from benchmarks.measure import Case
from benchmarks.places import FILE_BYTES, PIECE_BYTES, at_random, in_sequence
from benchmarks.stacks import BLOCK, PIECE, Stack
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


def stats_at_once(stack: Stack, number: int) -> Case:
    """So many are wound before the first is awaited; the time is that of each."""
    top, call, loc = stack.top, stack.call, stack.by_gfid

    async def run(count: int) -> None:
        for _ in range(0, count, number):
            for answer in [top.stat(call, loc) for _ in range(number)]:
                await answer

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


def read(stack: Stack, call: Call | None = None, size: int = len(BLOCK)) -> Case:
    """The start of the file, which is in memory."""
    top, fd, caller = stack.top, stack.fd, call or stack.call

    async def run(count: int) -> None:
        for _ in range(count):
            await top.readv(caller, fd, size, 0)

    return Case(run)


def write(stack: Stack, call: Call | None = None, block: bytes = BLOCK) -> Case:
    """One block, the same again and again."""
    top, fd, caller = stack.top, stack.fd, call or stack.call

    async def run(count: int) -> None:
        for _ in range(count):
            await top.writev(caller, fd, block, 0)

    return Case(run)


async def fill(stack: Stack) -> None:
    """Make the file whole, for what follows."""
    for offset in range(0, FILE_BYTES, PIECE_BYTES):
        await stack.top.writev(stack.call, stack.fd, PIECE, offset)


def random_writes(stack: Stack, writers: int = 1) -> Case:
    """Blocks of a whole file, overwritten by one writer, or by several at once."""
    top, fd, caller = stack.top, stack.fd, terse(stack)

    async def write(places: Sequence[int]) -> None:
        for offset in places:
            await top.writev(caller, fd, BLOCK, offset)

    async def run(count: int) -> None:
        offsets = at_random(count)
        if writers == 1:
            await write(offsets)
            return
        async with anyio.create_task_group() as group:
            for number in range(writers):
                group.start_soon(write, offsets[number::writers])

    return Case(run)


def random_reads(stack: Stack) -> Case:
    top, fd, caller = stack.top, stack.fd, terse(stack)

    async def run(count: int) -> None:
        for offset in at_random(count):
            await top.readv(caller, fd, len(BLOCK), offset)

    return Case(run)


def pieces_in_sequence(stack: Stack) -> Case:
    """1 MiB after the other, over a whole file."""
    top, fd, caller = stack.top, stack.fd, terse(stack)

    async def run(count: int) -> None:
        for offset in in_sequence(count):
            await top.writev(caller, fd, PIECE, offset)

    return Case(run)


def terse(stack: Stack) -> Call:
    """A caller that wants no attributes, as the Volume API."""
    call = stack.call.with_xdata(None)
    call.attributes = False
    return call


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
