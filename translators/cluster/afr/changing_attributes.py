"""How attributes are changed, extended ones too: each change has a transaction of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs

from ....graph import NOW_NS, Call, Fd, Loc, NewAttributes
from . import reading
from .change import Change, single_change, winding
from .changelog import Kind
from .locks import InodeLock
from .open_fds import caught_up

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T", Loc, Fd)


async def change_attributes(
    afr: ReplicaSet,
    fop: Callable[Concatenate[Any, Call, T, P], Awaitable[R]],
    call: Call,
    target: T,
    *args: P.args,
    **_: P.kwargs,
) -> R:
    """Attributes of one object, on all copies. EIO if no copy is known to be good."""
    there = await afr.object_at(call, target)
    if isinstance(there, Fd):
        await caught_up(afr, there)
    await reading.readable_for(afr, call, there)
    locks, wind = [InodeLock.for_metadata(there)], winding(fop, there, *args)
    done: Change[R] = await single_change(afr, call, Kind.METADATA, locks, [there], wind)
    return done.reply


def dated(afr: ReplicaSet, new: NewAttributes) -> NewAttributes:
    """With the present time filled in: asked one by one, the copies would each tell their own."""
    now = {name: afr.seams.clock.time_ns() for name in ("atime_ns", "mtime_ns") if getattr(new, name) == NOW_NS}
    return attrs.evolve(new, **now) if now else new
