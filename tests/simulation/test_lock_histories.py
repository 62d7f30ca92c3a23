"""I21 on whole clusters: whatever breaks, of two clients that believe to hold conflicting locks one writes no more."""

from collections import Counter

import pytest

from volgraph.testing.lock_histories import NONE, ROLLING, ROUGH, Claim, LockHistory, lock_history
from volgraph.testing.loop import BACKENDS
from volgraph.testing.tree import Tree, afr, brick

ONE = brick("a")
TWO = afr("mirror", brick("a"), brick("b"))
THREE = afr("mirror", brick("a"), brick("b"), brick("c"))
NESTED = afr("top", afr("left", brick("a"), brick("b")), afr("right", brick("c"), brick("d")))
IMPATIENT = afr("mirror", brick("a"), brick("b"), brick("c"), laggard_timeout=1.0)
TREES = {
    "one brick": ONE,
    "two copies": TWO,
    "three copies": THREE,
    "three copies without patience": IMPATIENT,
    "a tree of four": NESTED,
}

every_tree = pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tree", [ONE, THREE], ids=["one brick", "three copies"])
def test_without_faults_no_lock_is_lost(tree: Tree, backend: str) -> None:
    history = lock_history(tree, NONE, 1, backend, 100)

    assert not history.violations()
    assert not _troubles(history)
    assert history.answers["lock done"] > 10
    assert history.answers["lock EAGAIN"] > 10


def test_bricks_that_are_killed_in_turn_take_no_lock_with_them() -> None:
    history = lock_history(THREE, ROLLING, 0, seconds=200)

    assert not history.violations()
    assert not _troubles(history)
    assert history.answers["lock done"] > 20


def _troubles(history: LockHistory) -> list[str]:
    return [told for told in history.answers if told.endswith(("EBADFD", "ENOTCONN"))]


@every_tree
def test_whatever_breaks_nobody_writes_under_a_lock_that_another_has(tree: Tree) -> None:
    assert not lock_history(tree, ROUGH, 0, seconds=120).violations()


@pytest.mark.parametrize("tree", [TWO, THREE, NESTED], ids=["two copies", "three copies", "a tree of four"])
def test_an_afr_knows_what_its_children_have_forgotten_though_they_do_not_say_so(tree: Tree) -> None:
    assert not lock_history(tree, ROUGH, 1, seconds=120, strict=False).violations()


def test_a_minority_that_could_not_reach_the_others_leaves_no_split_brain() -> None:
    """It blamed them for what it alone had fsynced, while others went on with them."""
    assert not lock_history(NESTED, ROUGH, 2018).violations()


@pytest.mark.soak
@pytest.mark.parametrize("block", range(10))
@pytest.mark.parametrize("faults", [ROUGH, ROLLING])
@every_tree
def test_no_lock_history_of_many_breaks_a_rule(tree: Tree, faults: str, block: int) -> None:
    told: Counter[str] = Counter()
    for seed in range(1000 + 20 * block, 1020 + 20 * block):
        history = lock_history(tree, faults, seed, strict=tree is ONE or seed % 2 == 0)
        assert not history.violations(), seed
        assert tree is not THREE or faults == ROUGH or not _troubles(history), seed
        told += history.answers
    assert told["lock done"] > 500
    assert faults == ROLLING or told["write EBADFD"] + told["lock EBADFD"] > 5


def test_the_model_finds_two_writers_and_what_is_left() -> None:
    mine, theirs = Claim("one", 3, True, 1.0, 9.0), Claim("two", 3, False, 2.0, 8.0)
    history = LockHistory(0, [mine, theirs], {"one": [(3.0, 4.0)], "two": [(7.0, 7.5)]}, left={"a": 0}, free=True)
    assert len(history.violations()) == 1
    history.writes["two"] = [(1.5, 3.0), (7.0, 8.5)]
    assert not history.violations()
    history.left, history.free, history.unhealed = {"a": 2}, False, "mirror: split-brain"
    assert [wrong[:3] for wrong in history.violations()] == ["I21", "I22", "I07"]
