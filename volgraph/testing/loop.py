"""Simulated runs: virtual time, a seeded scheduler, one thread, no sockets.

    finished = run(main, seed=7)                     # on asyncio; backend="trio" for the other one
    finished.trace                                   # equal for equal seeds, on every machine

`SimLoop` uses private names of asyncio (`_run_once`, `_ready`, `_scheduled`, `_timer_cancelled_count`, `_stopping` and
a handle's `_callback`); a test watches over each.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from bisect import insort
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, NoReturn, TypeVar
from weakref import WeakKeyDictionary

import attrs

from .transcript import STEPS_MAX, SimDeadlock, SimLivelock, Transcript, recording, where

R = TypeVar("R")
Step = tuple[int, int, asyncio.Handle]

BACKENDS = ("asyncio", "trio")
TURNS_MAX = 100_000


@attrs.define
class Finished(Generic[R]):
    """How a simulated run ended. `seconds` is virtual time."""

    value: R
    trace: str
    steps: int
    seconds: float


def run(
    main: Callable[[], Coroutine[Any, Any, R]], seed: int, backend: str = "asyncio", steps_max: int = STEPS_MAX
) -> Finished[R]:
    """Run `main()` under virtual time; the seed decides the order in which ready tasks run.

    SimDeadlock when all tasks wait and no timer is set; SimLivelock after `steps_max` steps without time passing.
    An error that escapes carries a note with the seed and the trace.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r} is not one of {', '.join(BACKENDS)}")
    transcript = Transcript(steps_max)
    with recording(transcript):
        try:
            if backend == "trio":
                from .trio_loop import run_on_trio

                value = run_on_trio(main, seed, transcript)
            else:
                with asyncio.Runner(loop_factory=lambda: SimLoop(random.Random(seed), transcript)) as runner:
                    value = runner.run(main())
        except Exception as error:
            error.add_note(
                f"simulated on {backend} with seed {seed}: trace {transcript.digest} after {transcript.steps} steps, "
                f"{transcript.now:.6f} virtual seconds; the last ones:\n  " + "\n  ".join(transcript.recent[-12:])
            )
            raise
    return Finished(value, transcript.digest, transcript.steps, transcript.now)


class SimLoop(asyncio.SelectorEventLoop):
    """Runs one task step at a time, chosen by `rng` among those that are ready; when none is, jumps to the next timer.

    Only task steps change places. All other callbacks keep their order, because asyncio itself relies on it.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int
    _stopping: bool

    def __init__(self, rng: random.Random, transcript: Transcript | None = None) -> None:
        super().__init__()
        self._now = 0.0
        self._rng = rng
        self._transcript = transcript or Transcript()
        self._steps: list[Step] = []
        self._steps_seen = 0
        self._numbers: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._numbers_given = 0
        self._turns_without_steps = 0
        self._broken: BaseException | None = None

    def time(self) -> float:
        return self._now

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        self._number(task)
        return task

    def run_in_executor(self, *_: Any) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("no threads in a simulation: blocking calls go through the blocking seam")

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An error in a callback, or one nobody fetched, ends the run: nothing is only logged."""
        self._broken = self._broken or context.get("exception") or RuntimeError(context["message"])

    def _run_once(self) -> None:
        self._discard_cancelled_timers()
        if not self._ready and not self._steps and not self._stopping:
            if not self._scheduled:
                raise SimDeadlock("no timer is set, and " + self._who_waits())
            self._now = max(self._now, self._scheduled[0].when())
        while self._scheduled and self._scheduled[0].when() <= self._now:
            self._ready.append(self._next_timer())
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if handle.cancelled():
                continue
            task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
            if isinstance(task, asyncio.Task):
                self._steps_seen += 1
                insort(self._steps, (self._number(task), self._steps_seen, handle))
            else:
                handle._run()
        if self._steps:
            self._turns_without_steps = 0
            self._run_step(*self._steps.pop(int(self._rng.random() * len(self._steps))))
        else:
            self._count_turn()
        if self._broken is not None:
            broken, self._broken = self._broken, None
            raise broken

    def _count_turn(self) -> None:
        """Callbacks that only ever set each other (a cancellation that a task will not take) are a livelock too."""
        self._turns_without_steps += 1
        if self._turns_without_steps > TURNS_MAX:
            self._turns_without_steps = 0
            raise SimLivelock(f"{TURNS_MAX} turns in which no task ran; {self._who_waits()}")

    def _run_step(self, number: int, _: int, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        task = handle._callback.__self__  # type: ignore[attr-defined]
        try:
            self._transcript.step(self._now, number, getattr(task.get_coro(), "__qualname__", "?"))
        except SimLivelock as stuck:  # after this step: one that never ran would leave its task waiting for ever
            self._broken = self._broken or stuck
        handle._run()

    def _number(self, task: asyncio.Task[Any]) -> int:
        """Tasks are ordered by their making: a set of tasks, such as cancellation uses, has no order of its own."""
        number = self._numbers.get(task)
        if number is None:
            self._numbers_given += 1
            number = self._numbers[task] = self._numbers_given
        return number

    def _next_timer(self) -> asyncio.TimerHandle:
        timer = heapq.heappop(self._scheduled)
        timer._scheduled = False  # type: ignore[attr-defined]
        return timer

    def _discard_cancelled_timers(self) -> None:
        while self._scheduled and self._scheduled[0].cancelled():
            self._timer_cancelled_count -= 1
            self._next_timer()

    def _who_waits(self) -> str:
        waiting = sorted((self._number(task), where(task.get_coro())) for task in asyncio.all_tasks(self))
        lines = "".join(f"\n  task {number} in {place}" for number, place in waiting)
        return f"all tasks wait at virtual time {self._now:.6f}:{lines}"
