"""All ways in which a run can be told its fates: tried one after the other, or drawn at random."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

C = TypeVar("C")


class Runs(Protocol):
    def runs(self) -> Iterator[int]:
        """Yields the number of each run, from 0; the run is made before the next one is asked for."""
        ...

    def choose(self, options: Sequence[C]) -> C:
        """One of them; the first is the harmless one."""
        ...


class Every:
    """Each sequence of choices once, in the order in which the runs themselves ask for them.

    A choice is only made where a run comes to it, so no two runs are the same. `faults_max` bounds the choices other
    than the first per run. `part` (2, 8) is the third of eight parts: the runs whose first fault is at the choice with
    the number 2, 10, 18...; and the one without any, which belongs to all. Runs must be functions of their choices.
    """

    def __init__(self, faults_max: int | None = None, part: tuple[int, int] = (0, 1)) -> None:
        self._faults_max = faults_max
        self._part, self._parts = part
        self._path: list[tuple[int, int]] = []
        self._at = 0
        self._faults = 0

    def runs(self) -> Iterator[int]:
        number = 0
        while True:
            self._at = self._faults = 0
            yield number
            assert self._at == len(self._path), "a run did not come as far as the same choices led before"
            number += 1
            while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
                self._path.pop()
            if not self._path:
                return
            chosen, count = self._path.pop()
            self._path.append((chosen + 1, count))

    def choose(self, options: Sequence[C]) -> C:
        elsewhere = not self._faults and self._at % self._parts != self._part
        allowed = 1 if elsewhere or self._faults == self._faults_max else len(options)
        if self._at == len(self._path):
            self._path.append((0, allowed))
        chosen, count = self._path[self._at]
        assert count == allowed, "the same choices led to another question than before"
        self._at += 1
        self._faults += chosen > 0
        return options[chosen]


class Drawn:
    """`count` runs, each with another mood: how likely faults are in it is drawn too. `faults_max` bounds them."""

    def __init__(self, seed: int, count: int, faults_max: int | None = None) -> None:
        self._rng = random.Random(f"{seed}/schedules")
        self._count = count
        self._faults_max = faults_max
        self._faults = 0
        self._likely = 0.0

    def runs(self) -> Iterator[int]:
        for number in range(self._count):
            self._likely = self._rng.choice((0.1, 0.3, 0.6) if self._faults_max is None else (0.02, 0.05, 0.1))
            self._faults = 0
            yield number

    def choose(self, options: Sequence[C]) -> C:
        if len(options) == 1 or self._faults == self._faults_max or self._rng.random() >= self._likely:
            return options[0]
        self._faults += 1
        return self._rng.choice(options[1:])


class Given:
    """One run, with choices known beforehand: a violation, replayed. The first option once they are used up."""

    def __init__(self, choices: Sequence[object]) -> None:
        self._choices = list(choices)

    def runs(self) -> Iterator[int]:
        yield 0

    def choose(self, options: Sequence[C]) -> C:
        chosen = self._choices.pop(0) if self._choices else options[0]
        if chosen not in options:
            raise ValueError(f"{chosen!r} cannot be chosen here")
        return chosen  # type: ignore[return-value]
