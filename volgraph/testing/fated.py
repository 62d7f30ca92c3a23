"""Faults put between a translator and its child: what happens to which fop is a plan, known before the run.

    child = Fated("a", [Memory("a-disk")], fates={Where(Phase.OP): REQUEST_LOST, Where("writev", 3): short(1)})

A place is named by the phase of a replicated change that a fop belongs to, or by the fop, with an ordinal. `Fated` is
as synchronous as its child (a `Done` stays a `Done`), so that a change can be swept without a loop.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import attrs

from ..graph import (
    FOPS,
    Buffer,
    Call,
    ChildDown,
    ChildUp,
    Coming,
    Done,
    EntryLockCommand,
    Event,
    Fd,
    Flock,
    FopKind,
    LockType,
    Translator,
    fail,
)
from .transcript import note

R = TypeVar("R")
P = ParamSpec("P")


class Phase(Enum):
    """The steps of a replicated change, as one child sees them."""

    LOCK = "lock"
    PRE_OP = "pre-op"
    OP = "op"
    FSYNC = "fsync"
    POST_OP = "post-op"
    UNLOCK = "unlock"
    OUTSIDE = "outside"

    __hash__ = object.__hash__  # Enum's own is a slow one, and every fop of a sweep is counted by its phase


class FateKind(Enum):
    OK = "ok"
    REQUEST_LOST = "request lost"
    REPLY_LOST = "reply lost"
    REPLY_LATE = "reply late"
    LATE = "late"
    ERROR = "error"
    SHORT = "short"


@attrs.frozen
class Fate:
    """What becomes of one fop. `code` is the errno of an error, or of a late refusal; `missing` the bytes a short write
    leaves out."""

    kind: FateKind
    code: int = 0
    missing: int = 0

    def __str__(self) -> str:
        if self.kind is FateKind.ERROR:
            return errno.errorcode.get(self.code, str(self.code))
        if self.kind is FateKind.LATE and self.code:
            return f"{errno.errorcode.get(self.code, str(self.code))}, late"
        return f"{self.missing} bytes short" if self.kind is FateKind.SHORT else self.kind.value


OK: Final = Fate(FateKind.OK)
REQUEST_LOST: Final = Fate(FateKind.REQUEST_LOST)
"""The fop never reaches the child; the caller hears ENOTCONN, and the child gives the caller's locks back."""
REPLY_LOST: Final = Fate(FateKind.REPLY_LOST)
"""The child acts, and the caller hears ENOTCONN; its locks are given back too."""


REPLY_LATE: Final = Fate(FateKind.REPLY_LATE)
"""The child acts, and its answer comes when the test lets it `catch_up`."""
LATE: Final = Fate(FateKind.LATE)
"""The child neither acts nor answers before that."""


def failing(code: int) -> Fate:
    """The child refuses with an errno, and does nothing. The connection stays."""
    return Fate(FateKind.ERROR, code)


def failing_late(code: int) -> Fate:
    """The same, but the refusal comes when the test lets the child `catch_up`."""
    return Fate(FateKind.LATE, code)


def short(missing: int = 1) -> Fate:
    """A writev writes that many bytes less than asked, and says so. Any other fop is left alone."""
    return Fate(FateKind.SHORT, missing=missing)


@attrs.frozen
class Where:
    """The `ordinal`-th fop (from 0) of a phase, or of that name; `*` is any fop."""

    what: Phase | str
    ordinal: int = 0


@attrs.define
class Moment:
    """One fop as it passed: its phase and its ordinal there, what became of it, and what the caller heard."""

    child: str
    phase: Phase
    ordinal: int
    fop: str
    owner: bytes
    tells: bool = False
    """It puts on record that a copy has missed something."""
    fate: Fate = OK
    error: OSError | None = None
    answered: bool = False
    owing: bool = False
    """When it came, the child owed an answer that was late."""
    serial: int = attrs.field(factory=itertools.count().__next__)
    """Orders the moments of several children."""

    @property
    def succeeded(self) -> bool:
        return self.answered and self.error is None

    def __str__(self) -> str:
        heard = "no answer" if not self.answered else "ok" if self.error is None else self.error.strerror
        return f"{self.child} {self.phase.value} {self.fop}: {self.fate}, {heard}"


Decide = Callable[[Moment], Fate]


