"""A bench that has borne many trials is as good as a new one, and lets a client come to rest."""

from collections.abc import Sequence
from typing import Any

import pytest

from volgraph.graph import Fd
from volgraph.testing.bench import Bench, Replicate
from volgraph.testing.by_hand import answer, by_hand, opened_by_hand, rest_by_hand
from volgraph.testing.fated import OK, REQUEST_LOST, Fate, Moment, Phase
from volgraph.testing.hunts import impatient, majority, mirror
from volgraph.testing.invariants import any_child
from volgraph.testing.operations import APPEND, CALL, NEW, WRITE_AND_LEAVE, WRITE_AND_REST, WRITEV, Operation, a_file
from volgraph.testing.operations_names import CREATE, RENAMES_ELSEWHERE, UNLINK
from volgraph.testing.schedules import Drawn, Given
from volgraph.testing.sweep import EVERYWHERE, LATE_TOO
from volgraph.translators import Afr, Memory


def seen(bench: Bench, choices: Drawn | Given, met: list[Fate], late: bool) -> Sequence[Any]:
    """All that a trial tells."""
    fates = LATE_TOO if late else EVERYWHERE

    def decide(moment: Moment) -> Fate:
        met.append(choices.choose(fates.get(moment.phase, (OK,))))
        return met[-1]

    bench.change(decide)
    bench.read([bench.everyone])
    trial = bench.trial
    told = [str(trial.error), trial.held, trial.images, trial.marks, str(trial.readings), trial.left_behind]
    return *told, [str(moment) for moment in trial.moments], bench.early is None


@pytest.mark.parametrize("operation", [WRITEV, APPEND, WRITE_AND_LEAVE, CREATE, UNLINK, RENAMES_ELSEWHERE[1]])
@pytest.mark.parametrize(("replicate", "copies"), [(mirror, 2), (majority, 3), (impatient, 2)])
def test_a_trial_is_the_same_on_a_used_bench_as_on_a_new_one(
    replicate: Replicate, copies: int, operation: Operation
) -> None:
    late = replicate is impatient
    used, drawn = Bench(replicate, operation, copies, any_child), Drawn(seed=3, count=25)
    for _ in drawn.runs():
        met: list[Fate] = []
        on_the_used = seen(used, drawn, met, late)
        on_a_new = seen(Bench(replicate, operation, copies, any_child), Given(met), [], late)

        assert on_the_used == on_a_new


def steps_of(operation: Operation) -> list[str]:
    bench = Bench(mirror, operation, 2, any_child)
    bench.change(lambda moment: OK)
    return [f"{moment.child} {moment.phase.value}" for moment in bench.trial.moments]


def test_what_a_client_has_put_off_is_part_of_the_trial() -> None:
    answered = steps_of(WRITE_AND_LEAVE)
    rested = steps_of(WRITE_AND_REST)

    assert rested[: len(answered)] == answered
    assert rested[len(answered) :] == ["a fsync", "b fsync", "a post-op", "b post-op", "a unlock", "b unlock"]


def test_fates_are_met_after_the_answer_too() -> None:
    bench = Bench(mirror, WRITE_AND_REST, 2, any_child)
    bench.change(lambda moment: REQUEST_LOST if moment.phase is Phase.FSYNC and moment.child == "a" else OK)

    assert bench.trial.acked
    assert bench.trial.blame == {0: set(), 1: {0}}


@pytest.mark.parametrize(("seconds", "done"), [(4.0, False), (6.0, True)])
def test_a_graph_at_rest_does_what_was_put_off_when_its_time_has_come(seconds: float, done: bool) -> None:
    bricks = [Memory("a"), Memory("b")]
    with opened_by_hand(Afr("mirror", bricks, self_heal_daemon=False, post_op_delay=5.0)) as graph:
        fd: Fd = by_hand(a_file(graph.top))
        by_hand(answer(graph.top.writev(CALL, fd, NEW, 0)))
        rest_by_hand(graph, seconds)

        assert [bool(brick.marks()) for brick in bricks] == [not done] * 2
