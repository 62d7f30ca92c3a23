"""Nodes of a unify that lost their power: what they may lack, no other node of it has. So an afr above is told that the
unify is suspect; it reads its other children, heals the unify from them, and ends the suspicion of all that are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ....graph import ROOT_GFID, ROOT_LOC, Acknowledged, Call, LookedUp, State, Translator, fan_out
from ..afr.suspects import SUSPECT_KEY
from .verdict import first_error

if TYPE_CHECKING:
    from .unify import Unify


async def shown(unify: Unify, call: Call, entry: LookedUp) -> LookedUp:
    """The answer to a lookup of the root. Applications do not ask, and are spared the round."""
    if entry.iatt.gfid != ROOT_GFID or call.pid >= 0 or SUSPECT_KEY in (entry.xdata or {}):
        return entry
    outcomes = await fan_out(unify.children, Translator.lookup, unify.own_call(), ROOT_LOC)
    if not any(SUSPECT_KEY in (outcome.value.xdata or {}) for outcome in outcomes if outcome.value is not None):
        return entry
    return LookedUp(entry.iatt, entry.postparent, {**(entry.xdata or {}), SUSPECT_KEY: 1})


async def ended(unify: Unify, call: Call, values: Mapping[str, bytes]) -> Acknowledged:
    """An afr above has healed all there is here. Who is away says again that it is suspect. EPERM for applications."""
    there = [node for node in unify.below if node.state is State.UP]
    error = first_error(await fan_out(there, Translator.setxattr, call, ROOT_LOC, values))
    if error is not None:
        raise error
    return Acknowledged()
