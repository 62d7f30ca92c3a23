"""storage/posix over a brick whose objects bear times of GlusterFS's clients (times.py): each fop keeps them."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import attrs

from ....graph import (
    FOPS,
    NULL_GFID,
    Call,
    Coming,
    Done,
    Entries,
    Fd,
    Gfid,
    Loc,
    Made,
    NewAttributes,
    Renamed,
    Translator,
)
from .brick import Brick
from .locking import PosixLocking
from .times import KEY, PARENT_SHIFT, KeptTimes, Stamp, told

R = TypeVar("R")

_NEVER_BORNE = frozenset((errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES))

MAKERS = frozenset(("create", "mknod", "mkdir", "symlink"))
READERS = frozenset(("open", "opendir", "readv"))
OF_OBJECT: Mapping[str, Stamp] = {
    **dict.fromkeys(MAKERS, Stamp.ALL),
    **dict.fromkeys(("writev", "truncate", "ftruncate", "copy_file_range"), Stamp.CONTENTS),
    **dict.fromkeys(("fallocate", "discard", "zerofill"), Stamp.CONTENTS),
    **dict.fromkeys(("setattr", "fsetattr", "link", "unlink", "rename"), Stamp.CTIME),
    **dict.fromkeys(("setxattr", "fsetxattr", "removexattr", "fremovexattr"), Stamp.CTIME),
}
"""What each fop does to the times of its object, where the call does not say."""
OF_PARENTS = MAKERS | {"link", "unlink", "rmdir", "rename"}


@attrs.define(eq=False)
class PosixTiming(PosixLocking):
    """See `Posix`."""

    _times: KeptTimes | None = attrs.field(init=False, default=None, repr=False)
    _times_brick: Brick | None = attrs.field(init=False, default=None, repr=False)
    """The brick that `_times` is of, or that has none."""

    def detours(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """Every fop, where the brick bears such times; else none, and they cost nothing."""
        detours = dict(super().detours())
        if self.ctime and self._may_bear_times():
            own = (name for name in FOPS if getattr(type(self), name) is not getattr(Translator, name))
            detours |= {name: partial(self._timed, name, getattr(self, name)) for name in own}
        return detours

    def _may_bear_times(self) -> bool:
        if self._on_worker:  # the disk may hang: it is not asked here
            return True
        try:
            self.seams.blocking.disk.getxattr(self.directory, KEY)
        except OSError as error:
            return error.errno not in _NEVER_BORNE  # not there yet: each fop will see
        return True

    def _timed(self, name: str, fop: Callable[..., Awaitable[R]], call: Call, *args: Any, **kwargs: Any) -> Any:
        brick = self.brick
        if brick is not self._times_brick:
            self._times, self._times_brick = KeptTimes.of_brick(brick), brick
        times = self._times
        if times is None:
            return fop(call, *args, **kwargs)
        objects = self._objects(name, args)
        answer = fop(call, *args, **kwargs)
        if isinstance(answer, Done):
            return Done(self._kept(times, name, call, args, objects, answer.value))
        if not isinstance(answer, Coming):
            return answer
        coming: Coming[Any] = Coming()
        answer.when_settled(partial(self._kept_late, coming, answer, times, name, call, args, objects))
        return coming

    def _kept_late(self, coming: Coming[Any], answer: Coming[R], *args: Any) -> None:
        times, name, call, fop_args, objects = args
        try:
            coming.resolve(self._kept(times, name, call, fop_args, objects, answer.result()))
        except BaseException as error:
            coming.reject(error)

    def _kept(self, times: KeptTimes, name: str, call: Call, args: tuple[Any, ...], objects: list[Gfid], reply: R) -> R:
        """After a fop: bring the times up to date, and put them into the reply."""
        if isinstance(reply, Made | Renamed):
            objects = [reply.iatt.gfid]
        made = name in MAKERS and objects == [call.asked("gfid-req")]
        if made:
            times.forget(objects[0])
        told(times, reply, before=True)
        if name in READERS:
            if call.stamp_flags & Stamp.ATIME:
                for gfid in objects:
                    times.was_read(gfid, call.stamp_ns)
        elif made or name not in MAKERS:  # what a create has found there it only opens
            self._stamp(times, name, call, args, objects)
        told(times, reply, before=False)
        if isinstance(reply, Entries):
            for entry in reply.entries:
                told(times, entry, before=False)
        return reply

    def _stamp(self, times: KeptTimes, name: str, call: Call, args: tuple[Any, ...], objects: list[Gfid]) -> None:
        """By the stamp of the call. A call without one, of a client that knows nothing of such times, would leave them
        as they are for ever: it is stamped here. Only healing sets none but those that it asks for."""
        flags, now = call.stamp_flags, call.stamp_ns
        if flags:
            of_object, of_parents = Stamp(flags & Stamp.ALL), Stamp(flags >> PARENT_SHIFT & Stamp.ALL)
        elif call.pid < 0:
            of_object = of_parents = Stamp(0)
        else:
            now = self.seams.clock.time_ns()
            of_object, of_parents = OF_OBJECT.get(name, Stamp(0)), Stamp.CONTENTS
        if of_object and name in OF_OBJECT:
            for gfid in objects:
                times.stamp(gfid, of_object, now, begin=bool(flags))
        if of_parents and name in OF_PARENTS:
            for parent in {arg.parent for arg in args if isinstance(arg, Loc)} - {NULL_GFID}:
                times.stamp(parent, of_parents, now, begin=bool(flags))
        for new in args:
            if isinstance(new, NewAttributes) and (new.mtime_ns is not None or new.atime_ns is not None):
                for gfid in objects:
                    times.was_set(gfid, new.mtime_ns is not None, new.atime_ns is not None)

    def _objects(self, name: str, args: tuple[Any, ...]) -> list[Gfid]:
        """What a fop acts on, as far as its reply may not tell: of two files the last, which is written to."""
        if name in MAKERS or name in ("link", "rename") or (name not in OF_OBJECT and name not in READERS):
            return []
        target = next((arg for arg in reversed(args) if isinstance(arg, Loc | Fd)), None)
        if isinstance(target, Fd):
            if name in ("open", "opendir"):
                return [args[0].gfid]
            return [self._gfid_of(target)]
        if target is None:
            return []
        try:
            return [self._found(target).gfid]
        except OSError:
            return []  # as the fop itself will find
