"""What clients of a simulated cluster saw, what was left on the bricks, and what of it must never happen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

import attrs

from ..graph import Gfid
from . import invariants, linearizable
from .invariants import Image, Majority, Marks, Trial
from .linearizable import Operation
from .losses import Losses, undone_at
from .meanings import MEANINGS
from .tree import AFR, BRICK, Tree
from .views import one_place, view
from .workload import Do, Fault, Go, Workload

SECONDS_MAX = 300.0
"""No operation may take longer, whatever happens: connect, ping and lock timeouts add up to less."""
KILLED = "killed"
"""The error of an operation whose client was killed in the midst of it."""
HEALER = "healer"
"""Who heals at the end, and reads what is there then."""


@attrs.define
class Event:
    """One operation of a client. `gfid` is the object it was about, where known; `error` the errno's name, or "".

    `returned` is infinite for one that was still waiting at the end. `value` is what was written or read.
    """

    client: str
    do: Do
    name: bytes
    called: float
    block: int = 0
    target: bytes = b""
    returned: float = math.inf
    gfid: Gfid | None = None
    value: bytes | None = None
    error: str = ""
    tried: bool = False
    """Was the change itself asked for? If not, it has certainly not happened."""

    @property
    def acked(self) -> bool:
        return not self.error and self.returned < math.inf

    def __str__(self) -> str:
        about = {Do.READ: f"[{self.block}]", Do.WRITE: f"[{self.block}]", Do.RENAME: f" to {self.target.decode()}"}
        outcome = self.error or (f"ok {self.value!r}" if self.do in (Do.READ, Do.WRITE) else "ok")
        return (
            f"{self.called:.6f}..{self.returned:.6f} {self.client} {self.do.value} {self.name.decode()}"
            f"{about.get(self.do, '')}: {outcome}"
        )


@attrs.frozen
class LeftBehind:
    """What is on one brick once all clients have gone, before it is healed. `unlisted` are the objects with marks that
    no heal index names."""

    locks: int = 0
    open_fds: int = 0
    image: Image = attrs.field(factory=dict)
    marks: Marks = attrs.field(factory=dict)
    unlisted: frozenset[Gfid] = frozenset()


@attrs.define
class History:
    """The record of one run. `images` and `marks` of the bricks are those at the end, after faults and healing."""

    seed: int
    backend: str
    tree: Tree
    workload: Workload
    faults: Sequence[Fault]
    events: list[Event] = attrs.field(factory=list)
    happened: Counter[str] = attrs.field(factory=Counter)
    """How often each kind of fault found something to break."""
    left: Mapping[str, LeftBehind] = attrs.field(factory=dict)
    """By brick."""
    heal_left: str = ""
    """What the healing at the end could not heal, but for split-brain."""
    split: Mapping[str, frozenset[Gfid]] = attrs.field(factory=dict)
    """By afr the objects that it left in split-brain, with those that wait for them."""
    images: Mapping[str, Image] = attrs.field(factory=dict)
    marks: Mapping[str, Marks] = attrs.field(factory=dict)
    trace: str = ""
    steps: int = 0
    seconds: float = 0.0
    _losses: Losses | None = None

    @property
    def losses(self) -> Losses:
        if self._losses is None:
            self._losses = Losses(self.tree, self.faults)
        return self._losses

    def undo_from(self, event: Event) -> float:
        """From when on a loss of power may undo an acked change."""
        return self.losses.undo_from(event.called, event.returned, self._synced(event))

    def _synced(self, event: Event) -> float:
        """When an fsync was acked that was asked for after the change: of the file, if it is one of contents."""
        return min(
            (
                each.returned
                for each in self.events
                if each.do is Do.SYNC
                and each.acked
                and each.called >= event.returned
                and (event.do is not Do.WRITE or each.gfid == event.gfid)
            ),
            default=math.inf,
        )

    def __str__(self) -> str:
        """All that it takes to see the run again."""
        lines = [f"seed {self.seed} on {self.backend}: {self.tree}", f"trace {self.trace}"]
        for number, steps in enumerate(self.workload):
            lines.append(f"client-{number}: " + "; ".join(map(str, steps)))
        lines.append("faults: " + ("; ".join(map(str, self.faults)) or "none"))
        return "\n".join([*lines, *map(str, sorted(self.events, key=lambda event: event.called))])


def assert_invariants(history: History) -> None:
    """AssertionError, with the seed, the plan and all that happened, if an invariant is broken."""
    broken = violations(history)
    if broken:
        ids = sorted({wrong.partition(":")[0] for wrong in broken})
        meant = [f"{each} means: {MEANINGS[each]}" for each in ids]
        raise AssertionError("\n".join([*broken, *meant, "", str(history)]))


def violations(history: History) -> list[str]:
    """Every (id: what is wrong) of a run."""
    checks = {
        "I02": (blocks_are_linearizable, names_are_current),
        "I05": (nobody_blames_itself,),
        "I06": (differences_are_marked,),
        "I07": (copies_are_equal,),
        "I11": (nothing_reappears,),
        "I13": (objects_are_in_one_place,),
        "I17": (files_are_in_one_place,),
        "I21": (no_lock_is_left,),
        "I22": (everything_ends,),
        "I23": (no_fd_is_left,),
    }
    return [f"{name}: {wrong}" for name, each in checks.items() for check in each for wrong in check(history)]


# --- what clients saw ------------------------------------------------------------------------------------------------


def blocks_are_linearizable(history: History) -> Iterator[str]:
    """I01, I02: each block of each file is a register; what was acked is read until it is overwritten. I03, where reads
    are strict: a write that failed may happen at any time later, but once, and for all who read after that."""
    for where, operations in registers(history):
        wrong = linearizable.zones(operations)
        if wrong:
            yield f"{where}: {wrong}"


def registers(history: History) -> Iterator[tuple[str, list[Operation]]]:
    """The history of each block of each file, with its name; in several parts where a loss of power may have undone
    writes that were acked: in each part such writes may have happened, or not. Reads during a loss tell nothing; nor
    (without strict reads) do reads of a write that failed, until it is healed: another copy may not have it."""
    blocks: dict[tuple[Gfid, int], list[Event]] = {}
    for event in history.events:
        if event.gfid is not None and event.do in (Do.READ, Do.WRITE) and (event.acked or event.do is Do.WRITE):
            blocks.setdefault((event.gfid, event.block), []).append(event)
    for (gfid, block), events in blocks.items():
        writes = [event for event in events if event.do is Do.WRITE and event.tried]
        failed = {event.value for event in writes if not event.acked and not history.tree.reads_strictly}
        reads = [event for event in events if event.do is Do.READ and _tells(event, failed)]
        ends = sorted({history.undo_from(event) for event in writes} - {math.inf})
        for since, until in pairwise([-math.inf, *ends, math.inf]):
            operations = [
                linearizable.write(event.value, event.called, _surely_by(history, event, since))
                for event in writes
                if event.called < until
            ]
            torn = [event for event in writes if history.undo_from(event) <= since or _cut_short(history, event)]
            operations += [
                linearizable.read(event.value, event.called, event.returned)
                for event in reads
                if since <= event.called and event.returned < until and not _torn(event, writes, torn)
            ]
            yield f"block {block} of {gfid.text}", operations


def _tells(read: Event, failed: Collection[bytes | None]) -> bool:
    return read.client == HEALER or read.value not in failed


def _surely_by(history: History, write: Event, now: float) -> float:
    """When a write had happened, for those who look from `now` on."""
    return write.returned if write.acked and history.undo_from(write) > now else linearizable.NEVER


def _cut_short(history: History, write: Event) -> bool:
    """Did it fail while a disk was sick in the way that it writes less than it was given?"""
    sick = [fault for fault in history.faults if fault.what is Go.SICK and not fault.code]
    return not write.acked and any(
        fault.when <= write.returned and write.called <= undone_at(fault, history.faults) for fault in sick
    )


def _torn(read: Event, writes: Sequence[Event], undone: Sequence[Event]) -> bool:
    """Is this the beginning of a write that was cut short, over what was there before?"""
    seen = read.value or b""
    if read.value is None or any(write.value == seen for write in writes):
        return False
    there = [b"", bytes(len(seen)), *(write.value or b"" for write in writes)]
    return any(
        seen == (write.value or b"")[:at] + before[at : len(seen)]
        for write in undone
        for before in there
        for at in range(1, len(seen) + 1)
    )


def names_are_current(history: History) -> Iterator[str]:
    """I02: a name that was made is found until somebody tries to take it away."""
    removals = [event for event in history.events if event.do in (Do.UNLINK, Do.RENAME) and event.tried]
    for made in history.events:
        if made.do is not Do.CREATE or not made.acked:
            continue
        for looked in history.events:
            absent = looked.do is Do.LOOKUP and looked.error == "ENOENT" and looked.name == made.name
            if not absent or looked.called <= made.returned or history.undo_from(made) <= looked.returned:
                continue
            if not any(
                made.name in (each.name, each.target) and made.called < each.returned and each.called < looked.returned
                for each in removals
            ):
                yield f"{looked.client} found no {made.name.decode()} at {looked.called:.6f}, made by: {made}"


def nothing_reappears(history: History) -> Iterator[str]:
    """I11: an object whose name was taken away is not found under it again, unless it was moved back."""
    for removed in history.events:
        if removed.do not in (Do.UNLINK, Do.RENAME) or not removed.acked or removed.gfid is None:
            continue
        if removed.name == removed.target:
            continue
        for seen in history.events:
            found = seen.gfid == removed.gfid and seen.name == removed.name and seen.acked
            if not found or seen.do not in (Do.LOOKUP, Do.READ) or seen.called <= removed.returned:
                continue
            if history.undo_from(removed) <= seen.returned:
                continue
            if not any(
                each.do is Do.RENAME and each.target == removed.name and each.tried and each.called < seen.returned
                for each in history.events
            ):
                yield f"{seen.client} saw {seen.name.decode()} at {seen.called:.6f}, taken away by: {removed}"


def no_lock_is_left(history: History) -> Iterator[str]:
    """I21: no lock outlives the connection of its owner."""
    for name, left in sorted(history.left.items()):
        if left.locks:
            yield f"{left.locks} locks are left on {name}, whose owners have gone"


def no_fd_is_left(history: History) -> Iterator[str]:
    """I23: no open fd outlives the connection of whoever opened it."""
    for name, left in sorted(history.left.items()):
        if left.open_fds:
            yield f"{left.open_fds} fds are open on {name}, and nobody is there"


def everything_ends(history: History) -> Iterator[str]:
    """I22: every operation ends within a bound of virtual time."""
    for event in history.events:
        if event.returned - event.called > SECONDS_MAX:
            yield f"took too long: {event}"


# --- what is left on the bricks before they are healed ----------------------------------------------------------------


def nobody_blames_itself(history: History) -> Iterator[str]:
    """I05: a brick that missed something does not say so itself."""
    for mirror in _mirrors(history.tree):
        for name in {child.name for child in mirror.children} & history.left.keys():
            for gfid, counters in history.left[name].marks.items():
                if f"trusted.afr.{name}" in counters:
                    yield f"{name} blames itself for {gfid.text}"


def differences_are_marked(history: History) -> Iterator[str]:
    """I06: where copies differ a mark points there, and the heal index lists it; but of bricks that lost their power
    nobody knows what they may lack, and they say so."""
    for name, left in sorted(history.left.items()):
        for gfid in sorted(left.unlisted):
            yield f"{name} bears marks of {gfid.text}, which its index does not list"
    powerless = {fault.brick for fault in history.faults if fault.loses_power}
    for mirror in _mirrors(history.tree):
        names = [child.name for child in mirror.children]
        if history.left and powerless.isdisjoint(names):
            images, marks = zip(*((history.left[name].image, history.left[name].marks) for name in names), strict=True)
            trial = Trial(names, Majority(len(names)), None, None, images=images, marks=marks)
            yield from invariants.differences_are_marked(trial)


def objects_are_in_one_place(history: History) -> Iterator[str]:
    """I13: on each brick one gfid is one object, and a directory has one parent; before the heal and after it."""
    for images in ({name: left.image for name, left in history.left.items()}, history.images):
        trial = Trial([*images], Majority(len(images)), None, None, images=[*images.values()])
        yield from invariants.objects_are_in_one_place(trial)


def _mirrors(tree: Tree) -> Iterator[Tree]:
    """The afrs of bricks in a tree."""
    if tree.type == AFR and all(child.type == BRICK for child in tree.children):
        yield tree
    for below in (*tree.children, *filter(None, (tree.namespace,))):
        yield from _mirrors(below)


# --- what is left on the bricks after they were healed ----------------------------------------------------------------


def copies_are_equal(history: History) -> Iterator[str]:
    """I07: after healing nothing is pending, no mark is left, and every copy is like every other. Objects in
    split-brain are left alone, where a loss of power may have led to it."""
    excused = _excused(history)
    if history.heal_left:
        yield f"not healed: {history.heal_left}"
    for name, gfids in sorted(history.split.items()):
        if name not in excused:
            yield f"{name}: in split-brain: {', '.join(gfid.text for gfid in sorted(gfids))}"
    left_alone = {
        child.name: excused.get(mirror.name, frozenset())
        for mirror in _mirrors(history.tree)
        for child in mirror.children
    }
    for name, marks in sorted(history.marks.items()):
        if marks.keys() - left_alone.get(name, frozenset()):
            yield f"{name} still bears marks: {dict(marks)}"
    _, wrong = view(history.tree, history.images, excused)
    yield from wrong


def _excused(history: History) -> dict[str, frozenset[Gfid]]:
    """By afr of bricks what may be in split-brain."""
    return {
        mirror.name: history.split[mirror.name]
        for mirror in _mirrors(history.tree)
        if mirror.name in history.split and history.losses.may_split(mirror)
    }


def files_are_in_one_place(history: History) -> Iterator[str]:
    """I17: a file of a unify is on just one child and in the namespace, a directory on all; kinds and gfids agree. But
    for names that a loss of power may have given back on one of them alone."""
    undone = {
        f"/{name.decode()}"
        for event in history.events
        if event.tried and event.do in (Do.CREATE, Do.UNLINK, Do.RENAME) and history.undo_from(event) < math.inf
        for name in filter(None, (event.name, event.target))
    }
    yield from one_place(history.tree, history.images, undone)
