"""How long a brick's system calls take, without what is around them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from volgraph.graph.disk import Disk


class TimedDisk(Disk):
    """A disk that adds up the seconds that its calls take."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for name, call in vars(Disk).items():
            if isinstance(call, staticmethod):
                setattr(self, name, self._timed(call.__func__))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args, **more)
            finally:
                self.seconds += time.perf_counter() - began

        return timed

    def clock(self) -> float:
        """Stands still but for the disk's calls."""
        return self.seconds
