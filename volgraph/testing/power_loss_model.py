"""What a disk may keep when the power fails: a model of a journaling file system at its least obliging.

A `Log` holds what the calls of a brick changed, in order, and what was synced. A crash after `calls` of them keeps
everything that was synced, and of the rest any subset that these rules allow:

- changes of one directory entry, of one attribute and of one size are kept in order: a later one only with the earlier;
- an entry is kept only with the attributes (mode, owner, xattrs, the target of a symlink) that its object had when the
  entry was made, but without the object's data: metadata are journaled in order, data are not;
- a rename is one change, as a link, an unlink and a mkdir are;
- a directory is removed only after the entries in it;
- data may be missing where the size is kept (zeros are read), and the last write may be torn;
- the sidecar's database is at one of its commits, not older than the last one synced.

fsync of a file pins its data, size and attributes; fdatasync its data and size; fsync of a directory its entries and
attributes, and nothing of the objects named beyond the second rule; syncfs everything.
"""

from __future__ import annotations

import itertools
import random
import stat as mode_bits
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

ROOT = 0
"""The object that is the brick's directory."""

Key: TypeAlias = tuple[Any, ...]
"""What changes: ("name", directory, name), ("attribute", object, which), ("size", object), ("data", object, offset),
("database",)."""


@attrs.frozen
class Born:
    """An object as the call that made it left it. `mode` has the type bits."""

    mode: int
    owner: tuple[int, int] = (0, 0)
    target: bytes = b""
    device: int = 0

    @property
    def is_dir(self) -> bool:
        return mode_bits.S_ISDIR(self.mode)


@attrs.frozen
class Snapshot:
    """A database that names objects by the inodes that they had when it was taken: which was whose."""

    data: bytes
    inodes: dict[int, int] = attrs.field(eq=False)


