"""Every fate at every phase: a replicated change is run through all schedules of faults, and judged each time.

    report = sweep(lambda children: Afr("mirror", children), WRITEV, copies=2)
    assert not report.violations, report

The replicator stands over `Fated` over memory bricks. The change is stepped by hand: no loop, no clock, no chance. The
heal that follows runs on a simulated loop.
"""

from __future__ import annotations

import asyncio
import errno
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import anyio
import attrs

from ..graph import Graph, Translator
from ..translators.storage.memory import Memory, MemoryStore
from .by_hand import by_hand, opened_by_hand
from .faults import OK, REPLY_LOST, REQUEST_LOST, Fate, Fated, Moment, Phase, failing
from .invariants import INVARIANTS, Majority, Quorum, Trial, Value, any_child, broken_by, intersecting, quorums
from .loop import SimLoop
from .operations import WRITEV, Operation
from .schedules import Chooser, Drawn, Every, Given
from .seams import simulated

Replicate = Callable[[Sequence[Translator]], Translator]
"""Makes the replicator under test over the given children."""

FATES = (OK, REQUEST_LOST, REPLY_LOST, failing(errno.EIO))
CHANGE = (Phase.LOCK, Phase.PRE_OP, Phase.OP, Phase.POST_OP, Phase.UNLOCK)
EVERYWHERE: Mapping[Phase, Sequence[Fate]] = dict.fromkeys(CHANGE, FATES)
VIOLATIONS_KEPT = 100


@attrs.frozen
class Violation:
    """One invariant broken under one schedule. `fates` in the order in which they were met: `sweep(given=...)` takes
    them for a replay."""

    invariant: str
    wrong: str
    fates: tuple[Fate, ...]
    moments: tuple[str, ...]

    @property
    def faults(self) -> int:
        return sum(fate != OK for fate in self.fates)

    def __str__(self) -> str:
        return f"{self.invariant}: {self.wrong}\n    " + "\n    ".join(self.moments)


@attrs.define
class SweepReport:
    """Distinct schedules tried, how many of them ended in success and in an error, and what was broken."""

    operation: str
    copies: int
    schedules: int = 0
    acked: int = 0
    refused: int = 0
    broken: dict[str, int] = attrs.field(factory=dict)
    """By invariant, how many schedules broke it."""
    violations: list[Violation] = attrs.field(factory=list)
    seconds: float = 0.0

    def add(self, trial: Trial, wrongs: Sequence[tuple[str, str]], fates: Sequence[Fate]) -> None:
        self.schedules += 1
        self.acked += trial.acked
        self.refused += not trial.acked
        for invariant in dict.fromkeys(invariant for invariant, _ in wrongs):
            self.broken[invariant] = self.broken.get(invariant, 0) + 1
        if len(self.violations) < VIOLATIONS_KEPT:
            seen = tuple(str(moment) for moment in trial.moments)
            self.violations += [Violation(invariant, wrong, tuple(fates), seen) for invariant, wrong in wrongs]

    def __str__(self) -> str:
        broken = ", ".join(f"{name} {count} times" for name, count in sorted(self.broken.items())) or "nothing"
        text = (
            f"{self.operation} on {self.copies} copies: {self.schedules} schedules in {self.seconds:.1f} s, "
            f"{self.acked} acked, {self.refused} refused, broken: {broken}"
        )
        shown = sorted(self.violations, key=lambda each: each.faults)[:3]
        return "\n".join([text, *(str(violation) for violation in shown)])


