"""features/index: accepted for stock volfiles. The heal index is part of the bricks themselves."""

from __future__ import annotations

from typing import ClassVar

import attrs

from ...graph import Translator


@attrs.define(eq=False)
class Index(Translator):
    """Hand everything on: storage/posix and storage/memory list every object with a `trusted.afr.*` counter.

        volume index
          type features/index
          subvolumes brick
        end-volume

    So a stock volfile loads unchanged, and one without this volume has an index all the same. Once linked it costs
    nothing.
    """

    ignored_options: ClassVar[frozenset[str]] = frozenset(
        ("index-base", "xattrop-dirty-watchlist", "xattrop-pending-watchlist", "xattrop64-watchlist")
    )
