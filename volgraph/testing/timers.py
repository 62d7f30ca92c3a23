"""Call back after some virtual time, on asyncio and on trio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context


def call_later(seconds: float, callback: Callable[[], None]) -> None:
    """Call `callback` (synchronously) in `seconds`, from the running loop. What it raises ends the run."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        loop.call_later(seconds, callback)
        return
    import trio

    async def timer() -> None:
        await trio.sleep(seconds)
        callback()

    trio.lowlevel.spawn_system_task(timer, context=copy_context())
