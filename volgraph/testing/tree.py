"""Which graph a simulated cluster is: a tree of types over bricks, as data.

afr("mirror", brick("a"), unify("pool", brick("b"), brick("c"), namespace=brick("n")))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from ..graph import Translator
from ..translators.cluster.afr import Afr
from ..translators.cluster.unify import Unify

BRICK, AFR, UNIFY = "storage/memory", "cluster/afr", "cluster/unify"


@attrs.frozen
class Tree:
    """One node. `quorum` is an afr's quorum-type, `strict` its strict-reads, `laggard_timeout` its option of that name;
    `namespace` a unify's."""

    name: str
    type: str = BRICK
    children: tuple[Tree, ...] = ()
    quorum: str = "auto"
    namespace: Tree | None = None
    strict: bool = False
    laggard_timeout: float = 0.0

    def bricks(self) -> Iterator[str]:
        """The names of all bricks, from left to right."""
        if self.type == BRICK:
            yield self.name
        for below in (*self.children, *filter(None, (self.namespace,))):
            yield from below.bricks()

    def mirrored(self) -> Iterator[str]:
        """The names of the bricks that are copies themselves: children of an afr."""
        for below in (*self.children, *filter(None, (self.namespace,))):
            if below.type != BRICK:
                yield from below.mirrored()
            elif self.type == AFR:
                yield below.name

    @property
    def reads_strictly(self) -> bool:
        """Has every afr of it strict reads?"""
        everything = (*self.children, *filter(None, (self.namespace,)))
        return (self.strict or self.type != AFR) and all(below.reads_strictly for below in everything)

    def __str__(self) -> str:
        if self.type == BRICK:
            return self.name
        inside = ", ".join(map(str, self.children))
        if self.namespace is not None:
            inside += f"; namespace {self.namespace}"
        if self.laggard_timeout:
            inside += f"; laggards after {self.laggard_timeout:g} s"
        strict = "strict " if self.strict else ""
        return f"{strict}{self.type.rpartition('/')[2]} {self.name}({inside})"


def brick(name: str) -> Tree:
    return Tree(name)


def afr(name: str, *children: Tree, quorum: str = "auto", strict: bool = False, laggard_timeout: float = 0.0) -> Tree:
    return Tree(name, AFR, children, quorum, strict=strict, laggard_timeout=laggard_timeout)


def unify(name: str, *children: Tree, namespace: Tree) -> Tree:
    return Tree(name, UNIFY, children, namespace=namespace)


def build(tree: Tree, leaf: Callable[[str], Translator]) -> Translator:
    """The translators of a tree; `leaf` makes what stands for a brick."""
    if tree.type == BRICK:
        return leaf(tree.name)
    children = [build(child, leaf) for child in tree.children]
    if tree.type == AFR:
        return Afr(
            tree.name,
            children,
            quorum_type=tree.quorum,
            strict_reads=tree.strict,
            laggard_timeout=tree.laggard_timeout,
        )
    if tree.type == UNIFY and tree.namespace is not None:
        return Unify(tree.name, children, namespace=build(tree.namespace, leaf), scheduler="rr")
    raise ValueError(f"a {tree.type} cannot be simulated")
