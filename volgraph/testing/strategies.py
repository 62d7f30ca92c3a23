"""Hypothesis strategies for clusters: `trees()`, `workloads()`, `faults(tree)`.

    @given(st.data(), st.integers())
    def test(data, seed):
        tree = data.draw(trees())
        history = simulate(tree, data.draw(workloads()), data.draw(faults(tree)), seed)
        assert_invariants(history)

Lists of steps and faults shrink to the few that matter.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import attrs

from ..translators.storage.memory import Keep
from .tree import Tree, afr, brick, unify
from .workload import BETWEEN, BLOCKS, CRASHES, NAMES, Do, Fault, Go, Step

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "volgraph.testing.strategies needs Hypothesis: pip install 'volgraph[test]'", name=error.name
    ) from error

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

COPIES = (2, 3)
SECONDS = 60.0


def trees(depth: int = 2) -> SearchStrategy[Tree]:
    """An afr of two or three, over bricks or (with `depth` above one) over afrs and unifies; or a unify of those."""
    return _shapes(depth).map(_named)


Shape = tuple[str, tuple["Shape", ...]]
BRICK: Shape = ("brick", ())


def _shapes(depth: int) -> SearchStrategy[Shape]:
    below: SearchStrategy[Shape] = st.just(BRICK)
    if depth > 1:
        below = st.one_of(below, _shapes(depth - 1))
    mirrored = st.sampled_from(COPIES).flatmap(lambda copies: st.tuples(*[below] * copies))
    united = st.tuples(below, below, below)
    mirrors = mirrored.map(lambda children: ("afr", children))
    if depth == 1:
        return mirrors
    return st.one_of(mirrors, united.map(lambda children: ("unify", children)))


def _named(shape: Shape) -> Tree:
    """The tree of a shape: nodes are named in the order of their making, so that each name is there once."""
    made = 0

    def name(kind: str) -> str:
        nonlocal made
        made += 1
        return f"{kind}{made}"

    def tree(shape: Shape) -> Tree:
        kind, children = shape
        if kind == "brick":
            return brick(name("brick"))
        below = [tree(child) for child in children]
        if kind == "afr":
            return afr(name("afr"), *below)
        return unify(name("unify"), *below[:-1], namespace=below[-1])

    return tree(shape)


def steps() -> SearchStrategy[Step]:
    return st.builds(
        lambda pause, do, name, block, target: Step(pause, do, name, block, target if do is Do.RENAME else b""),
        st.sampled_from((0.0, 0.01, 1.0, 10.0)),
        st.sampled_from(Do),
        st.sampled_from(NAMES),
        st.integers(0, BLOCKS - 1),
        st.sampled_from(NAMES),
    )


def workloads(clients_max: int = 3, steps_max: int = 12) -> SearchStrategy[list[list[Step]]]:
    """What one to `clients_max` clients do."""
    return st.lists(st.lists(steps(), max_size=steps_max), min_size=1, max_size=clients_max)


def faults(tree: Tree, clients: int = 3, count_max: int = 5) -> SearchStrategy[list[Fault]]:
    """Faults between clients and the bricks of a tree. Whatever is still broken at the end is mended by `simulate`."""
    mirrored = set(tree.mirrored())

    def crashing(brick: str) -> SearchStrategy[tuple[str, Keep]]:
        return st.tuples(st.just(brick), st.sampled_from(CRASHES if brick in mirrored else CRASHES[:1]))

    return st.lists(
        st.builds(
            _fault,
            st.floats(0.0, SECONDS).map(lambda when: round(when, 3)),
            st.sampled_from(Go),
            st.sampled_from(sorted(tree.bricks())).flatmap(crashing),
            st.integers(0, clients - 1),
            st.sampled_from((-1e8, -1.0, 1.0, 1e8)),
            st.integers(2, 12),
            st.sampled_from((errno.EIO, 0)),
        ),
        max_size=count_max,
    )


def _fault(when: float, what: Go, crash: tuple[str, Keep], client: int, seconds: float, every: int, code: int) -> Fault:
    """With what this kind of fault has to do with, and nothing else."""
    brick, keep = crash
    fault = Fault(when, what, brick)
    if what in BETWEEN:
        return attrs.evolve(fault, client=client)
    if what is Go.CLIENT_KILL:
        return attrs.evolve(fault, client=client, seconds=abs(seconds) % 10)
    if what is Go.SKEW:
        return attrs.evolve(fault, seconds=seconds)
    if what is Go.KILL:
        return attrs.evolve(fault, keep=keep)
    return attrs.evolve(fault, every=every, code=code) if what is Go.SICK else fault
