"""What clients of a simulated cluster saw, what was left on the bricks, and what of it must never happen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import attrs

from ..graph import Gfid
from . import linearizable
from .invariants import Image, Marks
from .linearizable import Operation
from .tree import AFR, BRICK, UNIFY, Tree
from .workload import Do, Fault, Workload

SECONDS_MAX = 300.0
"""No operation may take longer, whatever happens: connect, ping and lock timeouts add up to less."""
INDEX = "[index]"


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


@attrs.define
class History:
    """The record of one run. `images` and `marks` of the bricks are those at the end, after faults and healing."""

    seed: int
    backend: str
    tree: Tree
    workload: Workload
    faults: Sequence[Fault]
    events: list[Event] = attrs.field(factory=list)
    locks: Mapping[str, int] = attrs.field(factory=dict)
    """By brick, how many locks were left once all clients had gone."""
    heal_left: str = ""
    """What the healing at the end could not heal."""
    images: Mapping[str, Image] = attrs.field(factory=dict)
    marks: Mapping[str, Marks] = attrs.field(factory=dict)
    trace: str = ""
    steps: int = 0
    seconds: float = 0.0

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
        raise AssertionError("\n".join([*broken, "", str(history)]))


def violations(history: History) -> list[str]:
    """Every (id: what is wrong) of a run."""
    checks = {
        "I02": (blocks_are_linearizable, names_are_current),
        "I07": (copies_are_equal,),
        "I11": (nothing_reappears,),
        "I17": (files_are_in_one_place,),
        "I21": (no_lock_is_left,),
        "I22": (everything_ends,),
    }
    return [f"{name}: {wrong}" for name, each in checks.items() for check in each for wrong in check(history)]


# --- what clients saw ------------------------------------------------------------------------------------------------


def blocks_are_linearizable(history: History) -> Iterator[str]:
    """I01, I02: each block of each file is a register; what was acked is read until it is overwritten."""
    blocks: dict[tuple[Gfid, int], list[Operation]] = {}
    for event in history.events:
        if event.gfid is None or event.do not in (Do.READ, Do.WRITE):
            continue
        operations = blocks.setdefault((event.gfid, event.block), [])
        if event.do is Do.WRITE and event.tried:
            returned = event.returned if event.acked else math.inf
            operations.append(linearizable.write(event.value, event.called, returned))
        elif event.do is Do.READ and event.acked:
            operations.append(linearizable.read(event.value, event.called, event.returned))
    for (gfid, block), operations in blocks.items():
        wrong = linearizable.zones(operations)
        if wrong:
            yield f"block {block} of {gfid.text}: {wrong}"


def names_are_current(history: History) -> Iterator[str]:
    """I02: a name that was made is found until somebody tries to take it away."""
    removals = [event for event in history.events if event.do in (Do.UNLINK, Do.RENAME) and event.tried]
    for made in history.events:
        if made.do is not Do.CREATE or not made.acked:
            continue
        for looked in history.events:
            absent = looked.do is Do.LOOKUP and looked.error == "ENOENT" and looked.name == made.name
            if not absent or looked.called <= made.returned:
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
            if not any(
                each.do is Do.RENAME and each.target == removed.name and each.tried and each.called < seen.returned
                for each in history.events
            ):
                yield f"{seen.client} saw {seen.name.decode()} at {seen.called:.6f}, taken away by: {removed}"


def no_lock_is_left(history: History) -> Iterator[str]:
    """I21: no lock outlives the connection of its owner."""
    for name, count in sorted(history.locks.items()):
        if count:
            yield f"{count} locks are left on {name}, whose owners have gone"


def everything_ends(history: History) -> Iterator[str]:
    """I22: every operation ends within a bound of virtual time."""
    for event in history.events:
        if event.returned - event.called > SECONDS_MAX:
            yield f"took too long: {event}"


# --- what is left on the bricks --------------------------------------------------------------------------------------


def copies_are_equal(history: History) -> Iterator[str]:
    """I07: after healing nothing is pending, no mark is left, and every copy is like every other."""
    if history.heal_left:
        yield f"not healed: {history.heal_left}"
    for name, marks in sorted(history.marks.items()):
        if marks:
            yield f"{name} still bears marks: {dict(marks)}"
    _, wrong = _view(history.tree, history.images)
    yield from wrong


def _view(tree: Tree, images: Mapping[str, Image]) -> tuple[Image, list[str]]:
    """What a node shows, from the images of the bricks below it, and what contradicts itself there."""
    if tree.type == BRICK:
        return images.get(tree.name, {}), []
    views = [_view(child, images) for child in tree.children]
    wrong = [text for _, found in views for text in found]
    if tree.type == AFR:
        first, name = views[0][0], tree.children[0].name
        for child, (image, _) in zip(tree.children, views, strict=True):
            for path in sorted(set(image) | set(first)):
                if image.get(path) != first.get(path):
                    wrong.append(
                        f"{tree.name}: {path} is {image.get(path)} on {child.name}, {first.get(path)} on {name}"
                    )
        return first, wrong
    together: dict[str, object] = {}
    for image, _ in views:
        together.update(image)
    return together, wrong  # type: ignore[return-value]


def files_are_in_one_place(history: History) -> Iterator[str]:
    """I17: a file of a unify is on just one child and in the namespace, a directory on all; kinds and gfids agree."""
    yield from _one_place(history.tree, history.images)


def _one_place(tree: Tree, images: Mapping[str, Image]) -> Iterator[str]:
    for child in tree.children:
        yield from _one_place(child, images)
    if tree.type != UNIFY or tree.namespace is None:
        return
    names, _ = _view(tree.namespace, images)
    views = [_view(child, images)[0] for child in tree.children]
    for path in sorted(set(names).union(*views)):
        here = [view[path] for view in views if path in view]
        entry = names.get(path)
        if entry is None:
            yield f"{tree.name}: {path} is on a child, and not in the namespace"
        elif len(here) != (len(views) if entry.kind == "directory" else 1):
            yield f"{tree.name}: {path}, a {entry.kind}, is on {len(here)} of {len(views)} children"
        elif any((item.kind, item.gfid) != (entry.kind, entry.gfid) for item in here):
            yield f"{tree.name}: {path} is not the same object everywhere"
