"""Whole clusters under virtual time: equal seeds replay, and no fault breaks what replication promises."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volgraph.testing.history import History, assert_invariants, violations
from volgraph.testing.loop import BACKENDS
from volgraph.testing.simulate import simulate
from volgraph.testing.strategies import faults, trees, workloads
from volgraph.testing.tree import Tree, afr, brick, unify
from volgraph.testing.workload import Do, Fault, Go, Step, draw_faults, draw_workload
from volgraph.translators import Afr

TREES = {
    "mirror of two": afr("mirror", brick("a"), brick("b")),
    "mirror of three": afr("mirror", brick("a"), brick("b"), brick("c")),
    "tree of four": afr("top", afr("left", brick("a"), brick("b")), afr("right", brick("c"), brick("d"))),
    "unify over mirrors": unify(
        "one",
        afr("left", brick("a"), brick("b")),
        afr("right", brick("c"), brick("d")),
        namespace=afr("names", brick("e"), brick("f")),
    ),
    "mirror of unifies": afr(
        "mirror",
        unify("u", brick("a"), brick("b"), namespace=brick("n")),
        unify("v", brick("c"), brick("d"), namespace=brick("m")),
    ),
}
every_tree = pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
both_backends = pytest.mark.parametrize("backend", BACKENDS)


def drawn(tree: Tree, seed: int, backend: str = "asyncio", count: int = 6) -> History:
    return simulate(tree, draw_workload(seed), draw_faults(seed, tree, count=count), seed, backend)


@both_backends
@every_tree
def test_clusters_keep_their_promises_without_faults(tree: Tree, backend: str) -> None:
    history = drawn(tree, 1, backend, count=0)

    assert_invariants(history)
    assert not [event for event in history.events if event.error in ("ENOTCONN", "EIO")]


@both_backends
@every_tree
@pytest.mark.parametrize("seed", range(4))
def test_clusters_keep_their_promises_under_faults(tree: Tree, backend: str, seed: int) -> None:
    assert_invariants(drawn(tree, seed, backend))


@pytest.mark.parametrize("what", [Go.PARTITION, Go.BLACK_HOLE, Go.KILL, Go.CUT])
def test_a_mirror_goes_on_when_one_brick_is_lost(what: Go) -> None:
    """One operation may have to wait until the silent brick is given up; those that follow do not."""
    steps = [Step(0.0, Do.CREATE, b"x"), *(Step(1.0, Do.WRITE, b"x", n % 3) for n in range(30))]
    history = simulate(TREES["mirror of three"], [steps], [Fault(5.5, what, "b")], seed=3)

    assert_invariants(history)
    assert all(event.acked for event in history.events if event.do is Do.WRITE)
    slow = [event for event in history.events if event.returned - event.called > 1.0]
    assert len(slow) <= 1


def test_a_brick_that_was_killed_and_comes_back_is_healed() -> None:
    steps = [Step(0.0, Do.CREATE, b"x"), *(Step(1.0, Do.WRITE, b"x", n % 3) for n in range(9))]
    plan = [Fault(2.5, Go.KILL, "b"), Fault(6.5, Go.RESTART, "b")]

    assert_invariants(simulate(TREES["mirror of three"], [steps], plan, seed=5))


def test_a_rename_and_a_healer_do_not_wait_for_each_other() -> None:
    """The rename holds one name and asks for another, while a healer waits for the whole directory."""
    creates = [Step(0.0, Do.CREATE, b"x")] * 7
    renames = [Step(0.0, Do.RENAME, old, 0, new) for old, new in ((b"x", b"z"), (b"z", b"x")) * 2]

    for seed in range(20):
        assert_invariants(simulate(TREES["mirror of three"], [creates, creates[:1] + renames], seed=seed))


@both_backends
def test_equal_seeds_give_equal_histories(backend: str) -> None:
    first, second = drawn(TREES["mirror of two"], 5, backend), drawn(TREES["mirror of two"], 5, backend)

    assert str(first) == str(second)
    assert (first.trace, first.steps) == (second.trace, second.steps)


def test_other_seeds_give_other_traces() -> None:
    workload = draw_workload(1)

    assert len({simulate(TREES["mirror of two"], workload, seed=seed).trace for seed in range(5)}) == 5


REPLAY = """
from tests.simulation.test_simulate import TREES, drawn
for tree in TREES.values():
    print(drawn(tree, 2, "asyncio").trace, drawn(tree, 2, "trio").trace)
"""


def test_equal_seeds_give_equal_traces_in_processes_with_other_hash_seeds() -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", REPLAY],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "1", "4242")
    ]
    printed = {process.communicate()[0] for process in running}

    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(printed) == 1
    assert len(printed.pop().split()) == 2 * len(TREES)


def test_a_broken_promise_is_reported_with_all_it_takes_to_see_it_again() -> None:
    """A mirror that takes any one child as enough, written on both sides of a partition: split-brain, reported."""
    tree = afr("mirror", brick("a"), brick("b"), quorum="none")
    workload = [[Step(0.0, Do.CREATE, b"x"), Step(100.0, Do.WRITE, b"x")], [Step(100.0, Do.WRITE, b"x")]]
    plan = [Fault(5.0, Go.PARTITION, "b", 0), Fault(5.0, Go.PARTITION, "a", 1)]

    with pytest.raises(AssertionError) as caught:
        assert_invariants(simulate(tree, workload, plan, seed=9))

    for part in ("I07", "seed 9 on asyncio: afr mirror(a, b)", "trace ", "at 5.000 s partition client-0 and b"):
        assert part in str(caught.value)


@both_backends
def test_a_bug_in_a_translator_comes_out_as_it_is_with_the_plan(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("the bug")

    monkeypatch.setattr(Afr, "create", broken)

    with pytest.raises(ZeroDivisionError, match="the bug") as caught:
        drawn(TREES["mirror of two"], 6, backend)

    notes = "\n".join(caught.value.__notes__)
    assert f"simulated on {backend} with seed 6" in notes
    assert "afr mirror(a, b)" in notes


@given(st.data(), st.integers(0, 2**32))
def test_no_cluster_breaks_its_promises(data: st.DataObject, seed: int) -> None:
    tree = data.draw(trees())

    assert_invariants(simulate(tree, data.draw(workloads()), data.draw(faults(tree)), seed))


@given(trees(depth=3))
def test_drawn_trees_name_each_brick_once(tree: Tree) -> None:
    names = list(tree.bricks())

    assert len(names) == len(set(names)) >= 2


@pytest.mark.soak
@both_backends
@every_tree
def test_many_seeds(tree: Tree, backend: str) -> None:
    for seed in range(1000, 1300):
        assert not violations(drawn(tree, seed, backend, count=10)), seed
