"""Take objects back to what they were: what many runs begin with is made once.

    then = Rewind(graph, fd)      # at rest: no fop is under way
    ...                           # whatever changes them
    then.back()

Everything that can be reached from the objects named keeps its identity and gets its old contents again. So whoever
holds a part of it, closures and bound methods too, sees the old state; what came later is no longer reached.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from types import (
    BuiltinFunctionType,
    CellType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

SOLID = (
    *(int, float, complex, str, bytes, bool, type(None), type(NotImplemented), type(Ellipsis), range),
    *(type, Enum, ModuleType, MappingProxyType, MethodWrapperType, MethodDescriptorType, WrapperDescriptorType),
)
"""What never changes, and leads to nothing that does."""
FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType, partial)
_UNSET = object()


class Rewind:
    """Remembers all that is reached from `roots`. TypeError: something in it cannot be taken back, such as a coroutine
    under way."""

    def __init__(self, *roots: object) -> None:
        self._known: dict[int, object] = {}
        """By identity; it also keeps alive what the runs drop."""
        self._dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self._lists: list[tuple[Any, Any]] = []
        self._sets: list[tuple[set[Any] | deque[Any], list[Any]]] = []
        self._slots: list[tuple[Callable[[Any, Any], object], object, object]] = []
        self._unset: list[tuple[object, str]] = []
        self._counts: list[tuple[Callable[[Any], object], Iterator[int]]] = []
        """How to put a counter where it was: none can be set back."""
        self._randoms: list[tuple[random.Random, Any]] = []
        rest = list(roots)
        while rest:
            found = rest.pop()
            if not isinstance(found, SOLID) and id(found) not in self._known:
                self._known[id(found)] = found
                rest += self._contents(found)

    def back(self) -> None:
        for mapping, items in self._dicts:
            mapping.clear()
            mapping.update(items)
        for sequence, values in self._lists:
            sequence[:] = values
        for group, members in self._sets:
            group.clear()
            group.extend(members) if isinstance(group, deque) else group.update(members)
        for put, owner, value in self._slots:
            put(owner, value)
        for owner, name in self._unset:
            if hasattr(owner, name):
                delattr(owner, name)
        for renew, count in self._counts:
            renew(_again(count))
        for generator, state in self._randoms:
            generator.setstate(state)

    def _contents(self, found: Any) -> Iterator[object]:
        """Note what one object holds, and say what it leads to."""
        if isinstance(found, FUNCTIONS):
            yield from _carried(found)
        elif isinstance(found, (tuple, frozenset)):
            yield from found
        elif isinstance(found, dict):
            yield from self._items(found)
        elif isinstance(found, (list, bytearray)):
            self._lists.append((found, found[:]))
            yield from found
        elif isinstance(found, (set, deque)):
            self._sets.append((found, list(found)))
            yield from found
        elif isinstance(found, CellType):
            self._slots.append((_fill, found, found.cell_contents))
            yield found.cell_contents
        elif isinstance(found, random.Random):
            self._randoms.append((found, found.getstate()))
        else:
            yield from self._attributes(found)

    def _items(self, found: dict[Any, Any]) -> Iterator[object]:
        self._dicts.append((found, dict(found)))
        for key, value in found.items():
            if isinstance(value, itertools.count):
                self._counts.append((partial(found.__setitem__, key), _again(value)))
            else:
                yield key
                yield value

    def _attributes(self, found: Any) -> Iterator[object]:
        slotted = [each for each in type(found).__mro__ if "__slots__" in vars(each)]
        if hasattr(found, "__dict__"):
            yield from self._items(found.__dict__)
        elif not slotted and type(found) is not object:
            raise TypeError(f"{found!r} cannot be taken back")
        for slot in (each for cls in slotted for each in vars(cls).values() if isinstance(each, MemberDescriptorType)):
            value = getattr(found, slot.__name__, _UNSET)
            if value is _UNSET:
                self._unset.append((found, slot.__name__))
            elif isinstance(value, itertools.count):
                self._counts.append((partial(slot.__set__, found), _again(value)))
            else:
                self._slots.append((slot.__set__, found, value))
                yield value


def _carried(found: Any) -> tuple[object, ...]:
    """What a function brings along."""
    if isinstance(found, partial):
        return (found.func, found.args, found.keywords)
    if isinstance(found, FunctionType):
        return (found.__closure__, found.__defaults__, found.__kwdefaults__)
    if isinstance(found, MethodType):
        return (found.__func__, found.__self__)
    return (found.__self__,)


def _fill(cell: CellType, content: object) -> None:
    cell.cell_contents = content


def _again(count: Any) -> Iterator[int]:
    """A counter that goes on where this one stands."""
    kind, start = count.__reduce__()
    again: Iterator[int] = kind(*start)
    return again
