"""What a cluster/unify may be made of, and what it keeps in memory."""

from __future__ import annotations

import pytest

from tests.translators.cluster.unify_bench import unified
from volgraph.graph import Gfid, Graph, Loc
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.storage.memory import Memory

pytestmark = pytest.mark.anyio


def test_a_namespace_among_the_subvolumes_is_a_problem() -> None:
    shared = Memory("m")
    found = Unify("u", [shared], namespace=shared).problems()
    assert [(option, message) for option, message, _ in found] == [
        ("namespace", "the namespace is one of the subvolumes")
    ]


@pytest.mark.parametrize("scheduler", ["alu", "nufa", "random", "switch"])
def test_the_other_schedulers_are_an_error_that_says_so(scheduler: str) -> None:
    found = Unify("u", [Memory("m")], namespace=Memory("n"), scheduler=scheduler).problems()
    assert [message for _, message, _ in found] == [f"scheduler '{scheduler}' is not supported yet"]


def test_an_unknown_scheduler_is_a_bad_value() -> None:
    with pytest.raises(ValueError, match="is not one of rr"):
        Unify("u", [Memory("m")], namespace=Memory("n"), scheduler="lottery")


async def test_an_option_problem_keeps_a_graph_built_in_python_from_starting() -> None:
    with pytest.raises(ValueError, match="not supported yet"):
        async with Graph(Unify("u", [Memory("m")], namespace=Memory("n"), scheduler="alu")):
            pass


async def test_read_only_children_get_no_new_files() -> None:
    async with unified(3, read_only_subvolumes="c0,c2") as bench:
        for name in "abc":
            await bench.write(name, b"")
        assert [bench.holders(name) for name in "abc"] == [[1], [1], [1]]


def test_read_only_children_must_be_children_and_not_all_of_them() -> None:
    def problems(names: str) -> list[str]:
        node = Unify("u", [Memory("m")], namespace=Memory("n"), read_only_subvolumes=tuple(names.split(",")))
        return [message for _, message, _ in node.problems()]

    assert problems("q") == ["'q' is no child"]
    assert problems("m") == ["leaves no child for new files"]


async def test_what_is_known_of_objects_is_bounded_and_can_be_forgotten() -> None:
    async with unified() as bench:
        await bench.write("f", b"x")
        gfid: Gfid = (await bench.find("f")).gfid
        assert bench.top.known_place(gfid) is bench.gates[0]
        bench.top.forget(gfid)
        assert bench.top.known_place(gfid) is None
        assert (await bench.top.stat(bench.call, Loc(gfid))).iatt.size == 1