def sweep(
    replicate: Replicate,
    operation: Operation = WRITEV,
    copies: int = 2,
    *,
    quorum: Quorum | None = None,
    fates: Mapping[Phase, Sequence[Fate]] = EVERYWHERE,
    faults_max: int | None = None,
    drawn: int = 0,
    seed: int = 0,
    given: Sequence[Fate] | None = None,
    invariants: Collection[str] = tuple(INVARIANTS),
    stop_at_first: bool = False,
) -> SweepReport:
    """Try all schedules; with `faults_max` those of at most so many faults; with `drawn`, so many at random instead.

    `fates` are the possible ones by phase, the harmless one first. `quorum` is the one that the replicator was asked
    for: unless given any child for two copies, else the majority. `given` is one schedule, replayed.
    """
    quorum = quorum or (any_child if copies <= 2 else Majority(copies))
    schedules: Any = Every(faults_max)
    if given is not None:
        schedules = Given(given)
    elif drawn:
        schedules = Drawn(seed, drawn)
    report = SweepReport(operation.name, copies)
    started = time.perf_counter()
    with asyncio.Runner(loop_factory=lambda: SimLoop(random.Random(seed))) as runner:
        for _ in schedules.runs():
            bench = Bench(replicate, operation, copies, quorum)
            met: list[Fate] = []
            trial = bench.trial(_deciding(schedules, fates, met))
            if "I07" in invariants:
                runner.run(bench.heal(trial))
            report.add(trial, broken_by(trial, invariants), met)
            if stop_at_first and report.violations:
                break
    report.seconds = time.perf_counter() - started
    return report


def _deciding(schedules: Chooser, fates: Mapping[Phase, Sequence[Fate]], met: list[Fate]) -> Callable[[Moment], Fate]:
    def decide(moment: Moment) -> Fate:
        options = fates.get(moment.phase)
        if options is None:
            return OK
        met.append(schedules.choose(options))
        return met[-1]

    return decide


class Bench:
    """The bricks of one trial; what stands over them changes, as clients come and go."""

    def __init__(self, replicate: Replicate, operation: Operation, copies: int, quorum: Quorum) -> None:
        self._replicate = replicate
        self._operation = operation
        self._quorum = quorum
        self._names = [chr(ord("a") + number) for number in range(copies)]
        self._stores = [MemoryStore() for _ in range(copies)]

    def trial(self, decide: Callable[[Moment], Fate]) -> Trial:
        trial = Trial(self._names, self._quorum, self._operation.before, self._operation.after)
        self._change(trial, decide)
        everyone = tuple(range(len(self._names)))
        readers = [everyone]
        if trial.acked and intersecting(self._quorum, len(everyone)):
            readers = quorums(self._quorum, len(everyone))
        for reached in readers:
            with opened_by_hand(self._client(reached)) as graph:
                who = "a new client of " + ", ".join(self._names[child] for child in reached)
                trial.readings = [*trial.readings, (who, self._look(graph.top))]
        return trial

    def _change(self, trial: Trial, decide: Callable[[Moment], Fate]) -> None:
        """The change itself, under faults, and what its own client reads when they have stopped."""
        top = self._client(range(len(self._names)))
        with opened_by_hand(top) as graph:
            children, bricks = graph.find(Fated), graph.find(Memory)
            fd = by_hand(self._operation.prepare(top))
            for child in children:
                child.watch(decide)
            try:
                by_hand(self._operation.perform(top, fd))
            except OSError as error:
                trial.error = error
            trial.moments = sorted((each for child in children for each in child.moments), key=lambda each: each.serial)
            for child in children:
                child.watch()
                child.child.disconnect("sweep")
            trial.held = [by_hand(self._operation.look(brick)) for brick in bricks]
            trial.images = [store.image() for store in self._stores]
            trial.marks = [store.marks() for store in self._stores]
            trial.readings = [("the same client", self._look(top))]

    async def heal(self, trial: Trial) -> None:
        """A new client, which reaches everybody, heals; no faults any more."""
        await anyio.sleep(1)
        top: Any = self._client(range(len(self._names)))
        async with Graph(top, simulated(0)) as graph:
            try:
                report = await top.heal()
            except OSError as error:
                trial.heal_error = str(error)
            else:
                trial.heal_error = "" if report.clean else str(report)
            trial.healed_value = self._look(graph.top)
            trial.healed_images = [store.image() for store in self._stores]
            trial.healed_marks = [store.marks() for store in self._stores]

    def _client(self, reached: Collection[int]) -> Translator:
        """A replicator that has just started, and reaches these children."""
        children = []
        for number, name in enumerate(self._names):
            child = Fated(name, (Memory(f"{name}-disk", store=self._stores[number]),))
            child.reachable = number in reached
            children.append(child)
        return self._replicate(children)

    def _look(self, top: Translator) -> Value | OSError:
        try:
            return by_hand(self._operation.look(top))
        except OSError as error:
            return error
