"""features/locks: for stock volfiles, and to say how locks behave. The lock table is part of the bricks themselves."""

from __future__ import annotations

from typing import ClassVar

import attrs

from ...graph import Translator, children_first, option
from ...graph import options as kinds
from ..storage.leaf import Leaf


@attrs.define(eq=False)
class Locks(Translator):
    """Hand everything on: storage/posix and storage/memory answer lk, inodelk and entrylk themselves.

        volume locks
          type features/locks
          option notify-contention-delay 2
          subvolumes brick
        end-volume

    So a stock volfile loads unchanged, and one without this volume has locks all the same. Its options go to the brick
    below. Once linked it costs nothing.
    """

    notify_contention: bool = option(
        kinds.boolean, default=True, help="tell whoever holds an inode or entry lock that somebody else waits for it"
    )
    notify_contention_delay: float = option(
        kinds.duration(0, 60), default=5.0, help="seconds in which the holder of one lock is told but once"
    )

    ignored_options: ClassVar[frozenset[str]] = frozenset(
        (
            "enforce-mandatory-lock",
            "mandatory",
            "mandatory-locking",
            "monkey-unlocking",
            "revocation-clear-all",
            "revocation-max-blocked",
            "revocation-secs",
            "trace",
        )
    )

    async def start(self) -> None:
        for node in children_first(self):
            if isinstance(node, Leaf):
                node.set_notices(self.notify_contention, self.notify_contention_delay)
