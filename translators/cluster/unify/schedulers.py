"""Schedulers: which child a new file is put on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import attrs

from ....graph import Loc, Translator


class Scheduler(Protocol):
    def choose(self, children: Sequence[Translator], loc: Loc) -> Translator | None:
        """The child for a new file at `loc`, among those that are up; None if none of them may get one."""
        ...


@attrs.define
class RoundRobin:
    """One child after the other, in the order of the spec; one that is down or read-only is passed over."""

    everyone: Sequence[Translator]
    read_only: Collection[str] = ()
    _next: int = 0

    def choose(self, children: Sequence[Translator], loc: Loc) -> Translator | None:
        for step in range(len(self.everyone)):
            index = (self._next + step) % len(self.everyone)
            child = self.everyone[index]
            if child in children and child.name not in self.read_only:
                self._next = index + 1
                return child
        return None
