"""What a node can do for its parent. Link refuses, with a located error, a parent whose needs a child does not meet."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .translator import Translator


class Capability(Enum):
    PARTIAL_WRITES = "writes at any offset"
    XATTRS = "extended attributes"
    XATTROP = "atomic counters in extended attributes"
    HARD_LINKS = "hard links"
    LOCKS = "inodelk and entrylk"
    ATOMIC_RENAME = "atomic rename"


EVERYTHING = frozenset(Capability)


def capabilities(node: Translator, below: Iterable[frozenset[Capability]]) -> frozenset[Capability]:
    """What `node` can do, given what each node below it can: what all of them can, less what it loses."""
    shared = node.leaf_capabilities if not node.below else EVERYTHING
    for able in below:
        shared &= able
    return shared - node.loses


def all_capabilities(nodes: Iterable[Translator]) -> dict[Translator, frozenset[Capability]]:
    """What each node can do; `nodes` come children first, as a graph has them."""
    able: dict[Translator, frozenset[Capability]] = {}
    for node in nodes:
        able[node] = capabilities(node, (able[child] for child in node.below))
    return able
