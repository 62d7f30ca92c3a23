"""The graph's own task group: one for the whole graph, never one per fop (that is 10 to 20 times dearer)."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

import anyio
import anyio.abc

from .answers import Coming
from .errors import fail

R = TypeVar("R")

DRAIN_SECONDS = 30.0
"""How long the end of a graph waits for transactions that are under way."""


class Tasks:
    """Runs coroutines that outlive their callers.

    Work (`start`) is waited for when the graph closes, `DRAIN_SECONDS` at most; a loop without an end, such as a
    healer or a reconnect timer (`start_daemon`), is cancelled at once.
    """

    def __init__(self) -> None:
        self._workers: anyio.abc.TaskGroup | None = None
        self._daemons: dict[Coroutine[Any, Any, None], anyio.CancelScope | None] = {}
        """None until its task has begun."""
        self._new_daemons: list[Coroutine[Any, Any, None]] = []
        self._wake_starter: Coming[None] = Coming()
        self._finishing = False
        self._cancelled = False
        """Whoever has opened the graph was cancelled, or it is closed: no daemon can begin any more."""
        self.closed = False
        """No work can begin any more, and what was under way was cancelled."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancel_work: set[Callable[[], object]] = set()
        """One for each piece of work under way."""
        self._working = 0
        self._idle: Coming[None] | None = None

    async def __aenter__(self) -> Tasks:
        self._loop = asyncio._get_running_loop()
        self._workers = anyio.create_task_group()
        await self._workers.__aenter__()
        self._workers.start_soon(self._start_daemons)
        return self

    async def finish(self) -> None:
        """End the daemons and wait for the work under way. Nodes are stopped after this, as work still needs them.

        Whoever is cancelled meanwhile by means of asyncio's own, which no shield keeps off, is so once this is over.
        """
        self._finishing = True
        for scope in self._daemons.values():
            if scope is not None:
                scope.cancel()
        cancelled: BaseException | None = None
        with anyio.move_on_after(DRAIN_SECONDS, shield=True) as limit:
            while self._working or self._daemons:
                self._idle = Coming()
                try:
                    await self._idle
                except anyio.get_cancelled_exc_class() as error:
                    if limit.cancel_called:
                        raise
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._workers is not None
        self.closed = True
        for cancel in list(self._cancel_work):
            cancel()
        self._workers.cancel_scope.cancel()
        try:
            await self._workers.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if group.exceptions != (error,):  # the caller's own error goes on as it is, in no group
                raise

    def start(self, work: Coroutine[Any, Any, R]) -> Coming[R]:
        """Run a coroutine beside its caller; what comes back is its answer on its way. ENOTCONN: it was cancelled,
        by the end of the graph, or (asyncio) by whoever cancels every task of the loop."""
        if self._workers is None:
            work.close()
            raise RuntimeError("the graph is not open: nothing can be started on it")
        coming: Coming[R] = Coming()
        if self.closed:
            work.close()
            coming.reject(fail(errno.ENOTCONN, "the graph was closed"))
            return coming
        self._working += 1
        if self._loop is None:
            self._start_on_trio(work, coming)
            return coming
        task = self._loop.create_task(self._run(work, coming))  # costs a third of one in anyio's group
        self._cancel_work.add(task.cancel)

        task.add_done_callback(lambda _: self._ended(task.cancel, work, coming))
        return coming

    def _start_on_trio(self, work: Coroutine[Any, Any, R], coming: Coming[R]) -> None:
        """Out of reach of every scope of the caller's, as on asyncio; and of whoever cancels all tasks of a program."""
        import trio  # only where it runs: it is no dependency of asyncio programs

        scope = trio.CancelScope()
        self._cancel_work.add(scope.cancel)

        async def run() -> None:
            try:
                with scope:
                    await self._run(work, coming)
            finally:
                self._ended(scope.cancel, work, coming)

        trio.lowlevel.spawn_system_task(run)

    def coming(self, answer: Awaitable[R]) -> Coming[R]:
        """Any answer as one that is on its way: so that several can be waited for, or none."""
        if isinstance(answer, Coming):
            return answer
        return self.start(answer if isinstance(answer, Coroutine) else _awaited(answer))

    def start_daemon(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a loop that has no end of its own. An error that escapes it closes the graph.

        May be called anywhere, in a callback of the event loop too, where a task group cannot start anything.
        """
        if self._workers is None:
            work.close()
            raise RuntimeError("the graph is not open: nothing can be started on it")
        if self._cancelled:
            work.close()
            return
        self._daemons[work] = None
        self._new_daemons.append(work)
        self._wake_starter.resolve(None)

    def surface(self, bug: Exception) -> None:
        """What nobody waits for, and is no errno of a fop, closes the graph: whoever opened it is told."""
        self.start_daemon(_raised(bug))

    async def _start_daemons(self) -> None:
        assert self._workers is not None
        try:
            while True:
                new, self._new_daemons = self._new_daemons, []
                for work in new:
                    self._workers.start_soon(self._run_daemon, work)
                self._wake_starter = Coming()
                await self._wake_starter
        finally:
            self._cancelled = True
            for work in self._new_daemons:
                work.close()
                del self._daemons[work]
            self._new_daemons.clear()
            self._wake_when_idle()

    async def _run_daemon(self, work: Coroutine[Any, Any, None]) -> None:
        scope = self._daemons[work] = anyio.CancelScope()
        if self._finishing:
            scope.cancel()
        try:
            with scope:
                await work
        finally:
            del self._daemons[work]
            self._wake_when_idle()

    async def _run(self, work: Coroutine[Any, Any, R], coming: Coming[R]) -> None:
        try:
            coming.resolve(await work)
        except Exception as error:
            coming.reject(error)

    def _ended(self, cancel: Callable[[], object], work: Coroutine[Any, Any, R], coming: Coming[R]) -> None:
        """In whatever way: what was cancelled before its first step has not come to `_run` at all."""
        self._cancel_work.discard(cancel)
        work.close()
        if not coming.settled:
            coming.reject(fail(errno.ENOTCONN, "the graph was closed" if self._finishing else "cancelled"))
        self._working -= 1
        self._wake_when_idle()

    def _wake_when_idle(self) -> None:
        if not self._working and not self._daemons and self._idle is not None:
            self._idle.resolve(None)


async def _raised(bug: Exception) -> None:
    raise bug


async def _awaited(answer: Awaitable[R]) -> R:
    return await answer
