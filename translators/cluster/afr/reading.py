"""Reading: only from copies that nobody blames, and from the next one when one fails."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar

import attrs

from ....graph import (
    NULL_GFID,
    ROOT_GFID,
    Call,
    Fd,
    Gfid,
    Loc,
    LookedUp,
    Outcome,
    Translator,
    Xdata,
    fail,
    wind,
)
from .changelog import COUNTERS, NONE, Counters, Keys, Kind, Record, unpacked
from .locks import EntryLock, held
from .own_keys import without_own
from .suspects import Suspects
from .verdict import Copy, combined_error, conflict, readable, standing

if TYPE_CHECKING:
    from .replica_set import ReplicaSet

R = TypeVar("R")


UNKNOWN = -1


@attrs.define
class InodeState:
    """What is known of an object's copies. Valid as long as no child came or went since (`generation`)."""

    generation: int = UNKNOWN
    readable: frozenset[int] = frozenset()
    changed_at: int = 0
    """When this client last learnt of a change that a copy missed, or may have (`ReplicaSet.moment`)."""

    def learn(self, inspection: Inspection) -> bool:
        """Take over what an inspection has found; False if something changed since it began."""
        if self.changed_at > inspection.moment:
            return False
        self.readable = inspection.readable
        # What is in the midst of a change, perhaps another client's, may be blamed as soon as it has ended.
        self.generation = UNKNOWN if inspection.changing else inspection.generation
        return True


@attrs.define
class Inspection:
    """What the children say of one object's copies, asked at one moment. `own_marks` are in their dirty counters
    for a change that we have announced ourselves: that is no news."""

    generation: int
    moment: int
    copies: Mapping[int, Copy]
    suspects: Suspects
    own_marks: Mapping[int, Counters] = attrs.field(factory=dict)
    readable: frozenset[int] = attrs.field(init=False)
    changing: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        alike = not conflict([copy.iatt for copy in self.copies.values()])
        self.readable = self.suspects.readable(self.copies) if alike else frozenset()
        self.changing = any(copy.record.dirty != self.own_marks.get(child, NONE) for child, copy in self.copies.items())

    @property
    def good(self) -> dict[int, Copy]:
        return {child: self.copies[child] for child in self.readable}


async def look(afr: ReplicaSet, call: Call, loc: Loc, asked: Xdata | None = None) -> dict[int, Outcome[LookedUp]]:
    """Look an object up on every child that is up, with its changelog. Outcomes by child index."""
    asking = call.with_xdata({**(asked or {}), **afr.keys.asked})
    answers = wind(afr.children_up(), Translator.lookup, asking, loc)
    outcomes = await afr.laggards.outcomes(answers, afr.known_readable(loc.gfid) or frozenset(afr.up))
    return {afr.index[outcome.child]: outcome for outcome in outcomes}


def copies_of(keys: Keys, outcomes: dict[int, Outcome[LookedUp]]) -> dict[int, Copy]:
    """The copies among the answers."""
    return {
        child: Copy(outcome.value.iatt, Record.read(keys, outcome.value.xdata))
        for child, outcome in outcomes.items()
        if outcome.value is not None
    }


async def look_for_moves(afr: ReplicaSet, call: Call, gfid: Gfid) -> dict[int, Outcome[LookedUp]]:
    """Look an object up wherever it stands, with what is said of its moves."""
    return await look(afr, call, Loc(gfid), afr.keys.asked_moves)


def moved_copies(keys: Keys, outcomes: dict[int, Outcome[LookedUp]]) -> dict[int, Copy]:
    """The copies among the answers, with what they say of the object's moves."""
    return {
        child: Copy(outcome.value.iatt, Record.of_moves(keys, outcome.value.xdata))
        for child, outcome in outcomes.items()
        if outcome.value is not None
    }


async def readable_copies(afr: ReplicaSet, call: Call, gfid: Gfid, fresh: bool = False) -> frozenset[int]:
    """The children that an object may be read from, asked of all of them if a child came or went since.

    Raises EIO where copies exist and none is known to be good; ENOTCONN below quorum; otherwise what they say.
    """
    if not afr.quorum.met(afr.up):
        raise fail(errno.ENOTCONN, f"{afr.name}: too few children are up")
    state = afr.inodes.known(gfid)
    if state is not None and state.generation == afr.generation and not fresh:
        found = state.readable
    else:
        found = (await inspect(afr, call, gfid)).readable
    return found or _none_is_good(afr, gfid)


def _none_is_good(afr: ReplicaSet, gfid: Gfid) -> NoReturn:
    raise fail(errno.EIO, f"{afr.name}: no copy of {gfid.text} is known to be good")


INSPECTIONS_MAX = 8


