"""cluster/afr under every schedule of faults, and the historic bugs that must be found when they are planted."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from volgraph.graph import Translator
from volgraph.testing.bench import Replicate
from volgraph.testing.fated import OK, REPLY_LATE, REPLY_LOST, REQUEST_LOST, Fate, Phase
from volgraph.testing.hunts import impatient
from volgraph.testing.invariants import INVARIANTS, Majority, any_child
from volgraph.testing.mutants import MUTANTS, Mutant, hunt, majority, mirror
from volgraph.testing.operations import CHANGES_OF_CONTENTS, WRITE_AND_LEAVE, WRITEV, Operation
from volgraph.testing.operations_attributes import CHANGES_OF_ATTRIBUTES, FSETATTR_WITH_SIZE, SETATTR
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
TWICE = tuple(change for change in CHANGES if change.twice)
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
TELLING_OF_LEAVES = tuple(name for name in INVARIANTS if name != "I04")
"""All but I04: a pair of copies has a quorum of its own."""
WITHOUT_STRICT_READS = tuple(name for name in INVARIANTS if name != "I03")
"""While an answer is owed, a change that failed may be seen by one client and not by the next: only with strict reads
what was read once is never unread."""
AN_UNLOCK_IS_NEVER_REFUSED = {**EVERYWHERE, Phase.UNLOCK: (OK, REQUEST_LOST, REPLY_LOST)}
"""The lock would stay, and what another level locks next would wait for it for ever."""


def of(operations: Sequence[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.name)


def parts_of(operations: Sequence[Operation], parts: int) -> pytest.MarkDecorator:
    """Every part of a long sweep is a test of its own: so they are spread over processes."""
    each = [(operation, (part, parts)) for operation in operations for part in range(parts)]
    ids = [f"{operation.name}, {part + 1} of {parts}" for operation, (part, _) in each]
    return pytest.mark.parametrize(("operation", "part"), each, ids=ids)


def nothing_broken(report: SweepReport) -> None:
    print(report)  # the counts, for who runs it with -s

    assert not report.violations, str(report)
    assert report.acked > 0


Bears = Callable[[SweepReport], None]


@pytest.fixture
def bears(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Bears:
    """Nothing is broken, and the counts are told at the end of the run."""

    def bears(report: SweepReport) -> None:
        nothing_broken(report)
        record_property(request.node.originalname, report.counts)

    return bears


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
    part: tuple[int, int] = (0, 1),
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
        part=part,
        invariants=TELLING_OF_LEAVES,
    )


def late(
    operation: Operation,
    copies: int,
    quorum: str = "none",
    fates: Mapping[Phase, Sequence[Fate]] = LATE_TOO,
    **how: Any,
) -> SweepReport:
    """Answers may be late, and the replicator does not wait for them."""
    needed = any_child if quorum == "none" else Majority(copies)
    replicate = partial(impatient, quorum=quorum)
    return sweep(replicate, operation, copies, quorum=needed, fates=fates, invariants=WITHOUT_STRICT_READS, **how)


# --- what every run of the tests sees --------------------------------------------------------------------------------


@of(CHANGES)
def test_two_copies_bear_every_two_faults(operation: Operation) -> None:
    """Of two changes one after the other each fault alone: two are for a longer run."""
    nothing_broken(sweep(mirror, operation, 2, faults_max=1 if operation.twice else 2))


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
    nothing_broken(late(operation, 2, faults_max=1))


@of([WRITEV])
def test_two_copies_bear_a_late_answer_and_another_fault(operation: Operation) -> None:
    report = late(operation, 2, faults_max=2)

    nothing_broken(report)
    assert report.schedules > 1000


def test_the_only_copy_that_has_new_attributes_is_no_laggard_when_the_contents_are_settled() -> None:
    """The other one missed them, and is good for the contents alone: whoever were left with it would read old ones."""
    operation = FSETATTR_WITH_SIZE
    fates = {Phase.OP: (OK, REQUEST_LOST), Phase.POST_OP: (OK, REPLY_LATE), Phase.UNLOCK: (OK, REPLY_LATE)}
    nothing_broken(late(operation, 2, fates=fates, faults_max=2))


@of([WRITEV, RENAMES_WITHIN[1]])
def test_three_copies_bear_late_answers_and_other_faults_drawn_at_random(operation: Operation) -> None:
    nothing_broken(late(operation, 3, "auto", faults_max=2, drawn=60, seed=1))


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
@parts_of([change for change in CHANGES if not change.twice], 4)
def test_two_copies_bear_every_schedule_of_every_change(
    operation: Operation, part: tuple[int, int], bears: Bears
) -> None:
    bears(sweep(mirror, operation, 2, part=part))


@pytest.mark.soak
@of(TWICE)
def test_two_copies_bear_every_three_faults_in_two_changes(operation: Operation, bears: Bears) -> None:
    bears(sweep(mirror, operation, 2, faults_max=3))


@pytest.mark.soak
@of(CHANGES)
def test_two_copies_of_which_the_first_is_needed_bear_every_three_faults(operation: Operation, bears: Bears) -> None:
    bears(sweep(majority, operation, 2, quorum=Majority(2), faults_max=3))


@pytest.mark.soak
@parts_of([change for change in CHANGES if not change.twice], 4)
def test_three_copies_bear_every_four_faults(operation: Operation, part: tuple[int, int], bears: Bears) -> None:
    bears(sweep(majority, operation, 3, quorum=Majority(3), faults_max=4, part=part))


@pytest.mark.soak
@parts_of(TWICE, 4)
def test_three_copies_bear_every_three_faults_in_two_changes(
    operation: Operation, part: tuple[int, int], bears: Bears
) -> None:
    bears(sweep(majority, operation, 3, quorum=Majority(3), faults_max=3, part=part))


@pytest.mark.soak
@parts_of(CHANGES, 4)
def test_a_pair_of_pairs_bears_every_two_faults(operation: Operation, part: tuple[int, int], bears: Bears) -> None:
    bears(nested(operation, faults_max=2, part=part))


@pytest.mark.soak
@parts_of([WRITEV, CREATE], 8)
def test_a_pair_of_pairs_bears_every_three_faults(operation: Operation, part: tuple[int, int], bears: Bears) -> None:
    bears(nested(operation, faults_max=3, replicate=pair_of_strict_pairs, part=part))


@pytest.mark.soak
@of(CHANGES)
def test_a_pair_of_pairs_bears_three_faults_drawn_at_random(operation: Operation, bears: Bears) -> None:
    bears(nested(operation, faults_max=3, drawn=3000, replicate=pair_of_strict_pairs))


@pytest.mark.soak
@of(CHANGES)
def test_a_heal_disturbed_twice_loses_nothing(operation: Operation, bears: Bears) -> None:
    bears(sweep_heal(mirror, operation, 2, faults_max=2))


@pytest.mark.soak
@of(CHANGES)
def test_a_heal_of_any_change_disturbed_at_any_fop_loses_nothing(operation: Operation, bears: Bears) -> None:
    bears(sweep_heal(mirror, operation, 2))
    bears(sweep_heal(majority, operation, 3))


@pytest.mark.soak
@of(CHANGES)
def test_two_copies_bear_a_late_answer_and_another_fault_in_every_change(operation: Operation, bears: Bears) -> None:
    bears(late(operation, 2, faults_max=2))
    bears(late(operation, 2, "auto", faults_max=2))


@pytest.mark.soak
@of(CHANGES)
def test_three_copies_bear_a_late_answer_and_another_fault_in_every_change(operation: Operation, bears: Bears) -> None:
    bears(late(operation, 3, "auto", faults_max=2))


@pytest.mark.soak
@of(CHANGES)
def test_a_pair_of_pairs_bears_a_late_answer_in_every_change(operation: Operation, bears: Bears) -> None:
    bears(nested(operation, 1, replicate=pair_of_impatient_pairs, fates=LATE_TOO))
