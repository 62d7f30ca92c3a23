"""Every decision of replication, as pure functions of what the children answered: no fop is wound in this file."""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from ....graph import Gfid, Iatt, Made, Outcome, Renamed, Written, fail, is_in_doubt
from .changelog import Kind, Record

R = TypeVar("R")

CONTENTS_OF_FILE = (Kind.DATA, Kind.METADATA)
CONTENTS_OF_DIRECTORY = (Kind.ENTRY, Kind.METADATA)
CONTENTS_OF_OTHERS = (Kind.METADATA,)


# --- quorum ------------------------------------------------------------------------------------------------------


@attrs.frozen
class Quorum:
    """How many of `children` must have taken part: `count` of them; with `tie_break`, exactly half of them is enough
    if it includes the first child."""

    children: int
    count: int
    tie_break: bool = False

    @property
    def overlaps(self) -> bool:
        """Do any two quorums share a child? Then no two histories can both have been acknowledged."""
        return 2 * self.count > self.children

    @property
    def majority(self) -> int | None:
        """How many accusers outvote a copy; None where one child alone may decide."""
        return self.count if self.count > 1 else None

    def met(self, present: Collection[int]) -> bool:
        if len(present) >= self.count:
            return True
        return self.tie_break and 2 * len(present) == self.children and 0 in present


