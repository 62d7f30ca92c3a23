"""How names are made, moved and removed: the changes of one directory's names share a stream, in which each is one
round.

The stream holds a lock on the whole directory. Where other clients turn out to change it too, each change locks the
names that it touches, and announces itself, for a while; so does always what concerns more than one directory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs

from ....graph import Call, Gfid, Iatt, Loc, Made, Translator, children_first
from .change import Change, Wind, single_change, winding
from .changelog import Kind
from .locks import EntryLock
from .reading import UNKNOWN, lookup, readable_for
from .stream import Claim, Stream
from .transaction import Transaction

if TYPE_CHECKING:
    from .replica_set import ReplicaSet


R = TypeVar("R")
P = ParamSpec("P")

MAKERS = (Translator.create, Translator.mknod, Translator.mkdir, Translator.symlink)


@attrs.define(eq=False)
class SomeNames:
    """The names that a change touches."""

    names: Sequence[bytes | None]
    """One or two."""

    def overlaps(self, other: Claim) -> bool:
        assert isinstance(other, SomeNames)
        return any(name in other.names for name in self.names)


class NameChanges:
    """Changes names in one afr's directories, on all copies."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self._streams = afr.streams

    async def make(self, loc: Loc, fop: Callable[..., Awaitable[Made]], call: Call, *args: Any) -> Made:
        """A new object at `loc`."""
        return self.learn(await self.change([EntryLock.on(loc)], [loc.parent], fop, call, *args))

    async def change(
        self,
        locks: Sequence[EntryLock],
        directories: Sequence[Gfid],
        fop: Callable[Concatenate[Any, Call, P], Awaitable[R]],
        call: Call,
        *args: P.args,
        **_: P.kwargs,
    ) -> Change[R]:
        """Names in one or two `directories`, which carry the changelog. `locks` are what the change needs to itself: of
        a directory that is removed all names, too. Raises what it came to."""
        wind, makes_object = winding(fop, *args), fop in MAKERS
        directory, names = directories[0], [lock.name for lock in locks]
        fits_a_stream = directories[-1] == directory and None not in names
        if fits_a_stream and self._may_stay_open(directory):
            return await self._in_stream(call, Loc(directory), SomeNames(names), wind, makes_object)
        marked = [Loc(gfid) for gfid in dict.fromkeys(directories)]
        locked = sorted({lock.target.gfid for lock in locks})
        with self._streams.making_way(() if fits_a_stream else locked):
            for gfid in locked:
                await self._streams.close(gfid)
            for target in marked:
                await readable_for(self._afr, call, target)
            return await single_change(self._afr, call, Kind.ENTRY, locks, marked, wind, makes_object)

    def learn(self, done: Change[Made]) -> Made:
        """Take over what is now known of a new object's copies; of one that create has found, who knows."""
        afr = self._afr
        state = afr.inodes[done.reply.iatt.gfid]
        if done.object_is_new and state.changed_at <= done.transaction.began:
            state.generation, state.readable = done.generation, done.done_on
        else:
            if state.generation == UNKNOWN and not state.readable:
                state.readable = done.done_on  # until the copies are asked; should it lose its name first, for good
            state.generation = UNKNOWN
        return done.reply

    async def replaced(self, call: Call, place: Loc) -> Iatt | None:
        """What stands where something is about to be moved to. Mostly nothing does: then one good copy is asked."""
        call = call.with_xdata(None)

        async def stands(child: Translator) -> bool:
            try:
                await child.lookup(call, place)
            except FileNotFoundError:
                return False
            return True

        try:
            if await self._afr.read_with(call, Loc(place.parent), stands):
                return (await lookup(self._afr, call, place)).iatt
        except FileNotFoundError:
            pass
        return None

    # --- in a stream -------------------------------------------------------------------------------------------------

    @cached_property
    def _eager(self) -> bool:
        """By default only in one process. A brick that goes keeps the mark of a directory that stayed locked, and to a
        healer of GlusterFS, which can reach any brick that is served, that is a reason to merge."""
        asked = self._afr.eager_entry_lock
        return asked == "on" or (asked == "auto" and not any(node.remote for node in children_first(self._afr)))

    def _may_stay_open(self, directory: Gfid) -> bool:
        return self._eager and self._streams.may_keep(directory)

    async def _in_stream(
        self, call: Call, directory: Loc, names: SomeNames, wind: Wind, makes_object: bool
    ) -> Change[Any]:
        def begin() -> Stream:
            return Stream(Transaction(self._afr, Kind.ENTRY, [EntryLock(directory, None)], [directory]))

        streams = self._streams
        stream = streams.entered(directory.gfid, names) or await streams.enter(call, directory, names, begin)
        change: Change[Any] = Change(stream.transaction, call, wind, makes_object)
        if not streams.carried_out(stream, names, change):
            await streams.carry_out(stream, names, change)
        if change.error is not None:
            raise change.error
        return change
