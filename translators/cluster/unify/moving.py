"""Moving names: first in the namespace, then on the holder (a directory: on all children); what is replaced goes last.

The intent says from where, to where, and what stood there. From the step in the namespace on, the source is at its new
name for everybody, and its contents are found by gfid wherever its name on storage still is: they are never at risk. A
holder that fails then leaves two ways. Where nothing was replaced, the move is taken back. Otherwise it can only go on:
what stood there is gone from the namespace, and the next who meets the intent moves storage after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ....graph import NULL_GFID, Call, Loc, Renamed, Translator, fan_out
from .holders import Found, named_holder, standing_at, view
from .intents import Intent, declare, finish, transact, undo_move, withdraw
from .verdict import first_error, merged

if TYPE_CHECKING:
    from .unify import Unify


async def rename(unify: Unify, call: Call, old: Loc, new: Loc) -> Renamed:
    async def work() -> Renamed:
        unify.need_namespace()
        plain = call.with_xdata(None)
        target = await standing_at(unify, plain, new)
        source = await view(unify, plain, old)
        if target is not None and target.gfid == source.gfid:
            return await unify.namespace.rename(call, old, new)  # two names of one file: nothing to do
        if source.is_dir or (target is not None and target.is_dir):
            unify.need_everyone()
        movers = unify.children if source.is_dir else (named_holder(unify, source),)
        unify.need(*movers)
        if target is not None and target.holder is not None:
            unify.need(target.holder)
        return await _move(unify, call, old, new, source, target, movers)

    return await transact(unify, (old, new), work)


async def _move(
    unify: Unify,
    call: Call,
    old: Loc,
    new: Loc,
    source: Found,
    target: Found | None,
    movers: Sequence[Translator],
) -> Renamed:
    intent = Intent.move(old, new, NULL_GFID if target is None else target.gfid)
    await declare(unify, source.gfid, intent)
    try:
        moved = await unify.namespace.rename(call, old, new)
    except OSError:
        with suppress(OSError):
            await finish(unify, source.gfid, intent)
        raise
    outcomes = await fan_out(movers, Translator.rename, call, old, new)
    error = first_error(outcomes)
    if error is not None:
        if target is None:
            with suppress(OSError):
                await undo_move(unify, source.gfid, intent)
            raise error
        # What stood there is gone from the namespace: the move can only go on. The data are safe under either name.
        try:
            await finish(unify, source.gfid, intent)
        except OSError:
            raise error from None
    elif target is not None and target.named and target.holder is not None and target.holder not in movers:
        try:
            await target.holder.unlink(unify.own_call(), new)
        except OSError:
            return _renamed(moved, source)  # the intent stays; whoever looks next removes what is left
    await withdraw(unify, source.gfid)
    return _renamed(moved, source)


def _renamed(moved: Renamed, source: Found) -> Renamed:
    """The namespace's reply, with the attributes of the file itself."""
    if source.held is not None:
        moved.iatt = merged(moved.iatt, source.held.iatt)
    return moved
