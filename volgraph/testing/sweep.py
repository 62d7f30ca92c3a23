"""Every fate at every phase: a replicated change is run through all schedules of faults, and judged each time.

    report = sweep(lambda children: Afr("mirror", children), WRITEV, copies=2)
    assert not report.violations, report

The replicator stands over `Fated` over memory bricks. The change is stepped by hand: no loop, no clock, no chance. The
heal that follows runs on a simulated loop. `sweep_heal` puts the faults into the heal instead.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import attrs

from .bench import Bench, Replicate
from .fated import (
    LATE,
    OK,
    REPLY_LATE,
    REPLY_LOST,
    REQUEST_LOST,
    Fate,
    FateKind,
    Moment,
    Phase,
    failing,
    failing_late,
    short,
)
from .invariants import INVARIANTS, Majority, Quorum, Trial, any_child, broken_by, intersecting, quorums
from .operations import WRITEV, Operation
from .schedules import Drawn, Every, Given, Runs

FATES = (OK, REQUEST_LOST, REPLY_LOST, failing(errno.EIO))
CHANGE = (Phase.LOCK, Phase.PRE_OP, Phase.OP, Phase.FSYNC, Phase.POST_OP, Phase.UNLOCK)
EVERYWHERE: Mapping[Phase, Sequence[Fate]] = dict.fromkeys(CHANGE, FATES)
LATE_TOO: Mapping[Phase, Sequence[Fate]] = {
    **dict.fromkeys(CHANGE, (*FATES, LATE, REPLY_LATE, failing_late(errno.EIO))),
    Phase.UNLOCK: (OK, REQUEST_LOST, REPLY_LOST, LATE, REPLY_LATE),
}
"""For replicators that leave laggards behind. An unlock is never refused: they unlock in the midst of several changes,
and the next one would wait for a lock that stays."""
AFTER_HEAL = ("I02", "I05", "I06", "I07")
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
    drawn: int = 0
    """How many were drawn at random, of which some may have been the same."""
    schedules: int = 0
    acked: int = 0
    refused: int = 0
    ends: int = 0
    """In how many different states they left the bricks: each was read and healed once."""
    broken: dict[str, int] = attrs.field(factory=dict)
    """By invariant, how many schedules broke it."""
    violations: list[Violation] = attrs.field(factory=list)
    seconds: float = 0.0
    _tried: set[tuple[Fate, ...]] = attrs.field(factory=set, repr=False)

    def add(self, trial: Trial, wrongs: Sequence[tuple[str, str]], fates: Sequence[Fate]) -> None:
        if self.drawn:
            if tuple(fates) in self._tried:
                return
            self._tried.add(tuple(fates))
        self.schedules += 1
        self.acked += trial.acked
        self.refused += not trial.acked
        for invariant in dict.fromkeys(invariant for invariant, _ in wrongs):
            self.broken[invariant] = self.broken.get(invariant, 0) + 1
        if wrongs and len(self.violations) < VIOLATIONS_KEPT:
            seen = tuple(str(moment) for moment in trial.moments)
            self.violations += [Violation(invariant, wrong, tuple(fates), seen) for invariant, wrong in wrongs]

    @property
    def counts(self) -> str:
        share = self.refused / max(1, self.schedules)
        drawn = f" of {self.drawn} drawn" if self.drawn else ""
        return (
            f"{self.operation} on {self.copies} copies: {self.schedules} schedules{drawn}, {self.acked} acked, "
            f"{self.refused} refused ({share:.0%}), {self.ends} different ends"
        )

    def __str__(self) -> str:
        broken = ", ".join(f"{name} {count} times" for name, count in sorted(self.broken.items())) or "nothing"
        shown = sorted(self.violations, key=lambda each: each.faults)[:3]
        return "\n".join([f"{self.counts}, {self.seconds:.1f} s, broken: {broken}", *map(str, shown)])


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
    part: tuple[int, int] = (0, 1),
    invariants: Collection[str] = tuple(INVARIANTS),
    stop_at_first: bool = False,
) -> SweepReport:
    """Try all schedules; with `faults_max` those of at most so many faults; with `drawn`, so many of these at random;
    with `part` one part of them all (see `Every`).

    `fates` are the possible ones by phase, the harmless one first. `quorum` is the one that the replicator was asked
    for: unless given any child for two copies, else the majority. `given` is one schedule, replayed.
    """
    quorum = quorum or _usual_quorum(copies)
    if operation.locks_again:
        fates = {**fates, Phase.UNLOCK: _unrefused(fates.get(Phase.UNLOCK, (OK,)))}
    if operation.also:
        fates = {**fates, Phase.OP: (*fates.get(Phase.OP, (OK,)), *operation.also)}
    report = SweepReport(operation.name, copies, drawn)
    started = time.perf_counter()
    schedules = _schedules(faults_max, drawn, seed, given, part)
    seen: dict[object, Trial] = {}
    bench = Bench(replicate, operation, copies, quorum)
    overlapping = quorums(quorum, copies) if intersecting(quorum, copies) else []
    for _ in schedules.runs():
        met: list[Fate] = []
        bench.change(_deciding(schedules, lambda moment: fates.get(moment.phase, (OK,)), met), overlapping)
        everybody_must_know = bench.trial.acked and bool(overlapping)
        left = (everybody_must_know, bench.trial.left_behind)
        if left in seen:
            bench.trial.ends_like(seen[left])
        else:
            bench.read(overlapping if everybody_must_know else [bench.everyone])
            if "I07" in invariants:
                bench.heal()
            seen[left] = bench.trial
        wrongs = broken_by(bench.trial, invariants)
        if bench.early is not None:
            wrongs += broken_by(bench.early, [name for name in invariants if name != "I07"])
        report.add(bench.trial, wrongs, met)
        if stop_at_first and report.violations:
            break
    report.ends = len(seen)
    report.seconds = time.perf_counter() - started
    return report


def sweep_heal(
    replicate: Replicate,
    operation: Operation = WRITEV,
    copies: int = 2,
    *,
    quorum: Quorum | None = None,
    faults_max: int | None = 1,
    drawn: int = 0,
    seed: int = 0,
    given: Sequence[Fate] | None = None,
    part: tuple[int, int] = (0, 1),
    invariants: Collection[str] = AFTER_HEAL,
    stop_at_first: bool = False,
) -> SweepReport:
    """The last child misses a change; the heal is disturbed at every fop in every way, then healed again in peace.

    The replicator must not heal by itself. A disturbed heal may fail, but what it leaves must be marked, must not be
    read, and must be healed by the next one.
    """
    quorum = quorum or _usual_quorum(copies)
    report = SweepReport(f"heal of {operation.name}", copies, drawn)
    started = time.perf_counter()
    schedules = _schedules(faults_max, drawn, seed, given, part)
    bench = Bench(replicate, operation, copies, quorum)
    seen: dict[object, Trial] = {}
    for _ in schedules.runs():
        met: list[Fate] = []
        bench.changed(partial(_missed_by, bench.names[-1]))
        bench.disturbed_heal(_deciding(schedules, _healing_fates, met))
        left = bench.trial.left_behind
        if left in seen:
            bench.trial.ends_like(seen[left])
        else:
            bench.read([bench.everyone])
            bench.heal()
            seen[left] = bench.trial
        report.add(bench.trial, broken_by(bench.trial, invariants), met)
        if stop_at_first and report.violations:
            break
    report.ends = len(seen)
    report.seconds = time.perf_counter() - started
    return report


def _missed_by(child: str, moment: Moment) -> Fate:
    return REQUEST_LOST if moment.phase is Phase.OP and moment.child == child else OK


def _healing_fates(moment: Moment) -> Sequence[Fate]:
    """An unlock is never refused: the lock would stay, and the next thing that the healer locks could wait for ever."""
    if moment.phase is Phase.UNLOCK:
        return (OK, REQUEST_LOST, REPLY_LOST)
    return (*FATES, short(1)) if moment.fop == "writev" else FATES


def _unrefused(fates: Sequence[Fate]) -> Sequence[Fate]:
    return tuple(fate for fate in fates if fate.kind is not FateKind.ERROR)


def _usual_quorum(copies: int) -> Quorum:
    return any_child if copies <= 2 else Majority(copies)


def _schedules(
    faults_max: int | None, drawn: int, seed: int, given: Sequence[Fate] | None, part: tuple[int, int]
) -> Runs:
    if given is not None:
        return Given(given)
    return Drawn(seed, drawn, faults_max) if drawn else Every(faults_max, part)


def _deciding(
    schedules: Runs, options: Callable[[Moment], Sequence[Fate]], met: list[Fate]
) -> Callable[[Moment], Fate]:
    """Choose a fate wherever there is more than one, and keep it for the report."""

    def decide(moment: Moment) -> Fate:
        possible = options(moment)
        if len(possible) == 1:
            return possible[0]
        met.append(schedules.choose(possible))
        return met[-1]

    return decide
