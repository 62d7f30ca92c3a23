"""A run that broke a promise, made small: of its plan is left what it takes to break it again.

    assert_or_shrink(simulate(tree, draw_workload(7), draw_faults(7, tree), seed=7))

Faults and steps are taken away, first many at once and at last one by one, as long as an invariant is broken that the
whole plan broke. What is left keeps its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar

import attrs

from .history import History, assert_invariants, violations
from .losses import same
from .simulate import simulate
from .tree import AFR, BRICK, Tree
from .workload import UNDONE_BY, Fault, Step

P = TypeVar("P")

RUNS_MAX = 2000
"""Simulations that are tried at most."""

Fails: TypeAlias = Callable[[History], bool]
Timed: TypeAlias = tuple[int, float, Step]
"""A client's number, one of its steps, and when that begins if nothing takes any time."""


def broken(history: History) -> frozenset[str]:
    """The ids of the invariants that a run has broken."""
    return frozenset(wrong.partition(":")[0] for wrong in violations(history))


def assert_or_shrink(history: History) -> None:
    """AssertionError if an invariant is broken: with the smallest plan that breaks it, what happened then, and the plan
    as Python, to be kept as a test."""
    small = shrink(history)
    try:
        assert_invariants(small)
    except AssertionError as error:
        raise AssertionError(f"{error}\n\n{code(small)}") from None


def shrink(history: History, fails: Fails | None = None, runs_max: int = RUNS_MAX) -> History:
    """The run of the smallest plan found that still `fails`: unless told otherwise, that breaks an invariant which
    `history` broke. A run that breaks none is given back as it is."""
    if fails is None:
        ids = broken(history)
        if not ids:
            return history
        return shrink(history, lambda tried: not ids.isdisjoint(broken(tried)), runs_max)
    search = _Search(history, fails, runs_max)
    while search.smaller():
        pass
    return search.best


@attrs.define
class _Search:
    """`best` is the smallest run that was found up to now."""

    best: History
    fails: Fails
    runs_left: int

    def smaller(self) -> bool:
        """Take away what can be spared; was there anything?"""
        before = _size(self.best)
        _spare(_with_what_undoes_it(self.best.faults), lambda left: self._still(sum(left, ()), self.best.workload))
        _spare(list(self.best.faults), lambda left: self._still(left, self.best.workload))
        _spare(list(_timed(self.best)), lambda left: self._still(self.best.faults, _workload(left)))
        return _size(self.best) < before

    def _still(self, faults: Sequence[Fault], workload: Sequence[Sequence[Step]]) -> bool:
        if not self.runs_left:
            return False
        self.runs_left -= 1
        try:
            tried = simulate(self.best.tree, workload, faults, self.best.seed, self.best.backend)
        except Exception:  # it fails in another way
            return False
        if not self.fails(tried):
            return False
        self.best = tried
        return True


def _spare(pieces: list[P], still: Callable[[list[P]], bool]) -> None:
    """Leave out as many pieces as can be, with what is left `still` failing."""
    length = len(pieces)
    while length:
        at = 0
        while at < len(pieces):
            left = pieces[:at] + pieces[at + length :]
            if still(left):
                pieces = left
            else:
                at += length
        length //= 2


def _size(history: History) -> int:
    return len(history.faults) + sum(map(len, history.workload))


def _with_what_undoes_it(faults: Iterable[Fault]) -> list[tuple[Fault, ...]]:
    """A fault, and what mends it, go together."""
    found: list[tuple[Fault, ...]] = []
    for fault in faults:
        broke = [at for at, each in enumerate(found) if UNDONE_BY.get(each[0].what) is fault.what and len(each) == 1]
        broke = [at for at in broke if same(found[at][0], fault)]
        if broke:
            found[broke[-1]] += (fault,)
        else:
            found.append((fault,))
    return found


def _timed(history: History) -> Iterator[Timed]:
    for client, steps in enumerate(history.workload):
        when = 0.0
        for step in steps:
            when += step.pause
            yield client, when, step


def _workload(steps: Iterable[Timed]) -> list[list[Step]]:
    """Who waits for nothing any more waits for as long as what was left out would have taken to begin."""
    workload: dict[int, list[Step]] = {}
    now: dict[int, float] = {}
    for client, when, step in steps:
        pause = round(when - now.get(client, 0.0), 3)
        workload.setdefault(client, []).append(attrs.evolve(step, pause=pause))
        now[client] = when
    return [workload.get(client, []) for client in range(max(workload, default=0) + 1)]


# --- the plan, to be kept ---------------------------------------------------------------------------------------------


def code(history: History) -> str:
    """The plan as Python: names are those of this package and of its `workload` and `tree`."""
    lines = ["simulate(", f"    {tree_code(history.tree)},", "    ["]
    for steps in history.workload:
        lines += ["        [", *(f"            {_step_code(step)}," for step in steps), "        ],"]
    lines += ["    ],", "    [", *(f"        {_fault_code(fault)}," for fault in history.faults), "    ],"]
    return "\n".join([*lines, f"    seed={history.seed},", f"    backend={history.backend!r},", ")"])


def tree_code(tree: Tree) -> str:
    if tree.type == BRICK:
        return f'brick("{tree.name}")'
    words = [f'"{tree.name}"', *map(tree_code, tree.children)]
    if tree.namespace is not None:
        words.append(f"namespace={tree_code(tree.namespace)}")
    defaults = attrs.fields_dict(Tree)
    options = ("quorum", "strict", "laggard_timeout") if tree.type == AFR else ()
    words += [f"{name}={value!r}" for name in options if (value := getattr(tree, name)) != defaults[name].default]
    return f"{tree.type.rpartition('/')[2]}({', '.join(words)})"


def _step_code(step: Step) -> str:
    return f"Step({', '.join([repr(step.pause), str(step.do), repr(step.name), *_more(step)])})"


def _fault_code(fault: Fault) -> str:
    return f"Fault({', '.join([repr(fault.when), str(fault.what), repr(fault.brick), *_more(fault)])})"


def _more(what: Step | Fault) -> list[str]:
    """The fields behind the first three, where they say something."""
    fields = [(field, getattr(what, field.name)) for field in attrs.fields(type(what))[3:]]
    return [f"{field.name}={value!r}" for field, value in fields if value != field.default]
