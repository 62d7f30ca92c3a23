"""debug/delay-gen: fops that reach the child late."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from ...graph import Translator, option
from ...graph.options import integer, path, percent
from .fop_choice import fop_rates, rates, switched_on

R = TypeVar("R")
P = ParamSpec("P")

DURATION_MAX = 3_600_000_000
"""An hour: what takes longer is no delay but an outage."""


@attrs.define(eq=False)
class DelayGen(Translator):
    """Let some fops wait before they go to the child.

        volume slow
          type debug/delay-gen
          option delay-percentage 10
          option delay-duration 100000
          option enable writev:100,fsync
          option trigger-file /run/slow
          subvolumes brick
        end-volume

    Which of the chosen fops wait is drawn for each; the others overtake them. `enable` chooses fops; one written as
    NAME:PERCENT has a rate of its own. With `trigger-file`, fops wait only while that file exists: one that has begun
    to wait does so to the end. A fop that is not chosen goes to the child as if this node were not there.
    """

    delay_percentage: float = option(percent, default=10.0, help="percent of the chosen fops that wait")
    delay_duration: int = option(integer(low=0, high=DURATION_MAX), default=100_000, help="how long, in microseconds")
    enable: Sequence[str] | Mapping[str, float] = option(
        fop_rates, default=(), help="fops that may wait, NAME:PERCENT for a rate; none: every one"
    )
    trigger_file: str | None = option(path, default=None, help="delay only while this file exists")

    _rates: dict[str, float] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._rates = rates(self.enable, self.delay_percentage)

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        rate = self._rates.get(fop.__name__)
        wound: Callable[P, Awaitable[R]] = getattr(self.child, fop.__name__)
        if rate is None or not switched_on(self.seams, self.trigger_file) or self.seams.random.random() * 100 >= rate:
            return wound(*args, **kwargs)
        return self._late(wound, *args, **kwargs)

    async def _late(self, wound: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        await self.seams.clock.sleep(self.delay_duration / 1e6)
        return await wound(*args, **kwargs)
