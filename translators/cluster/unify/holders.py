"""Which child holds a file.

Every file has an empty stand-in in the namespace, under the same name and gfid. The stand-in decides that the name
exists, what it is, its mode and its owner; the holder has contents, size, times, xattrs and locks.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import attrs

from ....graph import Call, Gfid, Iatt, Loc, LookedUp, Translator, fail, fan_out
from .intents import Intent, Unsettled
from .verdict import checked, merged, only_bearer

if TYPE_CHECKING:
    from .unify import Unify

LOOKS_MAX = 3
"""How often an object without a holder is looked for, before it counts as lost."""


@attrs.define
class Known:
    """What unify remembers of one object."""

    place: Translator | None = None
    """A file's holder; for a directory the namespace. A gfid never moves to another child."""
    compared: int = -1
    """A directory: the generation in which it was last compared with its copies on the children."""


@attrs.define
class Found:
    """An object of the volume. `holder` is None for a directory, and for a file that no child has."""

    entry: LookedUp
    holder: Translator | None = None
    held: LookedUp | None = None
    """What the holder says about it."""
    named: bool = False
    """Whether the holder has it under the name looked for."""

    @property
    def gfid(self) -> Gfid:
        return self.entry.iatt.gfid

    @property
    def is_dir(self) -> bool:
        return self.entry.iatt.is_dir

    @property
    def iatt(self) -> Iatt:
        return self.entry.iatt if self.held is None else merged(self.entry.iatt, self.held.iatt)


async def look(unify: Unify, call: Call, loc: Loc) -> LookedUp:
    """What the namespace says. Raises `Unsettled` where a change of the object's names is under way, or was left."""
    asked = {key: value for key, value in (call.xdata or {}).items() if key not in unify.not_asked}
    asked[unify.intent_key] = 0
    entry = await unify.namespace.lookup(call.with_xdata(asked), loc)
    left = (entry.xdata or {}).get(unify.intent_key)
    if left:
        raise Unsettled(entry.iatt.gfid, Intent.decode(left))
    return entry


async def view(unify: Unify, call: Call, loc: Loc) -> Found:
    """An object as namespace and holder have it now."""
    entry = await look(unify, call, loc)
    if entry.iatt.is_dir:
        unify.known[entry.iatt.gfid].place = unify.namespace
        return Found(entry)
    found = await _locate(unify, unify.without_lone_keys(call), loc, entry)
    unify.known[entry.iatt.gfid].place = found.holder
    return found


async def find(unify: Unify, call: Call, loc: Loc) -> Found:
    """As `view`, but an object has its holder, or it is EIO: contents that no child has are lost, not empty.

    Without locks an object may be met while it is being made or removed. Then the namespace, asked again, says so.
    """
    for _ in range(LOOKS_MAX):
        found = await view(unify, call, loc)
        if found.is_dir or found.holder is not None:
            return found
    raise lost(unify, found.gfid)


async def standing_at(unify: Unify, call: Call, loc: Loc) -> Found | None:
    """What has that name now. A name that cannot be is refused here, before the first step."""
    try:
        return await view(unify, call, loc)
    except FileNotFoundError:
        return None


def named_holder(unify: Unify, found: Found) -> Translator:
    """The holder, if it has the file under the name at hand. EIO."""
    if found.holder is None or not found.named:
        raise lost(unify, found.gfid)
    return found.holder


def lost(unify: Unify, gfid: Gfid) -> OSError:
    return fail(errno.EIO, f"{unify.name}: {gfid.text} is in the namespace, but on no child")


async def _locate(unify: Unify, call: Call, loc: Loc, entry: LookedUp) -> Found:
    """Ask the child that is known to hold the file, else all: by name, and then by gfid."""
    gfid = entry.iatt.gfid
    known = unify.known.known(gfid)
    if known is not None and known.place is not None:
        bearer = only_bearer(gfid, await fan_out([known.place], Translator.lookup, call, loc))
        if bearer is not None:
            return Found(entry, bearer.child, checked(entry.iatt, bearer), loc.named)
    bearer = only_bearer(gfid, await fan_out(unify.children, Translator.lookup, call, loc))
    if bearer is not None:
        return Found(entry, bearer.child, checked(entry.iatt, bearer), loc.named)
    if loc.named:
        bearer = only_bearer(gfid, await fan_out(unify.children, Translator.lookup, call, Loc(gfid)))
        if bearer is not None:
            return Found(entry, bearer.child, checked(entry.iatt, bearer), False)
    return Found(entry)
