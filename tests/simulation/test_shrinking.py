"""A run that broke a promise is made small: what is left breaks it again, and nothing of it can be spared."""

from typing import Any

import pytest

from volgraph.testing import History, simulate
from volgraph.testing.shrinking import assert_or_shrink, broken, code, shrink
from volgraph.testing.tree import afr, brick, unify
from volgraph.testing.workload import Do, Fault, Go, Step, draw_faults, draw_workload

MIRROR = afr("mirror", brick("a"), brick("b"), quorum="none")
CREATE, WRITE = Step(0.0, Do.CREATE, b"x"), Step(100.0, Do.WRITE, b"x")
SIDES = [Fault(5.0, Go.PARTITION, "b", 0), Fault(5.0, Go.PARTITION, "a", 1)]


def split_by_a_partition() -> History:
    """With much that has nothing to do with it."""
    before = [Step(1.0, Do.READ, b"x", number % 3) for number in range(4)]
    workload = [[CREATE, *before, WRITE, Step(1.0, Do.LOOKUP, b"x")], [*before, WRITE, *before]]
    plan = [Fault(1.0, Go.CUT, "a"), *SIDES, Fault(6.0, Go.FULL, "a"), Fault(7.0, Go.ROOM, "a")]
    return simulate(MIRROR, workload, plan, seed=9)


def test_what_is_left_of_a_plan_breaks_the_same_and_can_spare_nothing() -> None:
    whole = split_by_a_partition()
    small = shrink(whole, lambda tried: "I07" in broken(tried))

    assert "I07" in broken(whole) & broken(small)
    assert list(small.faults) == SIDES
    assert [[step.do for step in steps] for steps in small.workload] == [[Do.CREATE, Do.WRITE], [Do.WRITE]]
    assert sum(step.pause for step in small.workload[0]) == 104.0, "what is left keeps its time"
    assert small.seed == whole.seed


def test_a_run_that_breaks_nothing_is_given_back() -> None:
    whole = simulate(MIRROR, [[CREATE]], [], seed=9)

    assert shrink(whole) is whole


def test_whoever_looks_for_something_else_says_what() -> None:
    small = shrink(split_by_a_partition(), lambda tried: any(event.error == "EIO" for event in tried.events))

    assert any(event.error == "EIO" for event in small.events)
    assert sum(map(len, small.workload)) <= 3


def test_a_failure_tells_the_smallest_plan_and_its_python() -> None:
    assert_or_shrink(simulate(MIRROR, [[CREATE]], [], seed=9))

    with pytest.raises(AssertionError) as caught:
        assert_or_shrink(simulate(MIRROR, [[CREATE, WRITE], [WRITE]], SIDES, seed=9))

    for part in ("I07", "seed 9 on asyncio", "at 5.000 s partition client-0 and b", "Fault(5.0, Go.PARTITION, 'b')"):
        assert part in str(caught.value)


def test_no_more_runs_are_made_than_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, tried = split_by_a_partition(), []

    def counted(*plan: Any) -> History:
        tried.append(plan)
        return simulate(*plan)

    monkeypatch.setattr("volgraph.testing.shrinking.simulate", counted)

    shrink(whole, runs_max=3)

    assert len(tried) == 3


@pytest.mark.parametrize(
    "tree",
    [
        MIRROR,
        afr("strict", brick("a"), unify("u", brick("b"), namespace=brick("n")), strict=True, laggard_timeout=2.0),
    ],
    ids=str,
)
def test_a_plan_is_told_as_the_python_that_runs_it(tree: object) -> None:
    names: dict[str, Any] = {each.__name__: each for each in (Do, Fault, Go, Step, afr, brick, unify)}
    found: dict[str, Any] = {}
    plan = draw_workload(3), draw_faults(3, MIRROR, count=12)
    run = History(3, "trio", tree, *plan)  # type: ignore[arg-type]
    names["simulate"] = lambda *args, **more: found.update(args=args, **more)

    exec(code(run), names)

    assert found == {"args": (tree, *plan), "seed": 3, "backend": "trio"}


def test_unless_told_otherwise_an_invariant_is_broken_that_was_broken_before() -> None:
    whole = split_by_a_partition()

    assert broken(whole) & broken(shrink(whole, runs_max=20))
