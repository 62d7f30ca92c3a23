"""The open transaction of one object, and the turns that changes take in it."""

from __future__ import annotations

import errno
from collections import deque
from typing import Protocol

import attrs

from ....graph import Coming, Gfid, fail
from .transaction import Transaction


class Claim(Protocol):
    """What a change touches. Changes whose claims overlap take turns."""

    def overlaps(self, other: Claim, /) -> bool: ...


@attrs.define(eq=False, repr=False)
class Stream:
    """The open transaction of one object. Changes that overlap take turns, in the same order on all copies."""

    transaction: Transaction
    single: bool = False
    """It serves a single change, whose caller waits for its end."""
    closing: bool = attrs.field(init=False, default=False)
    """No further change may join."""
    opened_at: int = attrs.field(init=False, default=0)
    """As the afr counts moments; 0 until the pre-op is done."""
    size: int | None = attrs.field(init=False, default=None)
    """Of a file, where it is known: that is where appended bytes go."""
    opened: Coming[None] = attrs.field(init=False, factory=Coming)
    """Settled when changes may join, or never will."""
    over: Coming[None] = attrs.field(init=False, factory=Coming)
    users: int = attrs.field(init=False, default=0)
    """How many changes have joined, and not left."""
    used: bool = attrs.field(init=False, default=False)
    """Since the sweep last looked."""
    renewals: int = attrs.field(init=False, default=0)
    """How often the sweep has found it in use, and left it open."""
    _busy: list[Claim] = attrs.field(init=False, factory=list)
    _waiting: deque[tuple[Claim, Coming[None]]] = attrs.field(init=False, factory=deque)

    @property
    def gfid(self) -> Gfid:
        return self.transaction.marked[0].gfid

    def enter_at_once(self, claim: Claim) -> bool:
        """Begin to touch this, if nothing that came earlier touches it."""
        if (self._busy or self._waiting) and self._in_the_way(claim):
            return False
        self._busy.append(claim)
        return True

    async def enter(self, claim: Claim) -> None:
        """The same, however long that takes."""
        if self.enter_at_once(claim):
            return
        place = (claim, Coming[None]())
        self._waiting.append(place)
        try:
            await place[1]
        except BaseException:  # cancelled, or broken off: its place, or its turn, is the next one's
            if place in self._waiting:
                self._waiting.remove(place)
                self._let_in()
            else:
                self.leave(claim)
            raise

    def leave(self, claim: Claim) -> None:
        self._busy.remove(claim)
        if self._waiting:
            self._let_in()

    def _in_the_way(self, claim: Claim) -> bool:
        return any(map(claim.overlaps, self._busy)) or any(claim.overlaps(other) for other, _ in self._waiting)

    def _let_in(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for claim, turn in waiting:
            if self._in_the_way(claim):
                self._waiting.append((claim, turn))
            else:
                self._busy.append(claim)
                turn.resolve(None)

    def break_off(self, name: str) -> None:
        """Nothing comes of it any more: whoever waits for a turn, or for its end, is told so."""
        for waits in (self.opened, self.over, *(turn for _, turn in self._waiting)):
            waits.reject(fail(errno.ENOTCONN, f"{name}: the graph was closed"))
