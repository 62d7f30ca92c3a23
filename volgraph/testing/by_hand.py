"""Drive a graph without an event loop: for leaves that answer at once, a fop is then one plain call.

This is the one place that steps coroutines by hand; it is how a change is swept through thousands of schedules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from types import coroutine
from typing import Any, TypeVar

from ..graph import Coming, Graph, ParentUp, Seams, Translator
from ..graph.tasks import Tasks
from .seams import SimClock, simulated
from .transcript import where

R = TypeVar("R")

REST_SECONDS = 10.0
"""Longer than anything is put off for, by default."""


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
        self._slept = 0.0
        self._until = 0.0
        self.nobody_moves: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        self._looks += 1
        return self._slept + self._looks / 1e6

    def pass_by(self, seconds: float) -> None:
        """Whoever sleeps for so long, and no longer, wakes up."""
        self._until = self.monotonic() + seconds

    async def sleep(self, seconds: float) -> None:
        if self.monotonic() + seconds > self._until:
            await _never()
        self._slept += seconds

    async def within(self, seconds: float, news: Coming[None]) -> bool:
        if not news.settled and seconds == math.inf:
            self.nobody_moves()
            if not news.settled:
                raise Suspended("waits for an answer that nobody gives")
        return news.settled


@coroutine
def _never() -> Generator[None, None, None]:
    yield


class HandTasks(Tasks):
    """Work runs to its end when it is started; daemons (whatever is to be done in a while) while the graph rests."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Coroutine[Any, Any, None]] = []

    def start(self, work: Coroutine[Any, Any, R]) -> Coming[R]:
        coming: Coming[R] = Coming()
        try:
            coming.resolve(by_hand(work))
        except Suspended:
            raise
        except Exception as error:
            coming.reject(error)
        return coming

    def surface(self, bug: Exception) -> None:
        raise bug

    def start_daemon(self, work: Coroutine[Any, Any, None]) -> None:
        self._waiting.append(work)

    def run_daemons(self) -> None:
        """Each to its end, or up to where it sleeps on: there it is ended."""
        while self._waiting:
            with suppress(Suspended):
                by_hand(self._waiting.pop(0))

    def end_daemons(self) -> None:
        for work in self._waiting:
            work.close()
        self._waiting.clear()


def open_by_hand(top: Translator, seams: Seams | None = None) -> Graph:
    """A started graph without a loop."""
    seams = seams or simulated(0)
    seams.clock = HandClock()
    graph = Graph(top, seams)
    graph.tasks = HandTasks()
    graph.enter()
    for node in graph.nodes:
        by_hand(node.start())
    top.notify(ParentUp(top))
    return graph


def rest_by_hand(graph: Graph, seconds: float = REST_SECONDS) -> None:
    """Let a while pass in which nobody asks for anything: what was put off for so long is done."""
    assert isinstance(graph.seams.clock, HandClock)
    assert isinstance(graph.tasks, HandTasks)
    graph.seams.clock.pass_by(seconds)
    graph.tasks.run_daemons()


def close_by_hand(graph: Graph) -> None:
    """End the graph's nodes, as a process ends that is killed: what was put off is not done."""
    assert isinstance(graph.tasks, HandTasks)
    graph.tasks.end_daemons()
    for node in reversed(graph.nodes):
        by_hand(node.stop())


@contextmanager
def opened_by_hand(top: Translator, seams: Seams | None = None) -> Iterator[Graph]:
    graph = open_by_hand(top, seams)
    try:
        yield graph
    finally:
        close_by_hand(graph)
