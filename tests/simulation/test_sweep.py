"""The sweep finds what is wrong with a replicator and says how to see it again; with a right one it finds nothing."""

from collections.abc import Sequence

import pytest

from tests.simulation.toy_replicator import Toy
from volgraph.graph import Translator
from volgraph.testing.bench import Replicate
from volgraph.testing.fated import OK, REQUEST_LOST, Phase, failing
from volgraph.testing.invariants import INVARIANTS, Majority
from volgraph.testing.operations import WRITEV
from volgraph.testing.schedules import Drawn, Every, Given
from volgraph.testing.sweep import EVERYWHERE, SweepReport, sweep

NO_HEAL = [name for name in INVARIANTS if name != "I07"]


def toy(fault: str = "") -> Replicate:
    def replicate(children: Sequence[Translator]) -> Translator:
        return Toy("toy", children, fault=fault)

    return replicate


def swept(fault: str = "", copies: int = 2, faults_max: int | None = None) -> SweepReport:
    quorum = Majority(copies)
    return sweep(toy(fault), WRITEV, copies, quorum=quorum, invariants=NO_HEAL, faults_max=faults_max)


def test_every_schedule_of_a_right_replicator_of_two_passes() -> None:
    report = swept()

    assert not report.violations, report
    assert report.schedules > 1000
    assert report.acked > 50
    assert report.refused > 50


def test_a_right_replicator_of_three_passes_with_up_to_two_faults() -> None:
    report = swept(copies=3, faults_max=2)

    assert not report.violations, report
    assert report.schedules > 500


@pytest.mark.parametrize(
    ("fault", "invariant"),
    [("F01", "I04"), ("F02", "I04"), ("F10", "I05"), ("mute", "I02"), ("mute", "I06"), ("slander", "I01")],
)
def test_a_broken_replicator_is_found_by_the_invariant_it_breaks(fault: str, invariant: str) -> None:
    report = swept(fault, copies=3, faults_max=2)

    assert report.broken.get(invariant, 0) > 0, report


def test_an_ack_without_post_op_quorum_shows_as_a_stale_read_too() -> None:
    """Three faults, all needed: the op is lost at one child, and post-op at the only other ones that could tell."""
    report = sweep(toy("F01"), WRITEV, 3, quorum=Majority(3), invariants=["I02"], faults_max=3, stop_at_first=True)

    assert report.violations, report
    assert report.violations[0].faults >= 2


def test_a_violation_can_be_replayed_by_its_fates() -> None:
    found = sweep(toy("F10"), WRITEV, 2, quorum=Majority(2), invariants=["I05"], stop_at_first=True).violations[0]

    again = sweep(toy("F10"), WRITEV, 2, quorum=Majority(2), invariants=["I05"], given=found.fates)

    assert again.violations == [found]


def test_drawn_schedules_follow_the_seed() -> None:
    reports = [
        sweep(toy(), WRITEV, 3, quorum=Majority(3), invariants=["I04"], drawn=50, seed=seed) for seed in (1, 1, 2)
    ]

    assert reports[0].acked == reports[1].acked
    assert reports[0].drawn == 50
    assert 40 <= reports[0].schedules <= 50


def test_drawn_schedules_that_are_the_same_count_once() -> None:
    fates = {Phase.OP: (OK, failing(28))}

    assert sweep(toy(), WRITEV, 2, quorum=Majority(2), invariants=NO_HEAL, fates=fates, drawn=200).schedules == 4


def test_the_parts_of_a_sweep_are_the_whole() -> None:
    whole = sweep(toy(), WRITEV, 2, quorum=Majority(2), invariants=NO_HEAL, faults_max=2)
    parts = [
        sweep(toy(), WRITEV, 2, quorum=Majority(2), invariants=NO_HEAL, faults_max=2, part=(number, 3))
        for number in range(3)
    ]

    assert sum(part.schedules for part in parts) == whole.schedules + 2  # the one without faults is in all three
    assert sum(part.acked for part in parts) == whole.acked + 2
    assert all(part.schedules > whole.schedules / 5 for part in parts)


def test_only_the_phases_named_have_fates() -> None:
    report = sweep(toy(), WRITEV, 2, quorum=Majority(2), invariants=NO_HEAL, fates={Phase.OP: (OK, failing(28))})

    assert report.schedules == 4


def test_every_makes_each_run_of_choices_once() -> None:
    every, runs = Every(), []
    for _ in every.runs():
        first = every.choose("abc")
        runs.append(first + (every.choose("xy") if first != "b" else ""))

    assert runs == ["ax", "ay", "b", "cx", "cy"]


def test_every_keeps_to_the_bound_on_faults() -> None:
    every, runs = Every(faults_max=1), []
    for _ in every.runs():
        runs.append("".join(every.choose("ab") for _ in range(3)))

    assert sorted(runs) == ["aaa", "aab", "aba", "baa"]


def test_drawn_keeps_to_the_bound_on_faults() -> None:
    drawn, faults = Drawn(1, 300, faults_max=2), []
    for _ in drawn.runs():
        faults.append("".join(drawn.choose("ab") for _ in range(30)).count("b"))

    assert set(faults) == {0, 1, 2}


def test_drawn_and_given_choices_are_what_they_say() -> None:
    drawn = Drawn(1, 20)
    given = Given([REQUEST_LOST])

    assert {drawn.choose("ab") for _ in drawn.runs()} == {"a", "b"}
    assert [given.choose(EVERYWHERE[Phase.OP]) for _ in range(2)] == [REQUEST_LOST, OK]
    with pytest.raises(ValueError, match="cannot be chosen"):
        Given([REQUEST_LOST]).choose([OK])
