"""A list of phases, and how it is worked off.

Each phase winds one fop to some of the children and then judges their answers; it has no socket, clock or task of its
own. So the same code is run, simulated, and swept through every schedule of failures.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

import attrs

from ....graph import Answers, Coming, Outcome, Translator
from ....graph.tasks import Tasks

Outcomes = dict[int, Outcome[Any]]
"""What the children answered, by the child's index."""


@attrs.define
class Phase:
    """One step: `send` starts a fop on some children without awaiting, `take` judges the answers and says what next.
    `withdraw` is for a step that may take for ever: it asks for an answer now. `before` are children that have taken
    the same step already."""

    name: str
    send: Callable[[], Answers[Any]]
    take: Callable[[Outcomes], Phase | None]
    withdraw: Callable[[], object] | None = None
    before: Collection[int] = ()


FINISHERS_MAX = 100
"""How many tasks of the graph take the same on, one when the other was cancelled."""

Wait = Callable[[Answers[Any], Phase], Awaitable[list[Outcome[Any]]]]
"""Waits for the outcomes of a phase; whoever is not waited for has failed."""


@attrs.define(eq=False, repr=False)
class Steps:
    """Phases under way.

    Cancelling the caller never leaves them half done: the present phase and the answers on their way are known here, so
    the graph's task group takes the work on from there.
    """

    index: dict[Translator, int]
    tasks: Tasks
    finishing: set[Coming[None]]
    """Where others find what is finished in the graph's task group with nobody waiting: the `over` of each."""
    wait: Wait | None = None
    """None: until all have answered."""
    phase: Phase | None = None
    abandoned: bool = False
    """Nobody waits for the result any more: what has not been changed yet need not be."""
    over: Coming[None] | None = None
    """Settled when what was left to the graph's task group is done; None: nothing was."""
    _finishers: int = 0
    _answers: Answers[Any] | None = None
    _bug: Exception | None = None

    async def run(self, first: Phase | None) -> None:
        """Go through the phases. What a child raises that is no OSError surfaces at the end, after the last phase."""
        self.phase = first
        if not self._through_at_once():
            await self._run()

    def start(self, first: Phase | None) -> None:
        """Go through the phases with nobody waiting; in a task only if a child does not answer at once."""
        self.phase = first
        if not self._through_at_once():
            self._start_finisher()

    def _through_at_once(self) -> bool:
        """Go through the phases as long as children answer at once."""
        while self.phase is not None:
            self._answers = self.phase.send()
            if not self._answers.ready:
                return False
            self._take(self._answers.outcomes)
        return True

    async def _run(self) -> None:
        try:
            await self._proceed()
        except Exception:  # our own bug: the phase at which it came stays
            raise
        except BaseException:  # the caller is cancelled, in whatever way: others finish what it began
            self.abandoned = True
            if self.phase is not None and self.phase.withdraw is not None:
                self.phase.withdraw()
            self._start_finisher()
            raise
        bug, self._bug = self._bug, None  # once: other phases of the same transaction may follow
        if bug is not None:
            raise bug

    def _start_finisher(self) -> None:
        """Go on in the graph's task group. What a child raises that is no OSError surfaces there."""
        if self.over is None:
            self.over = Coming()
            self.finishing.add(self.over)
            self.over.when_settled(partial(self.finishing.discard, self.over))
        self._finishers += 1
        self.tasks.start(self._finish()).when_settled(self._finisher_ended)

    async def _finish(self) -> None:
        try:
            await self._proceed()
        except Exception as bug:  # our own: it cannot go on
            self._bug, self.phase = self._bug or bug, None

    def _finisher_ended(self) -> None:
        """It is over; or whoever cancels every task of a program has cancelled this one, too: then another goes on."""
        assert self.over is not None
        if self.phase is not None and not self.tasks.closed and self._finishers < FINISHERS_MAX:
            self._start_finisher()
            return
        self.over.resolve(None)
        if self._bug is not None:
            self.tasks.surface(self._bug)

    def when_over(self, callback: Callable[[], None]) -> None:
        """After `run`: call back once all is done; at once if nothing was left to finishers."""
        if self.over is None:
            callback()
        else:
            self.over.when_settled(callback)

    async def _proceed(self) -> None:
        """Called again after a cancellation, it goes on where it stood."""
        while self.phase is not None:
            if self._answers is None:
                self._answers = self.phase.send()
            try:
                outcomes = await (self._answers.all() if self.wait is None else self.wait(self._answers, self.phase))
            except Exception as bug:  # of a child: it failed, and what was begun is ended all the same
                self._bug, outcomes = self._bug or bug, self._answers.outcomes
            self._take(outcomes)

    def _take(self, outcomes: Sequence[Outcome[Any]]) -> None:
        assert self.phase is not None
        self._answers = None
        self.phase = self.phase.take({self.index[outcome.child]: outcome for outcome in outcomes})
