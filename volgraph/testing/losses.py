"""What a loss of power may undo: operations that were acked, not fsynced, and are left on less than a quorum. And where
it may leave split-brain: where it took the last copy that was surely good.

A judge of histories demands what is promised and no more. An operation is *fragile* from
the moment at which too few bricks are left that took it and have not lost their power since. Which bricks took it is
read off the plan, on the safe side: none that was in any trouble then, or might not be healed yet.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import attrs

from .invariants import Majority
from .tree import AFR, BRICK, Tree
from .workload import UNDONE_BY, Fault, Go

HEALED_SECONDS = 20.0
"""So long after the last trouble every brick has been connected to and healed again."""
SILENT_SECONDS = 60.0
"""A connection that fell silent is given up after this time; until then its brick misses things."""


@attrs.frozen
class Trouble:
    """A brick that may miss something, and from when until when."""

    brick: str
    start: float
    end: float


def holds(tree: Tree, bricks: Collection[str]) -> bool:
    """Do these bricks hold all that the tree promises to keep? Where any copy is enough to go on, all are needed."""
    if tree.type == BRICK:
        return tree.name in bricks
    held = [number for number, child in enumerate(tree.children) if holds(child, bricks)]
    if tree.type == AFR and tree.quorum == "auto":
        return Majority(len(tree.children))(held)
    return len(held) == len(tree.children) and (tree.namespace is None or holds(tree.namespace, bricks))


def troubles(faults: Iterable[Fault]) -> list[Trouble]:
    """When which brick may miss something. As healing waits for everybody, whoever is in trouble stays in it until all
    are well."""
    found: list[Trouble] = []
    ordered = sorted(faults, key=lambda fault: fault.when)
    for fault in ordered:
        if fault.what in UNDONE_BY:
            found.append(Trouble(fault.brick, fault.when, undone_at(fault, ordered)))
        elif fault.what in (Go.CUT, Go.BLACK_HOLE):
            silent = SILENT_SECONDS if fault.what is Go.BLACK_HOLE else 0.0
            found.append(Trouble(fault.brick, fault.when, fault.when + silent))
    healed = [attrs.evolve(trouble, end=trouble.end + HEALED_SECONDS) for trouble in found]
    return [attrs.evolve(trouble, end=_all_well(trouble, healed)) for trouble in healed]


def undone_at(fault: Fault, faults: Iterable[Fault]) -> float:
    """When what a fault has broken is mended; infinite if never."""
    undone = (each.when for each in faults if each.what is UNDONE_BY[fault.what] and same(fault, each))
    return min((when for when in undone if when >= fault.when), default=math.inf)


def same(fault: Fault, undo: Fault) -> bool:
    return fault.brick == undo.brick and (fault.what is not Go.PARTITION or fault.client == undo.client)


def _all_well(trouble: Trouble, others: Sequence[Trouble]) -> float:
    end = trouble.end
    while True:
        later = max((each.end for each in others if each.start <= end), default=end)
        if later <= end:
            return end
        end = later


@attrs.define
class Losses:
    """The losses of power of one plan, over one tree."""

    tree: Tree
    faults: Sequence[Fault]
    troubles: list[Trouble] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.troubles = troubles(self.faults)

    def undo_from(self, called: float, returned: float, synced: float) -> float:
        """From when on an acked operation may be undone; never, if all bricks that lose their power do so after
        `synced`, when an fsync that covers it was acked."""
        whole = set(self.tree.bricks())
        whole -= {trouble.brick for trouble in self.troubles if trouble.start <= returned and called <= trouble.end}
        for fault in sorted(self.faults, key=lambda fault: fault.when):
            if fault.loses_power and called <= fault.when < synced:
                whole.discard(fault.brick)
                if not holds(self.tree, whole):
                    return fault.when
        return math.inf

    def may_split(self, mirror: Tree) -> bool:
        """May the copies of this afr of bricks blame each other, and none be known to be good? Only where one lost its
        power while every other was in trouble: it may have been the only one that nobody blamed."""
        copies = {child.name for child in mirror.children}
        return any(
            copies - {fault.brick} <= {each.brick for each in self.troubles if each.start <= fault.when <= each.end}
            for fault in self.faults
            if fault.loses_power and fault.brick in copies
        )
