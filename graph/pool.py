"""A few threads for calls that block: fsync, cold reads, big deletes. Their completions are batched per wake-up."""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from .answers import Coming
from .disk import Disk

R = TypeVar("R")

THREADS = 4
THREADS_OWN = frozenset((signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP))
"""The signals of a thread's own faults: they are never held back."""
Work = tuple[Coming[Any], Callable[..., Any], tuple[object, ...]]


class Pool:
    """The blocking seam of production: system calls inline on `disk`, and `run` on a few threads.

    A thread is started when all those there are have something to do. None is interrupted by a signal, so a call on a
    file system that can be interrupted (NFS, FUSE) never ends with EINTR.
    """

    def __init__(self, threads: int = THREADS, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self._threads_max = threads
        self._threads: list[threading.Thread] = []
        self._todo: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._finished: deque[tuple[Coming[Any], Any, BaseException | None]] = deque()
        self._unanswered = 0
        self._waking = False
        self._wake: Callable[[], None] | None = None

    def run(self, call: Callable[..., R], *args: object) -> Awaitable[R]:
        self._unanswered += 1
        if len(self._threads) < min(self._unanswered, self._threads_max):
            self._start_thread()
        coming: Coming[R] = Coming()
        self._todo.put((coming, call, args))
        return coming

    def alone(self, threads: int = THREADS) -> Pool:
        """Threads that nobody else waits for, on the same disk; whoever asks for them closes them."""
        return Pool(threads, self.disk)

    def close(self) -> None:
        """Let the threads end; what is still running finishes, its answer is dropped."""
        for _ in self._threads:
            self._todo.put(None)
        self._threads.clear()
        self._unanswered = 0

    def _start_thread(self) -> None:
        if not self._threads:
            self._wake = self._waker()
        thread = threading.Thread(target=self._work, name=f"volgraph-pool-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _waker(self) -> Callable[[], None]:
        """Calls `_drain` on the event loop that runs now, from any thread."""
        loop = asyncio._get_running_loop()
        if loop is not None:
            return lambda: _ignoring_closed(lambda: loop.call_soon_threadsafe(self._drain))
        import trio

        token = trio.lowlevel.current_trio_token()
        return lambda: _ignoring_closed(lambda: token.run_sync_soon(self._drain))

    def _work(self) -> None:
        assert self._wake is not None
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - THREADS_OWN)
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
            self._unanswered = max(0, self._unanswered - 1)  # it is 0 again once the pool was closed
            if error is None:
                coming.resolve(value)
            else:
                coming.reject(error)


def _ignoring_closed(wake: Callable[[], object]) -> None:
    """A loop that is gone needs no answer any more."""
    with suppress(RuntimeError):  # trio.RunFinishedError is one too
        wake()
