"""A mirror with a child that does not answer."""

from __future__ import annotations

import errno

import anyio
import anyio.lowlevel

from tests.translators.cluster.bench import Bench, Gate, healed, locks_left

SOON = 0.05
LONG = 10.0
"""Whoever waits that long hangs."""
BUSY, GONE, FULL = errno.EAGAIN, errno.ENOTCONN, errno.ENOSPC


def hung(bench: Bench, *fops: str, child: int = 1) -> Gate:
    """From now on that child does what it is asked by these fops, and does not answer."""
    return Gate(bench.switches[child], *fops)


async def healed_in_time(bench: Bench) -> None:
    with anyio.fail_after(LONG):
        await healed(bench)
    assert locks_left(bench) == 0