def quorum_of(kind: str, count: int, children: int) -> Quorum:
    """The quorum that the options ask for. `kind` is none, fixed, auto, or "" (auto for more than two children)."""
    if kind == "":
        kind = "auto" if children > 2 else "none"
    if kind == "fixed":
        return Quorum(children, count)
    if kind == "auto":
        return Quorum(children, children // 2 + 1, tie_break=True)
    return Quorum(children, 1)


def risks_of(quorum: Quorum) -> list[str]:
    """What whoever asks for such a quorum should know (docs/promises.md)."""
    if quorum.children < 2 or quorum.overlaps:
        return []
    most = quorum.children // 2 + 1
    return [
        f"{quorum.count} of {quorum.children} copies is enough to go on: clients that reach different copies can both "
        "write a file, which is then in split-brain (EIO until a person decides), and one that reaches a stale copy "
        f"reads old bytes; quorum-type fixed with quorum-count {most} refuses instead"
        + (", with a third copy both go on" if quorum.children == 2 else "")
    ]


# --- errors ------------------------------------------------------------------------------------------------------

_TELLING = (errno.ENODATA, errno.ENOENT, errno.ESTALE, errno.ENOSPC)


def combined_error(outcomes: Collection[Outcome[Any]]) -> OSError:
    """One error for many: the most telling one, else the last child's that is not just "not connected" (10.12)."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    for code in _TELLING:
        for error in errors:
            if error.errno == code:
                return error
    connected = [error for error in errors if error.errno != errno.ENOTCONN]
    if connected:
        return connected[-1]
    return errors[-1] if errors else fail(errno.ENOTCONN)


def symmetric_error(outcomes: Collection[Outcome[Any]]) -> OSError | None:
    """The error, if every child gave the same one and none may have acted unseen: then the copies are still alike."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if len(errors) < len(outcomes) or len({error.errno for error in errors}) != 1 or any(map(is_in_doubt, errors)):
        return None
    return errors[0]


# --- after the fop -----------------------------------------------------------------------------------------------


@attrs.frozen
class Verdict:
    """What a fop came to. `error` is None for success. `blame` are the children that missed it, to be put on record
    where it `succeeded`.

    An error that ended `in_the_dark` may have left copies that differ; after any other they are alike.
    """

    succeeded: frozenset[int]
    blame: frozenset[int]
    error: OSError | None = None
    in_the_dark: bool = False


def unanimous(outcomes: Collection[Outcome[Any]]) -> bool:
    """Did the fop succeed everywhere, and come to the same? Then there is nothing to judge."""
    results: set[object] = set()
    for outcome in outcomes:
        if outcome.error is not None:
            return False
        value = outcome.value
        if isinstance(value, Written):
            results.add(value.count)
        else:
            results.add(value.iatt.gfid if isinstance(value, (Made, Renamed)) else None)
    return len(results) == 1


def judge(outcomes: Mapping[int, Outcome[Any]], good_before: Collection[int], quorum: Quorum) -> Verdict:
    """Decide on the outcomes of a fop, by child index; children that never got it are simply absent.

    `good_before` are the copies that were good when the fop began.
    """
    succeeded = frozenset(child for child, outcome in outcomes.items() if outcome.ok)
    same = symmetric_error(outcomes.values())
    if same is not None and not outcomes.keys().isdisjoint(good_before):  # of stale copies alone it tells nothing
        return Verdict(succeeded, frozenset(), same)
    if not quorum.met(succeeded):
        return Verdict(succeeded, frozenset(), _refusal(outcomes, good_before), in_the_dark=True)
    if not succeeded & frozenset(good_before):
        # It would exist only on copies that a heal is going to overwrite: a success now would be a lie later.
        lost = [outcomes[child] for child in good_before if child in outcomes]
        return Verdict(succeeded, frozenset(), combined_error(lost), in_the_dark=True)
    return Verdict(succeeded, frozenset(range(quorum.children)) - succeeded)


def _refusal(outcomes: Mapping[int, Outcome[Any]], good_before: Collection[int]) -> OSError:
    """What copies say that were good. That a stale one lacks a name says nothing about the name."""
    failed = [outcomes[child] for child in good_before if child in outcomes and not outcomes[child].ok]
    return combined_error(failed) if failed else fail(errno.ENOTCONN, "below quorum")


def shortest_fails(outcomes: Mapping[int, Outcome[Any]]) -> None:
    """A child that wrote less than the best one did not write: its outcome becomes an error."""
    counts = {child: outcome.value.count for child, outcome in outcomes.items() if isinstance(outcome.value, Written)}
    most = max(counts.values(), default=0)
    for child, count in counts.items():
        if count < most:
            outcomes[child].value = None
            outcomes[child].error = fail(errno.EIO, f"short write: {count} of {most} bytes")


def strangers_fail(outcomes: Mapping[int, Outcome[Any]], good_before: Collection[int], new: Gfid | None) -> None:
    """A change of names that ended with another object than on the good copies has failed.

    A copy that has missed something moves what it finds at a name; and `create` without O_EXCL takes what it finds, or
    makes the object `new`. What was there before counts; where good copies found two, nobody can tell.
    """
    ended_with = {
        child: outcome.value.iatt.gfid
        for child, outcome in outcomes.items()
        if isinstance(outcome.value, (Made, Renamed))
    }
    found = {gfid for child, gfid in ended_with.items() if child in good_before}
    right = found - {new} or found
    for child, gfid in ended_with.items():
        if right and right != {gfid}:
            outcomes[child].value = None
            outcomes[child].error = fail(errno.EIO, "another object stands at this name")


# --- which copies may be read ------------------------------------------------------------------------------------


@attrs.define
class Copy:
    """One copy of an object as it answered an inspection."""

    iatt: Iatt
    record: Record


def contents_of(iatt: Iatt) -> tuple[Kind, ...]:
    """The counters that matter for an object of this type."""
    if iatt.is_dir:
        return CONTENTS_OF_DIRECTORY
    return CONTENTS_OF_FILE if iatt.is_file else CONTENTS_OF_OTHERS


def readable(copies: Mapping[int, Copy], kinds: Sequence[Kind] = ()) -> frozenset[int]:
    """The copies that nobody blames, for any of these `kinds` of change, or for anything. Empty: no copy is known to be
    good (split-brain)."""
    good = set(copies)
    for copy in copies.values():
        if copy.record.accuses:
            asked = tuple(kinds) or contents_of(copy.iatt)
            good -= {child for child in good if copy.record.blames(child, asked)}
    return frozenset(good)


def certain(good: Mapping[int, Copy], changing: bool, quorum: Quorum) -> frozenset[int]:
    """The copies that every reader must agree on: a quorum of good ones, alike, in the midst of no change."""
    iatts = [copy.iatt for copy in good.values()]
    alike = not conflict(iatts) and len({iatt.size for iatt in iatts if iatt.is_file}) <= 1
    return frozenset(good) if alike and not changing and quorum.met(good) else frozenset()


def conflict(iatts: Collection[Iatt]) -> str:
    """Why these cannot be copies of one object, or ""."""
    if len({iatt.gfid for iatt in iatts}) > 1:
        return "the copies have different gfids"
    if len({iatt.kind for iatt in iatts}) > 1:
        return "the copies are of different types"
    return ""


def weight(children: Collection[int]) -> tuple[int, int]:
    """Whose word counts more: that of more copies, among as many that with the first child."""
    return len(children), -min(children, default=0)


def knowing(copies: Mapping[int, Copy], majority: int | None) -> frozenset[int]:
    """Of an object's copies, with what they say of its moves, those that know its place: they missed no move that
    others saw. Empty where nobody says anything, or nobody can tell."""
    if not any(copy.record.marked for copy in copies.values()):
        return frozenset()
    found = direction(copies, Kind.METADATA, majority)
    return frozenset() if found.split else found.sources


def standing(
    found: Mapping[int, Iatt],
    copies: Mapping[Gfid, Mapping[int, Copy]],
    voters: Collection[int],
    majority: int | None,
) -> tuple[Gfid | None, frozenset[int]]:
    """What stands at a name in a directory where nobody is known to be right (None: nothing), and who says so.

    `found` is what the voters have there, `copies` of each of these objects the copies wherever they stand, with what
    they say of its moves. Nothing is lost that a voter has; but a name has one object, and an object that was moved has
    one place. Where it is on record who missed its move, those decide who did not. Else more copies decide, among as
    many those with the first child.
    """
    camps = {
        iatt.gfid: frozenset(child for child in found if found[child].gfid == iatt.gfid) for iatt in found.values()
    }
    know = {gfid: knowing(copies[gfid], majority) & frozenset(voters) for gfid in camps}
    stays = [gfid for gfid in camps if camps[gfid] & know[gfid]]
    if stays:
        gfid = max(stays, key=lambda gfid: weight(camps[gfid] & know[gfid]))
        return gfid, camps[gfid] & know[gfid]
    unknown = [gfid for gfid in camps if not know[gfid]]
    if not unknown:
        return None, frozenset().union(*know.values())
    gfid = max(unknown, key=lambda gfid: weight(camps[gfid]))
    elsewhere = frozenset(child for child in copies[gfid] if child in voters and child not in found)
    if weight(elsewhere) > weight(camps[gfid]):
        return None, elsewhere
    return gfid, camps[gfid]


# --- which copy heals which --------------------------------------------------------------------------------------


@attrs.frozen
class Direction:
    """For one kind of change: good copies, and those to be healed from them. `split` says that nobody can tell."""

    sources: frozenset[int]
    sinks: frozenset[int]
    split: bool = False


def direction(copies: Mapping[int, Copy], kind: Kind, majority: int | None) -> Direction:
    """Who is right, given what every child says. `majority` is None where there is no quorum.

    A child that accuses itself cannot accuse others. With a quorum, children that do not blame each other and are
    blamed by less than a majority are right against the rest; otherwise, if all are blamed, nobody can tell.
    """
    members = frozenset(copies)
    fools = {i for i in members if copies[i].record.pending[i][kind]}
    accusers = {j: {i for i in members - fools if i != j and copies[i].record.pending[j][kind]} for j in members}
    sources = frozenset(j for j in members if not accusers[j])
    if not sources and majority is not None:
        outvoted = frozenset(j for j in members if len(accusers[j]) >= majority)
        if outvoted and not any(accusers[j] - outvoted for j in members - outvoted):
            sources = members - outvoted
    if not sources:
        return Direction(frozenset(), members, split=True)
    return Direction(sources, members - sources)


def witnessed(copies: Mapping[int, Copy], kind: Kind) -> dict[int, int]:
    """How many operations each child saw whose outcome on the others is unknown. Above zero, copies that nobody blames
    may differ all the same."""
    pending = {i: [counters[kind] for counters in copy.record.pending] for i, copy in copies.items()}
    others = {i: sum(counts) - counts[i] for i, counts in pending.items()}
    return {
        i: copy.record.dirty[kind]
        + (others[i] if pending[i][i] else 0)
        + (pending[i][i] if others[i] or not any(others.values()) else 0)
        for i, copy in copies.items()
    }


def best_file(copies: Mapping[int, Copy], candidates: Collection[int]) -> int:
    """Among files that nobody blames: the largest, then the one that saw most of the unfinished operations, then the
    first child. No clock is asked, so a wrong one decides nothing (I27)."""
    seen = witnessed(copies, Kind.DATA)
    return max(candidates, key=lambda child: (copies[child].iatt.size, seen[child], -child))
