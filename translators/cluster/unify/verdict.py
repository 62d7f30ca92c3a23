"""What the answers of namespace and children mean, as pure functions."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from ....graph import Gfid, Iatt, LookedUp, Outcome, Space, Xdata, fail

R = TypeVar("R")

ABSENT = frozenset((errno.ENOENT, errno.ESTALE, errno.ENOTDIR))
"""What a node says that does not have an object, or not even its directory; or its "directory" is a file."""

PARENT_LOCKS = "glusterfs.parent-entrylk"


def merged(entry: Iatt, held: Iatt) -> Iatt:
    """The attributes of a file: mode and owner are the namespace's, the rest is the holder's."""
    nlink = max(entry.nlink, held.nlink)
    if (entry.mode, entry.uid, entry.gid, nlink) == (held.mode, held.uid, held.gid, held.nlink):
        return held
    return held.replaced(mode=entry.mode, uid=entry.uid, gid=entry.gid, nlink=nlink)


def merged_or_none(entry: Iatt | None, held: Iatt | None) -> Iatt | None:
    """The same where a reply may leave attributes out."""
    return held if entry is None or held is None else merged(entry, held)


def only_bearer(gfid: Gfid, outcomes: Sequence[Outcome[LookedUp]]) -> Outcome[LookedUp] | None:
    """The one answer about this gfid; None where every child is sure not to have it.

    EIO if two have it. What a child that is down, or fails, may have, it may have: then its error is raised.
    """
    bearers = [outcome for outcome in outcomes if outcome.value is not None and outcome.value.iatt.gfid == gfid]
    if len(bearers) > 1:
        names = " and ".join(bearer.child.name for bearer in bearers)
        raise fail(errno.EIO, f"{gfid.text} is on {names}: a file belongs on one child")
    if bearers:
        return bearers[0]
    none_unsure(outcomes)
    return None


def none_unsure(outcomes: Iterable[Outcome[LookedUp]]) -> None:
    """Raise ENOTCONN if a child that may have an object is down, EIO if one failed."""
    unsure = [outcome for outcome in outcomes if outcome.errno not in ABSENT and not outcome.ok]
    if any(outcome.errno == errno.ENOTCONN for outcome in unsure):
        raise fail(errno.ENOTCONN, f"{', '.join(outcome.child.name for outcome in unsure)}: may hold it, and is down")
    for outcome in unsure:
        raise fail(errno.EIO, f"{outcome.child.name}: {outcome.error}") from outcome.error


def checked(entry: Iatt, bearer: Outcome[LookedUp]) -> LookedUp:
    """The holder's answer, if it is of the kind that the namespace says. EIO."""
    assert bearer.value is not None
    if bearer.value.iatt.kind != entry.kind:
        raise fail(errno.EIO, f"{entry.gfid.text}: {bearer.child.name} and the namespace differ in its type")
    return bearer.value


def first_error(outcomes: Iterable[Outcome[Any]]) -> OSError | None:
    """What to tell the caller when a change failed on some children: that one is down, before all else."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    return min(errors, key=lambda error: error.errno != errno.ENOTCONN, default=None)


def everywhere(outcomes: Sequence[Outcome[R]]) -> R:
    """The first answer, if the fop succeeded on every node; else the error."""
    error = first_error(outcomes)
    if error is not None:
        raise error
    reply = outcomes[0].value
    assert reply is not None
    return reply


def answers(entry: Xdata | None, held: Xdata | None) -> Xdata | None:
    """What a lookup of a file answers in xdata: the holder's part, but the locks on the name are the namespace's."""
    if entry is not None and PARENT_LOCKS in entry:
        return {**(held or {}), PARENT_LOCKS: entry[PARENT_LOCKS]}
    return held


def summed(outcomes: Sequence[Outcome[Space]]) -> Space:
    """The space of all children that answer, in units of the first one's. ENOTCONN if none does."""
    spaces = [outcome.value for outcome in outcomes if outcome.value is not None]
    if not spaces:
        raise first_error(outcomes) or fail(errno.ENOTCONN)
    unit = spaces[0].frsize or 1

    return Space(
        bsize=spaces[0].bsize,
        frsize=unit,
        blocks=sum(space.blocks * space.frsize for space in spaces) // unit,
        bfree=sum(space.bfree * space.frsize for space in spaces) // unit,
        bavail=sum(space.bavail * space.frsize for space in spaces) // unit,
        files=sum(space.files for space in spaces),
        ffree=sum(space.ffree for space in spaces),
        favail=sum(space.favail for space in spaces),
        fsid=spaces[0].fsid,
        flag=spaces[0].flag,
        namemax=min(space.namemax for space in spaces),
    )
