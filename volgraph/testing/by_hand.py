"""Drive a graph without an event loop: for leaves that answer at once, a fop is then one plain call.

This is the one place that steps coroutines by hand; it is how a change is swept through thousands of schedules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..graph import Coming, Graph, ParentUp, Seams, Translator
from ..graph.tasks import Tasks
from .seams import SimClock, simulated
from .transcript import where

R = TypeVar("R")


class Suspended(Exception):
    """A coroutine stepped by hand waited for something."""


def by_hand(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never waits to its end."""
    try:
        work.send(None)
    except StopIteration as stop:
        value: R = stop.value
        return value
    place = where(work)
    work.close()
    raise Suspended(f"waited, and nobody is there to wake it: {place}")


async def answer(fop: Any) -> Any:
    """Await any answer, as a coroutine: `by_hand(answer(brick.lookup(call, loc)))`."""
    return await fop


class HandClock(SimClock):
    """Each look is a microsecond after the last one. Whatever is waited for is there at once, or does not come in time.

    Where it is waited for without end, `nobody_moves` makes something happen."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = 0
        self.nobody_moves: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        self._looks += 1
        return self._looks / 1e6

    async def within(self, seconds: float, news: Coming[None]) -> bool:
        if not news.settled and seconds == math.inf:
            self.nobody_moves()
            if not news.settled:
                raise Suspended("waits for an answer that nobody gives")
        return news.settled


class HandTasks(Tasks):
    """Work runs to its end when it is started; daemons (healers, reconnect timers) do not run at all."""

    def start(self, work: Coroutine[Any, Any, R]) -> Coming[R]:
        coming: Coming[R] = Coming()
        try:
            coming.resolve(by_hand(work))
        except Suspended:
            raise
        except Exception as error:
            coming.reject(error)
        return coming

    def start_daemon(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()


@contextmanager
def opened_by_hand(top: Translator, seams: Seams | None = None) -> Iterator[Graph]:
    """A started graph without a loop."""
    seams = seams or simulated(0)
    seams.clock = HandClock()
    graph = Graph(top, seams)
    graph.tasks = HandTasks()
    graph.enter()
    for node in graph.nodes:
        by_hand(node.start())
    top.notify(ParentUp(top))
    try:
        yield graph
    finally:
        for node in reversed(graph.nodes):
            by_hand(node.stop())
