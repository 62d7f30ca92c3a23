"""One turn of libgfapi, in the process that `tests.interop.gfapi` makes for it: little is imported here."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence

from benchmarks.places import BLOCK_BYTES, FILE_BYTES, PIECE_BYTES, WRITERS, at_random, in_sequence
from tests.interop.gfapi import Gfapi

WARM_UP_CALLS = 20


def turn(client: Gfapi, path: str, calls: int) -> dict[str, tuple[float, float]]:
    """Of each call: the median of its wall seconds, and CPU seconds per call, its own threads included."""
    fd = client.open(path)
    return {
        "stat": _timed(lambda: client.stat(path), calls),
        "fstat": _timed(lambda: client.fstat(fd), calls),
        "read": _timed(lambda: client.pread(fd, BLOCK_BYTES, 0), calls),
    }


def names_turn(client: Gfapi, files: int) -> dict[str, tuple[float, float]]:
    """Of so many files in the root: seconds per file, by the wall clock and in CPU time of all threads, to make each
    and write a block to it, to rename it, and to remove it."""
    block = bytes(BLOCK_BYTES)

    def make(number: int) -> None:
        fd = client.creat(f"/file-{number}", os.O_RDWR | os.O_EXCL)
        client.pwrite(fd, block, 0)
        client.close(fd)

    return {
        "create": _each(make, files),
        "rename": _each(lambda number: client.rename(f"/file-{number}", f"/moved-{number}"), files),
        "unlink": _each(lambda number: client.unlink(f"/moved-{number}"), files),
    }


def mirror_turn(client: Gfapi, calls: int, pieces: int, files: int) -> dict[str, tuple[float, float]]:
    """Seconds per call, by the wall clock and in CPU time of all threads, of one file's contents and of names. The
    sixteen writers are threads, and share one fd: with one each, GlusterFS keeps no lock for the next write."""
    fd = client.creat("/file", os.O_RDWR)
    piece, block = bytes(PIECE_BYTES), bytes(BLOCK_BYTES)
    for offset in range(0, FILE_BYTES, PIECE_BYTES):
        client.pwrite(fd, piece, offset)
    offsets, pieces_at = at_random(calls), in_sequence(pieces)

    def write(data: bytes, places: Sequence[int]) -> None:
        for offset in places:
            client.pwrite(fd, data, offset)

    def write_at_once() -> None:
        shares = (offsets[number::WRITERS] for number in range(WRITERS))
        threads = [threading.Thread(target=write, args=(block, share)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    write(block, offsets[:WARM_UP_CALLS])
    found = {
        "write": _whole(lambda: write(block, offsets), calls),
        "writes": _whole(write_at_once, calls),
        "read": _each(lambda number: client.pread(fd, BLOCK_BYTES, offsets[number]), calls),
        "pieces": _whole(lambda: write(piece, pieces_at), pieces),
    }
    client.close(fd)
    return found | names_turn(client, files)


def _whole(work: Callable[[], None], calls: int) -> tuple[float, float]:
    """Of `calls` calls that `work` makes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


def _each(call: Callable[[int], object], count: int) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(count):
        call(number)
    return (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count


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
