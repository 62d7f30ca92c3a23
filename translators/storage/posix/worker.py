"""The threads of one brick, on which calls are made that may block; and what becomes of a call that never ends.

Nobody else's calls run there, so a disk that hangs stops nothing but its own brick.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import attrs

from ....graph import Coming, Done, fail
from ....graph.seams import Blocking, Clock

R = TypeVar("R")

WAITING_MAX = 1 << 14
"""How many calls may wait for the threads."""
SECOND_LOOK = 0.02
"""Seconds: an event loop that was held up gets to see the answers that have come meanwhile."""


@attrs.define(eq=False)
class Worker:
    """Runs calls at a seam of its own. With `patience`, which is for a single thread, `hangs` is called when a call
    takes longer than so many seconds."""

    blocking: Blocking
    clock: Clock
    patience: float = math.inf
    hangs: Callable[[], None] = lambda: None
    era: int = attrs.field(init=False, default=0)
    """Counts how often everything was given up: what was to begin in an earlier one is not done any more."""
    closed: bool = attrs.field(init=False, default=False)
    _on_the_way: dict[Coming[Any], None] = attrs.field(init=False, factory=dict)
    """What callers wait for, until the call itself has come back, though it was given up long before."""
    _first_since: float = attrs.field(init=False, default=0.0)
    """When the call began that has been on its way longest (there is one thread, and it keeps the order)."""
    _begun: Coming[None] = attrs.field(init=False, factory=Coming)
    _idle: Coming[None] = attrs.field(init=False, factory=Coming)

    def run(self, call: Callable[..., R], *args: object) -> Coming[R] | Done[R]:
        """Make a call, unless it is given up before it has begun. EAGAIN too many wait already."""
        self.check_room()
        return self.run_anyway(self._unless_late, self.era, call, args)

    def run_anyway(self, call: Callable[..., R], *args: object) -> Coming[R] | Done[R]:
        """Make a call that gives something back, whenever its turn comes."""
        result = self.blocking.run(call, *args)
        if not isinstance(result, Coming):  # a seam without threads: it is done
            assert isinstance(result, Done)
            return result
        answer: Coming[R] = Coming()
        if not self._on_the_way:
            self._first_since = self.clock.monotonic()
            self._idle = Coming()
        self._on_the_way[answer] = None
        self._begun.resolve(None)
        result.when_settled(partial(self._back, answer, result))
        return answer

    def check_room(self) -> None:
        """EAGAIN too many calls wait already."""
        if len(self._on_the_way) >= WAITING_MAX:
            raise fail(errno.EAGAIN, f"{WAITING_MAX} calls wait for the disk")

    def check(self, era: int) -> None:
        """On a thread: may what was asked for in this era still be done? ENOTCONN."""
        if era != self.era:
            raise fail(errno.ENOTCONN, "the brick went down before this had begun")

    def give_up(self, reason: str) -> None:
        """Answer all that is on its way with ENOTCONN. What runs already runs on, its result is dropped."""
        self.era += 1
        for answer in list(self._on_the_way):
            answer.reject(fail(errno.ENOTCONN, reason))

    @property
    def busy(self) -> bool:
        return bool(self._on_the_way)

    async def idle(self) -> None:
        """Return when every call has come back, those given up too."""
        while self._on_the_way:
            await self._idle

    async def watch(self) -> None:
        """Look out for a call that hangs. Without an end."""
        while True:
            if not self._on_the_way:
                self._begun = Coming()
                await self._begun
            first = next(iter(self._on_the_way), None)
            await self.clock.sleep(max(0.0, self._first_since + self.patience - self.clock.monotonic()))
            if first in self._on_the_way:
                await self.clock.sleep(SECOND_LOOK)
                if first in self._on_the_way:
                    self.hangs()
                    await self.idle()

    def close(self) -> None:
        """Nothing more will be asked: the threads end with what they do."""
        self.closed = True
        self.blocking.close()

    def _unless_late(self, era: int, call: Callable[..., R], args: tuple[object, ...]) -> R:
        self.check(era)
        return call(*args)

    def _back(self, answer: Coming[Any], result: Coming[Any]) -> None:
        self._on_the_way.pop(answer, None)
        self._first_since = self.clock.monotonic()
        try:
            answer.resolve(result.result())
        except BaseException as error:
            answer.reject(error)
        if not self._on_the_way:
            self._idle.resolve(None)
