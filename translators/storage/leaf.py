"""What bricks have in common, whatever they keep their objects in: a lock table, and what they tell of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import ClassVar

import attrs

from ...graph import EVERYTHING, Capability, Contention, Gfid, Translator
from .lock_table import LockTable

OPEN_COUNT_KEYS = frozenset(("glusterfs.open-fd-count", "glusterfs.open-active-fd-count"))


@attrs.define(eq=False)
class Leaf(Translator):
    """A translator without children that answers every fop itself, locks included."""

    locks: LockTable = attrs.field(init=False, repr=False)

    children_allowed: ClassVar[tuple[int, int | None]] = (0, 0)
    leaf_capabilities: ClassVar[frozenset[Capability]] = EVERYTHING

    def __attrs_post_init__(self) -> None:
        self.locks = self._new_locks()

    def _new_locks(self) -> LockTable:
        return LockTable(self._contended)

    def disconnect(self, client: str) -> None:
        self.locks.disconnect(client)

    def _contended(self, gfid: Gfid, domain: str, name: bytes | None, client: str) -> None:
        self.rise(Contention(self, gfid, domain, name, client))

    def _count(
        self, gfid: Gfid, key: str, value: object, open_fds: int, place: tuple[Gfid, bytes] | None
    ) -> int | None:
        """The answer to a key of xdata that asks how many; None where the key asks nothing of the kind. `place` is
        the name by which the object was met."""
        if key in OPEN_COUNT_KEYS:
            return open_fds
        if key == "glusterfs.inodelk-count":
            return self.locks.inodelk_count(gfid)
        if key == "glusterfs.inodelk-dom-count":
            return self.locks.inodelk_count(gfid, str(value))
        if key == "glusterfs.entrylk-count":
            return self.locks.entrylk_count(gfid)
        if key == "glusterfs.parent-entrylk" and place is not None:
            return self.locks.entrylk_count(*place)
        return None


def is_pattern(key: str) -> bool:
    """Whether a key of xdata asks for all attributes of such names."""
    return any(sign in key for sign in "*?[")


def matching(xattrs: Mapping[str, bytes], pattern: str) -> dict[str, bytes]:
    return {name: value for name, value in xattrs.items() if fnmatch.fnmatchcase(name, pattern)}
