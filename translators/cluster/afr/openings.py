"""What is to be said of an fd while it is opened, and as long as it is open."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ....graph import Answers, Fd, Fop, Gfid, Made, Outcome, wind
from .open_fds import Missing, OpenFd

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

    async def opening(self, fd: Fd, flags: int, work: Awaitable[tuple[R, Missing]]) -> R:
        """What opens `fd`, and tells where it did not. Where it fails, or nobody waits for it any more, the fd is open
        nowhere; but where an answer is on its way still, only once that has come."""
        afr = self._afr
        generation = afr.generation
        try:
            reply, missing = await work
        except Exception:
            afr.release(fd)
            raise
        except BaseException:
            afr.tasks.start(self._give_back(fd, self._asked.get(fd)))
            raise
        finally:
            self._asked.pop(fd, None)
        fd.slots[afr] = OpenFd(flags, missing=missing, generation=generation)
        self._pinned[fd] = reply.iatt.gfid if isinstance(reply, Made) else fd.gfid
        afr.inodes.pin(self._pinned[fd])
        return reply

    async def asked(self, fd: Fd, fop: Fop[P, R], *args: P.args, **kwargs: P.kwargs) -> list[Outcome[R]]:
        """Wind a fop that opens `fd` to every child that is up; laggards count as out of reach."""
        answers = wind(self._afr.children_up(), fop, *args, **kwargs)
        self._asked[fd] = answers
        return await self._afr.laggards.outcomes(answers, frozenset(self._afr.up))

    async def _give_back(self, fd: Fd, answers: Answers[Any] | None) -> None:
        """After what the caller has left behind: the answers to an open, or the rest of the change that creates. Which
        of those that were left that is, is not asked: there are few, and none is long."""
        try:
            if answers is not None:
                await answers.all()
            for left in [transaction.steps.rest for transaction in self._afr.under_way]:
                if left is not None:
                    await left
        finally:
            self._afr.release(fd)

    def released(self, fd: Fd) -> None:
        if fd in self._pinned:
            self._afr.inodes.unpin(self._pinned.pop(fd))
