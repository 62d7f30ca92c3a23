"""The locks that a client took at its server on behalf of clients of its own graph.

The server below gives a connection's locks back when the connection ends. When a client of *ours* is gone while the
connection stays, its locks must be given back one by one: those it holds, and those it still waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from ...graph import Call, EntryLockCommand, Flock, Gfid, Loc, LockCommand, LockType
from ..storage.lock_table import WITHDRAW_KEY
from .calls import Pending
from .wire.procedures import ANONYMOUS, BY_FOP, Procedure

Send = Callable[[Procedure, Call, Sequence[Any]], None]
ALL = 1 << 30
Key = tuple[Any, ...]


@attrs.define(eq=False)
class Held:
    """A lock that was taken `count` times, and how it is given back."""

    unlock: Procedure
    call: Call
    args: tuple[Any, ...]
    count: int = 0


class HeldLocks:
    def __init__(self) -> None:
        self._by_client: dict[str, dict[Key, Held]] = {}
        self._waiting: dict[str, dict[Pending, Held]] = {}
        """fcntl locks asked for, and how each request is withdrawn: their owner may hold others."""

    def watch(self, procedure: Procedure, call: Call, args: Sequence[Any], pending: Pending, send: Send) -> None:
        """Follow a lock fop that was just sent for a client of ours."""
        key, held, change = _read(procedure, call, args)
        if change < 0:
            self._less(call.client, key, -change)
        elif change:
            ours = self._by_client.setdefault(call.client, {})
            ours.setdefault(key, held).count += 1  # from now on: one that waits is withdrawn in the same way
            if procedure.fop == "lk" and args[1] == LockCommand.WAIT:
                flock: Flock = args[2]
                unlock = (args[0], LockCommand.SET, Flock(LockType.UNLOCK, flock.start, flock.length))
                request = Held(procedure, call.with_xdata({WITHDRAW_KEY: 1}), unlock)
                self._waiting.setdefault(call.client, {})[pending] = request

            def settled() -> None:
                self._answered(call.client, pending)
                try:
                    pending.result()
                except OSError:
                    self._less(call.client, key, 1)
                else:
                    if key not in self._by_client.get(call.client, {}):  # granted to a client that is gone
                        send(held.unlock, held.call, held.args)

            pending.when_settled(settled)

    def _less(self, client: str, key: Key, count: int) -> None:
        ours = self._by_client.get(client, {})
        held = ours.get(key)
        if held is None:
            return
        held.count -= count
        if held.count <= 0:
            del ours[key]
        if not ours:
            del self._by_client[client]

    def _answered(self, client: str, pending: Pending) -> None:
        waiting = self._waiting.get(client, {})
        if waiting.pop(pending, None) is not None and not waiting:
            del self._waiting[client]

    def holders(self, gfid: Gfid, domain: str, name: bytes | None) -> list[str]:
        """Clients of ours that hold, or wait for, an inodelk (`name` is None) or an entrylk of an object."""
        kind = "inodelk" if name is None else "entrylk"
        return [
            client
            for client, ours in self._by_client.items()
            if any(key[:3] == (kind, domain, gfid) and (not name or key[3] in (name, None, b"")) for key in ours)
        ]

    def gone(self, client: str, send: Send) -> None:
        """A client of ours is gone."""
        for request in list(self._waiting.pop(client, {}).values()):
            send(request.unlock, request.call, request.args)
        for held in self._by_client.pop(client, {}).values():
            for _ in range(1 if held.unlock.fop == "lk" else held.count):
                send(held.unlock, held.call, held.args)

    def clear(self) -> None:
        """The connection has ended, and every lock with it."""
        self._by_client.clear()
        self._waiting.clear()


def _read(procedure: Procedure, call: Call, args: Sequence[Any]) -> tuple[Key, Held, int]:
    """(what is locked, how it is unlocked, and by how much this call changes how often it is locked)"""
    call = call.with_xdata(None)
    if procedure.fop == "lk":
        fd, command, flock = args
        held = Held(procedure, call, (fd, LockCommand.SET, Flock(LockType.UNLOCK)))
        whole = (flock.start, flock.length) == (0, 0)
        change = 1 if flock.type != LockType.UNLOCK else -ALL if whole else 0  # of a part: there may be others
        return ("lk", fd.gfid, call.lk_owner), held, 0 if command == LockCommand.GET else change
    if procedure.fop in ("inodelk", "finodelk"):
        domain, where, _, flock = args
        gfid: Gfid = where.gfid
        unlock = Flock(LockType.UNLOCK, flock.start, flock.length)
        held = Held(BY_FOP["inodelk"], call, (domain, Loc(gfid), LockCommand.SET, unlock))
        key: Key = ("inodelk", domain, gfid, flock.start, flock.length, call.lk_owner)
        return key, held, -1 if flock.type == LockType.UNLOCK else 1
    domain, where, name, command, kind = args
    gfid = where.gfid
    held = Held(BY_FOP["entrylk"], call, (domain, Loc(gfid), name, EntryLockCommand.UNLOCK, kind))
    return ("entrylk", domain, gfid, name, call.lk_owner), held, -1 if command == EntryLockCommand.UNLOCK else 1


def anonymous(fd: object) -> int:
    """Unlocks need no fd: it may be closed by now."""
    return ANONYMOUS
