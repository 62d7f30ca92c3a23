"""The peers of local stacks: bare system calls, as cases."""

from __future__ import annotations

import os
from collections.abc import Sequence

from benchmarks.measure import Case
from benchmarks.places import at_random, in_sequence
from benchmarks.stacks import BLOCK, PIECE


def stat(path: str) -> Case:
    async def run(count: int) -> None:
        for _ in range(count):
            os.stat(path)

    return Case(run)


def open_and_close(path: str) -> Case:
    async def run(count: int) -> None:
        for _ in range(count):
            os.close(os.open(path, os.O_RDWR))

    return Case(run)


def pread(fd: int, size: int = len(BLOCK)) -> Case:
    async def run(count: int) -> None:
        for _ in range(count):
            os.pread(fd, size, 0)

    return Case(run)


def pread_and_stat(fd: int, size: int = len(BLOCK)) -> Case:
    """What a read with attributes asks of the kernel."""

    async def run(count: int) -> None:
        for _ in range(count):
            os.pread(fd, size, 0)
            os.fstat(fd)

    return Case(run)


def pwrite(*fds: int, block: bytes = BLOCK) -> Case:
    """To each of the files."""

    async def run(count: int) -> None:
        for _ in range(count):
            for fd in fds:
                os.pwrite(fd, block, 0)

    return Case(run)


def random_writes(*fds: int) -> Case:
    """A block to each of the files, at the places of `fops.random_writes`."""

    async def run(count: int) -> None:
        for offset in at_random(count):
            for fd in fds:
                os.pwrite(fd, BLOCK, offset)

    return Case(run)


def random_reads(fd: int) -> Case:
    async def run(count: int) -> None:
        for offset in at_random(count):
            os.pread(fd, len(BLOCK), offset)

    return Case(run)


def pieces_in_sequence(*fds: int) -> Case:
    """From one buffer to each of the files."""

    async def run(count: int) -> None:
        for offset in in_sequence(count):
            for fd in fds:
                os.pwrite(fd, PIECE, offset)

    return Case(run)


def pwrite_between_stats(fd: int, block: bytes = BLOCK) -> Case:
    """What a write with attributes from before and after asks of the kernel."""

    async def run(count: int) -> None:
        for _ in range(count):
            os.fstat(fd)
            os.pwrite(fd, block, 0)
            os.fstat(fd)

    return Case(run)


def create(folders: Sequence[str]) -> Case:
    """A new file in each folder; all are removed between turns."""
    made: list[str] = []

    async def run(count: int) -> None:
        for number in range(count):
            for folder in folders:
                path = f"{folder}/{number}"
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
                made.append(path)

    async def clean() -> None:
        for path in made:
            os.unlink(path)
        made.clear()

    return Case(run, clean)
