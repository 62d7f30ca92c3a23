"""Attributes: of a directory the namespace's; of a file the holder's, but mode and owner are the namespace's."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from ....graph import Attributes, Call, Changed, Fd, Gfid, Loc, NewAttributes, Translator, fan_out, started
from .verdict import ABSENT, merged, merged_or_none

if TYPE_CHECKING:
    from .unify import Unify


async def stat(unify: Unify, call: Call, loc: Loc) -> Attributes:
    place, gfid = await unify.place_of(call, loc)
    if place is unify.namespace:
        return await place.stat(call, Loc(gfid))
    return await _with_entry(unify, call, gfid, place.stat(unify.without_lone_keys(call), Loc(gfid)))


async def fstat(unify: Unify, call: Call, fd: Fd) -> Attributes:
    place, gfid = await unify.place_of_fd(call, fd), fd.gfid
    if place is unify.namespace:
        return await place.fstat(call, fd)
    return await _with_entry(unify, call, gfid, place.fstat(unify.without_lone_keys(call), fd))


async def _with_entry(unify: Unify, call: Call, gfid: Gfid, held: Awaitable[Attributes]) -> Attributes:
    """The holder's answer, which is on its way while the namespace is asked. An open file may have no entry left."""
    held = started(held, unify.tasks)
    try:
        entry = await unify.namespace.stat(call.with_xdata(None), Loc(gfid))
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return await held
    reply = await held
    return Attributes(merged(entry.iatt, reply.iatt), reply.xdata)


async def setattr(unify: Unify, call: Call, loc: Loc, new: NewAttributes) -> Changed:
    place, gfid = await unify.place_of(call, loc)
    if place is unify.namespace:
        return await _set_directory(unify, call, gfid, place.setattr(call, Loc(gfid), new), new)
    return await _set_file(unify, call, gfid, place.setattr(call, Loc(gfid), new), new)


async def fsetattr(unify: Unify, call: Call, fd: Fd, new: NewAttributes) -> Changed:
    place, gfid = await unify.place_of_fd(call, fd), fd.gfid
    if place is unify.namespace:
        return await _set_directory(unify, call, gfid, place.fsetattr(call, fd, new), new)
    return await _set_file(unify, call, gfid, place.fsetattr(call, fd, new), new)


async def _set_file(unify: Unify, call: Call, gfid: Gfid, at_holder: Awaitable[Changed], new: NewAttributes) -> Changed:
    """First on the holder: should the namespace then fail, what was there before is still what shows."""
    changed = await at_holder
    visible = _visible(new)
    if visible.empty:
        return changed
    try:
        entered = await unify.namespace.setattr(call.with_xdata(None), Loc(gfid), visible)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return changed
    pre, post = merged_or_none(entered.pre, changed.pre), merged_or_none(entered.post, changed.post)
    return Changed(pre, post, changed.xdata)


async def _set_directory(
    unify: Unify, call: Call, gfid: Gfid, at_namespace: Awaitable[Changed], new: NewAttributes
) -> Changed:
    """The namespace decides. A child that misses it is put right by the comparison of the next lookup."""
    changed = await at_namespace
    visible = _visible(new)
    if not visible.empty:
        outcomes = await fan_out(unify.children, Translator.setattr, call.with_xdata(None), Loc(gfid), visible)
        if not all(outcome.ok for outcome in outcomes):
            unify.known[gfid].compared = -1
    return changed


def _visible(new: NewAttributes) -> NewAttributes:
    return NewAttributes(mode=new.mode, uid=new.uid, gid=new.gid)
