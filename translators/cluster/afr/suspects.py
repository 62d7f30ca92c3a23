"""Suspect bricks: after a loss of power nobody knows what a brick has kept of what was never fsynced.

Such a brick says so when its root is looked up. While another child is above suspicion it is neither read nor healed
from. A full heal compares nothing and copies everything to it, from that sibling; then the brick is told that it is
trusted again. No mark says meanwhile that everything is owed to it: it says so itself, and should its siblings go away
half-way, nothing that they said stands against what it takes alone. Where all that are up are suspect, the marks alone
decide; and the full heal marks first what the copies differ in. Where suspects were enough to acknowledge something,
the afr is suspect for one above it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ....graph import ROOT_LOC, Acknowledged, Call, Translator, Xdata, fail, fan_out
from .changelog import Kind, Record, added, one_miss
from .verdict import Copy, contents_of, readable

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

log = logging.getLogger("volgraph.afr")

SUSPECT_KEY = "volgraph.suspect"
"""In the xdata of a lookup of the root: 1. Set on the root by the system itself: `TRUSTED`."""
TRUSTED = b"0"


class Suspects:
    """The suspect children of one afr, as they last said it themselves."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self.children: set[int] = set()
        self.filled: set[int] = set()
        """Those to which the full heal that is under way copies everything."""
        self.whole: set[int] = set()
        """Those that a full heal has left nothing of, since they last came up: what they had lost is there again."""

    def learn(self, child: int, suspect: bool) -> bool:
        """What a child says of itself, each time it comes up; is it news?"""
        if suspect == (child in self.children):
            return False
        self._afr.generation += 1
        if suspect:
            self.children.add(child)
        else:
            self.children.discard(child)
            self.whole.discard(child)
        return True

    def went(self, child: int) -> None:
        """It may lose its power once more, and what it was filled with."""
        self.filled.discard(child)
        self.whole.discard(child)

    @property
    def decisive(self) -> bool:
        """May something have been acknowledged on suspects, and on children that are away, alone? What they have lost
        nobody here can know: then this afr is suspect itself, for one above it."""
        afr = self._afr
        above_suspicion = afr.up - self.children
        return bool(self.children) and afr.quorum.met(set(range(len(afr.children))) - above_suspicion)

    def shown(self, xdata: Xdata | None) -> Xdata | None:
        """What a lookup of the root tells an afr above: its answer is that of one child."""
        if self.decisive == (SUSPECT_KEY in (xdata or {})):
            return xdata
        others = {name: value for name, value in (xdata or {}).items() if name != SUSPECT_KEY}
        return {**others, SUSPECT_KEY: 1} if self.decisive else others

    def beside(self, copies: Collection[int]) -> frozenset[int]:
        """Those of some good copies that are above suspicion; if there is none, all of them."""
        return frozenset(copies) - self.children or frozenset(copies)

    def readable(self, copies: Mapping[int, Copy]) -> frozenset[int]:
        """The copies of an object that may be read. A suspect, only where it is known to have what no copy above
        suspicion has, or where there is none of those."""
        good = readable(copies)
        if good.isdisjoint(self.children):
            return good
        above = copies.keys() - self.children
        return good - self.children or frozenset(child for child in good if _blames_all(copies[child], above))

    def owing(self, copies: Mapping[int, Copy], kind: Kind) -> Mapping[int, Copy]:
        """The copies as if each that is above suspicion blamed every suspect, but for one that this suspect blames: it
        may know better."""
        suspects, above = copies.keys() & self.children, copies.keys() - self.children
        as_if = dict(copies)
        for witness in above if suspects else ():
            pending = list(copies[witness].record.pending)
            for suspect in suspects:
                if not copies[suspect].record.pending[witness][kind]:
                    pending[suspect] = added(pending[suspect], one_miss(kind))
            as_if[witness] = Copy(copies[witness].iatt, Record(pending, copies[witness].record.dirty))
        return as_if

    # --- the end of a suspicion --------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Before a full heal: it fills the suspects; where all are suspect, what they differ in is in doubt. ENOTCONN
        and the like from those that are asked."""
        from .outage import doubt_what_differs

        await self._ask_again()
        if len(self._afr.up) < len(self._afr.children):
            return
        if len(self.children) == len(self._afr.children):
            await doubt_what_differs(self._afr)
        else:
            self.filled |= self.children

    async def healed(self) -> None:
        """After a full heal that has left nothing: the suspects are told that they are trusted. Where too few were
        above suspicion it is an afr above this one that knows better, if there is one."""
        afr = self._afr
        if len(afr.up) < len(afr.children):
            return
        self.whole |= self.children if len(self.children) == len(afr.children) else self.children & self.filled
        if self.decisive and _below_another(afr):
            return
        for child in sorted(self.whole):
            try:
                await self._trust(child)
            except OSError as error:
                log.warning("%s: %s stays suspect: %s", afr.name, afr.children[child].name, error)

    async def cleared(self, call: Call, values: Mapping[str, bytes]) -> Acknowledged:
        """An afr above has healed all there is here, as far as it can be seen from there: of the copies that have lost
        nothing. The others are filled from those before they are trusted. EPERM for applications; EINVAL; EIO they
        could not be filled."""
        if call.pid >= 0:
            raise fail(errno.EPERM, SUSPECT_KEY)
        if dict(values) != {SUSPECT_KEY: TRUSTED}:
            raise fail(errno.EINVAL, SUSPECT_KEY)
        if not self.children <= self.whole:
            await self._afr.heal(full=True)
        if not self.children <= self.whole:
            raise fail(errno.EIO, f"{self._afr.name}: not all is healed that was lost")
        for child in sorted(self.children):
            await self._trust(child)
        return Acknowledged()

    async def _trust(self, child: int) -> None:
        afr = self._afr
        await afr.children[child].setxattr(afr.crawler.call(), ROOT_LOC, {SUSPECT_KEY: TRUSTED})
        self.learn(child, False)

    async def _ask_again(self) -> None:
        """Another client may have healed them meanwhile."""
        children = [self._afr.children[child] for child in sorted(self.children & self._afr.up)]
        for outcome in await fan_out(children, Translator.lookup, self._afr.crawler.call(), ROOT_LOC):
            if outcome.value is not None:
                self.learn(self._afr.index[outcome.child], bool((outcome.value.xdata or {}).get(SUSPECT_KEY)))


def _blames_all(copy: Copy, others: Collection[int]) -> bool:
    kinds = contents_of(copy.iatt)
    return all(copy.record.blames(other, kinds) for other in others)


def _below_another(afr: ReplicaSet) -> bool:
    """Is there an afr above this one?"""
    from .replica_set import ReplicaSet

    above = list(afr.parents)
    while above:
        node = above.pop()
        if isinstance(node, ReplicaSet):
            return True
        above += node.parents
    return False
