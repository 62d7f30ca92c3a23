"""The fops that make and remove names: steps on the namespace and on storage, in an order that loses nothing.

- a new object: first its entry in the namespace, which decides who makes it, then the file on the chosen child;
- a name that goes: first on the holder, then in the namespace;
- a directory: made first in the namespace, then on all children; removed first from the children.

So storage never has a name that the namespace lacks (moves: see moving.py). A step that fails is undone where that is
safe; what is left by a node that goes down in the middle is settled by the next lookup (see intents.py).
Before the first step it is ENOTCONN if the namespace, a needed holder or, for directories, any child is down.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ....graph import (
    NULL_GFID,
    Call,
    Fd,
    Gfid,
    Loc,
    Made,
    Removed,
    Translator,
    fail,
    fan_out,
)
from .directory_heal import heal_missing
from .holders import look, lost, named_holder, standing_at, view
from .intents import Intent, declare, finish, transact, withdraw
from .lost_namespace import is_empty
from .verdict import ABSENT, first_error, merged

if TYPE_CHECKING:
    from .unify import Unify


# --- making ------------------------------------------------------------------------------------------------------


async def create(unify: Unify, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Made:
    """Without O_EXCL an existing file is opened, on its holder."""
    flags |= os.O_CREAT

    async def work() -> Made:
        try:
            return await _make(
                unify,
                call,
                loc,
                lambda call: unify.namespace.mknod(call, loc, stat.S_IFREG | stat.S_IMODE(mode), 0, umask),
                lambda child, call: child.create(call, loc, flags | os.O_EXCL, mode, umask, fd),
            )
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
        return await _open_existing(unify, call, loc, flags, mode, umask, fd)

    made = await transact(unify, (loc,), work)
    fd.slots[unify] = unify.known[made.iatt.gfid].place
    return made


async def mknod(unify: Unify, call: Call, loc: Loc, mode: int, rdev: int, umask: int) -> Made:
    def at(node: Translator, call: Call) -> Awaitable[Made]:
        return node.mknod(call, loc, mode, rdev, umask)

    return await transact(unify, (loc,), lambda: _make(unify, call, loc, lambda call: at(unify.namespace, call), at))


async def symlink(unify: Unify, call: Call, target: bytes, loc: Loc, umask: int) -> Made:
    def at(node: Translator, call: Call) -> Awaitable[Made]:
        return node.symlink(call, target, loc, umask)

    return await transact(unify, (loc,), lambda: _make(unify, call, loc, lambda call: at(unify.namespace, call), at))


async def _make(
    unify: Unify,
    call: Call,
    loc: Loc,
    enter: Callable[[Call], Awaitable[Made]],
    put: Callable[[Translator, Call], Awaitable[Made]],
) -> Made:
    """Enter a new object into the namespace, with the intent, and put it on the child that the scheduler chooses.

    Whoever meets the entry before the file is there sees the intent: no half file shows as an empty one.
    """
    unify.need_namespace()
    child, gfid, intent = unify.choose(loc), _wanted_gfid(call), Intent.of(loc)
    entering = call.with_xdata({"gfid-req": gfid, unify.intent_key: intent.encode()})
    try:
        entered = await enter(entering)
    except FileExistsError:
        await _settle_there(unify, call, loc)
        raise
    try:
        made = await put(child, call)
    except OSError as error:
        with suppress(OSError):
            await finish(unify, gfid, intent)
        raise _strange(child, loc, error) from error
    await withdraw(unify, gfid)
    unify.known[gfid].place = child
    return Made(merged(entered.iatt, made.iatt), entered.preparent, entered.postparent, made.xdata)


async def _open_existing(unify: Unify, call: Call, loc: Loc, flags: int, mode: int, umask: int, fd: Fd) -> Made:
    found = await view(unify, call.with_xdata(None), loc)
    if found.is_dir:
        raise fail(errno.EISDIR, loc.name)
    holder = named_holder(unify, found)
    made = await holder.create(call, loc, flags & ~os.O_EXCL, mode, umask, fd)
    parent = found.entry.postparent
    return Made(merged(found.entry.iatt, made.iatt), parent, parent, made.xdata)


async def mkdir(unify: Unify, call: Call, loc: Loc, mode: int, umask: int) -> Made:
    async def work() -> Made:
        unify.need_everyone()
        gfid = _wanted_gfid(call)
        try:
            made = await unify.namespace.mkdir(call, loc, mode, umask)
        except FileExistsError:
            await _settle_there(unify, call, loc)
            raise
        copying = call.with_xdata({"gfid-req": gfid})
        outcomes = await fan_out(unify.children, Translator.mkdir, copying, loc, mode, umask)
        error = first_error(outcomes)
        if error is not None:
            with suppress(OSError):
                await _take_back(unify, gfid, loc)
            child = next(outcome.child for outcome in outcomes if outcome.error is error)
            raise _strange(child, loc, error) from error
        unify.known[gfid].place, unify.known[gfid].compared = unify.namespace, unify.generation
        return made

    return await transact(unify, (loc,), work)


async def _take_back(unify: Unify, gfid: Gfid, loc: Loc) -> None:
    """Remove a directory that could not be made everywhere. Where that fails it stays: a lookup completes it."""
    call = unify.own_call()
    outcomes = await fan_out(unify.children, Translator.lookup, call, loc)
    having = [each.child for each in outcomes if each.value is not None and each.value.iatt.gfid == gfid]
    removed = await fan_out(having, Translator.rmdir, call, loc)
    if first_error(removed) is None and not any(each.errno == errno.ENOTCONN for each in outcomes):
        await unify.namespace.rmdir(call, loc)


async def link(unify: Unify, call: Call, old: Loc, new: Loc) -> Made:
    async def work() -> Made:
        unify.need_namespace()
        plain = call.with_xdata(None)
        taken = await standing_at(unify, plain, new)
        found = await view(unify, plain, old)
        if found.is_dir:
            raise fail(errno.EPERM, old.name)
        if taken is not None:
            raise fail(errno.EEXIST, new.name)
        if found.holder is None:
            raise lost(unify, found.gfid)
        unify.need(found.holder)
        intent = Intent.of(new)
        await declare(unify, found.gfid, intent)
        try:
            entered = await unify.namespace.link(call, old, new)
            made = await found.holder.link(call, old, new)
        except OSError as error:
            with suppress(OSError):
                await finish(unify, found.gfid, intent)
            raise _strange(found.holder, new, error) from error
        await withdraw(unify, found.gfid)
        return Made(merged(entered.iatt, made.iatt), entered.preparent, entered.postparent, made.xdata)

    return await transact(unify, (new,), work)


# --- removing ----------------------------------------------------------------------------------------------------


async def unlink(unify: Unify, call: Call, loc: Loc, xflags: int) -> Removed:
    """A name whose contents are lost may be removed, too, once all children are up to say that they are."""

    async def work() -> Removed:
        unify.need_namespace()
        found = await view(unify, call.with_xdata(None), loc)
        if found.is_dir:
            raise fail(errno.EISDIR, loc.name)
        if found.holder is None or not found.named:
            return await unify.namespace.unlink(call, loc, xflags)
        unify.need(found.holder)
        intent = Intent.of(loc)
        await declare(unify, found.gfid, intent)
        try:
            await found.holder.unlink(call, loc, xflags)
            removed = await unify.namespace.unlink(call, loc, xflags)
        except OSError:
            with suppress(OSError):
                await finish(unify, found.gfid, intent)
            raise
        if found.iatt.nlink > 1:
            await withdraw(unify, found.gfid)
        return removed

    return await transact(unify, (loc,), work)


async def rmdir(unify: Unify, call: Call, loc: Loc, xflags: int) -> Removed:
    async def work() -> Removed:
        unify.need_everyone()
        found = await view(unify, call.with_xdata(None), loc)
        if not found.is_dir:
            raise fail(errno.ENOTDIR, loc.name)
        if not await is_empty(unify.namespace, unify.own_call(), found.gfid):
            raise fail(errno.ENOTEMPTY, loc.name)
        outcomes = await fan_out(unify.children, Translator.rmdir, call, loc, xflags)
        error = first_error(outcome for outcome in outcomes if outcome.errno not in ABSENT)
        try:
            if error is not None:
                raise error
            return await unify.namespace.rmdir(call, loc, xflags)
        except OSError:
            with suppress(OSError):
                await heal_missing(unify, loc, found.entry.iatt)
            raise

    return await transact(unify, (loc,), work)


# --- what they share ---------------------------------------------------------------------------------------------


async def _settle_there(unify: Unify, call: Call, loc: Loc) -> None:
    """A name that is taken: if only by what a failure left, raise `Unsettled`."""
    with suppress(FileNotFoundError):
        await look(unify, call.with_xdata(None), loc)


def _wanted_gfid(call: Call) -> Gfid:
    gfid = call.asked("gfid-req")
    if not isinstance(gfid, bytes) or len(gfid) != 16 or gfid == NULL_GFID:
        raise fail(errno.EINVAL, "a new object needs a gfid-req")
    return Gfid(gfid)


def _strange(child: Translator, loc: Loc, error: OSError) -> OSError:
    """A child that has a name which the namespace lacks is damaged, or was written to directly: nothing is touched."""
    if error.errno != errno.EEXIST:
        return error
    return fail(errno.EIO, f"{child.name} has something at {loc.name!r} that the namespace does not know")
