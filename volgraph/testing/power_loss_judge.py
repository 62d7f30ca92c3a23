"""What a brick may look like after a crash, given what it had promised: pure comparisons of views."""

from __future__ import annotations

import itertools
import stat as mode_bits
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import attrs

from ..graph import ROOT_GFID, Gfid
from ..translators.storage.heal_index import XATTROP, marked
from .power_loss_session import Step
from .power_loss_view import Place, Seen, View

Names = Mapping[Place, Gfid]


@attrs.define(eq=False)
class Expected:
    """What the steps up to a crash allow: the last one perhaps had not been answered.

    `killed`: the process alone ended, so that nothing that was answered may be missing. `forgetful`: a sidecar may have
    kept less, or more, of what was not synced than the directories have.
    """

    steps: Sequence[Step]
    in_flight: Step | None
    killed: bool
    forgetful: bool
    loose: list[int] = attrs.field(init=False)
    """Which steps' names may be missing; the one in flight is the last."""
    allowed: list[dict[Place, Gfid]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        every = self._every
        self.loose = [n for n in range(1, len(every)) if self._is_loose(n)]
        self.allowed = [self._names(kept) for kept in _subsets(self.loose)]

    @property
    def _every(self) -> list[Step]:
        return [*self.steps, *([self.in_flight] if self.in_flight else [])]

    def _is_loose(self, number: int) -> bool:
        if number == len(self.steps):
            return True
        if self.killed:
            return False
        changed = {place[0] for place in self._changes(number)}
        for later in self.steps[number:]:
            if later.promised is not None:
                what, gfid = later.promised
                if what == "all" or (what == "names" and gfid in changed):
                    return False
        return bool(changed)

    def _changes(self, number: int) -> dict[Place, Gfid | None]:
        before, after = self._every[number - 1].view.names, self._every[number].view.names
        changed: dict[Place, Gfid | None] = {place: None for place in before if place not in after}
        return changed | {place: gfid for place, gfid in after.items() if before.get(place) != gfid}

    def _names(self, kept: set[int]) -> dict[Place, Gfid]:
        names: dict[Place, Gfid | None] = dict(self.steps[0].view.names)
        for number in range(1, len(self._every)):
            if number in kept or number not in self.loose:
                names.update(self._changes(number))
        return reached({place: gfid for place, gfid in names.items() if gfid is not None})

    # --- names -------------------------------------------------------------------------------------------------------

    def sure(self) -> set[Gfid]:
        """Objects that are reached by the same names whatever was lost: by gfid too, as soon as the brick is up."""
        common = set.intersection(*(set(names.items()) for names in self.allowed))
        return set(reached(dict(common)).values())

    def names(self, found: View) -> Iterator[str]:
        """An object that a sidecar knows nothing of yet, or any more, and that has no handle, may come back without a
        gfid, as one that was put into the brick from outside, unless it is there whatever was lost."""
        real, sure = reached(found.names), set.intersection(*(set(names.values()) for names in self.allowed))
        if found.adopted and (self.killed or not self.forgetful):
            yield "objects without a gfid"
        if not any(_translated(real, names, found.adopted, sure) == names for names in self.allowed):
            yield f"names {_shown(real)} are none of {' | '.join(map(_shown, self.allowed))}"

    # --- objects -----------------------------------------------------------------------------------------------------

    def objects(self, found: View) -> Iterator[str]:
        names = Counter(found.names.values())
        for gfid, seen in found.objects.items():
            if gfid != ROOT_GFID and not mode_bits.S_ISDIR(seen.kind) and names[gfid] != seen.nlink:
                yield f"{_letters(gfid)} says it has {seen.nlink} names, and has {names[gfid]}"
            if gfid in found.adopted:
                continue
            versions = self.versions(gfid)
            if not versions:
                yield f"{_letters(gfid)} never was"
                continue
            for fault in _object(seen, versions, self.versions(gfid, data_only=True), self.may_lack_xattrs(gfid)):
                yield f"{_letters(gfid)}: {fault}"

    def versions(self, gfid: Gfid, data_only: bool = False) -> list[Seen]:
        """What the object may look like: since it was last synced."""
        pins = {("object", gfid)} | ({("data", gfid)} if data_only else set())
        since = len(self.steps) - 1 if self.killed else 0
        for number, step in enumerate(self.steps):
            if step.promised is not None and (step.promised in pins or step.promised[0] == "all"):
                since = max(since, number)
        every = [step.view.objects[gfid] for step in self._every[since:] if gfid in step.view.objects]
        return every or [step.view.objects[gfid] for step in self._every if gfid in step.view.objects][-1:]

    def may_lack_xattrs(self, gfid: Gfid) -> bool:
        """A sidecar forgets an object when its last name goes, and may know nothing yet of one that has come: if the
        directories say otherwise after a power loss, the object is there, but without what it had in the sidecar."""
        since = [gfid in step.view.objects for step in self._every]
        return self.forgetful and not self.killed and not all(since)

    def unlisted(self, found: View, listed: set[Gfid]) -> Iterator[str]:
        for gfid, seen in found.objects.items():
            if XATTROP in marked(seen.xattrs) and gfid not in listed:
                yield f"{_letters(gfid)} bears marks, and the heal index does not list it"

    def lost(self, found: View) -> Iterator[str]:
        """For a brick that does not say it is suspect: what is missing at all."""
        wanted = [step.view for step in (*self.steps[-1:], *([self.in_flight] if self.in_flight else []))]
        if found.names not in [view.names for view in wanted]:
            yield f"not suspect, and names are lost: {_shown(found.names)}"
        for gfid, seen in found.objects.items():
            if not any(view.objects.get(gfid) == seen for view in wanted):
                yield f"not suspect, and {_letters(gfid)} is not as it was"


def _object(seen: Seen, versions: list[Seen], data_versions: list[Seen], may_lack: bool) -> Iterator[str]:
    for what in ("kind", "mode", "owner", "target"):
        if getattr(seen, what) not in [getattr(version, what) for version in versions]:
            yield f"{what} {getattr(seen, what)!r}"
    for key in {*seen.xattrs, *itertools.chain.from_iterable(version.xattrs for version in versions)}:
        value = seen.xattrs.get(key)
        if value not in [version.xattrs.get(key) for version in versions]:
            if value is None and may_lack and key.startswith("trusted."):
                continue
            yield f"{key} is {value!r}"
    yield from _data(seen.data, [version.data for version in data_versions])


def _data(data: bytes, versions: list[bytes]) -> Iterator[str]:
    """Each byte as in one of the versions, or zero where the file has grown."""
    sizes = [len(version) for version in versions]
    if not min(sizes) <= len(data) <= max(sizes):
        yield f"{len(data)} bytes, not {sorted(set(sizes))}"
    for at, byte in enumerate(data):
        legal = {version[at] for version in versions if at < len(version)} | ({0} if at >= min(sizes) else set())
        if byte not in legal:
            yield f"data {data!r}, none of {versions}"
            return


def reached(names: Names) -> dict[Place, Gfid]:
    """What of them hangs together with the root."""
    inside: dict[Gfid, list[Place]] = {}
    for place in names:
        inside.setdefault(place[0], []).append(place)
    found: dict[Place, Gfid] = {}
    todo = [ROOT_GFID]
    while todo:
        for place in inside.pop(todo.pop(), ()):
            found[place] = names[place]
            todo.append(names[place])
    return found


def _translated(real: Names, wanted: Names, adopted: set[Gfid], sure: set[Gfid]) -> Names | None:
    """The names, with gfids as they should be for objects that came back without one; None where that must not be."""
    inside: dict[Gfid, list[Place]] = {}
    for place in real:
        inside.setdefault(place[0], []).append(place)
    names: dict[Place, Gfid] = {}
    todo = [(ROOT_GFID, ROOT_GFID)]
    while todo:
        parent, meant = todo.pop()
        for place in inside.get(parent, ()):
            gfid = real[place]
            if gfid in adopted:
                should = wanted.get((meant, place[1]))
                if should is None or should in sure:
                    return None
                todo.append((gfid, should))
                gfid = should
            else:
                todo.append((gfid, gfid))
            names[meant, place[1]] = gfid
    return names


def _subsets(numbers: list[int]) -> Iterator[set[int]]:
    for count in range(len(numbers), -1, -1):
        yield from map(set, itertools.combinations(numbers, count))


def _letters(gfid: Gfid) -> str:
    return "root" if gfid == ROOT_GFID else bytes(gfid)[8:].decode(errors="backslashreplace").strip("_")


def _shown(names: Names) -> str:
    return "{" + ", ".join(sorted(f"{_letters(p)}/{n.decode()}={_letters(g)}" for (p, n), g in names.items())) + "}"
