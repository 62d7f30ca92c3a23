"""One turn of libgfapi, in the process that `tests.interop.gfapi` makes for it: little is imported here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from tests.interop.gfapi import Gfapi

BLOCK_BYTES = 4096


def turn(client: Gfapi, path: str, calls: int) -> dict[str, tuple[float, float]]:
    """Of each call: the median of its wall seconds, and CPU seconds per call, its own threads included."""
    fd = client.open(path)
    return {
        "stat": _timed(lambda: client.stat(path), calls),
        "fstat": _timed(lambda: client.fstat(fd), calls),
        "read": _timed(lambda: client.pread(fd, BLOCK_BYTES, 0), calls),
    }


def _timed(call: Callable[[], object], calls: int) -> tuple[float, float]:
    clock = time.perf_counter
    took = []
    for _ in range(max(calls // 10, 1)):
        call()
    cpu = time.process_time()
    for _ in range(calls):
        start = clock()
        call()
        took.append(clock() - start)
    return statistics.median(took), (time.process_time() - cpu) / calls
