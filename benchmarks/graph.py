"""What a layer costs, and what a fop through storage/memory costs."""

from __future__ import annotations

import attrs

from benchmarks import fops
from benchmarks.measure import Case, Scale, by_turns
from benchmarks.stacks import running
from benchmarks.tables import Row, Table
from volgraph.graph import FOPS, Attributes, Call, Graph, Loc, Translator
from volgraph.translators import Memory, PassThrough

LAYERS = 10


@attrs.define(eq=False)
class Awaiting(Translator):
    """A layer that takes part: its fop is a coroutine around its child's."""

    async def stat(self, call: Call, loc: Loc) -> Attributes:
        return await self.child.stat(call, loc)


def stacked(kind: type[Translator]) -> Translator:
    """Ten layers over a memory leaf."""
    top: Translator = Memory("memory")
    for level in range(LAYERS):
        top = kind(f"layer{level}", [top])
    return top


def bound_to_the_leaf(graph: Graph, fop: str) -> bool:
    (leaf,) = graph.find(Memory)
    return bool(getattr(graph.top, fop) == getattr(leaf, fop))


async def pass_through(scale: Scale) -> Table:
    """A fop left alone is the child's own method, so ten layers cost what none costs."""
    async with (
        running(Memory("bare")) as bare,
        running(stacked(PassThrough)) as passed,
        running(stacked(Awaiting)) as awaited,
    ):
        none, passing, awaiting = await by_turns(scale, [fops.stat(stack) for stack in (bare, passed, awaited)])
        vanished = all(bound_to_the_leaf(passed.graph, fop) for fop in FOPS)
    rows = [
        Row(f"{LAYERS} layers that leave it alone", passing, "no layer", none, "the leaf's own method", vanished),
        Row(f"{LAYERS} layers of async def + await", awaiting, "no layer", none),
    ]
    about = f"stat through {LAYERS} layers over storage/memory, against the leaf alone (CPU time)"
    return Table("pass-through", about, "cpu", rows)


async def memory(scale: Scale) -> Table:
    """The leaf that has no disk: what remains is Python's cost and ours."""
    named = {
        "stat": fops.stat,
        "lookup by name": fops.lookup,
        "open + close": fops.open_and_close,
        "4 KiB read": fops.read,
        "4 KiB write": fops.write,
        "create + close": fops.create,
    }
    async with running(Memory("memory")) as stack:
        cases = [Case(empty_coroutines), *(make(stack) for make in named.values())]
        peer, *found = await by_turns(scale.fewer(3), cases)
    rows = [Row(name, series, "an empty coroutine", peer) for name, series in zip(named, found, strict=True)]
    return Table("storage/memory", "fops of the memory leaf (CPU time)", "cpu", rows)


async def empty() -> None:
    """What the call of any coroutine costs."""


async def empty_coroutines(count: int) -> None:
    for _ in range(count):
        await empty()
