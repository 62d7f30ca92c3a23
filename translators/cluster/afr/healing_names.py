"""Healing the names of a directory: what good copies have is made on the others, what they lack is removed there."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable, Collection, Sequence

import anyio.lowlevel
import attrs

from ....graph import Call, Fd, Gfid, Iatt, Loc, Translator
from .changelog import Kind, Record
from .healing import ABSENT, Healing, NotNow, SplitBrain
from .verdict import conflict, contents_of

LISTING_BYTES = 128 * 1024
PROBLEMS_TOLD = 5


async def heal_names(healing: Healing, found: Callable[[Gfid], None]) -> None:
    """With copies that nobody blames: they decide. Where even they may differ, because an operation of unknown outcome
    is on record, the union of their names counts.

    A name that cannot be healed does not keep the others from it; the directory then stays as it is marked.
    """
    direction = healing.direct(Kind.ENTRY)
    source, everyone = min(direction.sources), direction.sources | direction.sinks
    doubt = healing.in_doubt(Kind.ENTRY, direction.sources)
    names = Names(healing, found, direction.sources, doubt)
    await names.read()
    await names.heal()
    if names.split:
        raise SplitBrain("; ".join(names.split[:PROBLEMS_TOLD]))
    if names.problems:
        raise NotNow("; ".join(names.problems[:PROBLEMS_TOLD]))
    await healing.restore_times(source, (everyone if doubt else direction.sinks) - {source})
    await healing.absolve(Kind.ENTRY, everyone)


@attrs.frozen
class Decision:
    """What is to stand at a name (None: nothing), and the good copies that say so, as they have it."""

    iatt: Iatt | None
    by: frozenset[int]

    def like(self, iatt: Iatt) -> bool:
        return self.iatt is not None and (iatt.gfid, iatt.kind) == (self.iatt.gfid, self.iatt.kind)


@attrs.define(eq=False)
class Names:
    """The names of one directory on all its copies. `sources` are the copies that decide, `doubt` that they may differ
    by what nobody was told has succeeded."""

    healing: Healing
    found: Callable[[Gfid], None]
    sources: frozenset[int]
    doubt: bool
    holders: dict[bytes, dict[int, Iatt]] = attrs.field(init=False, factory=dict)
    """By name, what each child has there."""
    decisions: dict[bytes, Decision] = attrs.field(init=False, factory=dict)
    strays: dict[tuple[int, Gfid], bytes] = attrs.field(init=False, factory=dict)
    """Objects that stand on a child where they should not, and under which name."""
    problems: list[str] = attrs.field(init=False, factory=list)
    split: list[str] = attrs.field(init=False, factory=list)

    async def read(self) -> None:
        """Every name there is, and what is to stand there. One that cannot be decided is left alone."""
        healing = self.healing
        for child in range(len(healing.afr.children)):
            for name, iatt in await list_directory(healing.child(child), healing.call, healing.gfid):
                self.holders.setdefault(name, {})[child] = iatt
        for name, holding in list(self.holders.items()):
            try:
                self.decisions[name] = await self._decide(holding)
            except SplitBrain as error:
                del self.holders[name]
                self.split.append(f"{_text(name)}: {error}")
        for name, holding in self.holders.items():
            self.strays |= {(child, iatt.gfid): name for child, iatt in holding.items() if not self._right(name, iatt)}

    async def _decide(self, holding: dict[int, Iatt]) -> Decision:
        """In doubt nothing is lost that a good copy has. But a name has one object, and an object that was renamed has
        one place: more copies decide, among as many those with the first child."""
        good = {child: iatt for child, iatt in holding.items() if child in self.sources}
        if not good:
            return Decision(None, self.sources)
        why = conflict(list(good.values()))
        if why and not self.doubt:
            raise SplitBrain(why)
        claims = [
            Decision(iatt, frozenset(child for child, its in good.items() if its.gfid == iatt.gfid))
            for iatt in good.values()
        ]
        here = max(claims, key=lambda claim: _weight(claim.by))
        assert here.iatt is not None
        elsewhere = [
            child
            for child in sorted(self.sources - good.keys())
            if await _has(self.healing.child(child), self.healing.call, here.iatt.gfid)
        ]
        if _weight(elsewhere) > _weight(here.by):
            return Decision(None, frozenset(elsewhere))
        return here

    async def heal(self) -> None:
        """First what only changed its name is moved; then room is made; then what is missing is made."""
        await self._for_each(self._move)
        await self._for_each(self._clear)
        await self._for_each(self._fill)

    async def _for_each(self, step: Callable[[bytes, int], Awaitable[None]]) -> None:
        for name in sorted(self.holders):
            await anyio.lowlevel.checkpoint()  # bricks that answer at once would keep everybody else waiting
            for child in range(len(self.healing.afr.children)):
                try:
                    await step(name, child)
                except SplitBrain as error:
                    self.split.append(f"{_text(name)}: {error}")
                except (OSError, NotNow) as error:
                    self.problems.append(f"{_text(name)}: {error}")

    # --- the steps, for one name on one child ------------------------------------------------------------------------

    async def _move(self, name: bytes, child: int) -> None:
        """An object that stands under an old name in this directory is renamed, not made anew."""
        wanted = self.decisions[name]
        if wanted.iatt is None or child in self.holders[name]:
            return
        old = self.strays.pop((child, wanted.iatt.gfid), None)
        if old is not None and wanted.like(self.holders[old][child]):
            await self.healing.child(child).rename(self.healing.call, self._at(old), self._at(name))
            self.holders[name][child] = self.holders[old].pop(child)
            self.healing.progress = True

    async def _clear(self, name: bytes, child: int) -> None:
        """What should not stand at a name is removed."""
        there = self.holders[name].get(child)
        if there is not None and not self._right(name, there):
            await self._remove(child, name, there)
            del self.holders[name][child]
            self.healing.progress = True

    async def _fill(self, name: bytes, child: int) -> None:
        """What is missing at a name is made; unless the wrong thing still stands there."""
        wanted = self.decisions[name]
        if wanted.iatt is not None and child not in self.holders[name]:
            self.found(wanted.iatt.gfid)
            await self._make(child, name, wanted.iatt, sorted(wanted.by))
            self.healing.progress = True

    def _at(self, name: bytes) -> Loc:
        return Loc(parent=self.healing.gfid, name=name)

    def _right(self, name: bytes, there: Iatt) -> bool:
        return self.decisions[name].like(there)

    # --- making and removing -----------------------------------------------------------------------------------------

    async def _make(self, sink: int, name: bytes, iatt: Iatt, holders: Sequence[int]) -> None:
        """Put a name on a sink. Its contents and attributes are owed to it, which is said before it exists."""
        healing, node = self.healing, self.healing.child(sink)
        if await _has(node, healing.call, iatt.gfid):
            if iatt.is_dir:
                raise NotNow("still stands at its old place there")
            await node.link(healing.call, Loc(iatt.gfid), self._at(name))
            return
        for witness in holders:
            await healing.add(witness, Loc(iatt.gfid), healing.afr.keys.owed([sink], contents_of(iatt)))
        healing.afr.doubted(iatt.gfid)
        making = healing.call.with_xdata({"gfid-req": iatt.gfid})
        if iatt.is_dir:
            await node.mkdir(making, self._at(name), stat.S_IMODE(iatt.mode), 0)
        elif iatt.is_symlink:
            read = await healing.child(holders[0]).readlink(healing.call, Loc(iatt.gfid), 65536)
            await node.symlink(making, read.target, self._at(name), 0)
        else:
            await node.mknod(making, self._at(name), iatt.mode, iatt.rdev, 0)

    async def _remove(self, child: int, name: bytes, iatt: Iatt) -> None:
        """Take a name away on a child that should not have it, a directory with all below it."""
        node, call = self.healing.child(child), self.healing.call
        doomed = [(self._at(name), iatt)]
        directories: list[Loc] = []
        while doomed:
            place, attributes = doomed.pop()
            await self._refuse_if_it_knows_better(child, attributes.gfid, self.decisions[name].by)
            if attributes.is_dir:
                directories.append(place)
                below = await list_directory(node, call, attributes.gfid)
                doomed += [(Loc(parent=attributes.gfid, name=inside), its) for inside, its in below]
            else:
                await node.unlink(call, place)
        for place in reversed(directories):
            await node.rmdir(call, place)

    async def _refuse_if_it_knows_better(self, child: int, gfid: Gfid, deciding: frozenset[int]) -> None:
        """An object that took a change which all who decide here missed is not thrown away: two histories met, and a
        person decides. One of them that missed nothing knew what was taken away; so did a quorum, where any two overlap.
        """
        if self.healing.afr.quorum.overlaps:
            return
        keys = self.healing.afr.keys
        reply = await self.healing.child(child).lookup(self.healing.call.with_xdata(keys.asked), Loc(gfid))
        record = Record.read(keys, reply.xdata)
        if all(any(record.pending[other]) for other in deciding):
            raise SplitBrain("deleted on one copy, changed on another")


def _weight(children: Collection[int]) -> tuple[int, int]:
    """Whose word counts more: that of more copies, among as many that with the first child."""
    return len(children), -min(children, default=0)


async def list_directory(child: Translator, call: Call, gfid: Gfid) -> list[tuple[bytes, Iatt]]:
    """All names of a directory on one child, with their attributes."""
    fd = Fd(gfid, is_dir=True)
    await child.opendir(call, Loc(gfid), fd)
    listing: list[tuple[bytes, Iatt]] = []
    offset = 0
    try:
        while True:
            reply = await child.readdirp(call, fd, LISTING_BYTES, offset)
            for entry in reply.entries:
                iatt = entry.iatt
                if iatt is None:
                    iatt = (await child.lookup(call, Loc(parent=gfid, name=entry.name))).iatt
                listing.append((entry.name, iatt))
            if reply.end or not reply.entries:
                return listing
            offset = reply.entries[-1].offset
            await anyio.lowlevel.checkpoint()
    finally:
        child.release(fd)


async def _has(node: Translator, call: Call, gfid: Gfid) -> bool:
    try:
        await node.lookup(call.with_xdata(None), Loc(gfid))
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    return True


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