async def inspect(afr: ReplicaSet, call: Call, gfid: Gfid) -> Inspection:
    """Ask every child, again where a change came between: its end may not be in the answers."""
    for _ in range(INSPECTIONS_MAX):
        generation, moment = afr.generation, afr.moment
        outcomes = await look(afr, call, Loc(gfid))
        if not afr.quorum.met({child for child, outcome in outcomes.items() if outcome.errno != errno.ENOTCONN}):
            raise fail(errno.ENOTCONN, f"{afr.name}: too few children answer")
        _require_quorum(afr, outcomes)
        copies = copies_of(afr.keys, outcomes)
        if not copies:
            error = combined_error(list(outcomes.values()))
            raise fail(errno.ESTALE, gfid) if error.errno == errno.ENOENT else error
        inspection = _inspection(afr, gfid, generation, moment, copies)
        if afr.inodes[gfid].learn(inspection):
            break
    return inspection


def _inspection(afr: ReplicaSet, gfid: Gfid, generation: int, moment: int, copies: Mapping[int, Copy]) -> Inspection:
    found = Inspection(generation, moment, copies, afr.suspects, afr.streams.own_marks(gfid, moment))
    found.readable = afr.laggards.readable(gfid, found.readable)
    return found


def _require_quorum(afr: ReplicaSet, outcomes: dict[int, Outcome[LookedUp]]) -> None:
    """Have enough children told what they have? One with a sick disk may be the only one that knows who missed
    something."""
    if not afr.quorum.met({child for child, outcome in outcomes.items() if outcome.ok or outcome.errno in ABSENT}):
        raise combined_error([outcome for outcome in outcomes.values() if outcome.errno not in ABSENT])


ABSENT = (errno.ENOENT, errno.ESTALE)
ABOUT_THE_REQUEST = frozenset(
    (errno.ENODATA, errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EOPNOTSUPP)
)
"""Errors that a good copy gives as its answer: another copy would say the same."""


async def read(afr: ReplicaSet, call: Call, target: Loc | Fd, ask: Callable[[Translator], Awaitable[R]]) -> R:
    """Wind a reading fop to one readable child, and to the next where that one fails."""
    good = afr.known_readable(target.gfid) or await readable_for(afr, call, target)
    first = afr.choose(good, target.gfid)
    under_way = afr.choice.under_way
    under_way[first] += 1
    try:
        if afr.laggard_timeout:
            return await afr.laggards.one(first, ask, good - {first})
        return await ask(afr.children[first])
    except OSError as error:
        if error.errno in ABOUT_THE_REQUEST:
            raise
        last = error
    finally:
        under_way[first] -= 1
    others = await readable_for(afr, call, target, fresh=True) - {first}
    return await ask_in_turn(afr, sorted(others), ask, last)


async def ask_in_turn(
    afr: ReplicaSet, copies: Sequence[int], ask: Callable[[Translator], Awaitable[R]], error: OSError
) -> R:
    """What the first of these good copies answers that can. Where none can: its error, if it is about the request, or
    the last one's; `error` where there is no copy."""
    for place, child in enumerate(copies):
        try:
            return await afr.laggards.one(child, ask, copies[place + 1 :])
        except OSError as refusal:
            if refusal.errno in ABOUT_THE_REQUEST:
                raise
            error = refusal
    raise error


async def readable_for(afr: ReplicaSet, call: Call, target: Loc | Fd, fresh: bool = False) -> frozenset[int]:
    """The readable copies of an object. A file that was unlinked while open can only be found through its fd: then
    what was known when it still had a name counts, and what was missed since. The fd keeps that from being forgotten.

    ENOTCONN: those that are known to be good are away; EIO: there is none.
    """
    try:
        return await readable_copies(afr, call, target.gfid, fresh)
    except OSError as error:
        state = afr.inodes.known(target.gfid)
        if isinstance(target, Loc) or error.errno not in ABSENT or state is None:
            raise
    if not state.readable:
        _none_is_good(afr, target.gfid)
    if not state.readable & afr.up:
        raise fail(errno.ENOTCONN, f"{afr.name}: no good copy of {target.gfid.text} is up")
    return state.readable & afr.up


# --- lookup ------------------------------------------------------------------------------------------------------


async def lookup(afr: ReplicaSet, call: Call, loc: Loc) -> LookedUp:
    """Find an object: what the good copies of its parent say counts; then what its own good copies say."""
    voters = await afr.good_copies(call, loc.parent) if loc.named else frozenset(afr.up)
    if not afr.quorum.met(afr.up):
        raise fail(errno.ENOTCONN, f"{afr.name}: too few children are up")
    generation, moment = afr.generation, afr.moment
    asked = {key: value for key, value in (call.xdata or {}).items() if key != "gfid-req"}
    outcomes = await look(afr, call, loc, asked)
    if any(outcome.errno == errno.ENODATA for outcome in outcomes.values()):
        outcomes = await _give_gfid(afr, call, loc, asked)
    _require_quorum(afr, outcomes)
    votes = {child: outcomes[child] for child in voters if child in outcomes}
    if loc.named and _disagree(votes):
        votes = await _votes_that_count(afr, call, loc, outcomes)
    copies = copies_of(afr.keys, outcomes)
    found = {child: copies[child] for child in votes if child in copies}
    if not found:
        raise _absent(afr, votes)
    why = conflict([copy.iatt for copy in found.values()])
    if why:
        raise fail(errno.EIO, f"{afr.name}: {loc.name!r}: {why}")
    gfid = next(iter(found.values())).iatt.gfid
    if loc.named and loc.gfid not in (NULL_GFID, gfid):
        raise fail(errno.ESTALE, loc.name)
    everywhere = {child: copy for child, copy in copies.items() if copy.iatt.gfid == gfid}
    inspection = _inspection(afr, gfid, generation, moment, everywhere)
    afr.inodes[gfid].learn(inspection)
    # Where no copy is good in everything, those tell of attributes that are good in these: what an afr above has put on
    # record here (in xattrs) is not on a copy that missed it.
    good = inspection.readable or readable(everywhere, [Kind.METADATA]) & found.keys()
    reply = _answer(afr, outcomes, good & found.keys() or good or frozenset(found), gfid)
    if not good:  # nor any that is good in these: then what one of them has on record counts
        told = _on_record([outcomes[child].reply.xdata or {} for child in everywhere])
        reply.xdata = without_own(afr.keys, {**(reply.xdata or {}), **told})
    return reply


