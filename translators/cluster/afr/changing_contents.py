"""How the contents of files are changed: the changes of one file share a stream, in which each is one round."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs

from ....graph import Call, Fd, Loc, Written, fail
from .change import Change, Wind, winding
from .changelog import Kind
from .locks import InodeLock
from .open_fds import usable
from .stream import Claim, Stream
from .transaction import Transaction

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T", Loc, Fd)

APPEND_KEY = "glusterfs.write-is-append"
ASKS_WHETHER_IT_APPENDS = {APPEND_KEY: 1}


@attrs.define(eq=False)
class Span:
    """The bytes that a change touches: from `start` up to, and without, `end`."""

    start: int
    end: float

    def overlaps(self, other: Claim) -> bool:
        assert isinstance(other, Span)
        return self.start < other.end and other.start < self.end


WHOLE = Span(0, float("inf"))


@attrs.define(eq=False)
class ContentChange(Change[R]):
    """`end` is where the file ended, if the change begins there; `syncs`: what was written before is on the disks after
    it."""

    stream: Stream = attrs.field(kw_only=True)
    end: int | None = attrs.field(kw_only=True)
    syncs: bool = attrs.field(kw_only=True)

    def conclude(self) -> None:
        if self.error is None:
            self.stream.size = None if self.end is None else self.end + self.reply.count  # type: ignore[attr-defined]
            if self.syncs:
                self.transaction.unstable = False
            elif self.asks and not self._appended():
                self.transaction.unstable = True
        self.over = True

    def _appended(self) -> bool:
        """Did the bytes go behind the old end of the file? A copy that loses them is shorter, and so known to be
        worse."""
        reply = self.reply
        if not isinstance(reply, Written) or not reply.xdata or APPEND_KEY not in reply.xdata:
            return False
        answer = reply.xdata[APPEND_KEY]
        if self.call.asked(APPEND_KEY) is None:
            reply.xdata = {key: value for key, value in reply.xdata.items() if key != APPEND_KEY}
        return bool(answer)


class ContentChanges:
    """Changes the contents of one afr's files, on all copies."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self._streams = afr.streams

    async def change(
        self, call: Call, target: Loc | Fd, span: Span, wind: Wind, *, stable: bool = False, closes: bool = False
    ) -> Change[Any]:
        """Change the contents of a file, on all copies. `stable`: the children answer when it is on their disks;
        `closes`: so is all that was written before, and nothing is left open after it."""
        stream = self._streams.entered(target.gfid, span) or await self._enter(call, target, span)
        change = self._change(stream, call, wind, stable, syncs=closes)
        if not self._streams.carried_out(stream, span, change, closes):
            await self._streams.carry_out(stream, span, change, closes)
        if closes:
            self._streams.raise_unsaved(target.gfid)
        return change

    async def change_whole(
        self,
        fop: Callable[Concatenate[Any, Call, T, P], Awaitable[R]],
        call: Call,
        target: T,
        *args: P.args,
        **_: P.kwargs,
    ) -> R:
        """Perhaps all the contents of a file. EIO if no copy is known to be good."""
        there = await self._afr.object_at(call, target)
        if isinstance(there, Fd):
            await usable(self._afr, there, os.O_WRONLY)
        done: Change[R] = await self.change(call, there, WHOLE, winding(fop, there, *args))
        if done.blame and isinstance(there, Fd):
            self._afr.application_locks.failed_on(there, done.blame)
        return done.reply

    async def append(self, call: Call, fd: Fd, wind: Callable[[int], Wind], *, stable: bool = False) -> Change[Written]:
        """Write behind the last byte: the same place on all copies, that where a good one ends."""
        stream = self._streams.entered(fd.gfid, WHOLE) or await self._enter(call, fd, WHOLE)
        try:
            end = await self._end_of_file(stream, fd) if stream.size is None else stream.size
        except BaseException:
            self._streams.leave(stream, WHOLE)
            raise
        change = self._change(stream, call, wind(end), stable, end)
        if not self._streams.carried_out(stream, WHOLE, change):
            await self._streams.carry_out(stream, WHOLE, change)
        return change

    async def _enter(self, call: Call, target: Loc | Fd, span: Span) -> Stream:
        """An object that is named by its gfid alone may lose its last name at any time, and its marks with it: so its
        stream serves a single change."""

        def begin() -> Stream:
            transaction = Transaction(self._afr, Kind.DATA, [InodeLock.for_data(target)], [target])
            return Stream(transaction, single=not self._afr.eager_lock or isinstance(target, Loc))

        return await self._streams.enter(call, target, span, begin)

    def _change(
        self, stream: Stream, call: Call, wind: Wind, stable: bool, end: int | None = None, syncs: bool = False
    ) -> ContentChange[Any]:
        transaction = stream.transaction
        asks = None if stable or transaction.unstable else ASKS_WHETHER_IT_APPENDS
        stream.size = None
        return ContentChange(transaction, call, wind, asks=asks, stream=stream, end=end, syncs=syncs)

    async def _end_of_file(self, stream: Stream, fd: Fd) -> int:
        """As one good copy tells it; the next one, where that fails."""
        transaction = stream.transaction
        good = transaction.live & transaction.good
        last = fail(errno.EIO, fd.gfid)
        while good:
            chosen = self._afr.choose(good, fd.gfid)
            good -= {chosen}
            try:
                reply = await self._afr.laggards.one(chosen, lambda child: child.fstat(transaction.call, fd), good)
            except OSError as error:
                last = error
            else:
                return reply.iatt.size
        raise last