@attrs.define(eq=False)
class Fated(Translator):
    """Passes every fop on to its child, except for those that `fates` (or `decide`, asked for every fop) picks out."""

    fates: Mapping[Where, Fate] = attrs.field(factory=dict)
    decide: Decide | None = None
    reachable: bool = attrs.field(default=True, kw_only=True)
    moments: list[Moment] = attrs.field(factory=list, init=False, repr=False)
    """All that passed since `watch`, while there is somebody to decide."""
    _passed: dict[Phase | str, int] = attrs.field(factory=dict, init=False, repr=False)
    _operating: set[bytes] = attrs.field(factory=set, init=False, repr=False)
    _clients: set[str] = attrs.field(factory=set, init=False, repr=False)
    _owed: list[tuple[Moment, Callable[[], Any], Coming[Any]]] = attrs.field(factory=list, init=False, repr=False)
    """Late answers: what they are to, what gives them, and where they are waited for."""

    def watch(self, decide: Decide | None = None) -> None:
        """Ask `decide` (or, with None, `fates`) from here on, counting ordinals anew."""
        self.decide = decide
        self.moments = []
        self._passed.clear()

    def go_down(self, reason: str = "taken down by the test") -> None:
        """The child cannot be reached any more, and parents are told. It gives the locks of all clients back."""
        note(f"{self.name} goes down")
        self.reachable = False
        self.lose_locks()
        self.rise(ChildDown(self, reason))

    def lose_locks(self) -> None:
        """The connection to the child broke: it gives back the locks of all that came over it."""
        for client in sorted(self._clients):
            self.child.disconnect(client)
        owed, self._owed = self._owed, []
        for moment, _, coming in owed:
            coming.reject(self._heard(moment, fail(errno.ENOTCONN, self.name)))

    @property
    def owing(self) -> bool:
        """Is an answer late?"""
        return bool(self._owed)

    def catch_up(self, heard: bool = True) -> None:
        """Do what is late, and answer it, in order; `heard`: to somebody who waits for it still."""
        owed, self._owed = self._owed, []
        for moment, act, coming in owed:
            note(f"{moment} comes")
            moment.answered = heard
            try:
                answer = act()
            except OSError as error:
                moment.error = error
                coming.reject(error)
            else:
                _hand_on(self.tasks.coming(answer) if type(answer) is not Done else answer, coming)

    def come_up(self) -> None:
        note(f"{self.name} comes up")
        self.reachable = True
        self.rise(ChildUp(self))

    def notify(self, event: Event) -> None:
        if self.reachable or not event.rises:
            super().notify(event)
        else:
            self.rise(ChildDown(self, self.down_reason))

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        call: Any = args[0]
        self._clients.add(call.client)
        if self.decide is None and not self.fates and self.reachable:
            plain: Awaitable[R] = getattr(self.child, fop.__name__)(*args, **kwargs)
            return plain
        phase = self._phase(fop.__name__, call, args)
        moment = Moment(self.name, phase, 0, fop.__name__, call.lk_owner, phase is Phase.POST_OP and _tells(args))
        moment.owing = self.owing
        if self.decide is not None:
            self.moments.append(moment)
        if not self.reachable:
            raise self._heard(moment, fail(errno.ENOTCONN, self.name))
        moment.fate = self._fate(moment)
        kind = moment.fate.kind
        if kind is not FateKind.OK:
            note(str(moment))
        if kind is FateKind.REQUEST_LOST:
            raise self._connection_lost(moment)
        if kind is FateKind.ERROR:
            raise self._heard(moment, fail(moment.fate.code, self.name))
        if kind in (FateKind.LATE, FateKind.REPLY_LATE):
            return self._late(moment, lambda: getattr(self.child, fop.__name__)(*args, **kwargs))
        if kind is FateKind.SHORT and moment.fop == "writev":
            args = _shortened(moment.fate.missing, *args)  # type: ignore[assignment,arg-type]
        try:
            answer: Any = getattr(self.child, fop.__name__)(*args, **kwargs)
        except OSError as error:
            if kind is FateKind.REPLY_LOST:
                raise self._connection_lost(moment) from None
            raise self._heard(moment, error) from None
        if type(answer) is not Done:
            return self._later(moment, answer)
        if kind is FateKind.REPLY_LOST:
            raise self._connection_lost(moment)
        moment.answered = True
        return answer

    def _late(self, moment: Moment, act: Callable[[], Any]) -> Coming[Any]:
        if moment.fate.kind is FateKind.REPLY_LATE:
            act = _done(act)
        elif moment.fate.code:
            act = _refusing(moment.fate.code, self.name)
        self._owed.append((moment, act, Coming()))
        return self._owed[-1][2]

    async def _later(self, moment: Moment, answer: Awaitable[R]) -> R:
        """The same for a child that answers later."""
        lost = moment.fate.kind is FateKind.REPLY_LOST
        try:
            value = await answer
        except OSError as error:
            if lost:
                raise self._connection_lost(moment) from None
            raise self._heard(moment, error) from None
        if lost:
            raise self._connection_lost(moment)
        moment.answered = True
        return value

    def _fate(self, moment: Moment) -> Fate:
        if self.decide is not None:
            moment.ordinal = self._count(moment.phase)
            return self.decide(moment)
        ordinals = {key: self._count(key) for key in (moment.phase, moment.fop, "*")}
        moment.ordinal = ordinals[moment.phase]
        for what, ordinal in ordinals.items():
            fate = self.fates.get(Where(what, ordinal))
            if fate is not None:
                return fate
        return OK

    def _count(self, what: Phase | str) -> int:
        ordinal = self._passed.get(what, 0)
        self._passed[what] = ordinal + 1
        return ordinal

    def _phase(self, fop: str, call: Call, args: tuple[Any, ...]) -> Phase:
        """Each change has a lock owner of its own: so its fops are told from those of others that run beside it."""
        owner = call.lk_owner
        kind = FOPS[fop]
        if kind is FopKind.LOCK and fop != "lk":
            if _unlocks(args):
                self._operating.discard(owner)
                return Phase.UNLOCK
            return Phase.LOCK
        if fop in ("xattrop", "fxattrop") and _counts_changes(args):
            return Phase.POST_OP if owner in self._operating else Phase.PRE_OP
        if fop == "fsync" and owner in self._operating:
            return Phase.FSYNC
        if kind in (FopKind.DATA, FopKind.METADATA, FopKind.ENTRY):
            self._operating.add(owner)
            return Phase.OP
        return Phase.OUTSIDE

    def _connection_lost(self, moment: Moment) -> OSError:
        self.lose_locks()
        return self._heard(moment, fail(errno.ENOTCONN, self.name))

    def _heard(self, moment: Moment, error: OSError) -> OSError:
        moment.answered = True
        moment.error = error
        return error