@attrs.define(eq=False)
class Image:
    """What stands on a disk."""

    objects: dict[int, Born]
    entries: dict[tuple[int, bytes], int] = attrs.field(factory=dict)
    attributes: dict[tuple[int, str], Any] = attrs.field(factory=dict)
    data: dict[int, bytes] = attrs.field(factory=dict)
    database: Snapshot | None = None

    def copy(self) -> Image:
        return Image(self.objects, dict(self.entries), dict(self.attributes), dict(self.data), self.database)

    def apply(self, changes: Mapping[Key, Any], torn: bool = False) -> None:
        for key, value in changes.items():
            kind = key[0]
            if kind == "name":
                if value is None:
                    self.entries.pop(key[1:], None)
                else:
                    self.entries[key[1:]] = value
            elif kind == "attribute":
                self.attributes[key[1:]] = value
            elif kind == "size":
                known = self.data.get(key[1], b"")
                self.data[key[1]] = known[:value].ljust(value, b"\0")
            elif kind == "data":
                self._overwrite(key[1], key[2], value[: len(value) // 2] if torn else value)
            else:
                self.database = value

    def _overwrite(self, thing: int, offset: int, value: bytes) -> None:
        known = self.data.get(thing, b"")
        self.data[thing] = (known[:offset] + value + known[offset + len(value) :])[: len(known)]

    def xattrs(self, thing: int) -> dict[tuple[int, str], bytes]:
        return {
            key: value
            for key, value in self.attributes.items()
            if key[0] == thing and key[1] not in ("mode", "owner") and value is not None
        }

    def tree(self) -> list[tuple[int, bytes, int]]:
        """Every entry that is reached from the root: directory, name, object; directories before what is in them."""
        inside = defaultdict(list)
        for (directory, name), thing in self.entries.items():
            inside[directory].append((directory, name, thing))
        found = list(inside[ROOT])
        for _, _, thing in found:  # grows as it goes
            if self.objects[thing].is_dir:
                found += inside.pop(thing, ())
        return found

    def key(self) -> Key:
        """Equal for states that are the same to whoever starts the brick."""
        tree = self.tree()
        alive = {ROOT, *(thing for _, _, thing in tree)}
        return (
            frozenset(tree),
            frozenset(item for item in self.attributes.items() if item[0][0] in alive and item[1] is not None),
            frozenset(item for item in self.data.items() if item[0] in alive),
            self.database,
        )


@attrs.define(eq=False)
class Effect:
    """What one call changed, all or nothing; kept only together with the effects that it `needs`, by number."""

    call: int
    changes: dict[Key, Any]
    needs: set[int]


@attrs.define(eq=False)
class Log:
    """The effects of calls on an image that was durable as a whole. Calls are numbered from 0."""

    base: Image
    effects: list[Effect] = attrs.field(factory=list)
    calls: int = 0
    syncs: list[tuple[int, set[int]]] = attrs.field(factory=list)
    """Which call pinned which effects."""
    _last: dict[Key, int] = attrs.field(factory=dict)
    _about: dict[int, list[int]] = attrs.field(factory=lambda: defaultdict(list))
    """By object: the effects that its fsync pins."""
    _attributes: dict[int, set[int]] = attrs.field(factory=lambda: defaultdict(set))

    # --- what happened -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Another call; what follows belongs to it."""
        self.calls += 1

    def born(self, born: Born) -> int:
        number = len(self.base.objects)
        self.base.objects[number] = born
        return number

    def add(self, changes: dict[Key, Any]) -> None:
        number = len(self.effects)
        needs = {self._last[key] for key in changes if key in self._last and key[0] != "data"}
        for key, value in changes.items():
            if key[0] == "name":
                if value is not None:
                    needs |= self._attributes[value]
                needs |= self._emptied(key)
            elif key[0] == "data" and ("size", key[1]) in self._last:
                needs.add(self._last["size", key[1]])
        for key in changes:
            self._last[key] = number
            if key[0] != "database":
                self._about[key[1]].append(number)
            if key[0] == "attribute":
                self._attributes[key[1]].add(number)
        self.effects.append(Effect(self.calls, changes, needs))

    def until(self, calls: int) -> Log:
        """The same, as it was after so many calls."""
        log = Log(attrs.evolve(self.base, objects=dict(self.base.objects)))
        for effect in self.effects[: self.made(calls)]:
            log.calls = effect.call
            log.add(effect.changes)
        log.calls = calls
        log.syncs = [(call, kept) for call, kept in self.syncs if call <= calls]
        return log

    def _emptied(self, key: Key) -> set[int]:
        """What must have happened in a directory before its entry goes."""
        last = self._last.get(key)
        old = self.base.entries.get(key[1:]) if last is None else self.effects[last].changes[key]
        if old is None or not self.base.objects[old].is_dir:
            return set()
        return {number for number in self._about[old] if any(k[0] == "name" for k in self.effects[number].changes)}

    def sync(self, thing: int, data_only: bool = False) -> None:
        kept = set(self._about[thing])
        if data_only:
            kept = {n for n in kept if any(k[0] in ("size", "data") for k in self.effects[n].changes)}
        self.syncs.append((self.calls, kept))

    def sync_all(self) -> None:
        self.syncs.append((self.calls, set(range(len(self.effects)))))

    def sync_database(self) -> None:
        last = self._last.get(("database",))
        if last is not None:
            self.syncs.append((self.calls, {last}))

    # --- what may be left --------------------------------------------------------------------------------------------

    def closed(self, wanted: Iterable[int]) -> set[int]:
        """With all that they need."""
        found: set[int] = set()
        todo = list(wanted)
        while todo:
            number = todo.pop()
            if number not in found:
                found.add(number)
                todo += self.effects[number].needs
        return found

    def pinned(self, calls: int) -> set[int]:
        """What a crash after so many calls cannot take away. (The last call may not have returned: see `states`.)"""
        return self.closed(itertools.chain.from_iterable(kept for call, kept in self.syncs if call <= calls))

    def image(self, kept: Iterable[int], torn: int | None = None) -> Image:
        image = self.base.copy()
        for number in sorted(kept):
            image.apply(self.effects[number].changes, number == torn)
        return image

    def made(self, calls: int) -> int:
        """How many effects so many calls have."""
        return sum(effect.call <= calls for effect in self.effects)

    def states(
        self, calls: int, rng: random.Random, drawn: int, every_max: int
    ) -> Iterator[tuple[set[int], int | None]]:
        """Legal states after a crash: which effects are kept, and which of them is torn.

        All and none of what was not synced, each prefix, each loss of one, each survival of one; then every subset
        where there are at most `every_max`, else `drawn` ones at random. Some come twice.
        """
        pinned = self.pinned(calls)
        loose = [number for number in range(self.made(calls)) if number not in pinned]
        yield {*pinned, *loose}, None
        yield set(pinned), None
        for count in range(1, len(loose)):
            yield {*pinned, *loose[:count]}, None
        for one in loose:
            yield pinned | self.closed((one,)), None
            yield self._without(pinned, loose, {one}), None
        writes = [number for number in loose if any(key[0] == "data" for key in self.effects[number].changes)]
        if writes:
            yield {*pinned, *loose}, writes[-1]
            yield pinned | self.closed(writes[-1:]), writes[-1]
        if 1 << len(loose) <= every_max:
            for bits in range(1 << len(loose)):
                lost = {number for at, number in enumerate(loose) if bits >> at & 1}
                yield self._without(pinned, loose, lost), None
            return
        for _ in range(drawn):
            likely = rng.choice((0.1, 0.3, 0.5))
            yield self._without(pinned, loose, {number for number in loose if rng.random() < likely}), None

    def _without(self, pinned: set[int], loose: list[int], lost: set[int]) -> set[int]:
        kept = set(pinned)
        for number in loose:
            if number not in lost and self.effects[number].needs <= kept:
                kept.add(number)
        return kept
