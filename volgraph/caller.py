"""On whose behalf an opened volume winds its fops, and how it leaves room for other tasks."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

import anyio.lowlevel
import attrs

from .errors import StrPath
from .graph import Call, Coming, Done, Fd, Graph, Translator, Xdata, started

P = ParamSpec("P")
R = TypeVar("R")

FOPS_BEFORE_YIELD = 64
SECONDS_BEFORE_YIELD = 500e-6


@attrs.define(eq=False)
class Caller:
    """One client of a graph: the identity of its calls. Locks and fds of a client are given back together.

    A local brick answers without ever yielding to the event loop, so `wind` does it: after 64 fops or 500 us.
    """

    graph: Graph
    umask: int
    label: str = ""
    """How errors call the volume, before a colon and the path; without one they give the path alone."""
    client: str = attrs.field(init=False)
    call: Call = attrs.field(init=False)
    forgotten: deque[tuple[Call, Fd]] = attrs.field(init=False, factory=deque)
    """Open fds that nobody can close any more, each with the owner of its locks."""
    _fops: int = attrs.field(init=False, default=0)
    _yield_at: float = attrs.field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        random = self.graph.seams.random
        self.client = f"volume-{random.getrandbits(64):016x}"
        self.call = Call(os.geteuid(), os.getegid(), tuple(os.getgroups()), os.getpid(), self.new_owner(), self.client)

    @property
    def top(self) -> Translator:
        return self.graph.top

    def named(self, path: StrPath) -> str | bytes:
        """What errors call a path of this volume."""
        return f"{self.label}:{os.fsdecode(path)}" if self.label else os.fspath(path)

    def new_owner(self) -> bytes:
        """A lock owner that nobody else is."""
        return self.graph.seams.random.getrandbits(64).to_bytes(8, "big")

    def making(self) -> Call:
        """The call of a fop that makes an object, or may adopt one: it bears the gfid that the object is to have."""
        return self.asking({"gfid-req": self.graph.seams.new_gfid()})

    def asking(self, xdata: Xdata) -> Call:
        return self.call.with_xdata(xdata)

    async def wind(self, fop: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a fop of the top node and give its reply."""
        self._fops += 1
        now = self.graph.seams.clock.monotonic()
        if self._fops >= FOPS_BEFORE_YIELD or now > self._yield_at:
            await anyio.lowlevel.checkpoint()
            self._fops, self._yield_at = 0, now + SECONDS_BEFORE_YIELD
        return await fop(*args, **kwargs)

    async def wind_open(self, fd: Fd, fop: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """`wind` of a fop that opens `fd`. If it fails, or the caller is cancelled, nothing stays open; the fop itself
        runs to its end, so that none opens after the fd was given back."""
        self.give_back_forgotten()

        async def opened() -> R:
            answer = fop(*args, **kwargs)
            if isinstance(answer, Done):
                value: R = answer.value
                return value
            coming = started(answer, self.graph.tasks)
            try:
                return await coming
            except BaseException:
                if isinstance(coming, Coming):
                    coming.when_settled(lambda: self.top.release(fd))
                else:
                    self.top.release(fd)
                raise

        return await self.wind(opened)

    def give_back_forgotten(self) -> None:
        """What was left open and collected: its locks are given back, then the fd."""
        while self.forgotten:
            self.graph.tasks.start(self._flushed_and_released(*self.forgotten.popleft()))

    async def _flushed_and_released(self, call: Call, fd: Fd) -> None:
        try:
            with suppress(OSError):
                await self.top.flush(call, fd)
        finally:
            self.top.release(fd)


def process_umask() -> int:
    """The umask of this process; asked of the kernel, as setting it to learn it would race with other threads."""
    with suppress(OSError, ValueError), open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def is_mode(mode: int) -> bool:
    """Whether the kernel would take it for one: an int of 32 bits. Of others `os` says OverflowError."""
    return -(1 << 31) <= mode < 1 << 31
