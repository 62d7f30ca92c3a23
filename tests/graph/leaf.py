"""The smallest leaf: up at once, one fop that is ready, one that takes its time."""

from __future__ import annotations

from typing import Any

import anyio.lowlevel
import attrs

from volgraph.graph import (
    NULL_GFID,
    Attributes,
    Call,
    ChildDown,
    ChildUp,
    Coming,
    Done,
    Event,
    Fd,
    Iatt,
    Loc,
    ParentUp,
    Stat,
    Translator,
)


@attrs.define(eq=False)
class Leaf(Translator):
    """Answers stat at once with its own size, and fstat when `later` is settled."""

    size: int = 0
    says: str = "up"
    log: list[str] = attrs.field(factory=list)
    later: Coming[Attributes] = attrs.field(factory=Coming)
    children_allowed = (0, 0)

    async def start(self) -> None:
        self.log.append(f"start {self.name}")
        if self.says == "fail":
            raise OSError(5, "no disk")
        await anyio.lowlevel.checkpoint()

    async def stop(self) -> None:
        self.log.append(f"stop {self.name}")

    def notify(self, event: Event) -> None:
        if isinstance(event, ParentUp) and self.says == "up":
            self.rise(ChildUp(self))
        elif isinstance(event, ParentUp) and self.says == "down":
            self.rise(ChildDown(self, "says so"))

    def stat(self, call: Call, loc: Loc) -> Done[Attributes]:
        return Done(attributes(self.size))

    def fstat(self, call: Call, fd: Fd) -> Coming[Attributes]:
        return self.later


def attributes(size: int) -> Attributes:
    return Attributes(Iatt(NULL_GFID, Stat(st_size=size)))


@attrs.define(eq=False)
class Both(Translator):
    """Two children, nothing of its own."""

    children_allowed = (2, 2)

    def notify(self, event: Any) -> None:
        if event.rises:
            self.rise(event)
        else:
            super().notify(event)
