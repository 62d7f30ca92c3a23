"""cluster/afr under every schedule of faults, and the historic bugs that must be found when they are planted."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from volgraph.graph import Translator
from volgraph.testing.bench import Replicate
from volgraph.testing.fated import OK, REPLY_LOST, REQUEST_LOST, Fate, Phase
from volgraph.testing.hunts import impatient
from volgraph.testing.invariants import Majority, any_child
from volgraph.testing.mutants import MUTANTS, Mutant, hunt, majority, mirror
from volgraph.testing.operations import (
    CHANGES_OF_ATTRIBUTES,
    CHANGES_OF_CONTENTS,
    SETATTR,
    WRITE_AND_LEAVE,
    WRITEV,
    Operation,
)
from volgraph.testing.operations_names import (
    CHANGES_OF_NAMES,
    CREATE,
    MKDIR,
    RENAMES_ELSEWHERE,
    RENAMES_WITHIN,
    SYMLINK,
    UNLINK,
)
from volgraph.testing.sweep import EVERYWHERE, LATE_TOO, SweepReport, sweep, sweep_heal
from volgraph.translators.cluster.afr import Afr

CHANGES = (*CHANGES_OF_CONTENTS, *CHANGES_OF_ATTRIBUTES, *CHANGES_OF_NAMES)
OF_EACH_KIND = (
    WRITEV,
    WRITE_AND_LEAVE,
    SETATTR,
    CREATE,
    MKDIR,
    SYMLINK,
    UNLINK,
    RENAMES_WITHIN[1],
    RENAMES_ELSEWHERE[2],
)
TELLING_OF_LEAVES = ("I01", "I02", "I05", "I06", "I07", "fence")
"""All but I04: a pair of copies has a quorum of its own."""
AN_UNLOCK_IS_NEVER_REFUSED = {**EVERYWHERE, Phase.UNLOCK: (OK, REQUEST_LOST, REPLY_LOST)}
"""The lock would stay, and what another level locks next would wait for it for ever."""


def of(operations: Sequence[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.name)


def nothing_broken(report: SweepReport) -> None:
    print(report)  # the counts, for who runs it with -s

    assert not report.violations, str(report)
    assert report.acked > 0


def pair_of_pairs(children: Sequence[Translator], quorum: str = "none", laggard_timeout: float = 0.0) -> Translator:
    options: dict[str, Any] = {"self_heal_daemon": False, "known_children": False}
    below = {**options, "quorum_type": quorum, "laggard_timeout": laggard_timeout}
    pairs = [Afr("left", children[:2], **below), Afr("right", children[2:], **below)]
    return Afr("top", pairs, laggard_timeout=4 * laggard_timeout, **options)


pair_of_strict_pairs = partial(pair_of_pairs, quorum="auto")
"""What an afr does above is several changes to a pair below: three faults in these are enough to split a pair of which
any copy is enough."""


pair_of_impatient_pairs = partial(pair_of_pairs, laggard_timeout=1.0)


def nested(
    operation: Operation,
    faults_max: int,
    drawn: int = 0,
    replicate: Replicate = pair_of_pairs,
    fates: Mapping[Phase, Sequence[Fate]] = AN_UNLOCK_IS_NEVER_REFUSED,
) -> SweepReport:
    return sweep(
        replicate,
        operation,
        4,
        quorum=any_child,
        fates=fates,
        faults_max=faults_max,
        drawn=drawn,
        seed=1,
        invariants=TELLING_OF_LEAVES,
    )


def impatient_of_three(operation: Operation, **options: Any) -> SweepReport:
    replicate = partial(impatient, quorum="auto")
    return sweep(replicate, operation, 3, quorum=Majority(3), fates=LATE_TOO, **options)


# --- what every run of the tests sees --------------------------------------------------------------------------------


@of(CHANGES)
def test_two_copies_bear_every_two_faults(operation: Operation) -> None:
    nothing_broken(sweep(mirror, operation, 2, faults_max=2))


@of([WRITEV])
def test_two_copies_bear_every_schedule(operation: Operation) -> None:
    report = sweep(mirror, operation, 2)

    nothing_broken(report)
    assert report.schedules > 2000


@of([WRITEV, CREATE, *RENAMES_WITHIN])
def test_two_copies_of_which_the_first_is_needed_bear_every_two_faults(operation: Operation) -> None:
    nothing_broken(sweep(majority, operation, 2, quorum=Majority(2), faults_max=2))


@of(CHANGES)
def test_three_copies_bear_faults_drawn_at_random(operation: Operation) -> None:
    nothing_broken(sweep(majority, operation, 3, drawn=80, seed=1))


@of(OF_EACH_KIND)
def test_a_pair_of_pairs_bears_two_faults_drawn_at_random(operation: Operation) -> None:
    nothing_broken(nested(operation, faults_max=2, drawn=40))


@of(CHANGES)
def test_two_copies_bear_a_late_answer(operation: Operation) -> None:
    nothing_broken(sweep(impatient, operation, 2, fates=LATE_TOO, faults_max=1))


@of([WRITEV])
def test_two_copies_bear_a_late_answer_and_another_fault(operation: Operation) -> None:
    report = sweep(impatient, operation, 2, fates=LATE_TOO, faults_max=2)

    nothing_broken(report)
    assert report.schedules > 1000


@of([WRITEV, RENAMES_WITHIN[1]])
def test_three_copies_bear_late_answers_and_other_faults_drawn_at_random(operation: Operation) -> None:
    nothing_broken(impatient_of_three(operation, faults_max=2, drawn=60, seed=1))


@of([WRITEV, CREATE])
def test_a_pair_of_pairs_bears_a_late_answer_drawn_at_random(operation: Operation) -> None:
    nothing_broken(nested(operation, 1, drawn=60, replicate=pair_of_impatient_pairs, fates=LATE_TOO))


@of(OF_EACH_KIND)
def test_a_heal_disturbed_at_any_fop_loses_nothing(operation: Operation) -> None:
    nothing_broken(sweep_heal(mirror, operation, 2))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    found = hunt(mutant)
    print(found)

    assert found.killed, str(found)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_the_hunt_for_a_planted_bug_finds_nothing_without_it(mutant: Mutant) -> None:
    assert mutant.hunt() == ""


# --- what takes long -------------------------------------------------------------------------------------------------


@pytest.mark.soak
@of(CHANGES)
def test_two_copies_bear_every_schedule_of_every_change(operation: Operation) -> None:
    nothing_broken(sweep(mirror, operation, 2))


@pytest.mark.soak
@of(CHANGES)
@pytest.mark.parametrize(("replicate", "copies", "faults"), [(majority, 2, 3), (majority, 3, 4)])
def test_a_quorum_bears_many_faults_in_every_change(
    replicate: Replicate, copies: int, faults: int, operation: Operation
) -> None:
    nothing_broken(sweep(replicate, operation, copies, quorum=Majority(copies), faults_max=faults))


@pytest.mark.soak
@of(CHANGES)
def test_a_pair_of_pairs_bears_every_two_faults_in_every_change(operation: Operation) -> None:
    nothing_broken(nested(operation, faults_max=2))


@pytest.mark.soak
@of([WRITEV, CREATE])
def test_a_pair_of_pairs_bears_every_three_faults(operation: Operation) -> None:
    nothing_broken(nested(operation, faults_max=3, replicate=pair_of_strict_pairs))


@pytest.mark.soak
@of(CHANGES)
def test_a_heal_disturbed_twice_loses_nothing(operation: Operation) -> None:
    nothing_broken(sweep_heal(mirror, operation, 2, faults_max=2))


@pytest.mark.soak
@of(CHANGES)
def test_a_heal_of_any_change_disturbed_at_any_fop_loses_nothing(operation: Operation) -> None:
    nothing_broken(sweep_heal(mirror, operation, 2))
    nothing_broken(sweep_heal(majority, operation, 3))


@pytest.mark.soak
@of([change for change in CHANGES if change not in RENAMES_ELSEWHERE])
def test_two_copies_bear_a_late_answer_and_another_fault_in_every_change(operation: Operation) -> None:
    nothing_broken(sweep(impatient, operation, 2, fates=LATE_TOO, faults_max=2))
    strict = partial(impatient, quorum="auto")
    nothing_broken(sweep(strict, operation, 2, quorum=Majority(2), fates=LATE_TOO, faults_max=2))


@pytest.mark.soak
@of([change for change in CHANGES if change not in RENAMES_ELSEWHERE])
def test_three_copies_bear_a_late_answer_and_another_fault_in_every_change(operation: Operation) -> None:
    nothing_broken(impatient_of_three(operation, faults_max=2))


@pytest.mark.soak
@of(RENAMES_ELSEWHERE)
def test_three_copies_bear_a_late_answer_in_a_rename_between_directories(operation: Operation) -> None:
    nothing_broken(impatient_of_three(operation, faults_max=1))


@pytest.mark.soak
@of(CHANGES)
def test_a_pair_of_pairs_bears_a_late_answer_in_every_change(operation: Operation) -> None:
    nothing_broken(nested(operation, 1, replicate=pair_of_impatient_pairs, fates=LATE_TOO))
