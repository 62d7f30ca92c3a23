"""Was there an order? Checkers for histories of one register: a block of a file, or a name in a directory.

An operation took effect at one moment between its call and its return. A history is linearizable if moments can be
chosen so that every read gives the value written last. A write that may or may not have happened returns at infinity.

`zones` needs every written value to be unique and sorts (n log n); `search` takes any values and tries orders
(Wing, Gong, Lowe), for small histories and for the check of the checker.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from enum import Enum
from itertools import pairwise

import attrs

NEVER = math.inf
SEARCH_MAX = 64
"""Operations that `search` takes on: its work grows steeply with those that overlap."""


class Access(Enum):
    READ = "read"
    WRITE = "write"


@attrs.frozen
class Operation:
    """One access to the register. `returned` is `NEVER` for a write of unknown outcome."""

    access: Access
    value: Hashable
    called: float
    returned: float

    @property
    def maybe(self) -> bool:
        return self.returned == NEVER


def read(value: Hashable, called: float, returned: float) -> Operation:
    return Operation(Access.READ, value, called, returned)


def write(value: Hashable, called: float, returned: float = NEVER) -> Operation:
    return Operation(Access.WRITE, value, called, returned)


@attrs.frozen
class _Zone:
    """All operations of one value: the first return among them, and the last call.

    Where the first return comes before the last call (a forward zone) the register held the value all through between;
    else (a backward zone) the value may have been there for one moment, anywhere between.
    """

    value: Hashable
    first_return: float
    last_call: float

    @property
    def forward(self) -> bool:
        return self.first_return < self.last_call

    @property
    def low(self) -> float:
        return min(self.first_return, self.last_call)

    @property
    def high(self) -> float:
        return max(self.first_return, self.last_call)


def zones(operations: Iterable[Operation], initial: Hashable = None) -> str:
    """Why a history of unique values is not linearizable, or "" (Gibbons and Korach). ValueError: values not unique."""
    writes: dict[Hashable, Operation] = {initial: Operation(Access.WRITE, initial, -math.inf, -math.inf)}
    reads: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        if operation.access is Access.READ:
            reads.setdefault(operation.value, []).append(operation)
        elif operation.value in writes:
            raise ValueError(f"written twice: {operation.value!r}")
        else:
            writes[operation.value] = operation
    found: list[_Zone] = []
    for value, seen in reads.items():
        if value not in writes:
            return f"{value!r} was read and never written"
        if any(each.returned < writes[value].called for each in seen):
            return f"{value!r} was read before it was written"
    for value, written in writes.items():
        members = [written, *reads.get(value, ())]
        if written.maybe and len(members) == 1:
            continue  # never seen: it may as well not have happened
        found.append(_Zone(value, min(each.returned for each in members), max(each.called for each in members)))
    return _conflict(found)


def _conflict(found: list[_Zone]) -> str:
    """Two values that each held the register at one time; or one that had no moment left for it."""
    forward = sorted((zone for zone in found if zone.forward), key=lambda zone: zone.low)
    for one, other in pairwise(forward):
        if other.low < one.high:
            return f"{one.value!r} and {other.value!r} were both there at {other.low}"
    backward = sorted((zone for zone in found if not zone.forward), key=lambda zone: zone.low)
    around = iter(forward)
    outer = next(around, None)
    for zone in backward:
        while outer is not None and outer.high <= zone.low:
            outer = next(around, None)
        if outer is not None and outer.low < zone.low and zone.high < outer.high:
            return f"{outer.value!r} was there all through {outer.low} to {outer.high}, and {zone.value!r} in between"
    return ""


def search(operations: Iterable[Operation], initial: Hashable = None) -> bool:
    """Is there an order? Tries each next operation that no other one must precede, remembering where it has been."""
    todo = sorted(operations, key=lambda each: each.called)
    if len(todo) > SEARCH_MAX:
        raise ValueError(f"{len(todo)} operations are more than {SEARCH_MAX}")
    required = sum(1 << number for number, each in enumerate(todo) if not each.maybe)
    seen: set[tuple[int, Hashable]] = {(0, initial)}
    stack: list[tuple[int, Hashable]] = [(0, initial)]
    while stack:
        done, value = stack.pop()
        if done & required == required:
            return True
        left = [(number, each) for number, each in enumerate(todo) if not done >> number & 1]
        deadline = min(each.returned for _, each in left)
        for number, each in left:
            if each.called > deadline or (each.access is Access.READ and each.value != value):
                continue
            after = done | 1 << number, each.value
            if after not in seen:
                seen.add(after)
                stack.append(after)
    return False
