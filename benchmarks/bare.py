"""The peers of local stacks: bare system calls, as cases."""

from __future__ import annotations

import os
from collections.abc import Sequence

from benchmarks.measure import Case
from benchmarks.stacks import BLOCK


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


def pread(fd: int) -> Case:
    async def run(count: int) -> None:
        for _ in range(count):
            os.pread(fd, len(BLOCK), 0)

    return Case(run)


def pwrite(*fds: int) -> Case:
    """To each of the files."""

    async def run(count: int) -> None:
        for _ in range(count):
            for fd in fds:
                os.pwrite(fd, BLOCK, 0)

    return Case(run)


def pwrite_between_stats(fd: int) -> Case:
    """What a write with attributes from before and after asks of the kernel."""

    async def run(count: int) -> None:
        for _ in range(count):
            os.fstat(fd)
            os.pwrite(fd, BLOCK, 0)
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
