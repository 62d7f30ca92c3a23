"""Healing one name on one child: what is missing there is put there, what should not be there is taken away.

An object that lives on at another place is moved, never thrown away and made anew: a copy that missed changes of names
may be the only one that missed no change of contents.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence

import attrs

from ....graph import Gfid, Iatt, Loc
from .changelog import Record
from .healing import Healing, NotNow, SplitBrain
from .listing import list_directory
from .reading import ABSENT
from .verdict import contents_of

ASIDE = b".volgraph-healing-"
"""Where something stands that is in the way and has not got its place yet. Nobody reads a directory in this state."""


@attrs.define(eq=False)
class Places:
    """Places in the directory that is healed. `sources` are the copies that decide about its names."""

    healing: Healing
    sources: frozenset[int]

    def at(self, name: bytes) -> Loc:
        return Loc(parent=self.healing.gfid, name=name)

    async def put(self, child: int, name: bytes, iatt: Iatt, holders: Sequence[int]) -> None:
        """Let an object stand at a name that is free: it is moved there, gets one more name, or is made."""
        healing, node = self.healing, self.healing.child(child)
        stray = healing.strays.pop((child, iatt.gfid), None)
        if stray is not None and await self._stands_at(child, stray, iatt.gfid):
            await node.rename(healing.call, stray, self.at(name))
        elif not await healing.has(child, iatt.gfid):
            await self._make(child, name, iatt, holders)
        elif iatt.is_dir:
            raise NotNow("still stands at its old place there")
        else:
            await node.link(healing.call, Loc(iatt.gfid), self.at(name))

    async def _make(self, sink: int, name: bytes, iatt: Iatt, holders: Sequence[int]) -> None:
        """A new object. Its contents and attributes are owed to it, which is said before it exists; but not of a
        suspect, which gets them anyway."""
        healing, node = self.healing, self.healing.child(sink)
        for witness in holders if sink not in healing.afr.suspects.filled else ():
            await healing.add(witness, Loc(iatt.gfid), healing.afr.keys.owed([sink], contents_of(iatt)))
        healing.afr.doubted(iatt.gfid)
        making = healing.call.with_xdata({"gfid-req": iatt.gfid})
        if iatt.is_dir:
            await node.mkdir(making, self.at(name), stat.S_IMODE(iatt.mode), 0)
        elif iatt.is_symlink:
            read = await healing.child(holders[0]).readlink(healing.call, Loc(iatt.gfid), 65536)
            await node.symlink(making, read.target, self.at(name), 0)
        else:
            await node.mknod(making, self.at(name), iatt.mode, iatt.rdev, 0)

    async def take_away(self, child: int, name: bytes, iatt: Iatt, deciding: frozenset[int], needed: bool) -> None:
        """What stands wrongly at a name goes, a directory with all below it; what lives on elsewhere goes there, later.
        Until then it stays at the name, unless that is `needed` for something else."""
        node, call = self.healing.child(child), self.healing.call
        doomed = [(self.at(name), iatt)]
        directories: list[Loc] = []
        while doomed:
            place, its = doomed.pop()
            if await self._lives_on(child, its.gfid):
                await self._set_aside(child, place, its, stays=place.parent == self.healing.gfid and not needed)
                continue
            await self._refuse_if_it_knows_better(child, its.gfid, deciding)
            self.healing.strays.pop((child, its.gfid), None)
            if its.is_dir:
                directories.append(place)
                below = await list_directory(node, call, its.gfid)
                doomed += [(Loc(parent=its.gfid, name=inside), iatt) for inside, iatt in below]
            else:
                await node.unlink(call, place)
        for place in reversed(directories):
            await node.rmdir(call, place)

    async def _lives_on(self, child: int, gfid: Gfid) -> bool:
        for source in sorted(self.sources - {child}):
            if await self.healing.has(source, gfid):
                return True
        return False

    async def _set_aside(self, child: int, place: Loc, iatt: Iatt, stays: bool) -> None:
        healing, node = self.healing, self.healing.child(child)
        if not iatt.is_dir and (await node.lookup(healing.call, Loc(iatt.gfid))).iatt.nlink > 1:
            await node.unlink(healing.call, place)
            healing.strays.pop((child, iatt.gfid), None)
            return
        aside = place if stays else self.at(ASIDE + iatt.gfid.hex().encode())
        if aside != place:
            await node.rename(healing.call, place, aside)
        if healing.strays.get((child, iatt.gfid)) != aside:
            healing.strays[child, iatt.gfid] = aside
            healing.progress = True

    async def _stands_at(self, child: int, place: Loc, gfid: Gfid) -> bool:
        try:
            return (await self.healing.child(child).lookup(self.healing.call, place)).iatt.gfid == gfid
        except OSError as error:
            if error.errno in ABSENT:
                return False
            raise

    async def _refuse_if_it_knows_better(self, child: int, gfid: Gfid, deciding: frozenset[int]) -> None:
        """An object that took a change which all who decide here missed is not thrown away: two histories met, and a
        person decides. One that missed nothing knew what was taken away; so did a quorum, where any two overlap."""
        if self.healing.afr.quorum.overlaps:
            return
        keys = self.healing.afr.keys
        reply = await self.healing.child(child).lookup(self.healing.call.with_xdata(keys.asked), Loc(gfid))
        record = Record.read(keys, reply.xdata)
        if all(any(record.pending[other]) for other in deciding):
            raise SplitBrain("deleted on one copy, changed on another")
