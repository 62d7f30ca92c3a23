"""The four seams of a simulated host: virtual time, seeded randomness, blocking calls inline, a network in memory."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..graph import Coming, Done, Seams
from ..graph.disk import Disk
from ..graph.seams import Clock
from .network import SimNetwork

R = TypeVar("R")

START_NS = 1_767_225_600 * 10**9
"""Where wall clocks start: 2026-01-01 00:00 UTC."""


class SimClock(Clock):
    """Wall time follows the virtual clock from a fixed date on. `skew_seconds` may be changed at any time."""

    def __init__(self, skew_seconds: float = 0.0) -> None:
        self.skew_seconds = skew_seconds

    def time_ns(self) -> int:
        return START_NS + int((self.monotonic() + self.skew_seconds) * 1e9)


class Inline:
    """The blocking seam without threads: a call has been made when `run` returns; its error comes when awaited."""

    def __init__(self) -> None:
        self.disk = Disk()

    def run(self, call: Callable[..., R], *args: object) -> Awaitable[R]:
        try:
            return Done(call(*args))
        except Exception as error:
            failed: Coming[R] = Coming()
            failed.reject(error)
            return failed

    def alone(self, threads: int = 1) -> Inline:
        return self

    def close(self) -> None:
        pass


def simulated(seed: int, host: str = "host", network: SimNetwork | None = None, skew_seconds: float = 0.0) -> Seams:
    """Seams for the graph of one host. Hosts that are to reach each other share one `SimNetwork`.

    Each host has random numbers and a wall clock of its own: a brick served by a host of its own can be skewed alone.
    """
    return Seams(
        clock=SimClock(skew_seconds),
        random=random.Random(f"{seed}/{host}"),
        blocking=Inline(),
        network=(network or SimNetwork(seed)).at(host),
    )
