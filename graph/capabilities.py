"""What a node can do for its parent. Link refuses, with a located error, a parent whose needs a child does not meet."""

from __future__ import annotations

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


def capabilities(node: Translator) -> frozenset[Capability]:
    """What the subtree under `node` can do: what all its children can, less what it loses."""
    if not node.below:
        return node.leaf_capabilities
    shared = EVERYTHING
    for child in node.below:
        shared &= capabilities(child)
    return shared - node.loses
