"""Healing the names of a directory: what good copies have is made on the others, what they lack is removed there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio.lowlevel
import attrs

from ....graph import Gfid, Iatt
from .changelog import Kind
from .healing import Healing, NotNow, SplitBrain
from .healing_places import Places
from .listing import list_directory
from .reading import ABSENT, look_for_moves, moved_copies
from .verdict import Copy, conflict, standing

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
    places: Places = attrs.field(init=False)
    problems: list[str] = attrs.field(init=False, factory=list)
    split: list[str] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.places = Places(self.healing, self.sources)

    async def read(self) -> None:
        """Every name there is, and what is to stand there. One that cannot be decided is left alone."""
        healing = self.healing
        for child in range(len(healing.afr.children)):
            for name, iatt in await list_directory(healing.child(child), healing.call, healing.gfid):
                self.holders.setdefault(name, {})[child] = iatt
        for name, holding in list(self.holders.items()):
            await anyio.lowlevel.checkpoint()  # bricks that answer at once would keep everybody else waiting
            try:
                self.decisions[name] = await self._decide(holding)
            except SplitBrain as error:
                del self.holders[name]
                self.split.append(f"{_text(name)}: {error}")

    async def _decide(self, holding: dict[int, Iatt]) -> Decision:
        """The good copies decide; where they differ, see `standing`."""
        good = {child: iatt for child, iatt in holding.items() if child in self.sources}
        if not good:
            return Decision(None, self.sources)
        why = conflict(list(good.values()))
        if why and not self.doubt:
            raise SplitBrain(why)
        if len(good) == len(self.sources) and not why:
            return Decision(good[min(good)], self.sources)
        copies = {gfid: await self._wherever(gfid) for gfid in {iatt.gfid for iatt in good.values()}}
        gfid, by = standing(good, copies, self.sources, self.healing.afr.quorum.majority)
        return Decision(None if gfid is None else good[min(by)], by)

    async def _wherever(self, gfid: Gfid) -> dict[int, Copy]:
        """An object's copies, here or at other places; without those that stand where they are known to be wrong."""
        healing = self.healing
        outcomes = await look_for_moves(healing.afr, healing.call, gfid)
        for outcome in outcomes.values():
            if outcome.error is not None and outcome.errno not in ABSENT:
                raise outcome.error
        copies = moved_copies(healing.afr.keys, outcomes)
        strays = {child for child in copies if self._is_stray(child, gfid)}
        return {child: copy for child, copy in copies.items() if child not in strays}

    def _is_stray(self, child: int, gfid: Gfid) -> bool:
        place = self.healing.strays.get((child, gfid))
        return place is not None and place.parent != self.healing.gfid

    async def heal(self) -> None:
        """First room is made, then what is missing is put there."""
        await self._for_each(self._clear)
        await self._for_each(self._fill)
        for place in self.healing.strays.values():
            if place.parent == self.healing.gfid:
                self.problems.append(f"{_text(place.name)}: what stands there waits for its new place")

    async def _for_each(self, step: Callable[[bytes, int], Awaitable[None]]) -> None:
        for name in sorted(self.holders):
            await anyio.lowlevel.checkpoint()
            for child in range(len(self.healing.afr.children)):
                try:
                    await step(name, child)
                except SplitBrain as error:
                    self.split.append(f"{_text(name)}: {error}")
                except (OSError, NotNow) as error:
                    self.problems.append(f"{_text(name)}: {error}")

    # --- the steps, for one name on one child ------------------------------------------------------------------------

    async def _clear(self, name: bytes, child: int) -> None:
        decision, there = self.decisions[name], self.holders[name].get(child)
        if there is not None and not decision.like(there):
            await self.places.take_away(child, name, there, decision.by, needed=decision.iatt is not None)
            del self.holders[name][child]
            self.healing.progress = True

    async def _fill(self, name: bytes, child: int) -> None:
        """If the wrong thing still stands there, so be it."""
        decision = self.decisions[name]
        if decision.iatt is not None and child not in self.holders[name]:
            self.found(decision.iatt.gfid)
            await self.places.put(child, name, decision.iatt, sorted(decision.by))
            self.healing.progress = True


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
