"""Simulated runs on trio: its own mock clock, moved by hand when all tasks wait, and its seeded shuffle of ready tasks.

Uses two private names of trio (`_core._run._r` and `._ALLOW_DETERMINISTIC_SCHEDULING`); a test watches over them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import trio
import trio.testing
from trio._core import _run as trio_run

from .transcript import SimDeadlock, SimLivelock, Transcript, where

R = TypeVar("R")


def run_on_trio(main: Callable[[], Coroutine[Any, Any, R]], seed: int, transcript: Transcript) -> R:
    with _seeded(seed):
        warden = _Warden(transcript)
        return trio.run(warden.guard, main, clock=warden.clock, instruments=[warden])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Trio shuffles each batch of ready tasks by a generator of its own; leave both as they were."""
    module: Any = trio_run
    shuffler: random.Random = module._r
    before = shuffler.getstate(), module._ALLOW_DETERMINISTIC_SCHEDULING
    shuffler.seed(seed)
    module._ALLOW_DETERMINISTIC_SCHEDULING = True
    try:
        yield
    finally:
        shuffler.setstate(before[0])
        module._ALLOW_DETERMINISTIC_SCHEDULING = before[1]


class _Warden(trio.abc.Instrument):
    """Writes the transcript, moves the clock, and ends a run in which nothing can happen any more."""

    def __init__(self, transcript: Transcript) -> None:
        self.clock = trio.testing.MockClock()
        self._transcript = transcript
        self._numbers: WeakKeyDictionary[trio.lowlevel.Task, int] = WeakKeyDictionary()
        self._numbers_given = 0
        self._verdict: Exception | None = None
        self._scope: trio.CancelScope | None = None

    async def guard(self, main: Callable[[], Coroutine[Any, Any, R]]) -> R:
        answers: list[R] = []
        error: Exception | None = None
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            nursery.start_soon(self._move_clock)
            try:
                answers.append(await main())
            except Exception as raised:  # raised again outside: a nursery would wrap it in a group
                error = raised
            nursery.cancel_scope.cancel()
        if self._verdict is not None:
            raise self._verdict
        if error is not None:
            raise error
        return answers[0]

    async def _move_clock(self) -> None:
        while True:
            await trio.testing.wait_all_tasks_blocked()
            seconds = trio.lowlevel.current_statistics().seconds_to_next_deadline
            if seconds == math.inf:
                self._end(SimDeadlock(self._who_waits()))
            else:
                self.clock.jump(max(seconds, 0.0))

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self._numbers_given += 1
        self._numbers[task] = self._numbers_given

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        try:
            self._transcript.step(self.clock.current_time(), self._numbers.get(task, 0), task.name)
        except SimLivelock as stuck:  # trio only logs what an instrument raises
            self._end(stuck)

    def _end(self, verdict: Exception) -> None:
        self._verdict = self._verdict or verdict
        if self._scope is not None:
            self._scope.cancel()

    def _who_waits(self) -> str:
        waiting = sorted((number, where(task.coro)) for task, number in self._numbers.items())
        lines = "".join(f"\n  task {number} in {place}" for number, place in waiting if "_core" not in place)
        return f"no timer is set, and all tasks wait at virtual time {self.clock.current_time():.6f}:{lines}"
