"""cluster/distribute over a single child: how stock volfiles of a replicated volume begin."""

from __future__ import annotations

from typing import ClassVar

import attrs

from ...graph import Translator


@attrs.define(eq=False)
class Distribute(Translator):
    """Hand every fop to the only child; a volume spread over several children is refused.

        volume dht
          type cluster/distribute
          subvolumes mirror
        end-volume

    So a stock volfile of a replicated volume loads unchanged. Once linked it costs nothing.
    """

    ignored_options: ClassVar[frozenset[str]] = frozenset(("*",))
    warning: ClassVar[str] = "hands everything on; several children are not supported"
