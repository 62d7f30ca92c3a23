"""Which good copy is read from."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum
from typing import TYPE_CHECKING

import attrs

from ....graph import NULL_GFID, Gfid, children_first

if TYPE_CHECKING:
    from .settings import AfrSettings


class HashMode(IntEnum):
    """The numbers of GlusterFS's option `read-hash-mode`."""

    FIRST = 0
    BY_GFID = 1
    """Equal for all clients, so that a file stays in one brick's cache."""
    BY_GFID_AND_CLIENT = 2
    FEWEST_READS = 3


@attrs.define(eq=False)
class ReadChoice:
    """Of copies that may all be read. `preferred` is a child that was named for it, `near` are those on this host."""

    preferred: int | None
    near: frozenset[int]
    mode: HashMode
    children: int
    under_way: list[int] = attrs.field(init=False)
    """How many reads each child has not answered yet."""
    _hashed: bool = attrs.field(init=False)
    _salt: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.under_way = [0] * self.children
        self._hashed = self.mode in (HashMode.BY_GFID, HashMode.BY_GFID_AND_CLIENT)

    def know_client(self, number: int) -> None:
        """What tells this client from others, for BY_GFID_AND_CLIENT."""
        if self.mode is HashMode.BY_GFID_AND_CLIENT:
            self._salt = number

    @classmethod
    def asked_of(cls, afr: AfrSettings) -> ReadChoice:
        """As its options have it. A child is near where nothing below it is in another process."""
        names = [child.name for child in afr.children]
        preferred = names.index(afr.read_subvolume) if afr.read_subvolume in names else None
        far = {n for n, child in enumerate(afr.children) if any(node.remote for node in children_first(child))}
        near = frozenset(range(len(names))) - far if afr.choose_local and far else frozenset[int]()
        return cls(preferred, near, HashMode(afr.read_hash_mode), len(names))

    def of(self, copies: Collection[int], gfid: Gfid = NULL_GFID) -> int:
        """The child to read from."""
        if len(copies) == 1:
            return next(iter(copies))
        if self.preferred in copies:
            return self.preferred  # type: ignore[return-value]
        near = [child for child in copies if child in self.near] if self.near else ()
        candidates = near or copies
        if self._hashed:
            hashed = (gfid[15] ^ gfid[14] ^ self._salt) % self.children
            if hashed in candidates:
                return hashed
        if self.mode is HashMode.FEWEST_READS:
            return min(candidates, key=lambda child: (self.under_way[child], child))
        return min(candidates)
