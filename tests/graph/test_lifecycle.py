"""A graph starts children first, stops in reverse, and knows who is up."""

from __future__ import annotations

import asyncio
import errno
import inspect
import time

import anyio
import anyio.lowlevel
import attrs
import pytest

from tests.graph.leaf import Both, Leaf
from volgraph.graph import ROOT_LOC, Call, ChildDown, ChildUp, Event, Graph, State, Translator
from volgraph.graph.graph import DEPTH_MAX
from volgraph.graph.tasks import DRAIN_SECONDS

pytestmark = pytest.mark.anyio


@attrs.define(eq=False)
class Pass(Translator):
    """Leaves everything alone."""


async def test_children_start_first_and_stop_last() -> None:
    log: list[str] = []
    top = Both("top", (Leaf("a", log=log), Pass("p", (Leaf("b", log=log),))))
    async with Graph(top) as graph:
        assert [node.name for node in graph.nodes] == ["a", "b", "p", "top"]
    assert log == ["start a", "start b", "stop b", "stop a"]


async def test_a_failed_start_stops_what_was_started() -> None:
    log: list[str] = []
    top = Both("top", (Leaf("a", log=log), Leaf("b", log=log, says="fail")))
    with pytest.raises(OSError):
        async with Graph(top):
            pass
    assert log == ["start a", "start b", "stop b", "stop a"]


@attrs.define(eq=False)
class Told(Translator):
    """Notes the events that sink through it."""

    told: list[str] = attrs.field(factory=list)

    def notify(self, event: Event) -> None:
        if not event.rises:
            self.told.append(type(event).__name__)
        super().notify(event)


async def test_events_of_a_graph_come_in_pairs() -> None:
    """A node that was never told that it is up may not have made what it would end."""
    begun = Told("top", (Leaf("a"),))
    async with Graph(begun):
        assert begun.told == ["ParentUp"]
    assert begun.told == ["ParentUp", "ParentDown"]
    failed = Told("top", (Leaf("a", says="fail"),))
    with pytest.raises(OSError):
        async with Graph(failed):
            pass
    assert failed.told == []


async def test_a_shared_child_is_one_node_with_two_parents() -> None:
    log: list[str] = []
    shared = Leaf("a", log=log)
    top = Both("top", (Pass("p", (shared,)), Pass("q", (shared,))))
    async with Graph(top) as graph:
        assert [node.name for node in graph.nodes] == ["a", "p", "q", "top"]
        assert [parent.name for parent in shared.parents] == ["p", "q"]
        assert {node.state for node in graph.nodes} == {State.UP}
    assert log == ["start a", "stop a"]


async def test_what_a_child_says_becomes_the_state_of_those_that_pass_it_on() -> None:
    leaf = Leaf("a", says="down")
    async with Graph(Pass("p", (leaf,))) as graph:
        await graph.heard_from_top(1)
        assert (graph.top.state, graph.top.down_reason) == (State.DOWN, "says so")
        leaf.rise(ChildUp(leaf))
        assert await graph.up(1)
        leaf.rise(ChildDown(leaf))
        assert not await graph.up(0)


async def test_waiting_for_a_silent_child_ends_after_the_time_given() -> None:
    async with Graph(Leaf("a", says="nothing")) as graph:
        with anyio.fail_after(5):
            await graph.heard_from_top(0.01)
        assert graph.top.state is State.UNKNOWN


async def test_a_layer_that_leaves_a_fop_alone_costs_nothing() -> None:
    leaf = Leaf("a", size=9)
    top = Pass("p", (Pass("q", (leaf,)),))
    async with Graph(top):
        assert top.stat == leaf.stat
        assert (await top.stat(Call(), ROOT_LOC)).iatt.size == 9


async def test_one_door_sees_every_fop_that_is_left_alone() -> None:
    seen: list[str] = []

    @attrs.define(eq=False)
    class Door(Translator):
        def relay(self, fop, *args, **kwargs):  # type: ignore[no-untyped-def]
            seen.append(fop.__name__)
            return super().relay(fop, *args, **kwargs)

    async with Graph(Door("d", (Leaf("a"),))) as graph:
        await graph.top.stat(Call(), ROOT_LOC)

    assert seen == ["stat"]


async def test_a_fop_nobody_answers_is_eopnotsupp() -> None:
    top = Both("top", (Leaf("a"), Leaf("b")))
    async with Graph(top):
        for node in (top, *top.children):
            with pytest.raises(OSError) as caught:
                await node.lookup(Call(), ROOT_LOC)
            assert caught.value.errno == errno.EOPNOTSUPP


