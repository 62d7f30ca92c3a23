"""What the long search of the simulation has found, each as the smallest plan that showed it."""

import pytest

from volgraph.testing import History, Tree, afr, assert_invariants, brick, simulate, unify
from volgraph.testing.workload import Do, Fault, Go, Step

PAIRS = afr("top", afr("left", brick("a"), brick("b")), afr("right", brick("c"), brick("d")))
POOL = unify(
    "one",
    afr("left", brick("a"), brick("b")),
    afr("right", brick("c"), brick("d")),
    namespace=afr("names", brick("e"), brick("f")),
)

Plan = tuple[Tree, list[list[Step]], list[Fault], int]

PLANS: dict[str, Plan] = {
    "a pair goes on with the copy that lost its power, and is healed from above, before it has healed that copy": (
        PAIRS,
        [[], [Step(20.15, Do.WRITE, b"x", 1), Step(1.895, Do.READ, b"z", 2)]],
        [
            Fault(16.035, Go.BLACK_HOLE, "b", client=1),
            Fault(23.073, Go.KILL, "c", keep="synced"),
            Fault(36.898, Go.RESTART, "c"),
            Fault(38.129, Go.SICK, "d", every=3, code=5),
            Fault(61.287, Go.CUT, "d", client=1),
        ],
        1132,
    ),
    "a pair that may have lost something acknowledges a rename while another client heals it": (
        PAIRS,
        [
            [Step(44.747, Do.CREATE, b"y")],
            [
                Step(0.0, Do.CREATE, b"y"),
                Step(1.654, Do.READ, b"y", 1),
                Step(31.005, Do.RENAME, b"y", target=b"z"),
            ],
        ],
        [
            Fault(29.091, Go.KILL, "a", keep="subset"),
            Fault(30.971, Go.RESTART, "a"),
            Fault(31.544, Go.BLACK_HOLE, "c", client=1),
        ],
        1041,
    ),
    "a write that failed is seen on the copy that has it, and is gone when the other copy has grown as long": (
        PAIRS,
        [
            [Step(9.157, Do.READ, b"y", 1), Step(0.472, Do.WRITE, b"y")],
            [Step(0.0, Do.CREATE, b"y"), Step(21.477, Do.WRITE, b"y", 1), Step(4.507, Do.READ, b"y")],
        ],
        [Fault(6.825, Go.SICK, "a", every=9, code=5)],
        1136,
    ),
    "a copy that grew by a write that failed is taken for good above its pair, and loses its power": (
        PAIRS,
        [
            [Step(59.108, Do.READ, b"x", 2)],
            [
                Step(0.0, Do.CREATE, b"y"),
                Step(2.132, Do.WRITE, b"y", 2),
                Step(1.911, Do.CREATE, b"z"),
                Step(3.328, Do.WRITE, b"z", 2),
            ],
        ],
        [
            Fault(6.919, Go.FULL, "a"),
            Fault(42.252, Go.KILL, "d", keep="torn"),
            Fault(42.686, Go.RESTART, "d"),
            Fault(67.287, Go.KILL, "b", keep="torn"),
        ],
        6023,
    ),
    "a write is short on the only copy that is there, and its caller is told so": (
        afr("mirror", brick("a"), brick("b")),
        [
            [
                Step(19.426, Do.CREATE, b"x"),
                Step(1.522, Do.READ, b"y", 2),
                Step(7.833, Do.CREATE, b"z"),
                Step(14.474, Do.WRITE, b"z", 1),
                Step(2.267, Do.READ, b"x", 1),
                Step(3.153, Do.WRITE, b"x", 2),
            ]
        ],
        [Fault(2.774, Go.KILL, "b", keep="subset"), Fault(13.187, Go.SICK, "a", every=4)],
        6208,
    ),
    "a rename that was not fsynced is lost where the file is, and not in the namespace": (
        POOL,
        [[], [Step(0.0, Do.CREATE, b"y"), Step(1.346, Do.RENAME, b"y", target=b"z")]],
        [Fault(36.773, Go.KILL, "a", keep="prefix"), Fault(99.046, Go.KILL, "b", keep="subset")],
        2024,
    ),
}


def run(what: str) -> History:
    tree, workload, faults, seed = PLANS[what]
    return simulate(tree, workload, faults, seed)


@pytest.mark.parametrize("what", PLANS)
def test_a_plan_that_was_found_breaks_no_promise_any_more(what: str) -> None:
    assert_invariants(run(what))


def test_a_file_that_lost_its_move_where_it_is_can_be_read_under_its_new_name() -> None:
    history = run("a rename that was not fsynced is lost where the file is, and not in the namespace")

    assert {path for name in "ab" for path in history.images[name]} == {"/", "/y"}
    assert {path for name in "ef" for path in history.images[name]} == {"/", "/z"}
    at_the_end = [event for event in history.events if event.client == "healer"]
    assert all(event.error == ("" if event.name == b"z" else "ENOENT") for event in at_the_end), str(history)
