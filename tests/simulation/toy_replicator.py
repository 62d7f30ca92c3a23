"""A replicator of one page, right or wrong in a chosen way: what a sweep must find, and where it must find nothing."""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection
from typing import Any

import attrs

from volgraph.graph import (
    Acknowledged,
    Buffer,
    Call,
    Capability,
    Data,
    Fd,
    Flock,
    Loc,
    LockCommand,
    LockType,
    LookedUp,
    Made,
    Outcome,
    Translator,
    Written,
    XattropKind,
    fail,
    fan_out,
)
from volgraph.testing.invariants import Majority

COUNTERS = struct.Struct(">3I")
DIRTY = "trusted.afr.dirty"


@attrs.define(eq=False)
class Toy(Translator):
    """Writes are replicated in all five phases. Creates are made everywhere, without any: sweep only writes.

    Faults: F01 acks though post-op missed quorum; F02 goes on though pre-op missed quorum; F10 gives post-op to
    children that failed the op; "mute" blames nobody, "slander" everybody.
    """

    fault: str = attrs.field(default="", kw_only=True)
    children_allowed = (1, None)
    needs = frozenset((Capability.XATTROP,))

    def key(self, child: Translator) -> str:
        return f"trusted.afr.{child.name}"

    def enough(self, children: Collection[Translator]) -> bool:
        return Majority(len(self.children))([self.children.index(child) for child in children])

    async def create(self, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Made:
        outcomes = await fan_out(self.children, Translator.create, call, loc, flags, mode, umask, fd)
        made: Made = _one(outcomes)
        return made

    async def writev(self, call: Call, fd: Fd, data: Buffer, offset: int, flags: int = 0) -> Written:
        call = call.owned_by(b"toy")
        lock, unlock = Flock(LockType.WRITE), Flock(LockType.UNLOCK)
        live = _ok(await fan_out(self.children, Translator.finodelk, call, self.name, fd, LockCommand.SET, lock))
        locked = live
        try:
            if not self.enough(live):
                raise fail(errno.ENOTCONN)
            live = await self.marked(live, call, fd, {DIRTY: COUNTERS.pack(1, 0, 0)})
            if not self.enough(live) and self.fault != "F02":
                raise fail(errno.ENOTCONN)
            outcomes = await fan_out(live, Translator.writev, call, fd, data, offset, flags)
            good = _ok(outcomes)
            if not self.enough(good):
                raise fail(errno.ENOTCONN)  # dirty stays: nobody knows what happened
            missed = self.to_blame(good)
            values = {DIRTY: COUNTERS.pack(2**32 - 1, 0, 0), **{self.key(c): COUNTERS.pack(1, 0, 0) for c in missed}}
            told = await self.marked(live if self.fault == "F10" else good, call, fd, values)
            if not self.enough(told) and self.fault != "F01":
                raise fail(errno.ENOTCONN)
            written: Written = _one(outcomes)
            return written
        finally:
            await fan_out(locked, Translator.finodelk, call, self.name, fd, LockCommand.SET, unlock)

    async def flush(self, call: Call, fd: Fd) -> Acknowledged:
        """A write has ended when it is answered: nothing is left to do."""
        return Acknowledged()

    def to_blame(self, good: list[Translator]) -> list[Translator]:
        missed = [child for child in self.children if child not in good]
        if self.fault == "slander" and missed:
            return list(self.children)
        return [] if self.fault == "mute" else missed

    async def marked(
        self, children: list[Translator], call: Call, fd: Fd, values: dict[str, bytes]
    ) -> list[Translator]:
        return _ok(await fan_out(children, Translator.fxattrop, call, fd, XattropKind.ADD_ARRAY, values))

    async def lookup(self, call: Call, loc: Loc) -> LookedUp:
        return (await self.good_copies(call, loc))[0][1]

    async def readv(self, call: Call, fd: Fd, size: int, offset: int, flags: int = 0) -> Data:
        children = await self.good_copies(call, Loc(fd.gfid))
        return await children[0][0].readv(call, fd, size, offset, flags)

    async def good_copies(self, call: Call, loc: Loc) -> list[tuple[Translator, LookedUp]]:
        """The copies that nobody blames."""
        asking = call.with_xdata({self.key(child): 12 for child in self.children})
        outcomes = [each for each in await fan_out(self.children, Translator.lookup, asking, loc) if each.ok]
        if not self.enough([each.child for each in outcomes]):
            raise fail(errno.ENOTCONN)
        found = [(each.child, each.value) for each in outcomes if each.value is not None]
        blamed = {key for _, reply in found for key, value in (reply.xdata or {}).items() if any(value)}
        good = [(child, reply) for child, reply in found if self.key(child) not in blamed]
        if not good:
            raise fail(errno.EIO)
        return good


def _ok(outcomes: list[Outcome[Any]]) -> list[Translator]:
    return [each.child for each in outcomes if each.ok]


def _one(outcomes: list[Outcome[Any]]) -> Any:
    return next(each.value for each in outcomes if each.ok)
