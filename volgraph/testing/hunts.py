"""Ways to find a planted bug: a sweep, a sweep of the heal, or a small scenario. A hunt says what it found broken."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NoReturn

import anyio
import attrs

from ..graph import Translator
from ..translators.cluster.afr import Afr
from .bench import Replicate
from .loop import run
from .meanings import MEANINGS
from .operations import Operation
from .sweep import SweepReport, sweep, sweep_heal
from .transcript import SimDeadlock

Hunt = Callable[[], str]
"""What is broken, with the id of the invariant first; "" if nothing is."""
SECONDS_MAX = 60.0
"""Of virtual time, for a scenario: nothing in it may take longer (I22)."""


@attrs.frozen
class Mutant:
    """`plant` breaks the code while it is entered; `hunt` is what must find it."""

    id: str
    broken: str
    plant: Callable[[], AbstractContextManager[object]]
    hunt: Hunt


# --- the replicators that are hunted on ------------------------------------------------------------------------------


def mirror(children: Sequence[Translator]) -> Translator:
    """An afr of two that takes any child as enough."""
    return Afr("mirror", children, quorum_type="none", self_heal_daemon=False)


def majority(children: Sequence[Translator]) -> Translator:
    return Afr("mirror", children, quorum_type="auto", self_heal_daemon=False)


def optimistic(children: Sequence[Translator]) -> Translator:
    return Afr("mirror", children, quorum_type="none", self_heal_daemon=False, optimistic_change_log=True)


def impatient(children: Sequence[Translator], quorum: str = "none") -> Translator:
    """An afr that leaves laggards behind."""
    return Afr("mirror", children, quorum_type=quorum, self_heal_daemon=False, laggard_timeout=1.0)


# --- hunts -----------------------------------------------------------------------------------------------------------


def by_sweep(replicate: Replicate, operation: Operation, copies: int, **options: Any) -> Hunt:
    return partial(_swept, partial(sweep, replicate, operation, copies, stop_at_first=True, **options))


def by_sweep_of_heal(replicate: Replicate, operation: Operation, copies: int, **options: Any) -> Hunt:
    return partial(_swept, partial(sweep_heal, replicate, operation, copies, stop_at_first=True, **options))


def _swept(swept: Callable[[], SweepReport]) -> str:
    report = swept()
    if not report.violations:
        return ""
    found = report.violations[0]
    return f"{found.invariant} (schedule {report.schedules}, {found.faults} faults): {found.wrong}"


def by_scenario(play: Callable[[], Coroutine[Any, Any, None]]) -> Hunt:
    """A play under virtual time, in which every fop is to succeed unless it says otherwise, and `must` says what must
    hold."""
    return partial(_played, play)


def _played(play: Callable[[], Coroutine[Any, Any, None]]) -> str:
    async def bounded() -> None:
        with anyio.fail_after(SECONDS_MAX):
            await play()

    try:
        run(bounded, seed=0)
    except Exception as raised:
        error = innermost(raised)
        if isinstance(error, Broken):
            return str(error)
        if isinstance(error, (SimDeadlock, TimeoutError)):
            return f"I22: it does not end: {error}"
        if isinstance(error, OSError):
            return f"I01: refused without need: {error}"
        raise
    return ""


class Broken(Exception):
    """An invariant does not hold."""


def must(holds: bool, invariant: str, otherwise: str) -> None:
    if not holds:
        broken(invariant, otherwise)


def broken(invariant: str, what: str) -> NoReturn:
    assert invariant in MEANINGS
    raise Broken(f"{invariant}: {what}")


async def refused(work: Coroutine[Any, Any, object]) -> bool:
    """Does it end in an error?"""
    try:
        await work
    except OSError:
        return True
    return False


def innermost(error: BaseException) -> BaseException:
    """Out of groups of one: task groups wrap whatever escapes from their tasks."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
