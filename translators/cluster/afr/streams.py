"""Transactions that stay open for the changes to come.

The first change of a file's contents, or of a directory's names, locks and does the pre-op; those that follow find both
done, and cost one round. Once no change is under way the transaction stays open for `post-op-delay-secs`, or up to
twice as long, so that the next one finds it. It ends earlier when the object is flushed or fsynced, when another client
wants the lock, and when a child comes or goes; and now and then though it is in use.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ....graph import Call, Fd, Gfid, Loc, fail
from . import reading
from .change import Change
from .changelog import Counters, one_change
from .phases import Phase
from .stream import Claim, Stream

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

STREAMS_MAX = 1024
"""How many objects are kept locked for changes to come; beyond, the one that has waited longest is given up."""
RENEWALS_MAX = 60
"""How often a stream that is in use is left open for another `post-op-delay-secs`. A child may not tell that others
wait: they get their turn all the same."""
CONTENDED_SECONDS = 5.0
"""How long a directory that others want to change, too, is locked by single names."""


class Streams:
    """The open transactions of one afr, by object."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self._streams: dict[Gfid, Stream] = {}
        self._idle: dict[Gfid, float] = {}
        """Since when, the longest first. One that was used since then is found out when its time is over."""
        self._contended_at: dict[Gfid, float] = {}
        """Directories that others want to change, too, and when that was last seen."""
        self._making_way: Counter[Gfid] = Counter()
        """Objects that something else of our own is to lock, and how many want that."""
        self._unsaved: dict[Gfid, OSError] = {}
        """What nobody was told yet: that what was written to a file before is on no disk."""
        self._sweeping = False
        self._keeps_none = False

    @cached_property
    def _now(self) -> Callable[[], float]:
        return self._afr.seams.clock.monotonic

    # --- one change: it joins the stream, waits for its turn, is carried out, and leaves -----------------------------

    def entered(self, gfid: Gfid, claim: Claim) -> Stream | None:
        """The object's stream, if it is open for changes and nothing that came earlier touches the same. The change is
        one of its users, and it is its turn."""
        stream = self._streams.get(gfid)
        if stream is None or stream.closing or not stream.opened_at or not stream.enter_at_once(claim):
            return None
        stream.users += 1
        stream.used = True
        return stream

    async def enter(self, call: Call, target: Loc | Fd, claim: Claim, begin: Callable[[], Stream]) -> Stream:
        """The same, however long that takes; if there is no stream, of the one that `begin` makes. Whoever gives up
        waiting is no user any more."""
        stream = await self._join(call, target, begin)
        try:
            await stream.enter(claim)
        except BaseException:
            self._left(stream)
            raise
        return stream

    def carried_out(self, stream: Stream, claim: Claim, change: Change[Any], closes: bool = False) -> bool:
        """Carry out a change whose turn it is. Is all done by now? Otherwise it goes on with `carry_out`. `closes`:
        nothing is left open after it.

        ENOTCONN: children have failed since the stream was opened. What else it came to, the change says.
        """
        if not self._afr.quorum.met(stream.transaction.live):
            self.leave(stream, claim, closes)
            raise fail(errno.ENOTCONN, f"{self._afr.name}: too few children are left")
        try:
            if not change.done_at_once():
                return False
            change.conclude()
        except Exception:
            self._bug_in(stream, claim, change, closes)
            raise
        self.leave(stream, claim, closes)
        return not (closes or stream.single)

    async def carry_out(self, stream: Stream, claim: Claim, change: Change[Any], closes: bool = False) -> None:
        """The same, however long that takes. The change stays a user of the stream until its last phase is done, though
        its caller be cancelled long before."""
        if not change.over:
            try:
                await self._afr.steps(stream.transaction).run(self._judged(stream, claim, change, closes))
            except Exception:
                self._bug_in(stream, claim, change, closes)
                raise
        if closes or stream.single:
            await stream.over

    def _bug_in(self, stream: Stream, claim: Claim, change: Change[Any], closes: bool) -> None:
        """Unless all was over, nobody knows what has happened."""
        if not change.over:
            stream.transaction.in_the_dark()
            self.leave(stream, claim, closes)

    def _judged(self, stream: Stream, claim: Claim, change: Change[Any], closes: bool) -> Phase | None:
        """What is left to do of it. Then it is over, and whoever missed it is on record; or that is its error."""
        transaction = stream.transaction

        def concluded() -> None:
            change.conclude()
            if change.error is None and not change.blame <= transaction.on_record:
                change.error = transaction.error
            self.leave(stream, claim, closes)

        return change.judged(lambda: transaction.put_on_record(change.blame, concluded))

    def leave(self, stream: Stream, claim: Claim, closes: bool = False) -> None:
        """Its turn is over, and the caller is no user any more."""
        stream.leave(claim)
        self._left(stream, closes)

    async def _join(self, call: Call, target: Loc | Fd, begin: Callable[[], Stream]) -> Stream:
        while True:
            stream = self._streams.get(target.gfid)
            if stream is None:
                await reading.readable_for(self._afr, call, target)
                if target.gfid not in self._streams:
                    return await self._open(begin())
            elif stream.closing:
                await stream.over
            elif not stream.opened_at:
                await stream.opened
            else:
                stream.users += 1
                stream.used = True
                return stream

    async def _open(self, stream: Stream) -> Stream:
        self._streams[stream.gfid] = stream
        stream.users = 1
        stream.closing = stream.single or self._keeps_none or stream.gfid in self._making_way
        transaction = stream.transaction
        try:
            await transaction.run(lambda: self._opened(stream))
            if transaction.error is not None:
                raise transaction.error
        except BaseException:
            stream.closing = True
            if stream.opened_at:  # all the same, though a child has a bug
                self._left(stream)
            else:
                transaction.steps.when_over(lambda: self._over(stream))
            raise
        if not stream.closing and self._afr.post_op_delay:
            self._keep(stream)
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
        if not stream.users and (stream.closing or not self._afr.post_op_delay):
            stream.closing = True
            self._end(stream)

    def _keep(self, stream: Stream) -> None:
        """Leave it open, for as long as it is used and a while longer."""
        self._idle[stream.gfid] = self._now()
        if len(self._idle) > STREAMS_MAX:
            self.close_soon(next(iter(self._idle)))
        if not self._sweeping:
            self._sweeping = True
            self._afr.tasks.start_daemon(self._sweep())

    # --- ending ------------------------------------------------------------------------------------------------------

    def close_soon(self, gfid: Gfid) -> None:
        """End an object's stream as soon as the changes under way are done."""
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

    @contextmanager
    def making_way(self, gfids: Collection[Gfid]) -> Iterator[None]:
        """Something else of our own is to lock these, and does not depend on being told of by the children: what is
        open of them ends as soon as the changes under way are done, and meanwhile nothing stays open."""
        self._making_way.update(gfids)
        for gfid in gfids:
            self.close_soon(gfid)
        try:
            yield
        finally:
            for gfid in gfids:
                self._making_way[gfid] -= 1
                if not self._making_way[gfid]:
                    del self._making_way[gfid]

    def close_all_soon(self) -> None:
        """End all as soon as the changes under way are done."""
        for gfid in list(self._streams):
            self.close_soon(gfid)

    def keep_none(self) -> None:
        """The same; and what is changed from now on, to end what an afr above has begun, leaves nothing open."""
        self._keeps_none = True
        self.close_all_soon()

    def stop(self) -> None:
        """The graph has ended, and what it did not wait for any longer is not done any more."""
        for stream in list(self._streams.values()):
            stream.break_off(self._afr.name)

    async def close_all(self) -> None:
        """Close those that are open now."""
        for gfid in list(self._streams):
            await self.close(gfid)

    def raise_unsaved(self, gfid: Gfid) -> None:
        """Once, to whoever next syncs or closes the file, as by a kernel that fails to write back."""
        error = self._unsaved.pop(gfid, None)
        if error is not None:
            raise error

    def _end(self, stream: Stream) -> None:
        self._idle.pop(stream.gfid, None)
        stream.transaction.steps.start(stream.transaction.end(lambda: self._over(stream)))

    def _over(self, stream: Stream) -> None:
        gfid = stream.gfid
        del self._streams[gfid]
        if stream.transaction.unsaved is not None:
            self._unsaved[gfid] = stream.transaction.unsaved
            if len(self._unsaved) > STREAMS_MAX:
                del self._unsaved[next(iter(self._unsaved))]
        stream.closing = True
        stream.opened.resolve(None)
        stream.over.resolve(None)

    async def _sweep(self) -> None:
        """End the streams that nobody has used for a while. One that was used is given another while, counted from
        now: to ask the clock at each change would cost half as much as a child's write."""
        delay = self._afr.post_op_delay
        try:
            while self._idle:
                gfid, since = next(iter(self._idle.items()))
                stream = self._streams[gfid]
                left = since + delay - self._now()
                if left > 0:
                    await self._afr.seams.clock.sleep(left)
                    continue
                del self._idle[gfid]
                if (stream.used or stream.users) and stream.renewals < RENEWALS_MAX:
                    stream.used = False
                    stream.renewals += 1
                    self._idle[gfid] = self._now()
                else:
                    self.close_soon(gfid)
        finally:
            self._sweeping = False

    # --- for others --------------------------------------------------------------------------------------------------

    def contended(self, gfid: Gfid, is_dir: bool) -> None:
        """Another client wants the lock. Of a directory it may want single names for some time: whole directories that
        are taken from each other, one change at a time, would cost both more than that."""
        self.close_soon(gfid)
        if is_dir and gfid not in self._making_way:
            self._contended_at.pop(gfid, None)
            self._contended_at[gfid] = self._now()
            if len(self._contended_at) > STREAMS_MAX:
                del self._contended_at[next(iter(self._contended_at))]

    def may_keep(self, gfid: Gfid) -> bool:
        """May the directory stay open for the changes to come? Not where another client has wanted to change it lately,
        or something else of our own is to lock it: then single names are locked."""
        if gfid in self._making_way:
            return False
        since = self._contended_at.get(gfid)
        if since is not None and since + CONTENDED_SECONDS <= self._now():
            del self._contended_at[gfid]
            since = None
        return since is None

    def child_turned(self, child: int) -> None:
        """A child went, and the locks that it held with it, or it came back without them."""
        for gfid, stream in list(self._streams.items()):
            stream.transaction.live.discard(child)
            self.close_soon(gfid)

    def held_through(self, fd: Fd) -> Stream | None:
        """The stream whose lock and marks are held by way of this very fd."""
        stream = self._streams.get(fd.gfid)
        return stream if stream is not None and stream.transaction.marked[0] is fd else None

    def own_marks(self, gfid: Gfid, moment: int) -> Mapping[int, Counters]:
        """The children on which a change of our own has been announced since before that moment, and is still; and
        what their dirty counters say of it."""
        stream = self._streams.get(gfid)
        if stream is None or stream.closing or not stream.transaction.announced or not 0 < stream.opened_at <= moment:
            return {}
        return dict.fromkeys(stream.transaction.live, one_change(stream.transaction.kind))
