"""features/locks: accepted for stock volfiles. The lock table is part of the bricks themselves."""

from __future__ import annotations

from typing import ClassVar

import attrs

from ...graph import Translator


@attrs.define(eq=False)
class Locks(Translator):
    """Hand everything on: storage/posix and storage/memory answer lk, inodelk and entrylk themselves.

        volume locks
          type features/locks
          subvolumes brick
        end-volume

    So a stock volfile loads unchanged, and one without this volume has locks all the same. Once linked it costs
    nothing.
    """

    ignored_options: ClassVar[frozenset[str]] = frozenset(
        (
            "enforce-mandatory-lock",
            "mandatory",
            "mandatory-locking",
            "monkey-unlocking",
            "notify-contention",
            "notify-contention-delay",
            "revocation-clear-all",
            "revocation-max-blocked",
            "revocation-secs",
            "trace",
        )
    )
