"""Events travel along the graph, and each knows its direction. `Translator.notify` is synchronous."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

from .types import Gfid

if TYPE_CHECKING:
    from .translator import Translator


@attrs.define(eq=False)
class Event:
    """`source` is the node that hands the event on: to a parent, the child that changed."""

    source: Translator
    rises: ClassVar[bool] = True


@attrs.define(eq=False)
class ChildUp(Event):
    """The child answers fops from now on."""


@attrs.define(eq=False)
class ChildDown(Event):
    """The child answers ENOTCONN until further notice; `reason` is for people."""

    reason: str = ""


@attrs.define(eq=False)
class ChildChanged(Event):
    """Something below the child came or went, while the child itself stays up: an afr above may have to heal."""


@attrs.define(eq=False)
class Contention(Event):
    """Somebody wants a lock that `client` holds on `gfid`; `name` is set for entry locks (empty: all names)."""

    gfid: Gfid
    domain: str
    name: bytes | None = None
    client: str = ""


@attrs.define(eq=False)
class ParentUp(Event):
    """The parents are ready: a node that has something to say (up, down) says it now."""

    rises: ClassVar[bool] = False


@attrs.define(eq=False)
class ParentDown(Event):
    """No fop will come any more; the graph is about to stop."""

    rises: ClassVar[bool] = False
