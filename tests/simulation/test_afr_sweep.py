"""cluster/afr under every schedule of faults, and the historic bugs that the sweep must find when they are planted."""

import pytest

from volgraph.testing.bench import Replicate
from volgraph.testing.invariants import Majority
from volgraph.testing.mutants import MUTANTS, Mutant, hunt, majority, mirror
from volgraph.testing.operations import CREATE, MKDIR, OPERATIONS, SYMLINK, TRUNCATE, UNLINK, WRITEV, Operation
from volgraph.testing.sweep import SweepReport, sweep, sweep_heal


def nothing_broken(report: SweepReport) -> None:
    print(report)  # the counts, for who runs it with -s

    assert not report.violations, str(report)
    assert report.acked > 0


@pytest.mark.parametrize("operation", [WRITEV, CREATE], ids=lambda operation: operation.name)
def test_two_copies_of_which_any_is_enough_bear_every_schedule(operation: Operation) -> None:
    report = sweep(mirror, operation, 2)

    nothing_broken(report)
    assert report.schedules > 2000


@pytest.mark.parametrize("operation", [WRITEV, CREATE], ids=lambda operation: operation.name)
def test_two_copies_of_which_the_first_is_needed_bear_every_three_faults(operation: Operation) -> None:
    nothing_broken(sweep(majority, operation, 2, quorum=Majority(2), faults_max=3))


@pytest.mark.parametrize("operation", [WRITEV, CREATE], ids=lambda operation: operation.name)
def test_three_copies_bear_every_two_faults(operation: Operation) -> None:
    nothing_broken(sweep(majority, operation, 3, faults_max=2))


@pytest.mark.parametrize("operation", [WRITEV, CREATE], ids=lambda operation: operation.name)
def test_three_copies_bear_many_faults_drawn_at_random(operation: Operation) -> None:
    nothing_broken(sweep(majority, operation, 3, drawn=500, seed=1))


@pytest.mark.parametrize("operation", [TRUNCATE, MKDIR, SYMLINK, UNLINK], ids=lambda operation: operation.name)
def test_two_copies_bear_every_two_faults_in_other_changes(operation: Operation) -> None:
    nothing_broken(sweep(mirror, operation, 2, faults_max=2))


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
@pytest.mark.parametrize("copies", [2, 3])
def test_a_heal_disturbed_at_any_fop_loses_nothing(operation: Operation, copies: int) -> None:
    nothing_broken(sweep_heal(mirror if copies == 2 else majority, operation, copies))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    found = hunt(mutant)
    print(found)

    assert found.killed, str(found)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_the_hunt_for_a_planted_bug_finds_nothing_without_it(mutant: Mutant) -> None:
    nothing_broken(mutant.hunt())


@pytest.mark.soak
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
@pytest.mark.parametrize(("replicate", "copies"), [(mirror, 2), (majority, 2), (majority, 3)])
def test_every_schedule_of_every_change(replicate: Replicate, copies: int, operation: Operation) -> None:
    """Three copies: all with up to four faults."""
    quorum = Majority(copies) if replicate is majority else None

    nothing_broken(sweep(replicate, operation, copies, quorum=quorum, faults_max=4 if copies == 3 else None))


@pytest.mark.soak
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)
def test_a_heal_disturbed_twice_loses_nothing(operation: Operation) -> None:
    nothing_broken(sweep_heal(mirror, operation, 2, faults_max=2))
