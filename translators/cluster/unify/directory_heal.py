"""Directories are on all children. One that is missing somewhere (a replaced disk) is made there when it is met.

Only directories, never files, and never from storage into the namespace: so nothing that was deleted comes back.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....graph import ROOT_GFID, Iatt, Loc, LookedUp, NewAttributes, Outcome, Translator, fail, fan_out
from .holders import look
from .intents import transact
from .verdict import ABSENT, first_error

if TYPE_CHECKING:
    from .unify import Unify


def lacking(entry: Iatt, outcomes: Sequence[Outcome[LookedUp]]) -> list[Translator]:
    """The children that lack the directory. EIO where its gfid is something else."""
    for outcome in outcomes:
        if outcome.value is not None and not outcome.value.iatt.is_dir:
            raise fail(errno.EIO, f"{entry.gfid.text}: {outcome.child.name} and the namespace differ in its type")
    return [outcome.child for outcome in outcomes if outcome.errno in ABSENT]


def differing(entry: Iatt, outcomes: Sequence[Outcome[LookedUp]]) -> list[Translator]:
    """The children whose copy of the directory has another mode or owner. A brick's root is its owner's affair."""
    if entry.gfid == ROOT_GFID:
        return []
    return [
        outcome.child
        for outcome in outcomes
        if outcome.value is not None and _visible(outcome.value.iatt) != _visible(entry)
    ]


def _visible(iatt: Iatt) -> tuple[int, int, int]:
    return (iatt.mode, iatt.uid, iatt.gid)


async def compare(unify: Unify, loc: Loc, entry: Iatt) -> None:
    """Once for each time that a child came up: see that all children have this directory, and alike.

    Nothing is done while a child is down. What cannot be healed now is tried again by the next lookup.
    """
    known, generation = unify.known[entry.gfid], unify.generation
    if known.compared == generation or not unify.heals or unify.children_down():
        return
    outcomes = await fan_out(unify.children, Translator.lookup, unify.own_call(), Loc(entry.gfid))
    missing, unlike = lacking(entry, outcomes), differing(entry, outcomes)
    if (missing and loc.named) or unlike:
        await unify.tasks.start(_heal(unify, loc, entry, missing, unlike))
        outcomes = await fan_out(unify.children, Translator.lookup, unify.own_call(), Loc(entry.gfid))
    if all(outcome.ok for outcome in outcomes):
        known.compared = generation


async def _heal(unify: Unify, loc: Loc, entry: Iatt, missing: list[Translator], unlike: list[Translator]) -> None:
    await fan_out(unlike, Translator.setattr, unify.own_call(), Loc(entry.gfid), _attributes(entry))
    if missing and loc.named:
        await transact(unify, (loc,), lambda: heal_missing(unify, loc, entry))


async def heal_missing(unify: Unify, loc: Loc, entry: Iatt) -> None:
    """Under the name's lock, and only if the namespace still has the directory there: make it on the children that
    lack it. EIO where something else has its name."""
    here = Loc(parent=loc.parent, name=loc.name)
    if (await look(unify, unify.own_call(), here)).iatt.gfid != entry.gfid:
        return
    outcomes = await fan_out(unify.children, Translator.lookup, unify.own_call(), Loc(entry.gfid))
    missing = lacking(entry, outcomes)
    call = unify.own_call({"gfid-req": entry.gfid})
    made = await fan_out(missing, Translator.mkdir, call, here, stat.S_IMODE(entry.mode), 0)
    await fan_out(missing, Translator.setattr, unify.own_call(), Loc(entry.gfid), _attributes(entry))
    error = first_error(outcome for outcome in made if outcome.errno == errno.EEXIST)
    if error is not None:
        raise fail(errno.EIO, f"{unify.name}: a child has something else in place of {loc.name!r}") from error


def _attributes(entry: Iatt) -> NewAttributes:
    return NewAttributes(mode=stat.S_IMODE(entry.mode), uid=entry.uid, gid=entry.gid)
