"""Several clients on the same disks at once, and callers that are cancelled."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import anyio
import pytest

from tests.translators.cluster.unify_bench import Bench, Disks, Gate, Plan, breaches, error_of, unified
from volgraph.graph import Event, Graph, ParentUp, Translator
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.storage.memory import Memory

pytestmark = pytest.mark.anyio


class Fork(Translator):
    """Holds several tops together in one graph."""

    def notify(self, event: Event) -> None:
        if isinstance(event, ParentUp):
            super().notify(event)


@asynccontextmanager
async def clients(count: int, seed: int, disks: Disks) -> AsyncIterator[list[Bench]]:
    """Several unifies of one volume over the same bricks; every fop takes its own time."""
    dither, plan = Random(seed), Plan()
    namespace = Gate("names", (Memory("m-names", store=disks.namespace),), plan=plan)
    gates = [Gate(f"c{at}", (Memory(f"m{at}", store=store),), plan=plan) for at, store in enumerate(disks.children)]
    tops = [Unify("one", gates, namespace=namespace) for _ in range(count)]
    async with Graph(Fork("fork", tops)) as graph:
        for gate in (namespace, *gates):
            gate.dither = dither
        yield [Bench(graph, top, namespace, gates, disks, plan) for top in tops]


async def at_once(*attempts: Awaitable[object]) -> list[int | None]:
    """Run all together; the errno of each."""
    results: list[int | None] = [None] * len(attempts)

    async def run(number: int, attempt: Awaitable[object]) -> None:
        results[number] = await error_of(attempt)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for number, attempt in enumerate(attempts):
                group.start_soon(run, number, attempt)
    return results


SEEDS = range(30)


async def test_of_several_exclusive_creates_one_wins() -> None:
    for seed in SEEDS:
        disks = Disks.blank(3)
        async with clients(3, seed, disks) as several:
            results = await at_once(*(each.create("f") for each in several))
            assert sorted(results, key=bool) == [None, errno.EEXIST, errno.EEXIST]
            assert breaches(disks) == []


async def test_creates_without_o_excl_meet_in_one_file() -> None:
    for seed in SEEDS:
        disks = Disks.blank(3)
        async with clients(3, seed, disks) as several:
            assert await at_once(*(each.create("f", os.O_RDWR) for each in several)) == [None] * 3
            assert breaches(disks) == []


async def test_a_lookup_sees_a_file_that_is_being_made_or_removed_whole_or_not_at_all() -> None:
    for seed in SEEDS:
        disks = Disks.blank(2)
        async with clients(2, seed, disks) as (first, second):
            results = await at_once(first.write("f", b""), second.find("f"), second.find("f"))
            assert results[0] is None
            assert set(results[1:]) <= {None, errno.ENOENT}
            results = await at_once(first.unlink("f"), second.find("f"), second.find("f"))
            assert results[0] is None
            assert set(results[1:]) <= {None, errno.ENOENT}
            assert breaches(disks) == []


async def test_renames_against_each_other_neither_hang_nor_lose_a_file() -> None:
    for seed in SEEDS:
        disks = Disks.blank(2)
        async with clients(2, seed, disks) as (first, second):
            await first.write("a", b"A")
            await first.write("b", b"B")
            results = await at_once(first.rename("a", "b"), second.rename("b", "a"))
            tree = await first.tree()
            assert results == [None, None]
            assert tree in ({"a": b"A"}, {"b": b"B"}, {"b": b"A"}, {"a": b"B"})
            assert len(tree) == 1
            assert breaches(disks) == []


async def test_names_of_one_file_changed_at_the_same_time_leave_no_half_name() -> None:
    for seed in SEEDS:
        disks = Disks.blank(2)
        async with clients(3, seed, disks) as (first, second, third):
            await first.write("a", b"A")
            await first.link("a", "b")
            results = await at_once(first.unlink("a"), second.rename("b", "c"), third.link("b", "d"))
            assert results[:2] == [None, None]
            assert results[2] in (None, errno.ENOENT)
            wanted = {"c": b"A", "d": b"A"} if results[2] is None else {"c": b"A"}
            assert await third.tree() == wanted
            assert breaches(disks) == []


async def test_a_file_made_in_a_directory_that_is_being_removed_is_there_with_it_or_not_at_all() -> None:
    for seed in SEEDS:
        disks = Disks.blank(2)
        async with clients(2, seed, disks) as (first, second):
            await first.mkdir("d")
            loc = await second.loc("d/f")
            call = second.requesting()
            results = await at_once(first.rmdir("d"), second.top.mknod(call, loc, 0o100644, 0, 0))
            tree = await first.tree()
            assert results[0] in (None, errno.ENOTEMPTY)
            assert (results[1] is None) == ("d/f" in tree)
            assert breaches(disks) == []


async def test_a_replaced_disk_is_healed_by_several_clients_at_once() -> None:
    for seed in SEEDS:
        disks = Disks.blank(2)
        async with unified(disks=disks) as bench:
            await bench.mkdir("d")
            await bench.mkdir("d/in")
        disks.children[1].take_away(disks.children[1].root.names[b"d"], b"in", 0)
        async with clients(3, seed, disks) as several:
            assert await at_once(*(each.find("d/in") for each in several)) == [None] * 3
            assert breaches(disks) == []


# --- cancelled callers ---------------------------------------------------------------------------------------------


CUT: dict[str, Callable[[Bench], Awaitable[object]]] = {
    "create": lambda bench: bench.create("new"),
    "mkdir": lambda bench: bench.mkdir("new"),
    "unlink": lambda bench: bench.unlink("a"),
    "rmdir": lambda bench: bench.rmdir("d"),
    "rename": lambda bench: bench.rename("a", "b"),
    "link": lambda bench: bench.link("a", "new"),
    "chmod": lambda bench: bench.chmod("a", 0o600),
}


@pytest.mark.parametrize("what", CUT)
async def test_a_change_whose_caller_is_cancelled_runs_to_its_end(what: str) -> None:
    cut_short = 0
    for turns in range(25):
        disks = Disks.blank(2)
        async with clients(1, turns, disks) as (bench,):
            await bench.write("a", b"A")
            await bench.write("b", b"B")
            await bench.mkdir("d")
            before = _modes(disks)
            answered: list[object] = []

            async def caller(bench: Bench = bench, answered: list[object] = answered) -> None:
                answered.append(await CUT[what](bench))

            async with anyio.create_task_group() as group:
                group.start_soon(caller)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        assert breaches(disks) == [], turns
        cut_short += not answered and _modes(disks) != before
    assert cut_short > 3


def _modes(disks: Disks) -> dict[str, tuple[int, bytes]]:
    return {path: (item.mode, item.gfid) for path, item in disks.namespace.image().items()}
