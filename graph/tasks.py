"""The graph's own task group: one for the whole graph, never one per fop (that is 10 to 20 times dearer)."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Coroutine
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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_tasks: set[asyncio.Task[None]] = set()
        self._working = 0
        self._idle: Coming[None] | None = None

    async def __aenter__(self) -> Tasks:
        self._loop = asyncio._get_running_loop()
        self._workers = anyio.create_task_group()
        await self._workers.__aenter__()
        self._workers.start_soon(self._start_daemons)
        return self

    async def finish(self) -> None:
        """End the daemons and wait for the work under way. Nodes are stopped after this, as work still needs them."""
        self._finishing = True
        for scope in self._daemons.values():
            if scope is not None:
                scope.cancel()
        with anyio.move_on_after(DRAIN_SECONDS, shield=True):
            while self._working or self._daemons:
                self._idle = Coming()
                await self._idle

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._workers is not None
        for task in self._loop_tasks:
            task.cancel()
        self._workers.cancel_scope.cancel()
        try:
            await self._workers.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if group.exceptions != (error,):  # the caller's own error goes on as it is, in no group
                raise

    def start(self, work: Coroutine[Any, Any, R]) -> Coming[R]:
        """Run a coroutine beside its caller; what comes back is its answer on its way."""
        if self._workers is None:
            work.close()
            raise RuntimeError("the graph is not open: nothing can be started on it")
        coming: Coming[R] = Coming()
        self._working += 1
        if self._loop is not None:  # a plain task costs a third of one in anyio's group
            task = self._loop.create_task(self._run(work, coming))
            self._loop_tasks.add(task)

            def ended(task: asyncio.Task[None]) -> None:
                self._loop_tasks.discard(task)
                work.close()  # one that was cancelled before its first step was never begun

            task.add_done_callback(ended)
        else:
            self._workers.start_soon(self._run, work, coming)
        return coming

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
        self._daemons[work] = None
        self._new_daemons.append(work)
        self._wake_starter.resolve(None)

    async def _start_daemons(self) -> None:
        assert self._workers is not None
        while True:
            new, self._new_daemons = self._new_daemons, []
            for work in new:
                self._workers.start_soon(self._run_daemon, work)
            self._wake_starter = Coming()
            await self._wake_starter

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
        except BaseException:
            coming.reject(fail(errno.ENOTCONN, "the graph was closed"))
            raise
        finally:
            self._working -= 1
            self._wake_when_idle()

    def _wake_when_idle(self) -> None:
        if not self._working and not self._daemons and self._idle is not None:
            self._idle.resolve(None)


async def _awaited(answer: Awaitable[R]) -> R:
    return await answer
