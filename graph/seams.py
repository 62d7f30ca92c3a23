"""The four seams: time, randomness, blocking calls and the network reach a graph only through these.

Production uses what stands here; simulation hands the graph others, and nothing above knows the difference.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import anyio
import attrs

from .answers import Coming
from .disk import Disk
from .network import Network
from .pool import Pool
from .sockets import Sockets
from .types import Gfid

R = TypeVar("R")


class Clock:
    """The time. Sleeping and timers follow the event loop, so that a virtual loop makes them virtual."""

    def time_ns(self) -> int:
        """Wall clock, nanoseconds since 1970."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back. On a thread they count from another moment than on the event loop."""
        loop = asyncio._get_running_loop()  # protocol/client asks twice a call: anyio's way takes 15 times longer
        if loop is not None:
            return loop.time()
        try:
            return anyio.current_time()
        except RuntimeError:  # no event loop runs here
            return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def within(self, seconds: float, news: Coming[None]) -> bool:
        """Wait for something to happen, `seconds` (which may be infinite) at most: has it?"""
        with anyio.move_on_after(seconds):
            await news
        return news.settled


class Blocking(Protocol):
    """Where calls that may block are made."""

    disk: Disk
    """System calls on files that are made inline: cached metadata and page-cache I/O. A thread for each
    would cost 30 to 100 times as much."""

    def run(self, call: Callable[..., R], *args: object) -> Awaitable[R]:
        """Run a call that is expected to block (fsync, a cold scan) elsewhere; it has started when this returns."""
        ...

    def alone(self, threads: int = ...) -> Blocking:
        """Threads that nobody else waits for, on the same disk; whoever asks for them closes them."""
        ...

    def close(self) -> None: ...


@attrs.define(eq=False)
class Seams:
    clock: Clock = attrs.field(factory=Clock)
    random: random.Random = attrs.field(factory=random.SystemRandom)
    blocking: Blocking = attrs.field(factory=Pool)
    network: Network = attrs.field(factory=Sockets)

    def new_gfid(self) -> Gfid:
        """A fresh random identity, in the form of a version 4 UUID."""
        raw = bytearray(self.random.getrandbits(128).to_bytes(16, "big"))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        return Gfid(raw)
