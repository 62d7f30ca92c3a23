"""Times that GlusterFS keeps beside those of the file system: `trusted.glusterfs.mdata`.

A client of GlusterFS stamps its calls with its own clock, so that all copies of an object bear the same times. A brick
whose root bears such times has them throughout, and there they are what callers are told; on any other brick there are
none, and none are begun.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from enum import IntFlag

import attrs

from ....graph import ROOT_GFID, Gfid, Iatt
from ....graph.types import STAT_FIELDS, Stat, StatLike
from .brick import INODES_MAX, Brick, unlinked_name
from .places import Where, where

KEY = "trusted.glusterfs.mdata"
VERSION = 1
_LAYOUT = struct.Struct(">BQqQqQqQ")
"""Version, flags (0); ctime, mtime, atime, each in seconds (with a sign) and nanoseconds."""
_SECOND = 10**9
_DAY = 24 * 3600 * _SECOND


class Stamp(IntFlag):
    """Which times of an object a call sets; three bits further up, which of its parent. As in `Call.stamp_flags`."""

    CTIME = 1
    MTIME = 2
    ATIME = 4
    CONTENTS = CTIME | MTIME
    ALL = CTIME | MTIME | ATIME


PARENT_SHIFT = 3


@attrs.frozen
class Times:
    """Nanoseconds since 1970."""

    ctime_ns: int
    mtime_ns: int
    atime_ns: int

    @classmethod
    def of_stat(cls, st: StatLike) -> Times:
        return cls(st.st_ctime_ns, st.st_mtime_ns, st.st_atime_ns)

    @classmethod
    def unpacked(cls, value: bytes) -> Times | None:
        """None where it is of another form than we know."""
        if len(value) != _LAYOUT.size or value[0] != VERSION:
            return None
        _, _, *numbers = _LAYOUT.unpack(value)
        return cls(*(numbers[at] * _SECOND + numbers[at + 1] for at in (0, 2, 4)))

    def packed(self) -> bytes:
        numbers = (part for time in (self.ctime_ns, self.mtime_ns, self.atime_ns) for part in divmod(time, _SECOND))
        return _LAYOUT.pack(VERSION, 0, *numbers)

    def replaced(self, stamp: Stamp, now_ns: int) -> Times:
        return Times(
            now_ns if stamp & Stamp.CTIME else self.ctime_ns,
            now_ns if stamp & Stamp.MTIME else self.mtime_ns,
            now_ns if stamp & Stamp.ATIME else self.atime_ns,
        )

    def stamped(self, stamp: Stamp, now_ns: int) -> Times:
        """Of two calls the later stamp counts, in whichever order they arrive."""
        later = self.replaced(stamp, now_ns)
        return Times(
            max(later.ctime_ns, self.ctime_ns),
            max(later.mtime_ns, self.mtime_ns),
            max(later.atime_ns, self.atime_ns),
        )

    def read_at(self, now_ns: int) -> Times:
        """After a read: as file systems do (relatime), an atime is written once after each change, and once a day."""
        stale = self.atime_ns <= max(self.mtime_ns, self.ctime_ns) or now_ns - self.atime_ns >= _DAY
        return self.stamped(Stamp.ATIME, now_ns) if stale else self

    def over(self, iatt: Iatt) -> Iatt:
        """The same attributes with these times."""
        values = {name: getattr(iatt.st, name) for name in STAT_FIELDS}
        values.update(st_ctime_ns=self.ctime_ns, st_mtime_ns=self.mtime_ns, st_atime_ns=self.atime_ns)
        return Iatt(iatt.gfid, Stat(**values), iatt.links_hidden)


@attrs.define(eq=False)
class KeptTimes:
    """The times that objects of one brick bear. Those met last are remembered: the brick has no other writer."""

    brick: Brick
    _known: dict[Gfid, Times | None] = attrs.field(factory=dict, init=False)

    @classmethod
    def of_brick(cls, brick: Brick) -> KeptTimes | None:
        """None where the root bears none: then nothing does."""
        times = cls(brick)
        return None if times.of(ROOT_GFID) is None else times

    def of(self, gfid: Gfid) -> Times | None:
        """None where an object bears none, or is gone."""
        try:
            return self._known[gfid]
        except KeyError:
            at = self._at(gfid)
            value = None if at is None else self.brick.metadata.get(gfid, at[0], KEY)
            return self._remember(gfid, None if value is None else Times.unpacked(value))

    def shown(self, iatt: Iatt) -> Iatt:
        times = self.of(iatt.gfid)
        return iatt if times is None else times.over(iatt)

    def forget(self, gfid: Gfid) -> None:
        """An object is made anew."""
        self._known.pop(gfid, None)

    def stamp(self, gfid: Gfid, stamp: Stamp, now_ns: int, begin: bool) -> None:
        """Times pass on an object. One that bears none is given some only if `begin`."""
        times = self.of(gfid)
        if times is not None:
            self._keep(gfid, times, times.stamped(stamp, now_ns))
        elif begin and (at := self._at(gfid)) is not None:
            self._keep(gfid, None, Times.of_stat(at[1]).replaced(stamp, now_ns))

    def was_read(self, gfid: Gfid, now_ns: int) -> None:
        times = self.of(gfid)
        if times is not None:
            self._keep(gfid, times, times.read_at(now_ns))

    def was_set(self, gfid: Gfid, mtime: bool, atime: bool) -> None:
        """A caller has set these times of the file system: they are the object's, also where they go backwards."""
        times, at = self.of(gfid), self._at(gfid)
        if times is None or at is None:
            return
        st = at[1]
        stamp = (Stamp.MTIME if mtime else Stamp(0)), (Stamp.ATIME if atime else Stamp(0))
        self._keep(gfid, times, times.replaced(stamp[0], st.st_mtime_ns).replaced(stamp[1], st.st_atime_ns))

    def _keep(self, gfid: Gfid, old: Times | None, new: Times) -> None:
        if self.brick.read_only:
            return
        if new != old and (at := self._at(gfid)) is not None:
            self.brick.metadata.set(gfid, at[0], KEY, new.packed())
            self._remember(gfid, new)

    def _remember(self, gfid: Gfid, times: Times | None) -> Times | None:
        if len(self._known) >= INODES_MAX:
            self._known.clear()
        self._known[gfid] = times
        return times

    def _at(self, gfid: Gfid) -> tuple[Where, os.stat_result] | None:
        """Where an object stands, if only as long as it is open, with its attributes."""
        brick = self.brick
        with suppress(OSError):
            if gfid in brick.unlinked:
                name = unlinked_name(gfid)
                return where(brick.fd, name), brick.disk.stat(name, dir_fd=brick.fd, follow_symlinks=False)
            found = brick.find(gfid)
            return found.where, found.st
        return None


def told(times: KeptTimes, reply: object, before: bool) -> None:
    """Put the times that objects bear into the attributes of a reply: those from before a fop, or all others."""
    for name in _iatt_fields(type(reply)):
        if name.startswith("pre") is before:
            iatt = getattr(reply, name)
            if iatt is not None:
                setattr(reply, name, times.shown(iatt))


_FIELDS: dict[type, tuple[str, ...]] = {}


def _iatt_fields(cls: type) -> tuple[str, ...]:
    known = _FIELDS.get(cls)
    if known is None:
        names: Mapping[str, object] = attrs.fields_dict(cls)
        known = _FIELDS[cls] = tuple(name for name in names if name == "iatt" or name.startswith(("pre", "post")))
    return known
