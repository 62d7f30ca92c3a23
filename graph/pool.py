"""A few threads for calls that block: fsync, cold reads, big deletes. Its completions are batched per wake-up."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from .answers import Coming
from .disk import Disk

R = TypeVar("R")

THREADS = 4
Work = tuple[Coming[Any], Callable[..., Any], tuple[object, ...]]


class Pool:
    """The blocking seam of production: system calls inline on `disk`, and `run` on one of four threads."""

    def __init__(self, threads: int = THREADS) -> None:
        self.disk = Disk()
        self._thread_count = threads
        self._threads: list[threading.Thread] = []
        self._todo: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._finished: deque[tuple[Coming[Any], Any, BaseException | None]] = deque()
        self._waking = False
        self._wake: Callable[[], None] = lambda: None

    def run(self, call: Callable[..., R], *args: object) -> Awaitable[R]:
        if not self._threads:
            self._start()
        coming: Coming[R] = Coming()
        self._todo.put((coming, call, args))
        return coming

    def close(self) -> None:
        """Let the threads end; what is still running finishes, its answer is dropped."""
        for _ in self._threads:
            self._todo.put(None)
        self._threads.clear()

    def _start(self) -> None:
        loop = asyncio._get_running_loop()
        if loop is not None:
            self._wake = lambda: _ignoring_closed(lambda: loop.call_soon_threadsafe(self._drain))
        else:
            import trio

            token = trio.lowlevel.current_trio_token()
            self._wake = lambda: _ignoring_closed(lambda: token.run_sync_soon(self._drain))
        for number in range(self._thread_count):
            thread = threading.Thread(target=self._work, name=f"volgraph-pool-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        for coming, call, args in iter(self._todo.get, None):
            try:
                self._finished.append((coming, call(*args), None))
            except BaseException as error:
                self._finished.append((coming, None, error))
            if not self._waking:
                self._waking = True
                self._wake()

    def _drain(self) -> None:
        self._waking = False  # before emptying: a completion that comes now wakes again
        while self._finished:
            coming, value, error = self._finished.popleft()
            if error is None:
                coming.resolve(value)
            else:
                coming.reject(error)


def _ignoring_closed(wake: Callable[[], object]) -> None:
    """A loop that is gone needs no answer any more."""
    with suppress(RuntimeError):  # trio.RunFinishedError is one too
        wake()