def _done(act: Callable[[], Any]) -> Callable[[], Any]:
    """What was done at once, told again later."""
    try:
        answer = act()
    except OSError as error:
        return _raising(error)
    return lambda: answer


def _refusing(code: int, name: str) -> Callable[[], Any]:
    return _raising(fail(code, name))


def _raising(error: OSError) -> Callable[[], Any]:
    def refuse() -> Any:
        raise error

    return refuse


def _hand_on(answer: Any, to: Coming[Any]) -> None:
    """The late answer is this one, be it there or on its way."""
    if isinstance(answer, Done):
        to.resolve(answer.value)
        return

    def settled() -> None:
        try:
            to.resolve(answer.result())
        except Exception as error:
            to.reject(error)

    answer.when_settled(settled)


def _shortened(missing: int, call: Call, fd: Fd, data: Buffer, *rest: Any) -> tuple[Any, ...]:
    return call, fd, memoryview(data)[: max(0, len(data) - missing)], *rest


def _counts_changes(args: tuple[Any, ...]) -> bool:
    """Is this xattrop the changelog's? Of any other key it is a change itself."""
    return any(key.startswith("trusted.afr.") for key in args[-1])


def _tells(args: tuple[Any, ...]) -> bool:
    """Does this xattrop add to what is said about other copies?"""
    return any(_adds(value) for key, value in args[-1].items() if not key.endswith("dirty"))


def _adds(counters: bytes) -> bool:
    return any(any(counters[at : at + 4]) and counters[at] < 0x80 for at in range(0, len(counters), 4))


def _unlocks(args: tuple[Any, ...]) -> bool:
    """Is it a lock fop that gives a lock back?"""
    return any(
        (isinstance(each, Flock) and each.type == LockType.UNLOCK)
        or (isinstance(each, EntryLockCommand) and each is EntryLockCommand.UNLOCK)
        for each in args
    )
