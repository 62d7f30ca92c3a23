"""The bench of a sweep: memory bricks, and replicators that come and go over them as clients do."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import anyio

from ..graph import Graph, Translator
from ..translators.cluster.afr.report import HealReport
from ..translators.storage.memory import Memory, MemoryStore
from .by_hand import HandClock, by_hand, opened_by_hand
from .fated import OK, Decide, Fated
from .invariants import Quorum, Trial, Value
from .operations import Operation
from .seams import simulated

Replicate = Callable[[Sequence[Translator]], Translator]
"""Makes the replicator under test over the given children."""
UP_SECONDS = 60.0


class Bench:
    """The bricks of one trial, empty at first."""

    def __init__(self, replicate: Replicate, operation: Operation, copies: int, quorum: Quorum) -> None:
        self._replicate = replicate
        self._operation = operation
        self.names = [chr(ord("a") + number) for number in range(copies)]
        self._stores = [MemoryStore() for _ in range(copies)]
        self.everyone = tuple(range(copies))
        self.trial = Trial(self.names, quorum, operation.before, operation.after)
        self.early: Trial | None = None
        """The same while an answer is still owed, where one is."""

    def change(self, decide: Decide, readers: Collection[Sequence[int]] = ()) -> None:
        """The change itself, under faults, and what its own client reads when they have stopped. While an answer is
        owed, so do new clients (those named, if the change was acked: they must know of it); then it comes."""
        with opened_by_hand(self._client(self.everyone)) as graph:
            children = graph.find(Fated)
            assert isinstance(graph.seams.clock, HandClock)
            graph.seams.clock.nobody_moves = lambda: _catch_up(children)
            fd = by_hand(self._operation.prepare(graph.top))
            with self._faults(graph, decide):
                try:
                    by_hand(self._operation.perform(graph.top, fd))
                except OSError as error:
                    self.trial.error = error
                if any(child.owing for child in children):
                    self._while_owing(graph, readers)
            self._observe(graph)
            self.trial.readings = [("the same client", self._look(graph.top))]

    def _while_owing(self, graph: Graph, readers: Collection[Sequence[int]]) -> None:
        """What everybody sees before the late answers have come, and with them what is done late."""
        children = graph.find(Fated)
        for child in children:
            child.decide = lambda moment: OK
        self._observe(graph)
        self.trial.readings = [("the same client", self._look(graph.top))]
        self._remember(children)
        self.read(readers if self.trial.acked and readers else [self.everyone])
        self.early = copy.copy(self.trial)
        for child in children:
            child.decide = None
            child.catch_up(heard=False)

    def read(self, readers: Collection[Sequence[int]]) -> None:
        """What new clients read, each of which reaches only some of the children."""
        for reached in readers:
            with opened_by_hand(self._client(reached)) as graph:
                who = "a new client of " + ", ".join(self.names[child] for child in reached)
                self.trial.readings = [*self.trial.readings, (who, self._look(graph.top))]

    async def disturbed_heal(self, decide: Decide) -> None:
        """A new client heals under faults, and then sees what that has left."""
        async with Graph(self._client(self.everyone), simulated(0)) as graph:
            await graph.up(UP_SECONDS)
            with self._faults(graph, decide):
                error = await _healed(graph)
            self._observe(graph)
            if not error and any(self.trial.marks):
                self.trial.heal_error = "it ended clean, and left marks"
            self.trial.readings = [("the healer", await self._looked(graph.top))]

    async def heal(self) -> None:
        """A new client heals; no faults any more."""
        await anyio.sleep(1)
        trial = self.trial
        async with Graph(self._client(self.everyone), simulated(0)) as graph:
            await graph.up(UP_SECONDS)
            trial.heal_error = trial.heal_error or await _healed(graph)
            trial.healed_value = await self._looked(graph.top)
            trial.healed_images = [store.image() for store in self._stores]
            trial.healed_marks = [store.marks() for store in self._stores]

    def _client(self, reached: Collection[int]) -> Translator:
        """A replicator that has just started, and reaches these children."""
        children = []
        for number, name in enumerate(self.names):
            disk = Memory(f"{name}-disk", store=self._stores[number])
            children.append(Fated(name, [disk], reachable=number in reached))
        return self._replicate(children)

    @contextmanager
    def _faults(self, graph: Graph, decide: Decide) -> Iterator[None]:
        """Faults while inside; afterwards the connections they broke have given back their locks."""
        children = graph.find(Fated)
        for child in children:
            child.watch(decide)
        yield
        self._remember(children)
        for child in children:
            child.watch()
            child.lose_locks()

    def _remember(self, children: Sequence[Fated]) -> None:
        passed = (each for child in children for each in child.moments)
        self.trial.moments = sorted(passed, key=lambda each: each.serial)

    def _observe(self, graph: Graph) -> None:
        self.trial.held = [by_hand(self._operation.look(brick)) for brick in graph.find(Memory)]
        self.trial.images = [store.image() for store in self._stores]
        self.trial.marks = [store.marks() for store in self._stores]

    def _look(self, top: Translator) -> Value | OSError:
        return by_hand(self._looked(top))

    async def _looked(self, top: Translator) -> Value | OSError:
        try:
            return await self._operation.look(top)
        except OSError as error:
            return error


def _catch_up(children: Sequence[Fated]) -> None:
    for child in children:
        child.catch_up()


async def _healed(graph: Graph) -> str:
    """What kept a heal from ending clean, or "". The lowest replicators first: the copies of one are alike before
    another above compares them."""
    for node in graph.nodes:
        heal: Callable[[], Awaitable[HealReport]] | None = getattr(node, "heal", None)
        if heal is None:
            continue
        try:
            report = await heal()
        except OSError as error:
            return str(error)
        if not report.clean:
            return str(report)
    return ""
