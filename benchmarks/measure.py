"""How a figure is taken: a case and its peer run by turns, many times, and each turn is timed on two clocks.

Machines are shared and clocks drift, so an absolute time says little; a ratio to a peer that ran in the same seconds
says much. The best turn is what the code costs when nobody disturbs it, the median what it came to this time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

import attrs

WARM_UP_SHARE = 10
"""A tenth of a turn, not timed, goes before the first."""


async def nothing() -> None:
    """The clean-up of a case that leaves nothing behind."""


@attrs.frozen
class Case:
    """`run(n)` does something n times; what it leaves behind goes with `clean`, which is not timed."""

    run: Callable[[int], Awaitable[None]]
    clean: Callable[[], Awaitable[None]] = nothing


@attrs.define
class Series:
    """Seconds per call of one case, turn by turn: of the wall clock, and of this process's CPU time."""

    wall: list[float] = attrs.field(factory=list)
    cpu: list[float] = attrs.field(factory=list)

    def add(self, wall: float, cpu: float) -> None:
        self.wall.append(wall)
        self.cpu.append(cpu)

    def times(self, clock: str) -> list[float]:
        return self.cpu if clock == "cpu" else self.wall

    def best(self, clock: str) -> float:
        return min(self.times(clock))

    def median(self, clock: str) -> float:
        return statistics.median(self.times(clock))


@attrs.frozen
class Scale:
    """How long to look: `turns` of each case, `calls` in each."""

    turns: int
    calls: int
    volumes: tuple[int, ...]
    """Sizes of the specs; the first is what the others are compared with."""
    inodes: tuple[int, ...]
    """How many objects are met, point by point of a curve."""
    copied: int
    """Bytes of the file that is copied."""

    def fewer(self, divisor: int) -> Scale:
        """For calls that take longer than most."""
        return attrs.evolve(self, calls=max(self.calls // divisor, 1))


FULL = Scale(
    turns=15,
    calls=3000,
    volumes=(2_500, 10_000, 40_000),
    inodes=(50_000, 100_000, 200_000, 400_000),
    copied=256 << 20,
)
QUICK = Scale(turns=2, calls=20, volumes=(50, 100, 200), inodes=(100, 200), copied=1 << 20)
"""Shows that every table can be made; its figures mean nothing."""


async def by_turns(scale: Scale, cases: Sequence[Case]) -> list[Series]:
    """Time the cases, one turn each at a time. Every other round goes backwards, so that none is always first."""
    found = [Series() for _ in cases]
    for case in cases:
        await case.run(max(scale.calls // WARM_UP_SHARE, 1))
        await case.clean()
    order = list(zip(cases, found, strict=True))
    for _ in range(scale.turns):
        for case, series in order:
            series.add(*await timed(case, scale.calls))
            await case.clean()
        order.reverse()
    return found


async def timed(case: Case, calls: int) -> tuple[float, float]:
    """Wall and CPU seconds per call of one turn."""
    wall, cpu = time.perf_counter(), time.process_time()
    await case.run(calls)
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


async def each_timed(call: Callable[[], Awaitable[object]], calls: int) -> tuple[float, float]:
    """Of calls that wait for another process: the median of their wall seconds, and CPU seconds per call."""
    clock = time.perf_counter
    took = []
    for _ in range(max(calls // WARM_UP_SHARE, 1)):
        await call()
    cpu = time.process_time()
    for _ in range(calls):
        start = clock()
        await call()
        took.append(clock() - start)
    return statistics.median(took), (time.process_time() - cpu) / calls
