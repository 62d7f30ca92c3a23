"""Healing one object: find out under lock which copies are good, mend the others, and take the marks back.

Everything here is safe to be killed at any fop: a copy is blamed *before* it is changed, and the blame is taken back by
subtracting what was read at the start, so that what went wrong meanwhile stays on record.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import attrs

from ....graph import (
    Call,
    Fd,
    Fop,
    Gfid,
    Loc,
    NewAttributes,
    Outcome,
    Translator,
    XattropKind,
    fail,
    fan_out,
)
from .changelog import Kind, about, added, one_miss, packed, taken_back
from .known_children import NEVER_SYNCED
from .locks import EntryLock, InodeLock, Lock, held
from .reading import ABSENT, copies_of, look
from .verdict import Copy, Direction, conflict, contents_of, direction, witnessed

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

R = TypeVar("R")
P = ParamSpec("P")


class Result(Enum):
    NOTHING = "nothing to heal"
    HEALED = "healed"
    PENDING = "waits"
    SPLIT = "split-brain"
    FAILED = "failed"
    GONE = "exists nowhere"


class NotNow(Exception):
    """Not healed in this pass; the message says what it waits for."""


class SplitBrain(Exception):
    """No copy is known to be right. Nothing is changed; a person decides."""


@attrs.define(eq=False)
class Healing:
    """One object on the operating table."""

    afr: ReplicaSet
    gfid: Gfid
    call: Call
    strays: dict[tuple[int, Gfid], Loc] = attrs.field(factory=dict)
    """By child and object what was found to stand at a wrong place, by any healing of the same run."""
    copies: dict[int, Copy] = attrs.field(init=False, factory=dict)
    xattrs: dict[int, dict[str, Any]] = attrs.field(init=False, factory=dict)
    progress: bool = attrs.field(init=False, default=False)
    """Something was mended, even if not all: another pass may get further."""

    @property
    def loc(self) -> Loc:
        return Loc(self.gfid)

    def child(self, number: int) -> Translator:
        """ENOTCONN: nothing is to be sent to it."""
        if number in self.afr.laggards.fenced:
            raise fail(errno.ENOTCONN, self.name(number))
        return self.afr.children[number]

    def name(self, number: int) -> str:
        return self.afr.children[number].name

    async def inspect(self) -> None:
        """Ask every child. Healing needs them all: one that is away may know better."""
        if len(self.afr.up) < len(self.afr.children):
            away = [child.name for number, child in enumerate(self.afr.children) if number not in self.afr.up]
            raise NotNow(f"{', '.join(away)} down")
        self._require_whole_children()
        outcomes = await look(self.afr, self.call, self.loc, {"list-xattr": 1})
        for number, outcome in outcomes.items():
            if outcome.error is not None and outcome.errno not in ABSENT:
                raise NotNow(f"{self.name(number)}: {outcome.error.strerror}")
        self.copies = copies_of(self.afr.keys, outcomes)
        self.xattrs = {child: dict(outcomes[child].reply.xdata or {}) for child in self.copies}

    def _require_whole_children(self) -> None:
        """Nor may a copy be away of an afr below of which a part can go on without knowing what the rest has: what that
        one knows better may be here, too, on the very copy that its sibling says has missed something."""
        for node in self.afr.afrs_below:
            if not node.quorum.overlaps and len(node.up) < len(node.children):
                raise NotNow(f"a copy of {node.name} is down")

    def require_all(self) -> None:
        """Every child must have the object: where it is missing, its directory has to be healed first."""
        absent = [self.name(number) for number in range(len(self.afr.children)) if number not in self.copies]
        if absent:
            raise NotNow(f"missing on {', '.join(absent)}")
        why = conflict([copy.iatt for copy in self.copies.values()])
        if why:
            raise SplitBrain(why)

    async def require_one_mind_below(self, kind: Kind) -> None:
        """What an afr below shows of an object that is in doubt there is one copy's word: it is settled there first, or
        it could be settled otherwise later, with nobody here knowing."""
        for node in self.afr.afrs_below:
            if await self._in_doubt_at(node, kind):
                await node.heal(self.gfid)
                if await self._in_doubt_at(node, kind):
                    raise NotNow(f"{node.name} is not of one mind")

    async def _in_doubt_at(self, node: ReplicaSet, kind: Kind) -> bool:
        copies = copies_of(node.keys, await look(node, self.call, self.loc))
        return any(any(about(copy.record.dirty, kind)) for copy in copies.values())

    def marked(self, kind: Kind) -> bool:
        """Has anybody something to say about this kind of change? Of what a suspect has nobody can tell."""
        return bool(self.afr.suspects.filled) or any(copy.record.speaks_of(kind) for copy in self.copies.values())

    def direct(self, kind: Kind) -> Direction:
        found = direction(self.afr.suspects.owing(self.copies, kind), kind, self.afr.quorum.majority)
        if found.split:
            raise SplitBrain(f"every copy is blamed for {kind.name.lower()}")
        return found

    def in_doubt(self, kind: Kind, children: Collection[int]) -> bool:
        seen = witnessed(self.copies, kind)
        return any(seen[child] for child in children)

    async def has(self, number: int, gfid: Gfid) -> bool:
        """Is there a named object of this gfid on a child?"""
        try:
            await self.child(number).lookup(self.call, Loc(gfid))
        except OSError as error:
            if error.errno in ABSENT:
                return False
            raise
        return True

    # --- marks -------------------------------------------------------------------------------------------------------

    async def blame(self, kind: Kind, witnesses: Collection[int], sinks: Iterable[int]) -> None:
        """Before a copy is changed, the good ones blame it: killed half-way, it is known to be no good. Of a suspect
        that is known anyway."""
        for sink in sinks:
            if sink in self.afr.suspects.filled or any(
                self.copies[witness].record.pending[sink][kind] for witness in witnesses
            ):
                continue
            for witness in sorted(witnesses):
                await self.add(witness, self.loc, self.afr.keys.owed([sink], [kind]))
                pending = self.copies[witness].record.pending
                pending[sink] = added(pending[sink], one_miss(kind))

    async def absolve(self, kind: Kind, good: Collection[int]) -> None:
        """Take back on the good copies what was read: blame of copies that are good now, and doubts. What a copy that
        was healed now knows better than one that was not, it says from now on.

        What was healed is on the disks before it is absolved, and that it is absolved before anything is written on the
        strength of it: blame that a loss of power brings back would stand against newer blame, in split-brain.
        """
        records = {witness: self.copies[witness].record for witness in sorted(good)}
        filled = self.afr.suspects.filled
        healed = {other for other in good for record in records.values() if record.pending[other][kind]}
        healed |= filled & set(good)
        if kind is not Kind.DATA:  # bytes are there already
            await self._sync(healed)
        for witness, record in records.items():
            said = {self.afr.keys.pending[other]: about(record.pending[other], kind) for other in good}
            said[self.afr.keys.dirty] = about(record.dirty, kind)
            values = {key: taken_back(counters) for key, counters in said.items() if any(counters)}
            bad = [other for other in self.copies.keys() - good - filled if not record.pending[other][kind]]
            values |= self.afr.keys.owed(bad, [kind])
            if values:
                await self.add(witness, self.loc, values)
        await self._sync(
            {witness for witness in good if any(records[witness].pending[other][kind] for other in healed)}
        )
        self.afr.doubted(self.gfid)

    async def _sync(self, children: Collection[int]) -> None:
        """Have on their disks what these copies hold, and say."""
        if not self.afr.ensure_durability or not children:
            return
        iatt = self.copies[min(children)].iatt
        outcomes: Mapping[int, Outcome[Any]]
        if iatt.is_file:
            outcomes = await self.on_each(children, Translator.fsync, self.call, Fd(self.gfid, os.O_RDWR), 0)
        elif iatt.is_dir:
            fd = Fd(self.gfid, is_dir=True)
            await self.on_each(children, Translator.opendir, self.call, self.loc, fd)
            outcomes = await self.on_each(children, Translator.fsyncdir, self.call, fd)
            for number in children:
                self.afr.children[number].release(fd)
        else:
            return
        for outcome in outcomes.values():
            if outcome.error is not None and outcome.errno not in NEVER_SYNCED:
                raise outcome.error

    async def add(self, number: int, loc: Loc, values: Mapping[str, bytes]) -> None:
        """Add to the counters of an object on one child."""
        await self.child(number).xattrop(self.call, loc, XattropKind.ADD_ARRAY, values)

    # --- fops on several copies --------------------------------------------------------------------------------------

    async def on_each(
        self, children: Iterable[int], fop: Fop[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> dict[int, Outcome[R]]:
        outcomes = await fan_out([self.child(number) for number in sorted(children)], fop, *args, **kwargs)
        return {self.afr.index[outcome.child]: outcome for outcome in outcomes}

    async def done_on(self, children: Iterable[int], fop: Fop[P, R], *args: P.args, **kwargs: P.kwargs) -> set[int]:
        """The children on which it succeeded."""
        outcomes = await self.on_each(children, fop, *args, **kwargs)
        return {number for number, outcome in outcomes.items() if outcome.ok}

    async def restore_times(self, source: int, sinks: Iterable[int]) -> set[int]:
        """What healing did to contents did not change them: their times are the source's. Where that succeeded."""
        iatt = self.copies[source].iatt
        times = NewAttributes(atime_ns=iatt.atime_ns, mtime_ns=iatt.mtime_ns)
        return await self.done_on(sinks, Translator.setattr, self.call, self.loc, times)

    # --- locks -------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def holding(self, kind: Kind) -> AsyncIterator[None]:
        """One healer of an object at a time; and no change of this kind while it is at work."""
        lock: Lock = EntryLock(self.loc, None)
        if kind is Kind.DATA:
            lock = InodeLock.for_data(self.loc)
        elif kind is Kind.METADATA:
            lock = InodeLock.for_metadata(self.loc)
        everywhere = range(len(self.afr.children))
        async with AsyncExitStack() as locks:
            if kind is not Kind.METADATA:
                locks.enter_context(self.afr.streams.making_way((self.gfid,)))
            for domain, wait in ((self.afr.healing_domain, False), (self.afr.name, True)):
                try:
                    await locks.enter_async_context(held(self.afr, everywhere, self.call, lock, domain, wait))
                except OSError as error:
                    raise NotNow("another healer is at it" if error.errno == errno.EAGAIN else str(error)) from None
            yield


