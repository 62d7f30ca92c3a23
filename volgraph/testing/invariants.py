"""What must hold after one replicated change under faults: pure functions of what was seen.

Each takes a `Trial` and yields what is wrong. Reports and mutants name them by their ids (meanings.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

import attrs

from ..graph import Gfid
from ..translators.storage.memory import Item
from .fated import Fate, Moment, Phase

Image: TypeAlias = Mapping[str, Item]
Marks: TypeAlias = Mapping[Gfid, Mapping[str, tuple[int, ...]]]
Value: TypeAlias = bytes | None
"""What a reader sees of the change: the contents of the file, or the gfid at the name; None where there is none."""
Quorum: TypeAlias = Callable[[Collection[int]], bool]
"""Is this a quorum, given the indices of the children that are there?"""


def any_child(present: Collection[int]) -> bool:
    return bool(present)


@attrs.frozen
class Majority:
    """More than half of `children`; with an even number, exactly half if it includes the first."""

    children: int

    def __call__(self, present: Collection[int]) -> bool:
        return 2 * len(present) > self.children or (2 * len(present) == self.children and 0 in present)


def intersecting(quorum: Quorum, children: int) -> bool:
    """Do any two quorums share a child? Only then can a reader on one always know what was written on another."""
    groups = [set(group) for group in quorums(quorum, children)]
    return all(one & other for one in groups for other in groups)


def quorums(quorum: Quorum, children: int) -> list[tuple[int, ...]]:
    """Every group of children that is a quorum, the smallest first."""
    return [group for size in range(1, children + 1) for group in combinations(range(children), size) if quorum(group)]


@attrs.define
class Trial:
    """One change under one schedule of fates, and what was found afterwards. Lists are by index of the child."""

    children: Sequence[str]
    quorum: Quorum
    before: Value
    after: Value
    between: Sequence[Value] = ()
    """What else there may be after a failure: a change in several steps may have made some of them."""
    refusal: int = 0
    """The errno with which the change must end, where it must be refused."""
    below: Mapping[str, Collection[int]] = attrs.field(factory=dict)
    """Which children every copy is made of, by its name: itself, or, where a replicator stands over others, several."""
    moments: Sequence[Moment] = ()
    """What passed between the replicator and its children during the change."""
    error: OSError | None = None
    """What the caller heard; None is success."""
    held: Sequence[Value] = ()
    images: Sequence[Image] = ()
    marks: Sequence[Marks] = ()
    owing: frozenset[int] = frozenset()
    """The children that owe an answer, while this is looked at."""
    left_behind: object = None
    """All that is on the bricks. Whoever comes anew finds the same wherever this is equal."""
    readings: Sequence[tuple[str, Value | OSError]] = ()
    """(who, what it read) once the faults had stopped: the same client first, then clients that start anew, each
    with a quorum of the children."""
    false_report: str = ""
    """What a heal under faults has said of itself, and is not so."""
    heal_error: str = ""
    """What kept the heal from ending clean; with "" and no healed images there was no heal."""
    healed_value: Value | OSError = None
    healed_images: Sequence[Image] = ()
    healed_marks: Sequence[Marks] = ()

    @property
    def acked(self) -> bool:
        """Was the caller told what had to be told?"""
        return (self.error.errno if self.error else 0) == self.refusal

    @property
    def possible(self) -> tuple[Value, ...]:
        """What a reader may see: of a change that failed nobody knows whether it happened."""
        return (self.after,) if self.acked else (self.before, *self.between, self.after)

    def ends_like(self, other: Trial) -> None:
        """What new clients and a healer make of what is left behind, as another trial has seen it."""
        self.readings = [*self.readings, *other.readings[1:]]
        self.heal_error, self.healed_value = other.heal_error, other.healed_value
        self.healed_images, self.healed_marks = other.healed_images, other.healed_marks

    @property
    def faults(self) -> list[tuple[str, Phase, int, Fate]]:
        return [(each.child, each.phase, each.ordinal, each.fate) for each in self.moments if str(each.fate) != "ok"]

    @property
    def blame(self) -> dict[int, set[int]]:
        """By child, the children that it says have missed something."""
        keys = {f"trusted.afr.{name}": number for number, name in enumerate(self.children)}
        return {
            number: {keys[key] for counters in marks.values() for key in counters if key in keys}
            for number, marks in enumerate(self.marks)
        }

    @property
    def trusted(self) -> list[int]:
        """The children that no unblamed child blames."""
        blame = self.blame
        blamed = set().union(*blame.values()) if blame else set()
        return [one for one in blame if not any(one in blame[other] for other in blame if other not in blamed)]

    @property
    def torn(self) -> bool:
        """Is there a good copy for each kind of change, but none for all? Then nobody can read before a heal."""
        keys = {f"trusted.afr.{name}": bricks for name, bricks in self.below.items()}
        bad: list[set[int]] = [set(), set(), set()]
        for marks in self.marks:
            for counters in marks.values():
                for key in keys.keys() & counters.keys():
                    for kind, count in zip(bad, counters[key], strict=True):
                        kind.update(keys[key] if count else ())
        return len(set().union(*bad)) == len(self.children) > max(map(len, bad))


Check: TypeAlias = Callable[[Trial], Iterator[str]]


def acked_is_kept(trial: Trial) -> Iterator[str]:
    """I01: what was acked is on a copy that no unblamed copy blames, and can be read, unless the copies are torn, or
    whoever has it owes an answer, or is blamed while one does; and nothing is acked that must be refused."""
    if trial.refusal and trial.error is None:
        yield "what had to be refused was acked"
    if not trial.acked:
        return
    having = {child for child in trial.trusted if trial.held[child] == trial.after}
    if not having:
        yield "what was acked is on no copy that is trusted"
    who, seen = trial.readings[0]
    if trial.owing:
        having -= trial.owing.union(*trial.blame.values())
    if isinstance(seen, OSError) and not trial.torn and having:
        yield f"what was acked cannot be read by {who}: {seen}"


def reads_are_current(trial: Trial) -> Iterator[str]:
    """I02: whoever reads after an ack gets what was acked, or an error; after a failure the old value or the new."""
    for who, seen in trial.readings:
        if not isinstance(seen, OSError) and seen not in trial.possible:
            yield f"{who} read {seen!r}, not {trial.possible[0]!r}"


def nothing_is_unread(trial: Trial) -> Iterator[str]:
    """I03: a change that failed may have happened, once: whoever reads later than one who saw it sees it, too."""
    stages = [trial.before, *trial.between, trial.after]
    seen_by, latest = "", 0
    for who, seen in trial.readings:
        if isinstance(seen, OSError) or seen not in stages:
            continue
        if seen not in stages[latest:]:
            yield f"{who} read {seen!r}, though {seen_by} had read {stages[latest]!r} before"
        else:
            seen_by, latest = who, stages.index(seen, latest)


def success_had_quorums(trial: Trial) -> Iterator[str]:
    """I04: success only if a quorum succeeded in each phase; no phase was entered without a quorum in those before.

    Of the post-op this is asked where it has something to tell: that a copy missed the change. Each transaction is told
    by its lock owner.
    """
    operating = dict.fromkeys(moment.owner for moment in trial.moments if moment.phase is Phase.OP)
    for owner in operating:
        yield from _had_quorums(trial, [moment for moment in trial.moments if moment.owner == owner])
    if not operating:
        yield from _had_quorums(trial, trial.moments)


def _had_quorums(trial: Trial, moments: Sequence[Moment]) -> Iterator[str]:
    done = {phase: _succeeded(trial, moments, phase) for phase in (Phase.LOCK, Phase.PRE_OP, Phase.OP)}
    operated = done[Phase.OP]
    if trial.acked and not trial.refusal:
        if operated is not None and len(operated) < len(trial.children):
            done[Phase.POST_OP] = _succeeded(trial, moments, Phase.POST_OP) or set()
        for phase, children in done.items():
            if children is not None and not trial.quorum(children):
                yield f"acked though {phase.value} succeeded on {len(children)} only"
    if operated is not None:
        for phase in (Phase.LOCK, Phase.PRE_OP):
            children = done[phase]
            if children is not None and not trial.quorum(children):
                yield f"op entered though {phase.value} succeeded on {len(children)} only"


def _succeeded(trial: Trial, moments: Sequence[Moment], phase: Phase) -> set[int] | None:
    """The children on which all fops of a phase succeeded, as the replicator heard it; None: there were none."""
    heard: dict[int, bool] = {}
    for moment in moments:
        if moment.phase is Phase.FSYNC and phase is Phase.POST_OP:
            break  # what is told from here on is that a copy could not keep what it had: no matter of success
        if moment.phase is phase and (moment.tells or phase is not Phase.POST_OP):
            child = trial.children.index(moment.child)
            heard[child] = heard.get(child, True) and moment.succeeded
    return {child for child, succeeded in heard.items() if succeeded} if heard else None


def blame_is_sound(trial: Trial) -> Iterator[str]:
    """I05: nobody blames itself, and there is always a copy with all that was acked that no unblamed copy blames."""
    for child, blamed in trial.blame.items():
        if child in blamed:
            yield f"{trial.children[child]} blames itself"
    if not any(trial.held[child] in trial.possible for child in trial.trusted):
        yield "no copy that is trusted holds all that was acked"


def differences_are_marked(trial: Trial) -> Iterator[str]:
    """I06: where copies differ, a mark on some copy points there: for names at their directory, else at the object."""
    marked = {gfid for marks in trial.marks for gfid in marks}
    found = [_by_gfid(image) for image in trial.images]
    for directory, name in sorted({place for names, _ in found for place in names}):
        there = {names.get((directory, name)) for names, _ in found}
        if len(there) > 1 and directory not in marked:
            yield f"the copies differ in what stands at {name!r} in {directory.text}, and no mark says so"
    for gfid in sorted({gfid for _, objects in found for gfid in objects}):
        copies = [objects[gfid] for _, objects in found if gfid in objects]
        if any(copy != copies[0] for copy in copies) and gfid not in marked:
            yield f"the copies of {gfid.text} differ, and no mark says so"


def conflicts_are_not_read(trial: Trial) -> Iterator[str]:
    """I12: where each copy of the object is blamed for the same kind of change by another, nobody reads any of them."""
    blamed: dict[tuple[Gfid, int], set[int]] = {}
    keys = {f"trusted.afr.{name}": number for number, name in enumerate(trial.children)}
    for marks in trial.marks:
        for gfid, counters in marks.items():
            for key in keys.keys() & counters.keys():
                for kind, count in enumerate(counters[key]):
                    if count:
                        blamed.setdefault((gfid, kind), set()).add(keys[key])
    split = [gfid for (gfid, _), children in blamed.items() if len(children) == len(trial.children)]
    for who, seen in trial.readings:
        if split and not isinstance(seen, OSError):
            yield f"{who} read {seen!r}, though every copy of {split[0].text} is blamed by another"


def objects_are_in_one_place(trial: Trial) -> Iterator[str]:
    """I13: what stands at one path has the same gfid on all copies, unless a mark points there (I06); one gfid is one
    object, and a directory has one parent."""
    copies = [*zip(trial.children, trial.images, strict=False), *zip(trial.children, trial.healed_images, strict=False)]
    for child, image in copies:
        objects: dict[Gfid, tuple[str, Item]] = {}
        for path, item in image.items():
            other, same = objects.setdefault(item.gfid, (path, item))
            if path != other and (item.kind == "directory" or item != same):
                yield f"{item.gfid.text} is both {other} and {path} on {child}"


def _by_gfid(image: Image) -> tuple[dict[tuple[Gfid, str], Gfid], dict[Gfid, Item]]:
    """The names of an image, by directory and name, and its objects."""
    names = {}
    for path, item in image.items():
        above, _, name = path.rpartition("/")
        if name:
            names[image[above or "/"].gfid, name] = item.gfid
    return names, {item.gfid: item for item in image.values()}


def healing_converges(trial: Trial) -> Iterator[str]:
    """I07: once faults have stopped and a heal has ended, copies are equal, marks zero, the value a possible one."""
    if trial.false_report:
        yield f"a disturbed heal did not end clean: {trial.false_report}"
    if trial.heal_error:
        yield f"the heal did not end clean: {trial.heal_error}"
    if not trial.healed_images:
        return
    for child, image in enumerate(trial.healed_images):
        if image != trial.healed_images[0]:
            yield f"{trial.children[child]} still differs from {trial.children[0]}"
    for child, marks in enumerate(trial.healed_marks):
        if marks:
            yield f"{trial.children[child]} still bears marks: {dict(marks)}"
    if trial.healed_value not in trial.possible:
        yield f"healed to {trial.healed_value!r}, not {trial.possible[0]!r}"


def laggards_are_left_alone(trial: Trial) -> Iterator[str]:
    """Nothing is sent to a child that owes an answer; what is sent in one go with it counts as earlier."""
    last: dict[str, Moment] = {}
    for moment in trial.moments:
        before = last.get(moment.child)
        if moment.owing and not (before and before.owner == moment.owner and before.phase is Phase.UNLOCK):
            yield f"{moment.child} owes an answer, and is sent {moment.fop}"
        last[moment.child] = moment


INVARIANTS: dict[str, Check] = {
    "I01": acked_is_kept,
    "I02": reads_are_current,
    "I03": nothing_is_unread,
    "I04": success_had_quorums,
    "I05": blame_is_sound,
    "I06": differences_are_marked,
    "I07": healing_converges,
    "I12": conflicts_are_not_read,
    "I13": objects_are_in_one_place,
    "fence": laggards_are_left_alone,
}


def broken_by(trial: Trial, invariants: Collection[str] = tuple(INVARIANTS)) -> list[tuple[str, str]]:
    """Every (invariant, what is wrong) of a trial."""
    return [(name, wrong) for name in invariants for wrong in INVARIANTS[name](trial)]
