"""The bench of a sweep: memory bricks, and replicators that come and go over them as clients do."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from ..graph import Graph, Translator, children_first
from ..translators.cluster.afr.report import HealReport
from ..translators.storage.memory import Memory, MemoryStore
from .by_hand import HandClock, by_hand, close_by_hand, open_by_hand, opened_by_hand, rest_by_hand
from .fated import OK, Decide, Fated
from .invariants import Image, Marks, Quorum, Trial, Value
from .loop import SimLoop
from .operations import Operation
from .rewind import Rewind

Replicate = Callable[[Sequence[Translator]], Translator]
"""Makes the replicator under test over the given children."""
HEAL_SECONDS = 60.0
"""How long a healer may sleep, altogether."""


class Bench:
    """Some bricks and a client that is prepared for the change. Every trial begins there, as if it were the first."""

    def __init__(self, replicate: Replicate, operation: Operation, copies: int, quorum: Quorum) -> None:
        self._replicate = replicate
        self._operation = operation
        self._quorum = quorum
        self.names = [chr(ord("a") + number) for number in range(copies)]
        self._stores = [MemoryStore() for _ in range(copies)]
        self.everyone = tuple(range(copies))
        self._graph = open_by_hand(self._client(self.everyone))
        self._children = self._graph.find(Fated)
        self._below = {node.name: [self._children.index(each) for each in _fated(node)] for node in self._graph.nodes}
        assert isinstance(self._graph.seams.clock, HandClock)
        self._graph.seams.clock.nobody_moves = partial(_catch_up, self._children)
        self._fd = by_hand(operation.prepare(self._graph.top))
        rest_by_hand(self._graph)
        self._prepared = Rewind(self._graph, self._fd, self._stores)
        self._changed: tuple[Rewind, Trial] | None = None
        self._found: dict[object, tuple[Sequence[Value], Sequence[Image], Sequence[Marks]]] = {}
        """What is on the bricks, by all that is in their stores: most trials end like another."""
        self._read: dict[object, Value | OSError] = {}
        """What a new client reads, by whom it reaches and what is on the bricks."""
        self._begin()

    def _begin(self) -> None:
        self.trial = self._operation.trial(self.names, self._quorum, self._below)
        self.early: Trial | None = None
        """The same while an answer is still owed, where one is."""

    def change(self, decide: Decide, readers: Collection[Sequence[int]] = ()) -> None:
        """A new trial: the change itself, under faults, and what its own client reads when they have stopped. The
        caller may have been answered before all is done: the rest is under faults too, as long as the client lives.
        While an answer is owed, new clients read as well (those named, if the change was acked: they must know of it);
        then it comes.
        """
        self._prepared.back()
        self._begin()
        graph = self._graph
        with self._faults(graph, decide):
            try:
                by_hand(self._operation.perform(graph.top, self._fd))
            except OSError as error:
                self.trial.error = error
            if not self._operation.dies:
                rest_by_hand(graph)
            if any(child.owing for child in self._children):
                self._while_owing(graph, readers)
        self._observe(graph)
        self.trial.readings = [("the same client", self._look(graph.top))]
        close_by_hand(graph)

    def changed(self, decide: Decide) -> None:
        """A new trial: what a change under these faults, the same in every trial, has left behind."""
        if self._changed is None:
            self.change(decide)
            self._healer = open_by_hand(self._client(self.everyone))
            self._changed = Rewind(self._healer, self._stores), self.trial
        then, trial = self._changed
        then.back()
        self.trial = copy.copy(trial)

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
        self.early.owing = frozenset(number for number, child in enumerate(children) if child.owing)
        for child in children:
            child.decide = None
            child.catch_up(heard=False)

    def read(self, readers: Collection[Sequence[int]]) -> None:
        """What new clients read, each of which reaches only some of the children."""
        for reached in readers:
            asked = (tuple(reached), self.trial.left_behind)
            if asked not in self._read:
                with opened_by_hand(self._client(reached)) as graph:
                    self._read[asked] = self._look(graph.top)
            who = "a new client of " + ", ".join(self.names[child] for child in reached)
            self.trial.readings = [*self.trial.readings, (who, self._read[asked])]

    def disturbed_heal(self, decide: Decide) -> None:
        """After `changed`: a new client heals under faults, and then sees what that has left."""
        with self._faults(self._healer, decide):
            error = _healed(self._healer)
        self._observe(self._healer)
        if not error and any(self.trial.marks):
            self.trial.false_report = "it ended clean, and left marks"
        self.trial.readings = [("the healer", self._look(self._healer.top))]
        close_by_hand(self._healer)

    def heal(self) -> None:
        """A new client heals; no faults any more."""
        trial = self.trial
        with opened_by_hand(self._client(self.everyone)) as graph:
            trial.heal_error = _healed(graph)
            trial.healed_value = self._look(graph.top)
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
        left = self.trial.left_behind = tuple(_fingerprint(store) for store in self._stores)
        if left not in self._found:
            held = [by_hand(self._operation.look(brick)) for brick in graph.find(Memory)]
            images, marks = [store.image() for store in self._stores], [store.marks() for store in self._stores]
            self._found[left] = held, images, marks
        self.trial.held, self.trial.images, self.trial.marks = self._found[left]

    def _look(self, top: Translator) -> Value | OSError:
        try:
            return by_hand(self._operation.look(top))
        except OSError as error:
            return error


def _fingerprint(store: MemoryStore) -> object:
    """All that is in it, but for times and for what is open: two stores of which this is equal answer alike."""
    objects = [
        (
            *(gfid, inode.st.st_mode, inode.st.st_nlink, inode.st.st_uid, inode.st.st_gid, inode.target),
            *(inode.contents.size, *inode.contents.pages.items(), None),
            *(*inode.xattrs.items(), None),
            *((name, other.gfid) for name, other in inode.names.items()),
        )
        for gfid, inode in store.inodes.items()
    ]
    return (*objects, *map(tuple, store.index.values()))


def _fated(top: Translator) -> list[Fated]:
    return [node for node in children_first(top) if isinstance(node, Fated)]


def _catch_up(children: Sequence[Fated]) -> None:
    for child in children:
        child.catch_up()


def _healed(graph: Graph) -> str:
    """What kept a heal from ending clean, or "". A healer lets others have their turn: so it needs a loop, a new one
    each time, which always takes the same turns."""
    assert isinstance(graph.seams.clock, HandClock)
    graph.seams.clock.pass_by(HEAL_SECONDS)
    with asyncio.Runner(loop_factory=lambda: SimLoop(random.Random(0))) as runner:
        return runner.run(_heal(graph))


async def _heal(graph: Graph) -> str:
    """The lowest replicators first: the copies of one are alike before another above compares them."""
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