async def heal_object(healing: Healing, found: Callable[[Gfid], None]) -> Result:
    """Heal everything about one object; `found` is told of objects that have to be healed because of it.

    NotNow and SplitBrain say why it stays as it is.
    """
    from .healing_below import overrule
    from .healing_contents import heal_data, heal_metadata
    from .healing_names import heal_names

    await healing.inspect()
    if not healing.copies:
        return Result.GONE
    await overrule(healing)
    if not healing.afr.suspects.filled and not any(copy.record.marked for copy in healing.copies.values()):
        return Result.NOTHING
    healing.require_all()
    healed = False
    kinds = contents_of(next(iter(healing.copies.values())).iatt)
    for kind in kinds:
        if not healing.marked(kind):
            continue
        async with healing.holding(kind):
            await healing.require_one_mind_below(kind)  # first: it changes what is here
            await healing.inspect()
            healing.require_all()
            if kind is Kind.DATA:
                await heal_data(healing)
            elif kind is Kind.METADATA:
                await heal_metadata(healing)
            else:
                await heal_names(healing, found)
        healed = True
    for kind in Kind:
        if kind not in kinds and not (kind is Kind.DATA and Kind.ENTRY in kinds):  # which counts in both
            await _forget(healing, kind)
    return Result.HEALED if healed else Result.NOTHING


async def _forget(healing: Healing, kind: Kind) -> None:
    """Take back what is said of changes that such an object cannot have: a name that somebody wanted to make in what is
    no directory, and whose client died, or lost a child, before it was told so."""
    if not any(any(counters[kind] for counters in copy.record.everything) for copy in healing.copies.values()):
        return
    async with healing.holding(kind):
        await healing.inspect()
        for witness, copy in sorted(healing.copies.items()):
            keys = (*healing.afr.keys.pending, healing.afr.keys.dirty)
            said = zip(keys, copy.record.everything, strict=True)
            values = {key: packed(kind, -counters[kind]) for key, counters in said if counters[kind]}
            if values:
                await healing.add(witness, healing.loc, values)
