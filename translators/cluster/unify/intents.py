"""Intents: what a change of names, made in several steps on several nodes, is about to do.

Before the steps an intent is written on the object's entry in the namespace, in an xattr of unify's own; after them
it is taken off. Whoever meets an intent waits for the entry locks of the names it speaks of. If it is still there
then, its writer failed or died in the middle, and the change is settled by what storage shows:

- a name made, linked or removed: the name counts exactly if the holder has it; otherwise the namespace drops it;
- a move: if the namespace has moved the name, storage follows; otherwise nothing has happened.

So no name and no contents are ever dropped on the way, but those that the change itself was to drop.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import attrs

from ....graph import (
    NULL_GFID,
    EntryLockCommand,
    Gfid,
    Loc,
    LockType,
    LookedUp,
    Translator,
    fail,
    fan_out,
)
from ....graph.types import NAME_BYTES_MAX
from .lost_namespace import refuse_lost_namespace
from .verdict import ABSENT, none_unsure, only_bearer

if TYPE_CHECKING:
    from .unify import Unify

R = TypeVar("R")

ATTEMPTS_MAX = 16
"""How often a change gives way to others before it gives up with EBUSY."""

_HEADER = struct.Struct(">B16s16s16sB")
_VERSION = 1


@attrs.frozen
class Intent:
    """A name that is made, linked or removed; or, with `old_name`, one that an object moves to."""

    parent: Gfid
    name: bytes
    old_parent: Gfid = NULL_GFID
    old_name: bytes = b""
    replaced: Gfid = NULL_GFID
    """A move: the object that stood at the new name."""

    @classmethod
    def of(cls, loc: Loc) -> Intent:
        return cls(loc.parent, loc.name)

    @classmethod
    def move(cls, old: Loc, new: Loc, replaced: Gfid) -> Intent:
        return cls(new.parent, new.name, old.parent, old.name, replaced)

    @property
    def loc(self) -> Loc:
        return Loc(parent=self.parent, name=self.name)

    @property
    def old_loc(self) -> Loc:
        return Loc(parent=self.old_parent, name=self.old_name)

    @property
    def moves(self) -> bool:
        return bool(self.old_name)

    @property
    def locs(self) -> tuple[Loc, ...]:
        return (self.loc, self.old_loc) if self.moves else (self.loc,)

    def encode(self) -> bytes:
        """ENAMETOOLONG, as every brick would say."""
        if max(len(self.name), len(self.old_name)) > NAME_BYTES_MAX:
            raise fail(errno.ENAMETOOLONG, self.name)
        header = _HEADER.pack(_VERSION, self.parent, self.old_parent, self.replaced, len(self.name))
        return header + self.name + self.old_name

    @classmethod
    def decode(cls, raw: bytes) -> Intent:
        """EIO if it is none: a namespace that is damaged, or written by a later version."""
        raw = bytes(raw)
        if len(raw) < _HEADER.size:
            raise fail(errno.EIO, "an intent in the namespace is damaged")
        version, parent, old_parent, replaced, length = _HEADER.unpack_from(raw)
        name, old_name = raw[_HEADER.size : _HEADER.size + length], raw[_HEADER.size + length :]
        if version != _VERSION or not name or len(name) != length or len(old_name) > NAME_BYTES_MAX:
            raise fail(errno.EIO, "an intent in the namespace is damaged")
        return cls(Gfid(parent), name, Gfid(old_parent), old_name, Gfid(replaced))


class Unsettled(Exception):
    """An object was met that bears an intent."""

    def __init__(self, gfid: Gfid, intent: Intent) -> None:
        super().__init__(gfid.text)
        self.gfid = gfid
        self.intent = intent


# --- with and without locks --------------------------------------------------------------------------------------


async def settled(unify: Unify, work: Callable[[], Awaitable[R]]) -> R:
    """Do what only reads; where it meets an intent, have that settled and do it again."""
    for _ in range(ATTEMPTS_MAX):
        try:
            return await work()
        except Unsettled as unsettled:
            met = unsettled
        await unify.tasks.start(settle(unify, met.gfid, met.intent))
    raise fail(errno.EBUSY, f"{unify.name}: others keep changing its names")


async def transact(unify: Unify, locs: tuple[Loc, ...], work: Callable[[], Awaitable[R]]) -> R:
    """Do what changes names, under their locks. It runs in the graph's tasks: no cancellation cuts it short."""
    await refuse_lost_namespace(unify)
    for _ in range(ATTEMPTS_MAX):
        async with _locked(unify, locs):
            try:
                return await work()
            except Unsettled as unsettled:
                met = unsettled
        await settle(unify, met.gfid, met.intent)
    raise fail(errno.EBUSY, f"{unify.name}: others keep changing these names")


