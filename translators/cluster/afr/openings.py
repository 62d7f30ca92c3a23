"""How fds are opened, and what is to be said of one as long as it is open."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Collection, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ....graph import Acknowledged, Answers, Call, Fd, Fop, Gfid, Loc, Made, Outcome, Translator, wind
from . import reading, strict
from .open_fds import NOT_FOR_CHILDREN, Missing, OpenFd, not_open
from .verdict import combined_error

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

R = TypeVar("R")
P = ParamSpec("P")


class Openings:
    """The fds of one afr that are open, or on their way to it."""

    def __init__(self, afr: ReplicaSet) -> None:
        self._afr = afr
        self._asked: dict[Fd, Answers[Any]] = {}
        self._pinned: dict[Fd, Gfid] = {}
        """What is known of an object is kept as long as it is open: once it has no name, nobody can be asked."""
        self._late: dict[Fd, set[int]] = {}
        """The laggards that were asked to open it, and may do so at any time."""

    async def open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> Acknowledged:
        return await self.opening(fd, flags, self._open(call, loc, flags, fd))

    async def _open(self, call: Call, loc: Loc, flags: int, fd: Fd) -> tuple[Acknowledged, Missing]:
        afr = self._afr
        good = await afr.good_copies(call, loc.gfid)
        outcomes = await self._asked_all(fd, Translator.open, call, loc, flags & ~NOT_FOR_CHILDREN, fd)
        reply = self.opened(outcomes, good)
        if flags & os.O_TRUNC:
            await afr.ftruncate(call, fd, 0)
        return reply, not_open(afr, outcomes)

    async def opendir(self, call: Call, loc: Loc, fd: Fd) -> Acknowledged:
        return await self.opening(fd, os.O_DIRECTORY, self._opendir(call, loc, fd))

    async def _opendir(self, call: Call, loc: Loc, fd: Fd) -> tuple[Acknowledged, Missing]:
        """What other clients have changed until now is listed: no older knowledge of the copies will do."""
        afr = self._afr
        if afr.strict_reads:
            good = await strict.certain_copies(afr, call, loc.gfid)
        else:
            good = await reading.readable_copies(afr, call, loc.gfid, fresh=True)
        outcomes = await self._asked_all(fd, Translator.opendir, call, loc, fd)
        return self.opened(outcomes, good), not_open(afr, outcomes)

    def opened(self, outcomes: Sequence[Outcome[Acknowledged]], good: Collection[int]) -> Acknowledged:
        """Open on a quorum, and on a good copy. Where it is not open, a child acts on the gfid."""
        opened = {self._afr.index[outcome.child]: outcome for outcome in outcomes if outcome.ok}
        if not self._afr.quorum.met(opened) or not opened.keys() & good:
            raise combined_error(outcomes)
        return Acknowledged()

    async def opening(self, fd: Fd, flags: int, work: Awaitable[tuple[R, Missing]]) -> R:
        """What opens `fd`, and tells where it did not. Where it fails, or nobody waits for it any more, the fd is open
        nowhere; but where an answer is on its way still, only once that has come."""
        afr = self._afr
        generation, fences = afr.generation, dict(afr.laggards.fences)
        try:
            reply, missing = await work
        except Exception:
            self.expect_late(fd, afr.laggards.fenced_since(fences))
            afr.release(fd)
            raise
        except BaseException:
            afr.tasks.start(self._give_back(fd, self._asked.get(fd)))
            raise
        finally:
            self._asked.pop(fd, None)
        self.expect_late(fd, afr.laggards.fenced_since(fences))
        fd.slots[afr] = OpenFd(flags, missing=missing, generation=generation)
        self._pinned[fd] = reply.iatt.gfid if isinstance(reply, Made) else fd.gfid
        afr.inodes.pin(self._pinned[fd])
        return reply

    async def _asked_all(self, fd: Fd, fop: Fop[P, R], *args: P.args, **kwargs: P.kwargs) -> list[Outcome[R]]:
        """Wind a fop that opens `fd` to every child that is up; laggards count as out of reach."""
        answers = wind(self._afr.children_up(), fop, *args, **kwargs)
        self._asked[fd] = answers
        return await self._afr.laggards.outcomes(answers, frozenset(self._afr.up))

    def expect_late(self, fd: Fd, children: Collection[int]) -> None:
        """These are fenced, and may have been asked to open it."""
        if children:
            self._late.setdefault(fd, set()).update(children)

    async def _give_back(self, fd: Fd, answers: Answers[Any] | None) -> None:
        """After what the caller has begun: the answers to an open, or the change that creates. Which of those that are
        being finished that is, is not asked: there are few, and none is long."""
        try:
            if answers is not None:
                await answers.all()
            for over in list(self._afr.finishing):
                await over
        finally:
            self._afr.release(fd)

    def released(self, fd: Fd) -> None:
        if fd in self._pinned:
            self._afr.inodes.unpin(self._pinned.pop(fd))
        for child in sorted(self._late.pop(fd, ())):
            self._afr.laggards.release(child, fd)
