"""The changes of one file's contents share a transaction (afr.md 10.4).

The first one locks and does the pre-op; those that follow find both done, and cost one round. Once no change is under
way the transaction stays open for `post-op-delay-secs`, so that the next one finds it. It ends earlier when the file is
flushed or fsynced, when another client wants the lock, and when a child comes or goes.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from ....graph import Call, Coming, Fd, Gfid, Loc, Written, fail
from . import reading
from .change import Change, Wind
from .changelog import Kind
from .locks import InodeLock
from .phases import Phase
from .transaction import Transaction

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

STREAMS_MAX = 1024
"""How many files are kept locked for changes to come; beyond, the one that has waited longest is given up."""
APPEND_KEY = "glusterfs.write-is-append"


@attrs.define(eq=False)
class Span:
    """The bytes that a change touches: from `start` up to, and without, `end`."""

    start: int
    end: float

    def overlaps(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end


WHOLE = Span(0, float("inf"))


@attrs.define(eq=False, repr=False)
class Stream:
    """The open transaction of one file. Changes that overlap are made one by one, in the same order on all copies."""

    transaction: Transaction
    alone: bool
    """It serves one change, whose caller waits for its end."""
    closing: bool
    """No further change may join."""
    opened_at: int = 0
    """As the afr counts moments; 0 until the pre-op is done."""
    size: int | None = None
    """Of the file, where it is known: that is where appended bytes go."""
    opened: Coming[None] = attrs.field(init=False, factory=Coming)
    """Settled when changes may join, or never will."""
    over: Coming[None] = attrs.field(init=False, factory=Coming)
    users: int = attrs.field(init=False, default=0)
    _busy: list[Span] = attrs.field(init=False, factory=list)
    _waiting: deque[tuple[Span, Coming[None]]] = attrs.field(init=False, factory=deque)

    def enter_at_once(self, span: Span) -> bool:
        """Begin to touch these bytes, if nothing that came earlier touches them."""
        if self._in_the_way(span):
            return False
        self._busy.append(span)
        return True

    async def enter(self, span: Span) -> None:
        """The same, however long that takes."""
        place = (span, Coming[None]())
        self._waiting.append(place)
        try:
            await place[1]
        except BaseException:  # cancelled: its place, or its turn, is the next one's
            if place in self._waiting:
                self._waiting.remove(place)
                self._let_in()
            else:
                self.leave(span)
            raise

    def leave(self, span: Span) -> None:
        self._busy.remove(span)
        if self._waiting:
            self._let_in()

    def _in_the_way(self, span: Span) -> bool:
        if not self._busy and not self._waiting:
            return False
        return any(map(span.overlaps, self._busy)) or any(span.overlaps(other) for other, _ in self._waiting)

    def _let_in(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for span, turn in waiting:
            if self._in_the_way(span):
                self._waiting.append((span, turn))
            else:
                self._busy.append(span)
                turn.resolve(None)


class Streams:
    """The open transactions of one afr, by file."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self._streams: dict[Gfid, Stream] = {}
        self._idle: dict[Gfid, float] = {}
        """Since when, the longest first."""
        self._unsaved: dict[Gfid, OSError] = {}
        """What nobody was told yet: that what was written to a file before is on no disk."""
        self._sweeping = False

    @cached_property
    def _now(self) -> Callable[[], float]:
        return self._afr.seams.clock.monotonic

    # --- changes -----------------------------------------------------------------------------------------------------

    async def change(
        self, call: Call, target: Loc | Fd, span: Span, wind: Wind, *, stable: bool = False, closes: bool = False
    ) -> Change[Any]:
        """Change the contents of a file, on all copies. `stable`: the children answer when it is on their disks;
        `closes`: nothing is left open after it."""
        stream = self._joined(target.gfid) or await self._join(call, target)
        if not stream.enter_at_once(span):
            await self._enter(stream, span)
        change, phase = self._make(stream, span, call, wind, None, stable, closes)
        if phase is not None:
            await self._afr.steps(stream.transaction).run(phase)
        if closes or stream.alone:
            await stream.over
        if closes:
            self.tell_unsaved(target.gfid)
        return change

    async def append(self, call: Call, fd: Fd, wind: Callable[[int], Wind], *, stable: bool = False) -> Change[Written]:
        """Write behind the last byte: the same place on all copies, that where a good one ends."""
        stream = self._joined(fd.gfid) or await self._join(call, fd)
        if not stream.enter_at_once(WHOLE):
            await self._enter(stream, WHOLE)
        try:
            end = await self._end_of_file(stream, fd) if stream.size is None else stream.size
        except BaseException:
            self._leave(stream, WHOLE)
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
        afr, transaction = self._afr, stream.transaction
        asks = not (stable or transaction.unstable)
        asking = call.with_xdata({**(call.xdata or {}), APPEND_KEY: 1}) if asks else call
        change: Change[Any] = Change(transaction, asking, wind)
        stream.size = None

        def told() -> None:
            if change.error is None:
                stream.size = None if end is None else end + change.reply.count
                if asks and not _appended(change, call):
                    transaction.unstable = True
                if change.blame - transaction.told:
                    change.error = transaction.error
            self._leave(stream, span, closes)

        if not afr.quorum.met(transaction.live):
            self._leave(stream, span, closes)
            raise fail(errno.ENOTCONN, f"{afr.name}: too few children are left")
        return change, change.operate(lambda: transaction.tell(told))

    async def _enter(self, stream: Stream, span: Span) -> None:
        try:
            await stream.enter(span)
        except BaseException:
            self._left(stream)
            raise

    def _leave(self, stream: Stream, span: Span, closes: bool = False) -> None:
        stream.leave(span)
        self._left(stream, closes)

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

    # --- opening and closing -----------------------------------------------------------------------------------------

    def _joined(self, gfid: Gfid) -> Stream | None:
        """The file's stream, if it is open for changes; the caller is one of its users."""
        stream = self._streams.get(gfid)
        if stream is None or stream.closing or not stream.opened_at:
            return None
        if not stream.users:
            del self._idle[gfid]
        stream.users += 1
        return stream

    async def _join(self, call: Call, target: Loc | Fd) -> Stream:
        """The file's stream, opened if there is none; the caller is one of its users."""
        while True:
            stream = self._streams.get(target.gfid)
            if stream is None:
                await reading.readable_for(self._afr, call, target)
                if target.gfid not in self._streams:
                    return await self._open(target)
                continue
            joined = self._joined(target.gfid)
            if joined is not None:
                return joined
            await (stream.over if stream.closing else stream.opened)

    async def _open(self, target: Loc | Fd) -> Stream:
        """An object that is named by its gfid alone may lose its last name at any time, and its marks with it: so
        nothing stays open."""
        afr, gfid = self._afr, target.gfid
        transaction = Transaction(afr, Kind.DATA, [InodeLock.for_data(target)], [target])
        alone = not afr.eager_lock or isinstance(target, Loc)
        stream = self._streams[gfid] = Stream(transaction, alone, closing=alone)
        stream.users = 1
        try:
            await transaction.steps.run(transaction.begin(lambda: self._opened(stream)))
            if transaction.error is not None:
                raise transaction.error
        except BaseException:
            self._over(stream)
            raise
        return stream

    def _opened(self, stream: Stream) -> None:
        self._afr.moment += 1
        stream.opened_at = self._afr.moment
        stream.opened.resolve(None)

    def _left(self, stream: Stream, closes: bool = False) -> None:
        """One user less. The last one ends a stream that is closing, and leaves any other open for a while."""
        stream.users -= 1
        transaction = stream.transaction
        if closes or transaction.doubtful or not self._afr.quorum.met(transaction.live):
            stream.closing = True
        if stream.users:
            return
        if stream.closing:
            self._end(stream)
            return
        self._idle[transaction.marked[0].gfid] = self._now()
        if len(self._idle) > STREAMS_MAX:
            self.close_soon(next(iter(self._idle)))
        if not self._sweeping:
            self._sweeping = True
            self._afr.tasks.start_daemon(self._sweep())

    def close_soon(self, gfid: Gfid) -> None:
        """End a file's stream as soon as the changes under way are done."""
        stream = self._streams.get(gfid)
        if stream is not None and not stream.closing:
            stream.closing = True
            if not stream.users:
                self._end(stream)

    async def close(self, gfid: Gfid) -> None:
        """The same, and wait until it has ended: no mark and no lock is left."""
        stream = self._streams.get(gfid)
        if stream is not None:
            self.close_soon(gfid)
            await stream.over

    def tell_unsaved(self, gfid: Gfid) -> None:
        """Whoever next syncs or closes the file is told, as by a kernel that fails to write back."""
        error = self._unsaved.pop(gfid, None)
        if error is not None:
            raise error

    def close_all(self) -> None:
        for gfid in list(self._streams):
            self.close_soon(gfid)

    def _end(self, stream: Stream) -> None:
        self._idle.pop(stream.transaction.marked[0].gfid, None)
        stream.transaction.steps.start(stream.transaction.end(lambda: self._over(stream)))

    def _over(self, stream: Stream) -> None:
        gfid = stream.transaction.marked[0].gfid
        del self._streams[gfid]
        if stream.transaction.unsaved is not None:
            self._unsaved[gfid] = stream.transaction.unsaved
            if len(self._unsaved) > STREAMS_MAX:
                del self._unsaved[next(iter(self._unsaved))]
        stream.closing = True
        stream.opened.resolve(None)
        stream.over.resolve(None)

    async def _sweep(self) -> None:
        """End the streams that nobody has used for a while."""
        delay = self._afr.post_op_delay
        try:
            while self._idle:
                gfid, since = next(iter(self._idle.items()))
                left = since + delay - self._now()
                if left > 0:
                    await self._afr.seams.clock.sleep(left)
                else:
                    self.close_soon(gfid)
        finally:
            self._sweeping = False

    # --- for others --------------------------------------------------------------------------------------------------

    def child_turned(self, child: int) -> None:
        """A child went, and the locks that it held with it, or it came back without them."""
        for gfid, stream in list(self._streams.items()):
            stream.transaction.live.discard(child)
            self.close_soon(gfid)

    def uses(self, fd: Fd) -> Stream | None:
        """The stream whose lock and marks are held by way of this very fd."""
        stream = self._streams.get(fd.gfid)
        return stream if stream is not None and stream.transaction.marked[0] is fd else None

    def marked_since(self, gfid: Gfid, moment: int) -> set[int]:
        """The children on which a change of our own has been announced since before that moment, and is still."""
        stream = self._streams.get(gfid)
        if stream is None or stream.closing or not 0 < stream.opened_at <= moment:
            return set()
        return stream.transaction.live


def _appended(change: Change[Any], call: Call) -> bool:
    """Did the bytes go behind the old end of the file? A copy that loses them is shorter, and so known to be worse."""
    reply = change.reply
    if not isinstance(reply, Written) or not reply.xdata or APPEND_KEY not in reply.xdata:
        return False
    answer = reply.xdata[APPEND_KEY]
    if call.asked(APPEND_KEY) is None:
        reply.xdata = {key: value for key, value in reply.xdata.items() if key != APPEND_KEY}
    return bool(answer)
