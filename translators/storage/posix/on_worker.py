"""storage/posix in `io-mode worker`: each fop goes to the brick's own thread, and its answer comes later.

Locks stay on the event loop, where whoever waits for them is woken: the thread only tells whether the object is there.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from threading import get_ident
from typing import Any, TypeVar

import attrs

from ....graph import (
    FOPS,
    Acknowledged,
    Call,
    Coming,
    Done,
    EntryLockCommand,
    Fd,
    Flock,
    Gfid,
    Loc,
    LockCommand,
    Locked,
    LockType,
    Translator,
    fail,
)
from .mounts import may_hang
from .timing import PosixTiming

R = TypeVar("R")


@attrs.define(eq=False)
class PosixOnWorker(PosixTiming):
    """See `Posix`."""

    _thread: int = attrs.field(init=False, default=0, repr=False)
    """Which one the worker is, once it has worked."""

    def detours(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """Every fop, where the brick works so; none inline."""
        mode = self.io_mode
        self._on_worker = mode == "worker" or (mode == "auto" and may_hang(self.seams.blocking.disk, self.directory))
        inline = super().detours()
        if not self._on_worker:
            return inline
        own = [name for name in FOPS if getattr(type(self), name) is not getattr(Translator, name)]
        detours: dict[str, Callable[..., Awaitable[Any]]] = {
            name: partial(self._send, inline.get(name, getattr(self, name))) for name in own
        }
        return detours | {
            "flush": self._flush,
            "lk": self._lk,
            "inodelk": self._inodelk,
            "finodelk": self._inodelk,
            "entrylk": self._entrylk,
            "fentrylk": self._entrylk,
        }

    # --- fops on the disk --------------------------------------------------------------------------------------------

    def _send(self, fop: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        if get_ident() == self._thread:  # a fop that is made of others
            done: Done[Any] = fop(*args, **kwargs)
            return done
        self._check_up()
        return self._worker.run(self._act, fop, args, kwargs)

    def _act(self, fop: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._thread = get_ident()
        return fop(*args, **kwargs).value

    def _check_up(self) -> None:
        if self._absent:
            raise fail(errno.ENOTCONN, f"{self.name}: {self._absent}")

    # --- fops on the lock table --------------------------------------------------------------------------------------

    def _flush(self, call: Call, fd: Fd) -> Awaitable[Acknowledged]:
        def released(gfid: Gfid) -> Done[Acknowledged]:
            self.locks.release_owner(call, gfid)
            return Done(Acknowledged())

        return self._with_object(fd, False, released)

    def _lk(self, call: Call, fd: Fd, command: LockCommand, flock: Flock) -> Awaitable[Locked]:
        return self._with_object(fd, False, lambda gfid: self._lk_on(gfid, call, fd, command, flock))

    def _inodelk(
        self, call: Call, domain: str, target: Loc | Fd, command: LockCommand, flock: Flock
    ) -> Awaitable[Acknowledged]:
        giving_back = flock.type == LockType.UNLOCK
        return self._with_object(
            target, giving_back, lambda gfid: self.locks.inodelk(call, domain, gfid, command, flock)
        )

    def _entrylk(
        self,
        call: Call,
        domain: str,
        target: Loc | Fd,
        name: bytes | None,
        command: EntryLockCommand,
        type: LockType,
    ) -> Awaitable[Acknowledged]:
        giving_back = command == EntryLockCommand.UNLOCK
        return self._with_object(
            target, giving_back, lambda gfid: self.locks.entrylk(call, domain, gfid, name, command, type)
        )

    def _with_object(
        self, target: Loc | Fd, giving_back: bool, act: Callable[[Gfid], Done[R] | Coming[R]]
    ) -> Done[R] | Coming[R]:
        """Act on the object's gfid, once the thread has found it. What is given back, or open, is not looked for."""
        self._check_up()
        if isinstance(target, Fd) and self in target.slots:
            return act(self._gfid_of(target))
        if giving_back:
            return act(target.gfid)
        found = self._worker.run(self._gfid_at, target)
        if isinstance(found, Done):
            return act(found.value)
        answer: Coming[R] = Coming()
        found.when_settled(lambda: _forward(found, act, answer))
        return answer

    def _gfid_at(self, target: Loc | Fd) -> Gfid:
        return self._open_gfid(target) if isinstance(target, Fd) else self._found(target).gfid


def _forward(found: Coming[Gfid], act: Callable[[Gfid], Done[R] | Coming[R]], answer: Coming[R]) -> None:
    """Go on with what was found, and hand on how that ends."""
    try:
        acted = act(found.result())
    except BaseException as error:
        answer.reject(error)
        return
    if isinstance(acted, Done):
        answer.resolve(acted.value)
    else:
        acted.when_settled(lambda: _settle(acted, answer))


def _settle(acted: Coming[R], answer: Coming[R]) -> None:
    try:
        answer.resolve(acted.result())
    except BaseException as error:
        answer.reject(error)