def _on_record(told: Collection[Xdata]) -> Xdata:
    """Of every changelog the most that any of these copies has counted."""
    found: dict[str, Counters] = {}
    for xdata in told:
        for name, value in xdata.items():
            counters = unpacked(value)
            if name.startswith("trusted.afr.") and any(counters):
                data, metadata, entry = map(max, counters, found.get(name, NONE))
                found[name] = data, metadata, entry
    return {name: COUNTERS.pack(*counters) for name, counters in found.items()}


def _disagree(votes: dict[int, Outcome[LookedUp]]) -> bool:
    """Is the name there on some and not on others, or another object?"""
    objects = {
        None if outcome.value is None else outcome.value.iatt.gfid
        for outcome in votes.values()
        if outcome.ok or outcome.errno == errno.ENOENT
    }
    return len(objects) > 1


async def _votes_that_count(
    afr: ReplicaSet, call: Call, loc: Loc, outcomes: dict[int, Outcome[LookedUp]]
) -> dict[int, Outcome[LookedUp]]:
    """The votes that count where voters disagree: another client may have changed names that one of them missed; or a
    change is under way, or ended in the dark. Then the same rule holds as for healing (see `Names`)."""
    parent = await inspect(afr, call, loc.parent)
    voters = parent.readable or _none_is_good(afr, loc.parent)
    votes = {child: outcomes[child] for child in voters if child in outcomes}
    found = {child: outcome.value.iatt for child, outcome in votes.items() if outcome.value is not None}
    if not parent.changing or not found or not _disagree(votes):
        return votes
    copies = {
        gfid: moved_copies(afr.keys, await look_for_moves(afr, call, gfid))
        for gfid in {iatt.gfid for iatt in found.values()}
    }
    gfid, by = standing(found, copies, votes.keys(), afr.quorum.majority)
    if gfid is None:
        raise fail(errno.ENOENT, loc.name)
    return {child: votes[child] for child in by}


def _absent(afr: ReplicaSet, votes: dict[int, Outcome[LookedUp]]) -> OSError:
    """ENOENT only if every child that may know has said so: one that is gone may have it."""
    if any(outcome.errno == errno.ENOTCONN for outcome in votes.values()) and not afr.quorum.met(
        {child for child, outcome in votes.items() if outcome.errno != errno.ENOTCONN}
    ):
        return fail(errno.ENOTCONN, f"{afr.name}: too few children answer")
    return combined_error(list(votes.values()))


async def _give_gfid(afr: ReplicaSet, call: Call, loc: Loc, asked: dict[str, object]) -> dict[int, Outcome[LookedUp]]:
    """An object without a gfid gets the one of the other copies, or the caller's if none has one and all are asked.
    Under the name's lock: two clients that find it at once give it one gfid."""
    own = Call(lk_owner=afr.new_lock_owner())
    with afr.streams.making_way((loc.parent,)):
        async with held(afr, sorted(afr.up), own, EntryLock.on(loc), afr.name, wait=True):
            outcomes = await look(afr, call, loc, asked)
            known = {outcome.value.iatt.gfid for outcome in outcomes.values() if outcome.value is not None}
            wanted = next(iter(known)) if len(known) == 1 else call.asked("gfid-req")
            if len(known) > 1 or wanted is None or (not known and len(afr.up) < len(afr.children)):
                raise fail(
                    errno.EIO, f"{afr.name}: {loc.name!r} has no gfid, and not every child is up to agree on one"
                )
            return await look(afr, call, loc, {**asked, "gfid-req": wanted})


def _answer(afr: ReplicaSet, outcomes: dict[int, Outcome[LookedUp]], good: Collection[int], gfid: Gfid) -> LookedUp:
    """The reply of the child that is read from, without the keys that are this afr's own business."""
    reply = outcomes[afr.choose(good, gfid)].reply
    xdata = without_own(afr.keys, reply.xdata)
    return LookedUp(reply.iatt, reply.postparent, afr.suspects.shown(xdata) if gfid == ROOT_GFID else xdata)