async def test_a_node_is_put_in_and_taken_out_by_relink() -> None:
    leaf, seen = Leaf("a", size=3), []

    @attrs.define(eq=False)
    class Seeing(Translator):
        async def stat(self, call, loc):  # type: ignore[no-untyped-def]
            seen.append(self.name)
            return await self.child.stat(call, loc)

    top = Pass("p", (leaf,))
    async with Graph(top) as graph:
        top.children = (Seeing("s", (leaf,)),)
        graph.relink()
        await top.stat(Call(), ROOT_LOC)
        top.children = (leaf,)
        graph.relink()
        await top.stat(Call(), ROOT_LOC)

        assert seen == ["s"]
        assert [node.name for node in graph.nodes] == ["a", "p"]


async def test_a_translator_opens_once() -> None:
    leaf = Leaf("a")
    Graph(leaf)
    with pytest.raises(OSError) as caught:
        Graph(leaf)
    assert caught.value.errno == errno.EBUSY


async def test_a_graph_that_is_too_deep_is_refused_before_anything_starts() -> None:
    node: Translator = Leaf("leaf")
    for number in range(DEPTH_MAX):
        node = Pass(f"p{number}", (node,))
    with pytest.raises(OSError) as caught:
        async with Graph(node):
            pass
    assert caught.value.errno == errno.ELOOP


async def test_a_graph_whose_shared_nodes_multiply_is_refused_before_anything_starts() -> None:
    left, right = Leaf("left"), Leaf("right")
    nodes: tuple[Translator, ...] = (left, right)
    for number in range(40):
        nodes = (Both(f"a{number}", nodes), Both(f"b{number}", nodes))
    with pytest.raises(OSError, match="ways from its top") as caught:
        async with Graph(Both("top", nodes)):
            pass
    assert caught.value.errno == errno.ELOOP
    assert State.UP not in (left.state, right.state)


async def test_work_under_way_is_waited_for_and_loops_are_ended() -> None:
    done: list[str] = []

    async def work() -> None:
        await anyio.sleep(0.01)
        done.append("work")

    async def loop() -> None:
        await anyio.sleep_forever()

    async with Graph(Leaf("a")) as graph:
        graph.tasks.start(work())
        graph.tasks.start_daemon(loop())
    assert done == ["work"]


def test_events_know_their_direction() -> None:
    assert {kind.__name__ for kind in Event.__subclasses__() if not kind.rises} == {"ParentUp", "ParentDown"}


async def test_find_gives_the_nodes_of_a_class_children_first() -> None:
    top = Both("top", (Pass("p", (Leaf("a"),)), Leaf("b")))
    async with Graph(top) as graph:
        assert [node.name for node in graph.find(Leaf)] == ["a", "b"]
        assert graph.node("p") is top.children[0]
        with pytest.raises(KeyError):
            graph.node("nobody")


async def test_work_under_way_is_finished_though_a_scope_around_the_whole_graph_is_cancelled() -> None:
    done: list[str] = []

    async def work() -> None:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        done.append("work")

    with anyio.CancelScope() as scope:
        async with Graph(Leaf("a")) as graph:
            graph.tasks.start(work())
            scope.cancel()
            await anyio.sleep(60)
    assert done == ["work"]


async def test_a_daemon_that_could_not_begin_before_its_graph_was_cancelled_keeps_nobody_waiting() -> None:
    async def loop() -> None:
        await anyio.sleep_forever()

    early, late = loop(), loop()
    started = time.monotonic()
    with anyio.CancelScope() as scope:
        async with Graph(Leaf("a")) as graph:
            scope.cancel()
            graph.tasks.start_daemon(early)
            try:
                await anyio.lowlevel.checkpoint()
            finally:
                graph.tasks.start_daemon(late)

    assert inspect.getcoroutinestate(early) == inspect.getcoroutinestate(late) == inspect.CORO_CLOSED
    assert time.monotonic() - started < DRAIN_SECONDS / 3


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_work_that_is_cancelled_before_its_first_step_is_answered_and_not_waited_for() -> None:
    async def work() -> None:
        raise AssertionError("never begun")

    async with Graph(Leaf("leaf")) as graph:
        before = asyncio.all_tasks()
        coming = graph.tasks.start(work())
        for task in asyncio.all_tasks() - before:
            task.cancel()
        with anyio.fail_after(5), pytest.raises(OSError) as raised:
            await coming
        assert raised.value.errno == errno.ENOTCONN
        with anyio.fail_after(5):
            await graph.tasks.finish()
