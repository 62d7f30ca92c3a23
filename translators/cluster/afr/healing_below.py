"""Healing from above what is in split-brain in an afr below.

Where the copies below one child blame each other, and another child has missed nothing, every one of those copies is to
be overwritten, and it does not matter which of them counts until then. So that child is blamed as a whole, on record;
then one of its copies is taken for good, and the others are healed from it; from then on it is a child that missed
something like any other. Whoever is killed in between leaves a child that is known to be bad.

Not where one of those copies says that the other child has missed something, too: then nobody is right; nor while one
of them is away, that may say so. And not the names of a directory: with what one copy alone has the contents of files
might go that no other child has.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import attrs

from ....graph import Gfid, children_first
from .changelog import COUNTERS, NONE, Kind, Record, packed, unpacked
from .healing import Healing
from .reading import ABSENT, copies_of, look
from .verdict import conflict, contents_of, direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .replica_set import ReplicaSet

HEALED_FROM_ABOVE = (Kind.METADATA, Kind.DATA)
"""In this order: a file whose attributes are in split-brain cannot be written."""


@attrs.define
class Torn:
    """The children below which copies are in split-brain, by index, with the afrs that these are copies of; and what
    all copies below those children say of the children."""

    nodes: dict[Kind, dict[int, list[ReplicaSet]]] = attrs.field(factory=lambda: defaultdict(dict))
    told: list[Record] = attrs.field(factory=list)

    @property
    def children(self) -> set[int]:
        return {child for nodes in self.nodes.values() for child in nodes}


async def overrule(healing: Healing) -> None:
    """Let what is in split-brain below one child give in to a child that missed nothing."""
    if not healing.afr.afrs_below:
        return
    found, good = await _found(healing)
    for kind in [kind for kind in HEALED_FROM_ABOVE if found.nodes[kind]] if good else ():
        async with healing.holding(kind):
            await healing.inspect()
            found, good = await _found(healing)
            if good and found.nodes[kind]:
                await healing.blame(kind, good, sorted(found.nodes[kind]))
                for node in [each for nodes in found.nodes[kind].values() for each in nodes]:
                    await _give_in(node, healing.gfid, kind)
        await healing.inspect()


def _afrs_by_child(afr: ReplicaSet) -> list[tuple[int, ReplicaSet]]:
    """Every afr in this graph that holds what a child has, with the child's index; those at the bottom first."""
    from .replica_set import ReplicaSet

    nodes = [(child, node) for child, top in enumerate(afr.children) for node in children_first(top)]
    return [(child, node) for child, node in nodes if isinstance(node, ReplicaSet)]


async def _found(healing: Healing) -> tuple[Torn, frozenset[int]]:
    """What is in split-brain below, and the children that are right: nobody says that they missed anything."""
    afr, torn = healing.afr, Torn()
    if len(healing.copies) < len(afr.children) or conflict([copy.iatt for copy in healing.copies.values()]):
        return torn, frozenset()
    kinds = contents_of(next(iter(healing.copies.values())).iatt)
    told: dict[int, list[Record]] = defaultdict(list)
    unheard: set[int] = set()
    for child, node in _afrs_by_child(afr):
        outcomes = await look(node, healing.call, healing.loc, afr.keys.asked)
        copies = copies_of(node.keys, outcomes)
        if len(node.children) not in (len(copies), sum(each.errno in ABSENT for each in outcomes.values())):
            unheard.add(child)
        told[child] += [Record.read(afr.keys, each.value.xdata) for each in outcomes.values() if each.value is not None]
        for kind in kinds if copies else ():
            if direction(node.suspects.owing(copies, kind), kind, node.quorum.majority).split:
                torn.nodes[kind].setdefault(child, []).append(node)
    torn.told = [record for child in torn.children for record in told[child]]
    good = _right(healing, torn, kinds)
    for nodes in torn.nodes.values():
        for child in unheard & nodes.keys():
            del nodes[child]  # it may turn out to be right
    return torn, good


def _right(healing: Healing, torn: Torn, kinds: Sequence[Kind]) -> frozenset[int]:
    afr = healing.afr
    good = frozenset(healing.copies) - torn.children
    for kind in kinds:
        good &= direction(afr.suspects.owing(healing.copies, kind), kind, afr.quorum.majority).sources
    return frozenset(child for child in good if not any(record.blames(child, kinds) for record in torn.told))


async def _give_in(node: ReplicaSet, gfid: Gfid, kind: Kind) -> None:
    """Take one copy for good, the first that is above suspicion, and heal the others from it."""
    healing = Healing(node, gfid, node.crawler.call())
    async with healing.holding(kind):
        await healing.inspect()
        healing.require_all()
        copies = healing.copies
        if direction(node.suspects.owing(copies, kind), kind, node.quorum.majority).split:
            taken = min(node.suspects.beside(copies))
            if kind is Kind.METADATA:
                await _keep_marks_of_others(healing, taken)
            await healing.blame(kind, [taken], copies.keys() - {taken})
            for witness, copy in sorted(copies.items()):
                said = copy.record.pending[taken][kind]
                if said:
                    await healing.add(witness, healing.loc, {node.keys.pending[taken]: packed(kind, -said)})
    await node.heal(gfid)


async def _keep_marks_of_others(healing: Healing, taken: int) -> None:
    """To this afr the changelogs of those above are attributes like any other, and go with a copy's attributes: what
    any copy says of what others missed, or of doubts, the one that is taken says, too."""
    told = {
        child: {name: unpacked(value) for name, value in xattrs.items() if _is_mark_of_another(name, healing.afr)}
        for child, xattrs in healing.xattrs.items()
    }
    lacking = {}
    for name in frozenset().union(*told.values()):
        said = told[taken].get(name, NONE)
        most = map(max, zip(*(each.get(name, NONE) for each in told.values()), strict=True))
        more = [high - low for high, low in zip(most, said, strict=True)]
        if any(more):
            lacking[name] = COUNTERS.pack(*more)
    if lacking:
        await healing.add(taken, healing.loc, lacking)


def _is_mark_of_another(name: str, afr: ReplicaSet) -> bool:
    return name.startswith("trusted.afr.") and not afr.keys.owned(name)
