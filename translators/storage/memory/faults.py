"""Calls of a brick in memory that fail as planned: a plan is data, so that a run can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from ....graph import FOPS, FopKind, fail


@attrs.frozen
class Fault:
    """A call ends with the errno `code`: before anything was done, or (`done`) after all was, so that only the answer
    is lost. With code 0 a write is short: half of it is done, and answered."""

    code: int
    done: bool = False


@attrs.define
class Faults:
    """Which calls of the brick fail, by their number from 1; locks are not counted. A store keeps them through
    restarts, and the number of calls so far."""

    plan: Mapping[int, Fault]
    calls: int = 0

    def detours(self, node: object) -> Mapping[str, Callable[..., Any]]:
        """The fops of a node, with faults."""
        counted = [name for name, kind in FOPS.items() if kind is not FopKind.LOCK and name not in ("ipc", "getspec")]
        return {name: partial(self._call, name, getattr(node, name)) for name in counted}

    def _call(self, name: str, fop: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        fault = self.plan.get(self.calls)
        if fault is None:
            return fop(*args, **kwargs)
        if not fault.code:
            return fop(*_halved(args), **kwargs) if name == "writev" else fop(*args, **kwargs)
        if fault.done:
            fop(*args, **kwargs)
        raise fail(fault.code, f"{name}, call {self.calls}")


def _halved(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a writev, of half the data (at least a byte)."""
    call, fd, data, *rest = args
    return (call, fd, data[: (len(data) + 1) // 2], *rest)
