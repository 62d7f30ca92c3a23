"""What a loss of power may undo: no more than was on too few disks, and nothing that was fsynced to enough."""

from collections.abc import Sequence
from math import inf

import pytest

from volgraph.testing.losses import Losses, Trouble, holds, troubles
from volgraph.testing.tree import Tree, afr, brick, unify
from volgraph.testing.workload import Fault, Go

TWO = afr("two", brick("a"), brick("b"))
THREE = afr("three", brick("a"), brick("b"), brick("c"))
EVER = afr("ever", brick("a"), brick("b"), quorum="none")


def lost(when: float, brick: str) -> Fault:
    return Fault(when, Go.KILL, brick, keep="synced")


@pytest.mark.parametrize(
    ("tree", "bricks", "enough"),
    [
        (TWO, "a", True),
        (TWO, "b", False),
        (THREE, "bc", True),
        (THREE, "c", False),
        (EVER, "a", False),
        (EVER, "ab", True),
        (afr("top", TWO, afr("other", brick("c"), brick("d"))), "ac", True),
        (afr("top", TWO, afr("other", brick("c"), brick("d"))), "bc", False),
        (unify("one", TWO, namespace=afr("names", brick("n"), brick("m"))), "an", True),
        (unify("one", TWO, namespace=afr("names", brick("n"), brick("m"))), "am", False),
    ],
)
def test_which_bricks_are_enough(tree: Tree, bricks: str, enough: bool) -> None:
    assert holds(tree, set(bricks)) is enough


@pytest.mark.parametrize(
    ("tree", "faults", "undone"),
    [
        (THREE, [lost(5.0, "a")], inf),
        (THREE, [lost(5.0, "a"), lost(7.0, "b")], 7.0),
        (THREE, [lost(0.5, "a"), lost(0.7, "b")], inf),
        (THREE, [Fault(5.0, Go.KILL, "a"), Fault(7.0, Go.KILL, "b")], inf),
        (THREE, [Fault(0.0, Go.PARTITION, "a"), lost(5.0, "b")], 5.0),
        (TWO, [lost(5.0, "a")], 5.0),
        (TWO, [lost(5.0, "b")], inf),
    ],
)
def test_from_when_a_change_may_be_undone(tree: Tree, faults: Sequence[Fault], undone: float) -> None:
    assert Losses(tree, faults).undo_from(1.0, 2.0, synced=inf) == undone


def test_what_was_fsynced_before_the_power_went_is_never_undone() -> None:
    losses = Losses(THREE, [lost(5.0, "a"), lost(5.0, "b"), lost(5.0, "c")])

    assert losses.undo_from(1.0, 2.0, synced=4.0) == inf
    assert losses.undo_from(1.0, 2.0, synced=6.0) == 5.0


def test_whoever_missed_something_is_not_relied_upon_until_all_are_well() -> None:
    faults = [
        Fault(10.0, Go.KILL, "a"),
        Fault(15.0, Go.CUT, "b"),
        Fault(20.0, Go.RESTART, "a"),
        Fault(100.0, Go.SICK, "c"),
    ]

    assert troubles(faults) == [Trouble("a", 10.0, 40.0), Trouble("b", 15.0, 40.0), Trouble("c", 100.0, inf)]


@pytest.mark.parametrize(
    ("tree", "faults", "may"),
    [
        (THREE, [Fault(1.0, Go.SICK, "b"), Fault(2.0, Go.PARTITION, "c"), lost(5.0, "a")], True),
        (THREE, [Fault(1.0, Go.SICK, "b"), Fault(2.0, Go.PARTITION, "c"), Fault(5.0, Go.KILL, "a")], False),
        (THREE, [Fault(1.0, Go.SICK, "b"), lost(5.0, "a"), Fault(6.0, Go.PARTITION, "c")], False),
        (THREE, [Fault(1.0, Go.SICK, "b"), lost(5.0, "a")], False),
        (THREE, [Fault(1.0, Go.CUT, "b"), Fault(2.0, Go.CUT, "c"), lost(50.0, "a")], False),
        (TWO, [lost(1.0, "a"), Fault(4.0, Go.RESTART, "a"), lost(5.0, "b")], True),
        (TWO, [lost(1.0, "a"), Fault(4.0, Go.RESTART, "a"), lost(25.0, "b")], False),
        (TWO, [Fault(1.0, Go.PARTITION, "a"), Fault(2.0, Go.PARTITION, "b")], False),
    ],
)
def test_only_a_loss_of_the_last_copy_that_is_surely_good_may_end_in_split_brain(
    tree: Tree, faults: Sequence[Fault], may: bool
) -> None:
    assert Losses(tree, faults).may_split(tree) is may
