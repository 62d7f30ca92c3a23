"""Types of stock volfiles that hand everything on: performance translators and GlusterFS's own helpers."""

from __future__ import annotations

from typing import ClassVar

import attrs

from ...graph import Translator


@attrs.define(eq=False)
class PassThrough(Translator):
    """Hand every fop to the only child: the type is accepted so that a stock volfile loads unchanged.

        volume threads
          type performance/io-threads
          option thread-count 16
          subvolumes brick
        end-volume

    Whatever such a translator would do for speed is not done here; what it promises (nothing) is kept. Once linked, it
    costs nothing: its fops are the child's own.
    """

    ignored_options: ClassVar[frozenset[str]] = frozenset(("*",))
    warning: ClassVar[str] = "hands everything on to its child"
