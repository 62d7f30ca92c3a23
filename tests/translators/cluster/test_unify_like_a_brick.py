"""A unify answers like a single brick; with children down it answers the same, or ENOTCONN and changes nothing."""

from __future__ import annotations

import errno
import os

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translators.cluster.by_path import Paths
from tests.translators.cluster.unify_bench import Bench, breaches, error_of, unified
from volgraph.graph import Graph, Loc
from volgraph.translators.storage.memory import Memory

NAMES = ("a", "b", "c", "a/x", "a/y", "b/x", "a/x/z")
paths = st.sampled_from(NAMES)
one_path = st.sampled_from(("create", "open or create", "mkdir", "unlink", "rmdir", "mkfifo", "read", "find", "list"))
operations = st.one_of(
    st.tuples(one_path, paths),
    st.tuples(st.sampled_from(("rename", "link")), paths, paths),
    st.tuples(st.just("write"), paths, st.binary(max_size=3)),
    st.tuples(st.just("symlink"), paths),
    st.tuples(st.just("chmod"), paths, st.sampled_from((0o600, 0o755))),
    st.tuples(st.just("truncate"), paths, st.integers(0, 5)),
)
switches = st.tuples(st.just("turn"), st.integers(0, 3))


async def do(bench: Paths, what: str, *arguments: object) -> object:
    """One operation; what it answers, in a form that can be compared."""
    path = str(arguments[0])
    if what == "create":
        bench.top.release(await bench.create(path))
    elif what == "open or create":
        bench.top.release(await bench.create(path, os.O_RDWR))
    elif what == "find":
        iatt = await bench.find(path)
        return iatt.mode, iatt.nlink, iatt.size if iatt.is_file else None
    elif what == "list":
        return sorted(await bench.entries(path))
    elif what == "symlink":
        await bench.symlink("target", path)
    elif what == "truncate":
        await bench.top.truncate(bench.call, Loc((await bench.find(path)).gfid), int(str(arguments[1])))
    elif what == "read":
        return await bench.read(path)
    else:
        await getattr(bench, what)(*arguments)
    return None


async def answer(bench: Paths, *operation: object) -> tuple[object, int | None]:
    found: list[object] = []

    async def attempt() -> None:
        found.append(await do(bench, *operation))  # type: ignore[arg-type]

    code = await error_of(attempt())
    return (found[0] if found else None), code


def turn(bench: Bench, number: int) -> None:
    gate = (*bench.gates, bench.namespace)[number]
    gate.turn(not gate.on)


async def compare(history: list[tuple[object, ...]]) -> None:
    reference = Memory("alone")
    async with unified(3) as bench, Graph(reference) as graph:
        alone = Paths(graph, reference)
        for operation in history:
            if operation[0] == "turn":
                turn(bench, operation[1])  # type: ignore[arg-type]
                continue
            found = await answer(bench, *operation)
            if found[1] == errno.ENOTCONN and not all(gate.on for gate in (*bench.gates, bench.namespace)):
                continue
            assert found == await answer(alone, *operation), operation
        for gate in (*bench.gates, bench.namespace):
            if not gate.on:
                gate.turn(True)
        assert await bench.tree() == await alone.tree()
        assert breaches(bench.disks) == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(history=st.lists(operations, max_size=30))
def test_a_unify_answers_like_one_brick(backend: str, history: list[tuple[object, ...]]) -> None:
    anyio.run(compare, history, backend=backend)


@given(history=st.lists(st.one_of(operations, operations, operations, switches), max_size=40))
def test_with_nodes_coming_and_going_it_answers_like_one_brick_or_enotconn(history: list[tuple[object, ...]]) -> None:
    anyio.run(compare, history)
