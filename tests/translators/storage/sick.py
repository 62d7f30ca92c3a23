"""Sick disks below a brick, and how a test waits for what becomes of it."""

import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from volgraph.graph import Coming, Seams, State, Translator
from volgraph.graph.disk import Disk
from volgraph.graph.pool import Pool
from volgraph.testing.failing_disk import HangingDisk

R = TypeVar("R")

TIMEOUT = 0.3
SLACK = 0.2
ROUNDS = 4
"""What is measured on a busy machine may be late once; not every time."""
SECONDS = 20.0


def seams_with(disk: Disk) -> Seams:
    seams = Seams()
    seams.blocking.disk = disk
    return seams


class SlowPool(Pool):
    """A blocking seam that starts nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[Coming[Any], Callable[..., Any], tuple[object, ...]]] = []
        self._goes = False

    def alone(self, threads: int = 1) -> "SlowPool":
        return self

    def run(self, call: Callable[..., R], *args: object) -> Awaitable[R]:
        if self._goes:
            return super().run(call, *args)
        coming: Coming[R] = Coming()
        self.kept.append((coming, call, args))
        return coming

    def go_on(self) -> None:
        self._goes = True
        for coming, call, args in self.kept:
            coming.resolve(call(*args))


async def told(node: Translator, state: State) -> None:
    with anyio.fail_after(SECONDS):
        while node.state is not state:
            await node.graph.next_change()


async def hangs(disk: HangingDisk, count: int = 1) -> None:
    """Return once so many calls hang."""
    assert await anyio.to_thread.run_sync(disk.wait_for, count)


async def outcome(into: list[object], answer: Callable[[], Awaitable[object]]) -> None:
    """What a fop comes to, put into a list: its reply or its errno."""
    try:
        with anyio.fail_after(SECONDS):
            into.append(await answer())
    except OSError as error:
        into.append(error.errno)


async def outcomes(answers: Iterable[Awaitable[object]]) -> list[object]:
    came: list[object] = []
    for answer in answers:
        await outcome(came, partial(_itself, answer))
    return came


def _itself(answer: Awaitable[object]) -> Awaitable[object]:
    return answer


async def until(true: Callable[[], bool]) -> None:
    """What another thread does gives no event."""
    with anyio.fail_after(SECONDS):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(0.005)


def seconds_since(start: float) -> float:
    return time.monotonic() - start
