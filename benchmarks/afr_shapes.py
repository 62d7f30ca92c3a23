"""What more copies cost, and what it costs to nest: an afr of several memory bricks, and a tree of afr of two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import attrs

from benchmarks import fops
from benchmarks.measure import Case, Scale, Series, by_turns
from benchmarks.stacks import Stack, running
from benchmarks.tables import Row, Table
from volgraph.graph import Translator
from volgraph.translators import Afr, Memory

CHILDREN = range(2, 9)
DEPTHS = range(1, 5)
TURNS = 4
CREATES_FEWER = 10
"""A create at depth 4 is a thousand fops and more: so many times fewer of them."""
BAR = 40
"""The length of the longest, in characters."""

FOPS: dict[str, Callable[[Stack], Case]] = {
    "4 KiB eager write": lambda stack: fops.write(stack, fops.terse(stack)),
    "4 KiB read": lambda stack: fops.read(stack, fops.terse(stack)),
    "create + close": fops.create,
}


@attrs.frozen
class Shape:
    name: str
    top: Translator


async def shapes(scale: Scale) -> Table:
    """A bar is as long as the time, in proportion to the others of its fop."""
    rows: list[Row] = []
    fewer = attrs.evolve(scale.fewer(40), turns=min(scale.turns, TURNS))
    async with AsyncExitStack() as started:
        stacks = {shape.name: await started.enter_async_context(running(shape.top)) for shape in all_shapes()}
        for fop, make in FOPS.items():
            found = await by_turns(
                fewer.fewer(CREATES_FEWER if make is fops.create else 1), [make(s) for s in stacks.values()]
            )
            rows += _rows(fop, dict(zip(stacks, found, strict=True)))
    return Table("afr shapes", "an afr by its children, and by its depth, over memory bricks (CPU time)", "cpu", rows)


def all_shapes() -> Iterator[Shape]:
    for count in CHILDREN:
        yield Shape(f"{count} children", Afr("mirror", [Memory(f"brick-{number}") for number in range(count)]))
    for depth in DEPTHS:
        yield Shape(f"depth {depth}, {2**depth} bricks", tree("mirror", depth))


def tree(name: str, depth: int) -> Translator:
    """An afr of two, each again an afr of two, and so on; at depth 0 a brick."""
    if depth == 0:
        return Memory(name)
    return Afr(name, [tree(f"{name}-{side}", depth - 1) for side in ("near", "far")])


def _rows(fop: str, found: dict[str, Series]) -> Iterator[Row]:
    longest = max(series.best("cpu") for series in found.values())
    for shape, series in found.items():
        yield Row(f"{fop}, {shape}", series, figure="#" * max(round(BAR * series.best("cpu") / longest), 1))
