"""The marks of replication that objects bear, and the heal index, kept true to each other.

Marks are counters in extended attributes. An index lists an object before the first of its counters there says so, and
until after the last no longer does: a crash in between leaves an entry too many, never one too few.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ....graph import Gfid
from ..heal_index import INDEXES, index_of, marked
from .disk_index import DiskIndex
from .metadata import InodeMetadata
from .places import Where


@attrs.define(eq=False)
class Marks:
    """Attributes of a brick's objects, as far as they may be marks."""

    metadata: InodeMetadata
    index: DiskIndex

    def set(self, gfid: Gfid, at: Where, values: Mapping[str, bytes], flags: int = 0) -> None:
        """Set attributes. EEXIST ENODATA (by the flags of setxattr(2)) ENOSPC."""
        if any(map(index_of, values)):
            self.count(gfid, at, self.metadata.counters(gfid, at), values, flags)
        else:
            self.metadata.set_all(gfid, at, values, flags)

    def count(
        self, gfid: Gfid, at: Where, before: Mapping[str, bytes], values: Mapping[str, bytes], flags: int = 0
    ) -> None:
        """Set attributes of an object that has the counters `before`, and no others."""
        indexes = marked({**before, **values})
        self.index.add(indexes, gfid)
        try:
            self.metadata.set_all(gfid, at, values, flags)
        except BaseException:
            self._unlist(gfid, at)  # as far as it went
            raise
        self.index.keep(indexes, gfid)

    def remove(self, gfid: Gfid, at: Where, name: str) -> None:
        """Remove an attribute. ENODATA."""
        self.metadata.remove(gfid, at, name)
        if index_of(name) is not None:
            self._unlist(gfid, at)

    def relist(self, gfid: Gfid, at: Where) -> None:
        """Enter each index that it has to be in: a power loss may keep a mark, and not the entry."""
        self.index.add(marked(self.metadata.counters(gfid, at)), gfid)

    def _unlist(self, gfid: Gfid, at: Where) -> None:
        """Leave each index in which no counter keeps it."""
        if any(gfid in self.index.listed[index] for index in INDEXES):
            self.index.keep(marked(self.metadata.counters(gfid, at)), gfid)