@asynccontextmanager
async def _locked(unify: Unify, locs: tuple[Loc, ...]) -> AsyncIterator[None]:
    """Hold the names' entry locks on the namespace, taken in an order that all keep: nobody waits in a circle."""
    call, held = unify.own_call(), []

    def entrylk(parent: Gfid, name: bytes, command: EntryLockCommand) -> Awaitable[object]:
        return unify.namespace.entrylk(call, unify.lock_domain, Loc(parent), name, command, LockType.WRITE)

    try:
        for parent, name in sorted({(loc.parent, loc.name) for loc in locs}):
            await entrylk(parent, name, EntryLockCommand.LOCK)
            held.append((parent, name))
        yield
    finally:
        for parent, name in reversed(held):
            with suppress(OSError):  # a namespace that went down has dropped its locks
                await entrylk(parent, name, EntryLockCommand.UNLOCK)


# --- writing one -------------------------------------------------------------------------------------------------


async def declare(unify: Unify, gfid: Gfid, intent: Intent) -> None:
    """Write an intent on an object. Only one change of its names at a time: raises `Unsettled` if there is another."""
    values = {unify.intent_key: intent.encode()}
    try:
        await unify.namespace.setxattr(unify.own_call(), Loc(gfid), values, os.XATTR_CREATE)
    except FileExistsError:
        raise Unsettled(gfid, await _read(unify, gfid) or intent) from None


async def withdraw(unify: Unify, gfid: Gfid) -> None:
    """The change is over. If the intent cannot be taken off, the next who meets it finds everything done."""
    with suppress(OSError):
        await unify.namespace.removexattr(unify.own_call(), Loc(gfid), unify.intent_key)


async def _read(unify: Unify, gfid: Gfid) -> Intent | None:
    """The intent on an object; None where there is none, or no such object."""
    try:
        entry = await unify.namespace.lookup(unify.own_call({unify.intent_key: 0}), Loc(gfid))
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    left = (entry.xdata or {}).get(unify.intent_key)
    return Intent.decode(left) if left else None


# --- settling ----------------------------------------------------------------------------------------------------


async def settle(unify: Unify, gfid: Gfid, intent: Intent) -> None:
    """Wait until nobody works on an intent, and if it was left behind, bring its change to an end."""
    async with _locked(unify, intent.locs):
        if await _read(unify, gfid) == intent:
            await finish(unify, gfid, intent)


async def finish(unify: Unify, gfid: Gfid, intent: Intent) -> None:
    """Bring a change to an end, under its locks. Raises what keeps it from that; then the intent stays."""
    if intent.moves:
        await _follow(unify, gfid, intent)
    elif await _holder_of_name(unify, gfid, intent.loc) is None:
        await _drop_name(unify, gfid, intent.loc)
    await withdraw(unify, gfid)


async def undo_move(unify: Unify, gfid: Gfid, intent: Intent) -> None:
    """Take a move back that could not be followed everywhere. Only for one that replaced nothing."""
    await _carry(unify, gfid, intent.loc, intent.old_loc, NULL_GFID)
    if await _gfid_at(unify, unify.namespace, intent.loc) == gfid:
        await unify.namespace.rename(unify.own_call(), intent.loc, intent.old_loc)
    await withdraw(unify, gfid)


async def _holder_of_name(unify: Unify, gfid: Gfid, loc: Loc) -> Translator | None:
    bearer = only_bearer(gfid, await fan_out(unify.children, Translator.lookup, unify.own_call(), loc))
    return None if bearer is None else bearer.child


async def _drop_name(unify: Unify, gfid: Gfid, loc: Loc) -> None:
    if await _gfid_at(unify, unify.namespace, loc) == gfid:
        await unify.namespace.unlink(unify.own_call(), loc)


async def _follow(unify: Unify, gfid: Gfid, intent: Intent) -> None:
    """Move the name on storage as the namespace has moved it."""
    if await _gfid_at(unify, unify.namespace, intent.loc) == gfid:
        await _carry(unify, gfid, intent.old_loc, intent.loc, intent.replaced)


async def _carry(unify: Unify, gfid: Gfid, source: Loc, target: Loc, replaced: Gfid) -> None:
    """On every child that has the object at `source`, move it to `target`; drop what it replaces on the others."""
    call = unify.own_call()
    at_source = await fan_out(unify.children, Translator.lookup, call, source)
    at_target = await fan_out(unify.children, Translator.lookup, call, target)
    none_unsure((*at_source, *at_target))
    for before, after in zip(at_source, at_target, strict=True):
        here, there = _gfid(before.value), _gfid(after.value)
        if here == gfid and there in (NULL_GFID, gfid, replaced):
            await before.child.rename(call, source, target)
        elif here == gfid:
            raise fail(errno.EIO, f"{before.child.name}: something else stands at {target.name!r}")
        elif after.value is not None and there == replaced:
            remove = after.child.rmdir if after.value.iatt.is_dir else after.child.unlink
            await remove(call, target)


async def _gfid_at(unify: Unify, node: Translator, loc: Loc) -> Gfid:
    """What stands at a name; null if nothing."""
    try:
        return (await node.lookup(unify.own_call(), loc)).iatt.gfid
    except OSError as error:
        if error.errno in ABSENT:
            return NULL_GFID
        raise


def _gfid(reply: LookedUp | None) -> Gfid:
    return NULL_GFID if reply is None else reply.iatt.gfid
