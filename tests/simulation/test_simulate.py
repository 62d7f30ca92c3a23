"""Whole clusters under virtual time: equal seeds replay, and no fault breaks what replication promises."""

import errno
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volgraph.testing.history import KILLED, History, assert_invariants, registers
from volgraph.testing.linearizable import SEARCH_MAX, search, zones
from volgraph.testing.loop import BACKENDS
from volgraph.testing.shrinking import assert_or_shrink
from volgraph.testing.simulate import simulate
from volgraph.testing.strategies import faults, trees, workloads
from volgraph.testing.tree import Tree, afr, brick, unify
from volgraph.testing.workload import CRASHES, Do, Fault, Go, Step, draw_faults, draw_workload
from volgraph.translators import Afr
from volgraph.translators.storage.memory import Keep

TREES = {
    "mirror of two": afr("mirror", brick("a"), brick("b")),
    "mirror of three": afr("mirror", brick("a"), brick("b"), brick("c")),
    "mirror of three without patience": afr("mirror", brick("a"), brick("b"), brick("c"), laggard_timeout=2.0),
    "strict mirror of three": afr("mirror", brick("a"), brick("b"), brick("c"), strict=True),
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
FOR_LONG = TREES | {
    "strict tree of four": afr(
        "top",
        afr("left", brick("a"), brick("b"), strict=True),
        afr("right", brick("c"), brick("d"), strict=True),
        strict=True,
    ),
    "tree of four without patience": afr(
        "top",
        afr("left", brick("a"), brick("b"), laggard_timeout=1.0),
        afr("right", brick("c"), brick("d"), laggard_timeout=1.0),
        laggard_timeout=1.0,
    ),
}
"""Those that the long search goes through."""
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
@pytest.mark.parametrize("seed", range(3))
def test_clusters_keep_their_promises_under_faults(tree: Tree, backend: str, seed: int) -> None:
    history = drawn(tree, seed, backend)

    assert_invariants(history)
    assert judged_alike(history) > 5


def judged_alike(history: History) -> int:
    """How many histories of single blocks both checkers have judged, and judged alike."""
    judged = 0
    for _, operations in registers(history):
        if len(operations) <= SEARCH_MAX and sum(operation.maybe for operation in operations) <= 10:
            assert search(operations) == (zones(operations) == "")
            judged += 1
    return judged


def test_every_kind_of_fault_is_drawn(record_property: Callable[[str, object], None]) -> None:
    """Over 200 seeds, of each tree: how often each, in the plan of a run."""
    for name, tree in TREES.items():
        plans = [fault for seed in range(200) for fault in draw_faults(seed, tree)]
        kinds = Counter(fault.what.value for fault in plans)
        crashes = Counter(fault.keep for fault in plans if fault.what is Go.KILL)
        codes = Counter(errno.errorcode.get(fault.code, "short") for fault in plans if fault.what is Go.SICK)
        told = ", ".join(f"{what} {number}" for counts in (kinds, crashes, codes) for what, number in counts.items())
        record_property("faults drawn in 200 seeds", f"{name}: {told}")

        assert min(kinds[kind.value] for kind in Go) >= 50
        assert min(codes["EIO"], codes["short"]) >= 20
        assert crashes.keys() == (set(CRASHES) if list(tree.mirrored()) else {"all"})
        assert min(crashes.values()) >= 5


def test_faults_that_are_drawn_happen(record_property: Callable[[str, object], None]) -> None:
    """A disk that is full refuses, a sick one fails, a client that is killed leaves something half done."""
    happened: Counter[str] = Counter()
    for seed in range(20, 32):
        history = drawn(TREES["mirror of two"], seed, count=10)
        assert_invariants(history)
        happened.update(event.error or "acked" for event in history.events)
        happened.update(f"{what} in effect" for what, number in history.happened.items() for _ in range(number))
    record_property(
        "what happened in 12 simulated runs", ", ".join(f"{what} {n}" for what, n in happened.most_common())
    )

    for outcome in ("ENOSPC", "EIO", "ENOTCONN", KILLED):
        assert happened[outcome], outcome
    assert happened["acked"] > sum(happened[outcome] for outcome in ("ENOSPC", "EIO", "ENOTCONN", KILLED))


@pytest.mark.parametrize("keep", CRASHES)
@pytest.mark.parametrize("tree", [TREES["mirror of two"], TREES["mirror of three"], TREES["tree of four"]], ids=str)
def test_what_was_fsynced_outlives_a_loss_of_power_everywhere(tree: Tree, keep: Keep) -> None:
    """And what was not is there or not, but the same for everybody."""
    steps = [Step(0.0, Do.CREATE, b"x"), *(Step(0.1, Do.WRITE, b"x", block) for block in (0, 1))]
    steps += [Step(0.1, Do.SYNC, b"x"), Step(0.1, Do.WRITE, b"x", 2), Step(0.1, Do.CREATE, b"y")]
    steps += [Step(0.0, Do.WRITE, b"y", 1), Step(40.0, Do.READ, b"x", 0), Step(0.1, Do.READ, b"x", 1)]
    steps += [Step(0.1, Do.LOOKUP, b"x"), Step(0.1, Do.READ, b"y", 1)]
    bricks = sorted(tree.bricks())
    for seed in range(4):
        plan = [Fault(1.5, Go.KILL, brick, keep=keep) for brick in bricks]
        plan += [Fault(5.0, Go.RESTART, brick) for brick in bricks]
        history = simulate(tree, [steps], plan, seed)

        assert_invariants(history)
        values = {event.value for event in history.events if event.do is Do.WRITE and event.name == b"x"}
        read = [event for event in history.events if event.do is Do.READ and event.name == b"x" and event.block < 2]
        assert len(read) == 4
        assert all(event.acked and event.value in values for event in read), str(history)


@both_backends
def test_a_client_that_is_killed_leaves_no_lock_and_comes_again(backend: str) -> None:
    steps = [Step(0.0, Do.CREATE, b"x"), *(Step(0.002, Do.WRITE, b"x", 0) for _ in range(20))]
    for seed in range(2):
        plan = [Fault(round(0.11 + 0.037 * seed, 3), Go.CLIENT_KILL, "a", client=0, seconds=1.0)]
        history = simulate(TREES["mirror of three"], [steps, steps[1:]], plan, seed, backend)

        assert_invariants(history)
        assert history.happened[Go.CLIENT_KILL.value] == 1
        ours = [event for event in history.events if event.client == "client-0"]
        assert [event.error for event in ours if event.error] in ([], [KILLED])
        assert len(ours) == len(steps)


@pytest.mark.parametrize("seed", range(3))
def test_wrong_clocks_change_nothing(seed: int) -> None:
    """I27: bricks that are years off; every client sees what it saw, at the same moments."""
    tree, workload = TREES["mirror of three"], draw_workload(seed)
    plan = [fault for fault in draw_faults(seed, tree) if fault.what is not Go.SKEW]
    saw = []
    for off in (0.0, 9e7):
        skews = [Fault(0.0, Go.SKEW, name, seconds=way * off) for name, way in (("a", 1), ("b", -1), ("c", 1e-7))]
        history = simulate(tree, workload, [*skews, *plan], seed)
        assert_invariants(history)
        saw.append(list(map(str, history.events)))

    assert saw[0] == saw[1]


@pytest.mark.parametrize("what", [Go.PARTITION, Go.BLACK_HOLE, Go.KILL, Go.CUT])
def test_a_mirror_goes_on_when_one_brick_is_lost(what: Go) -> None:
    """One operation may have to wait until the silent brick is given up; those that follow do not."""
    steps = [Step(0.0, Do.CREATE, b"x"), *(Step(1.0, Do.WRITE, b"x", n % 3) for n in range(30))]
    history = simulate(TREES["mirror of three"], [steps], [Fault(5.5, what, "b")], seed=3)

    assert_invariants(history)
    assert all(event.acked for event in history.events if event.do is Do.WRITE)
    slow = [event for event in history.events if event.returned - event.called > 1.0]
    assert len(slow) <= 1


@pytest.mark.parametrize("what", [Go.PARTITION, Go.BLACK_HOLE])
def test_a_silent_brick_delays_one_operation_by_the_laggard_timeout(what: Go) -> None:
    """And not by the much longer time after which its connection is given up."""
    steps = [Step(0.0, Do.CREATE, b"x"), *(Step(1.0, Do.WRITE, b"x", n % 3) for n in range(30))]
    history = simulate(TREES["mirror of three without patience"], [steps], [Fault(5.5, what, "b")], seed=3)

    assert_invariants(history)
    assert all(event.acked for event in history.events if event.do is Do.WRITE)
    (slow,) = [event for event in history.events if event.returned - event.called > 1.0]
    assert slow.returned - slow.called < 2.5


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
from tests.simulation.test_simulate import TREES
from volgraph.testing.simulate import simulate
from volgraph.testing.workload import draw_faults, draw_workload
for tree in TREES.values():
    for backend in ("asyncio", "trio"):
        workload = draw_workload(2, steps=6, pause=1.0)
        print(simulate(tree, workload, draw_faults(2, tree, count=6, seconds=6.0), 2, backend).trace)
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


@pytest.mark.parametrize(
    ("tree", "seed", "count"),
    [
        ("mirror of two", 1016, 10),
        ("mirror of two", 1017, 10),
        ("unify over mirrors", 99, 8),
        ("tree of four", 102, 8),
        ("mirror of two", 1084, 10),
    ],
)
def test_plans_that_once_broke_a_promise_break_none(tree: str, seed: int, count: int) -> None:
    assert_invariants(drawn(TREES[tree], seed, count=count))


@pytest.mark.parametrize(
    ("tree", "seed", "count"), [("mirror of three", 343, 8), ("mirror of three without patience", 1243, 10)]
)
def test_split_brain_that_a_loss_of_power_led_to_is_told_and_left_alone(tree: str, seed: int, count: int) -> None:
    """Nobody is known to be right: then EIO, and every copy stays as it is."""
    history = drawn(TREES[tree], seed, count=count)

    assert_invariants(history)
    assert history.split["mirror"]
    with pytest.raises(AssertionError, match="in split-brain"):
        faults = [fault for fault in history.faults if not fault.loses_power]
        assert_invariants(attrs.evolve(history, faults=faults, losses=None))


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
@pytest.mark.parametrize("tree", FOR_LONG.values(), ids=FOR_LONG.keys())
def test_many_seeds(tree: Tree, backend: str) -> None:
    for seed in range(1000, 1300):
        assert_or_shrink(drawn(tree, seed, backend, count=10))
