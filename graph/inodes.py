"""Per-inode context: what a translator remembers of an object, bounded in number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from .types import Gfid

C = TypeVar("C")

CONTEXTS_MAX = 16384


class Inodes(Generic[C]):
    """Contexts by gfid. The least recently used is dropped beyond the limit, but never one that is pinned:
    a transaction, a lock or an open fd pins what it uses."""

    def __init__(self, make: Callable[[], C], limit: int = CONTEXTS_MAX) -> None:
        self._make = make
        self._limit = limit
        self._contexts: OrderedDict[Gfid, C] = OrderedDict()
        self._pins: dict[Gfid, int] = {}

    def __len__(self) -> int:
        return len(self._contexts)

    def __getitem__(self, gfid: Gfid) -> C:
        """The context of an object, made on first use."""
        context = self._contexts.get(gfid)
        if context is None:
            context = self._contexts[gfid] = self._make()
            if len(self._contexts) > self._limit:
                self._evict()
        else:
            self._contexts.move_to_end(gfid)
        return context

    def __iter__(self) -> Iterator[Gfid]:
        return iter(self._contexts)

    def known(self, gfid: Gfid) -> C | None:
        """The context if there is one already."""
        return self._contexts.get(gfid)

    def forget(self, gfid: Gfid) -> None:
        if gfid not in self._pins:
            self._contexts.pop(gfid, None)

    def pin(self, gfid: Gfid) -> C:
        context = self[gfid]
        self._pins[gfid] = self._pins.get(gfid, 0) + 1
        return context

    def unpin(self, gfid: Gfid) -> None:
        left = self._pins[gfid] - 1
        if left:
            self._pins[gfid] = left
        else:
            del self._pins[gfid]

    @contextmanager
    def pinned(self, gfid: Gfid) -> Iterator[C]:
        context = self.pin(gfid)
        try:
            yield context
        finally:
            self.unpin(gfid)

    def clear(self) -> None:
        self._contexts.clear()
        self._pins.clear()

    def _evict(self) -> None:
        """Drop the oldest that nobody uses; the newest stays, it is about to be used."""
        newest = next(reversed(self._contexts))
        for gfid in self._contexts:
            if gfid not in self._pins and gfid != newest:
                del self._contexts[gfid]
                return
