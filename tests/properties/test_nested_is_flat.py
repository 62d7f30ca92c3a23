"""I16: a tree of afrs is one afr to whoever uses it, and is there exactly when its quorums say so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translators.cluster.bench import Bench, Switch
from volgraph.graph import Graph, Loc, NewAttributes, State, Translator
from volgraph.testing.loop import run
from volgraph.testing.seams import simulated
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.storage.memory import Memory

BRICKS_MAX = 6


@attrs.frozen
class Shape:
    """A brick, or (with children) an afr. `count` is that of quorum-type fixed."""

    children: tuple[Shape, ...] = ()
    quorum: str = "none"
    count: int = 1

    @property
    def bricks(self) -> int:
        return sum(child.bricks for child in self.children) or 1

    def there(self, up: Iterator[bool]) -> bool:
        """The truth table: is it there, if these of its bricks are up?"""
        if not self.children:
            return next(up)
        present = [child.there(up) for child in self.children]
        total, count = len(present), sum(present)
        if self.quorum == "auto":
            return 2 * count > total or (2 * count == total and present[0])
        return count >= (self.count if self.quorum == "fixed" else 1)

    def build(self, bricks: Iterator[Switch], names: Iterator[int]) -> Translator:
        if not self.children:
            return next(bricks)
        below = [child.build(bricks, names) for child in self.children]
        return Afr(
            f"afr{next(names)}",
            below,
            quorum_type=self.quorum,
            quorum_count=self.count if self.quorum == "fixed" else 1,
            self_heal_daemon=False,
            known_children=False,  # who takes part is tested by itself
        )


@st.composite
def shapes(draw: st.DrawFn, depth: int = 3) -> Shape:
    below = st.just(Shape()) if depth == 1 else st.one_of(st.just(Shape()), shapes(depth - 1))
    children = tuple(draw(st.lists(below, min_size=1 if depth < 3 else 2, max_size=3)))
    return Shape(children, draw(st.sampled_from(("none", "auto", "fixed"))), draw(st.integers(1, len(children))))


small = shapes().filter(lambda shape: shape.bricks <= BRICKS_MAX)

PAIR = Shape((Shape(), Shape()))
FLAT = Shape((Shape(), Shape(), Shape()), "auto")
PAIR_OF_PAIRS = Shape((PAIR, PAIR))
TRIO_OF_PAIRS = Shape((PAIR, PAIR, PAIR), "auto")
THREE_LEVELS = Shape((Shape((PAIR, Shape()), "auto"), PAIR), "fixed", 2)


def played(shape: Shape, play: Callable[[Bench], Coroutine[Any, Any, Any]]) -> Any:
    """A play on a new tree of this shape, under virtual time."""

    async def main() -> Any:
        bricks = [Memory(f"m{number}") for number in range(shape.bricks)]
        switches = [Switch(f"b{number}", (below,)) for number, below in enumerate(bricks)]
        top = shape.build(iter(switches), itertools.count())
        async with Graph(top, simulated(0)) as graph:
            with anyio.fail_after(600):
                bench = Bench(graph, top, switches, bricks)
                await everybody_is_there(bench)
                return await play(bench)

    return run(main, seed=0).value


def follows_its_truth_table(shape: Shape, up: tuple[bool, ...]) -> None:
    expected = shape.there(iter(up))

    async def play(bench: Bench) -> None:
        await bench.write("f", b"old")
        fd = await bench.open("f")
        for switch, there in zip(bench.switches, up, strict=True):
            if not there:
                switch.turn(False)
        assert (bench.top.state is State.UP) == expected
        assert await works(bench.top.readv(bench.call, fd, 10, 0)) == expected
        assert await works(bench.top.writev(bench.call, fd, b"new", 0)) == expected
        assert await works(bench.mkdir("d")) == expected
        await works(bench.top.flush(bench.call, fd))
        for switch in bench.switches:
            switch.turn(True)
        await everybody_is_there(bench)
        for node in bench.graph.find(Afr):
            report = await node.heal()
            assert report.clean, (node.name, report)
        assert await bench.read("f") == (b"new" if expected else b"old")
        assert bench.images_equal()

    played(shape, play)


async def everybody_is_there(bench: Bench) -> None:
    """Each afr asks its children who they are before they take part."""
    while any(len(node.up) < len(node.children) for node in bench.graph.find(Afr)):
        await bench.graph.next_change()


async def works(fop: Any) -> bool:
    try:
        await fop
    except OSError:
        return False
    return True


@pytest.mark.parametrize("shape", [FLAT, PAIR_OF_PAIRS, TRIO_OF_PAIRS, THREE_LEVELS])
def test_availability_is_the_truth_table_of_the_tree(shape: Shape) -> None:
    for up in itertools.product((False, True), repeat=shape.bricks):
        follows_its_truth_table(shape, up)


@settings(max_examples=20)
@given(small, st.data())
def test_availability_of_any_tree_is_its_truth_table(shape: Shape, data: st.DataObject) -> None:
    up = data.draw(st.lists(st.booleans(), min_size=shape.bricks, max_size=shape.bricks).map(tuple))

    follows_its_truth_table(shape, up)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(4))
def test_availability_of_many_trees_is_their_truth_table(
    part: int, record_property: Callable[[str, object], None]
) -> None:
    states: list[int] = []

    @settings(max_examples=125)
    @given(small)
    def judge(shape: Shape) -> None:
        for up in itertools.product((False, True), repeat=shape.bricks):
            follows_its_truth_table(shape, up)
        states.append(2**shape.bricks)

    judge()
    record_property(
        "availability", f"{len(states)} trees, {sum(states)} sets of bricks up, each as its truth table says"
    )


# --- without faults ---------------------------------------------------------------------------------------------------

names = st.sampled_from(("a", "b", "d", "d/a", "d/e"))
steps = st.one_of(
    st.tuples(st.just("write"), names, st.binary(max_size=8)),
    st.tuples(st.just("read"), names),
    st.tuples(st.just("mkdir"), names),
    st.tuples(st.just("unlink"), names),
    st.tuples(st.just("rmdir"), names),
    st.tuples(st.just("rename"), names, names),
    st.tuples(st.just("names"), st.sampled_from(("", "d"))),
    st.tuples(st.just("chmod"), names, st.sampled_from((0o600, 0o755))),
    st.tuples(st.just("look"), names),
)


async def answer(bench: Bench, step: tuple[Any, ...]) -> object:
    """What the user of a volume sees: no gfid and no time."""
    what, *args = step
    try:
        if what == "chmod":
            gfid = (await bench.find(args[0])).gfid
            await bench.top.setattr(bench.call, Loc(gfid), NewAttributes(mode=args[1]))
            return None
        if what == "look":
            found = await bench.find(args[0])
            return found.mode, found.nlink, found.size, found.uid, found.gid
        seen = await getattr(bench, what)(*args)
    except OSError as error:
        return error.errno
    return seen if what in ("read", "names") else None


@settings(max_examples=30)
@given(small, st.lists(steps, max_size=12))
def test_without_faults_a_tree_answers_as_one_afr_and_as_one_brick(shape: Shape, plan: list[tuple[Any, ...]]) -> None:
    async def play(bench: Bench) -> list[object]:
        return [await answer(bench, step) for step in plan]

    alone, flat = played(Shape(), play), played(FLAT, play)

    assert played(shape, play) == alone
    assert flat == alone
