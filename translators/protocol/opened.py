"""The fds that a client has open at its server: their numbers, and how they are opened again on a new connection."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

import attrs

from ...graph import Call, Fd, Gfid, Loc, Translator, fail
from .calls import Calls, Pending
from .wire.procedures import ANONYMOUS, BY_FOP
from .wire.rpc import lock_owner

ONCE = os.O_CREAT | os.O_EXCL | os.O_TRUNC
"""Flags that must not act a second time."""
REOPENED_AT_ONCE = 256
REOPENING = Call(pid=-1000)
"""Who opens again what was open. The caller was judged when it opened it; its rights may have changed since, as they do
when a new file is made read-only while it is being written."""


@attrs.define(eq=False)
class Opened:
    """The client's slot of one fd. `number` is the server's; anonymous until it has answered, and while it is away."""

    call: Call
    gfid: Gfid
    flags: int
    is_dir: bool
    number: int = ANONYMOUS
    locked: bool = False
    """An application's lock was taken through it."""
    lost: bool = False
    """It could not be opened again: what it stood for is gone."""
    released: bool = False


class OpenFds:
    """Every fd with a slot of `owner`'s."""

    def __init__(self, owner: Translator, strict_locks: bool) -> None:
        self._owner = owner
        self._strict_locks = strict_locks
        self._fds: dict[Fd, Opened] = {}

    def number(self, fd: Fd) -> int:
        """As the server knows it. EBADFD: it was lost with an earlier connection."""
        slot: Opened | None = fd.slots.get(self._owner)
        if slot is None:
            return ANONYMOUS
        if slot.lost:
            raise fail(errno.EBADFD, f"{self._owner.name}: could not be opened again")
        return slot.number

    def opening(self, fd: Fd, call: Call, gfid: Gfid, flags: int, is_dir: bool) -> Opened:
        slot = Opened(call.with_xdata(None), gfid, flags, is_dir)
        fd.slots[self._owner] = self._fds[fd] = slot
        return slot

    def drop(self, fd: Fd) -> Opened | None:
        """Forget an fd: it was released, or never opened."""
        self._fds.pop(fd, None)
        slot: Opened | None = fd.slots.pop(self._owner, None)
        if slot is not None:
            slot.released = True
        return slot

    def locked(self, fd: Fd, locked: bool) -> None:
        slot = self._fds.get(fd)
        if slot is not None:
            slot.locked = locked

    def disconnected(self) -> None:
        """Every number is void; with strict-locks, so is every fd whose locks went with the connection."""
        for slot in self._fds.values():
            slot.number = ANONYMOUS
            if slot.locked and self._strict_locks:
                slot.lost = True

    async def reopen(self, calls: Calls) -> None:
        """Open all again on a new connection, by gfid. One that fails is lost, and says so when it is used."""
        waiting = [slot for slot in self._fds.values() if slot.gfid.strip(b"\0") and not slot.lost]
        for batch in _batches(waiting):
            for slot, answer in [(slot, _open_again(calls, slot)) for slot in batch]:
                try:
                    _, number = await answer
                except OSError as error:
                    if calls.ended.settled:
                        raise
                    slot.lost = error.errno != errno.ENOTCONN
                else:
                    slot.number = number
                    if slot.released:
                        release(calls, slot)


def _batches(slots: list[Opened]) -> Iterator[list[Opened]]:
    for first in range(0, len(slots), REOPENED_AT_ONCE):
        yield slots[first : first + REOPENED_AT_ONCE]


def _open_again(calls: Calls, slot: Opened) -> Pending:
    procedure = BY_FOP["opendir" if slot.is_dir else "open"]
    args: Iterable[object] = (Loc(slot.gfid),) if slot.is_dir else (Loc(slot.gfid), slot.flags & ~ONCE)
    return calls.fop(procedure, REOPENING, lock_owner(slot.call), list(args), lambda fd: ANONYMOUS)


def release(calls: Calls, slot: Opened) -> None:
    """Tell the server that an fd is not needed any more; its answer tells nothing."""
    if slot.number >= 0 and not calls.ended.settled:
        procedure = BY_FOP["releasedir" if slot.is_dir else "release"]
        calls.fop(procedure, slot.call, lock_owner(slot.call), [Fd(slot.gfid)], lambda fd: slot.number)
