"""How the contents of files are changed: the changes of one file share a stream, in which each is one round."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from ....graph import Call, Fd, Loc, Written, fail
from .change import Change, Wind
from .changelog import Kind
from .locks import InodeLock
from .phases import Phase
from .streams import Claim, Stream
from .transaction import Transaction

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

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


class ContentChanges:
    """Changes the contents of one afr's files, on all copies."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self._streams = afr.streams

    async def change(
        self, call: Call, target: Loc | Fd, span: Span, wind: Wind, *, stable: bool = False, closes: bool = False
    ) -> Change[Any]:
        """Change the contents of a file, on all copies. `stable`: the children answer when it is on their disks;
        `closes`: nothing is left open after it."""
        stream = self._streams.joined(target.gfid) or await self._join(call, target)
        if not stream.enter_at_once(span):
            await self._streams.enter(stream, span)
        change, phase = self._make(stream, span, call, wind, None, stable, closes)
        if phase is not None:
            await self._afr.steps(stream.transaction).run(phase)
        if closes or stream.alone:
            await stream.over
        if closes:
            self._streams.tell_unsaved(target.gfid)
        return change

    async def append(self, call: Call, fd: Fd, wind: Callable[[int], Wind], *, stable: bool = False) -> Change[Written]:
        """Write behind the last byte: the same place on all copies, that where a good one ends."""
        stream = self._streams.joined(fd.gfid) or await self._join(call, fd)
        if not stream.enter_at_once(WHOLE):
            await self._streams.enter(stream, WHOLE)
        try:
            end = await self._end_of_file(stream, fd) if stream.size is None else stream.size
        except BaseException:
            self._streams.leave(stream, WHOLE)
            raise
        change, phase = self._make(stream, WHOLE, call, wind(end), end, stable)
        if phase is not None:
            await self._afr.steps(stream.transaction).run(phase)
        if stream.alone:
            await stream.over
        return change

    def _make(
        self, stream: Stream, span: Span, call: Call, wind: Wind, end: int | None, stable: bool, closes: bool = False
    ) -> tuple[Change[Any], Phase | None]:
        """The change itself, and what is left to do of it. It is a user of the stream until its last phase is done,
        though its caller be cancelled long before. `end` is where the file ended, if the change begins there."""
        transaction = stream.transaction
        asks = None if stable or transaction.unstable else ASKS_WHETHER_IT_APPENDS
        change: Change[Any] = Change(transaction, call, wind, asks=asks)
        stream.size = None
        self._streams.require_quorum(stream, span, closes)
        if change.at_once():
            self._finished(stream, span, change, end, closes)
            return change, None
        return change, self._judged(stream, span, change, end, closes)

    def _judged(self, stream: Stream, span: Span, change: Change[Any], end: int | None, closes: bool) -> Phase | None:
        def finished() -> None:
            self._finished(stream, span, change, end, closes)

        return change.judged(lambda: stream.transaction.tell(change.blame, finished))

    def _finished(self, stream: Stream, span: Span, change: Change[Any], end: int | None, closes: bool) -> None:
        """The change is over, and whoever missed it is on record."""
        transaction = stream.transaction
        if change.error is None:
            stream.size = None if end is None else end + change.reply.count
            if change.asks and not _appended(change):
                transaction.unstable = True
            if change.blame - transaction.on_record:
                change.error = transaction.error
        self._streams.leave(stream, span, closes)

    async def _join(self, call: Call, target: Loc | Fd) -> Stream:
        """An object that is named by its gfid alone may lose its last name at any time, and its marks with it: so its
        stream serves one change."""
        alone = not self._afr.eager_lock or isinstance(target, Loc)

        def begin() -> Stream:
            transaction = Transaction(self._afr, Kind.DATA, [InodeLock.for_data(target)], [target])
            return Stream(transaction, alone, closing=alone)

        return await self._streams.join(call, target, begin)

    async def _end_of_file(self, stream: Stream, fd: Fd) -> int:
        """As one good copy tells it; the next one, where that fails."""
        transaction = stream.transaction
        good = transaction.live & transaction.clean
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


def _appended(change: Change[Any]) -> bool:
    """Did the bytes go behind the old end of the file? A copy that loses them is shorter, and so known to be worse."""
    reply = change.reply
    if not isinstance(reply, Written) or not reply.xdata or APPEND_KEY not in reply.xdata:
        return False
    answer = reply.xdata[APPEND_KEY]
    if change.call.asked(APPEND_KEY) is None:
        reply.xdata = {key: value for key, value in reply.xdata.items() if key != APPEND_KEY}
    return bool(answer)
