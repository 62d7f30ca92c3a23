"""The fds that a client has open at its server: their numbers, what is locked through them, and how they are opened
again on a new connection."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import attrs

from ...graph import Call, Fd, Flock, Gfid, Loc, LockType, Translator, fail
from ..storage.fd_locks import FdLocks
from ..storage.lock_table import WITHDRAW_KEY
from .calls import Calls, Pending
from .lock_owners import wire_owner
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
    lost: bool = False
    """What it stood for is gone: it could not be opened again, or what was locked through it went with a connection."""
    released: bool = False


class OpenFds:
    """Every fd with a slot of `owner`'s."""

    def __init__(self, owner: Translator, strict_locks: bool) -> None:
        self._owner = owner
        self._strict_locks = strict_locks
        self._fds: dict[Fd, Opened] = {}
        self._locks = FdLocks()

    def number(self, fd: Fd) -> int:
        """As the server knows it. EBADFD: it was lost with an earlier connection."""
        slot: Opened | None = fd.slots.get(self._owner)
        if slot is None:
            return ANONYMOUS
        if slot.lost:
            raise fail(errno.EBADFD, f"{self._owner.name}: it went with an earlier connection, or its locks did")
        return slot.number

    def opening(self, fd: Fd, call: Call, gfid: Gfid, flags: int, is_dir: bool) -> Opened:
        slot = Opened(call.with_xdata(None), gfid, flags, is_dir)
        fd.slots[self._owner] = self._fds[fd] = slot
        return slot

    def drop(self, fd: Fd) -> Opened | None:
        """Forget an fd: it was released, or never opened."""
        self._fds.pop(fd, None)
        self._locks.released(fd)
        slot: Opened | None = fd.slots.pop(self._owner, None)
        if slot is not None:
            slot.released = True
        return slot

    # --- locks -------------------------------------------------------------------------------------------------------

    def locking(self, call: Call, fd: Fd, flock: Flock, answer: Pending) -> None:
        """Remember an fcntl lock once it is granted, until it is given back. One whose answer is cut off is held by
        nobody: its caller hears ENOTCONN."""

        def answered() -> None:
            if flock.type != LockType.UNLOCK and fd in self._fds:
                self._locks.taken(call, wire_owner(call), fd, flock)
            elif not (call.xdata and WITHDRAW_KEY in call.xdata):  # else a request that waited was given up, perhaps
                self._locks.given_back(call.client, wire_owner(call), fd.gfid, flock)

        answer.when_settled(partial(_if_well, answer, answered))

    def flushing(self, call: Call, fd: Fd, answer: Pending) -> None:
        """The owner has closed the file, and holds nothing of it any more."""
        if len(self._locks):
            gone = partial(self._locks.given_back, call.client, wire_owner(call), fd.gfid)
            answer.when_settled(partial(_if_well, answer, gone))

    def client_gone(self, client: str) -> None:
        self._locks.disconnected(client)

    # --- connections -------------------------------------------------------------------------------------------------

    def disconnected(self) -> None:
        """Every number is void, and every lock."""
        for slot in self._fds.values():
            slot.number = ANONYMOUS
        self.locks_forgotten()

    def locks_forgotten(self) -> None:
        """The server has given all locks back, or a volume that goes down there has. With strict-locks whatever they
        were taken through is lost with them."""
        for lock in self._locks:
            if self._strict_locks and lock.fd in self._fds:
                self._fds[lock.fd].lost = True
        self._locks.clear()

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


def _if_well(answer: Pending, then: Callable[[], None]) -> None:
    try:
        answer.result()
    except OSError:
        return
    then()


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
