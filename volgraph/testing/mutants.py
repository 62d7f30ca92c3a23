"""Historic bugs, planted again one at a time: the tests are worth what they kill.

    python -m volgraph.testing.mutants

Each mutant breaks one function of cluster/afr in the way a real replication system once had it, and names the hunt
that must kill it: a sweep that finds a broken invariant. Unbroken code passes the same hunts.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import attrs

from ..graph import Translator
from ..translators.cluster.afr import Afr, healing_contents
from ..translators.cluster.afr.transaction import Transaction
from .operations import WRITEV
from .sweep import SweepReport, sweep, sweep_heal


@attrs.frozen
class Mutant:
    """`plant` breaks the code while it is entered; `hunt` stops at the first violation, or finds none."""

    id: str
    broken: str
    plant: Callable[[], AbstractContextManager[object]]
    hunt: Callable[[], SweepReport]


@attrs.frozen
class Hunted:
    mutant: Mutant
    report: SweepReport

    @property
    def killed(self) -> bool:
        return bool(self.report.violations)

    def __str__(self) -> str:
        if not self.killed:
            return f"{self.mutant.id}: SURVIVED {self.report.schedules} schedules: {self.mutant.broken}"
        found = self.report.violations[0]
        return (
            f"{self.mutant.id}: killed by {found.invariant} in {self.report.seconds:.2f} s, schedule "
            f"{self.report.schedules}, {found.faults} faults: {self.mutant.broken}"
        )


# --- the replicators that are hunted on ------------------------------------------------------------------------------


def mirror(children: Sequence[Translator]) -> Translator:
    """An afr of two that takes any child as enough."""
    return Afr("mirror", children, quorum_type="none", self_heal_daemon=False)


def majority(children: Sequence[Translator]) -> Translator:
    return Afr("mirror", children, quorum_type="auto", self_heal_daemon=False)


# --- the mutants -----------------------------------------------------------------------------------------------------


@contextmanager
def acks_without_post_op_quorum() -> Iterator[None]:
    enough = Transaction._enough

    def forgiving(self: Transaction[Any], children: Collection[int]) -> bool:
        return bool(self.replies) or enough(self, children)

    with mock.patch.object(Transaction, "_enough", forgiving):
        yield


@contextmanager
def post_op_on_children_that_failed() -> Iterator[None]:
    post_op = Transaction._post_op

    def everywhere(self: Transaction[Any], number: int, marked: Any, told: Collection[int]) -> Any:
        return post_op(self, number, marked, set(told) | self.live)

    with mock.patch.object(Transaction, "_post_op", everywhere):
        yield


def short_writes_heal() -> AbstractContextManager[object]:
    return mock.patch.object(healing_contents, "wrote_all", return_value=True)


MUTANTS = (
    Mutant(
        "F01",
        "a write is acked though post-op missed quorum",
        acks_without_post_op_quorum,
        functools.partial(sweep, majority, WRITEV, 3, faults_max=2, stop_at_first=True),
    ),
    Mutant(
        "F10",
        "a child that failed the op gets the post-op all the same, and blames itself",
        post_op_on_children_that_failed,
        functools.partial(sweep, mirror, WRITEV, 2, faults_max=1, stop_at_first=True),
    ),
    Mutant(
        "F30",
        "a short write during a heal counts as complete",
        short_writes_heal,
        functools.partial(sweep_heal, mirror, WRITEV, 2, stop_at_first=True),
    ),
)


def hunt(mutant: Mutant) -> Hunted:
    """Plant it, and see whether it is found."""
    with mutant.plant():
        return Hunted(mutant, mutant.hunt())


def main() -> None:
    started = time.perf_counter()
    hunted = [hunt(mutant) for mutant in MUTANTS]
    for each in hunted:
        print(each)
    killed = sum(each.killed for each in hunted)
    print(f"{killed} of {len(hunted)} killed in {time.perf_counter() - started:.1f} s")
    raise SystemExit(killed != len(hunted))


if __name__ == "__main__":
    main()
