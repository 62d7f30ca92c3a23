"""A graph: linked translators that are started, used and stopped together."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

import anyio
import attrs

from .answers import Coming
from .errors import fail
from .events import ParentDown, ParentUp
from .fops import FOPS
from .seams import Seams
from .tasks import Tasks
from .translator import State, Translator

T = TypeVar("T", bound=Translator)

DEPTH_MAX = 200
"""Events and fops pass through the levels one inside the other, so their number has a limit."""


WAYS_MAX = 10_000
"""A fop at the top, and an event from a leaf, takes every way between them, and those of shared nodes multiply."""


def children_first(top: Translator) -> list[Translator]:
    """Every node at or below `top` once, each after all nodes below it. No recursion: specs may be deep."""
    ordered: list[Translator] = []
    entered: set[Translator] = set()
    stack: list[tuple[Translator, Iterator[Translator]]] = [(top, iter(top.below))]
    entered.add(top)
    while stack:
        node, rest = stack[-1]
        below = next((each for each in rest if each not in entered), None)
        if below is None:
            stack.pop()
            ordered.append(node)
        else:
            entered.add(below)
            stack.append((below, iter(below.below)))
    return ordered


def depth_of(nodes: list[Translator]) -> int:
    """Levels of a graph whose nodes are given children first."""
    depth: dict[Translator, int] = {}
    for node in nodes:
        depth[node] = 1 + max((depth[child] for child in node.below), default=0)
    return depth[nodes[-1]]


def ways_of(nodes: list[Translator]) -> int:
    """Ways from the top to a leaf, of a graph whose nodes are given children first."""
    ways: dict[Translator, int] = {}
    for node in nodes:
        ways[node] = sum(ways[child] for child in node.below) or 1
    return ways[nodes[-1]]


_LEFT_ALONE: dict[type[Translator], tuple[str, ...]] = {}


def left_alone(cls: type[Translator]) -> tuple[str, ...]:
    """The fops that neither the class nor its `relay` overrides."""
    known = _LEFT_ALONE.get(cls)
    if known is None:
        shut = cls.relay is not Translator.relay
        known = () if shut else tuple(name for name in FOPS if getattr(cls, name) is getattr(Translator, name))
        _LEFT_ALONE[cls] = known
    return known


def bind(node: Translator) -> None:
    """Bind each fop that is left alone to the only child's own method: for these fops the layer vanishes. And take the
    detours of a node that is about to start: to know them it may have to look at what it stands on."""
    for name in FOPS:
        node.__dict__.pop(name, None)
    if len(node.children) == 1:
        child = node.children[0]
        for name in left_alone(type(node)):
            node.__dict__[name] = getattr(child, name)
    if node.graph.entered:
        node.__dict__.update(node.detours())


@attrs.define(eq=False)
class Graph:
    """Entered as an async context manager: nodes start children first, and stop in reverse, after a failed start too.

    A translator belongs to one graph for good: link a Spec again to open it again.
    """

    top: Translator
    seams: Seams = attrs.field(factory=Seams)
    warnings: list[str] = attrs.field(factory=list)
    tasks: Tasks = attrs.field(factory=Tasks, init=False)
    nodes: list[Translator] = attrs.field(init=False)
    entered: bool = attrs.field(default=False, init=False)
    """Nothing outside is looked at before: a spec can be linked, and checked, anywhere."""
    _started: list[Translator] = attrs.field(factory=list, init=False)
    _heard: Coming[None] = attrs.field(factory=Coming, init=False)
    _watchers: list[Coming[None]] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.nodes = children_first(self.top)
        for node in self.nodes:
            if node._graph is not None:
                raise fail(errno.EBUSY, f"{node.name} already belongs to a graph; a Translator opens once")
        for node in self.nodes:
            node._graph = self
            for child in node.below:
                child.parents.append(node)
            bind(node)

    async def __aenter__(self) -> Graph:
        if depth_of(self.nodes) > DEPTH_MAX:
            raise OSError(errno.ELOOP, f"a graph deeper than {DEPTH_MAX} levels cannot be started")
        if ways_of(self.nodes) > WAYS_MAX:
            raise OSError(errno.ELOOP, f"a graph of over {WAYS_MAX} ways from its top to its leaves cannot be started")
        await self.tasks.__aenter__()
        try:
            self.enter()
            for node in self.nodes:
                self._started.append(node)  # before its start: stop undoes a half start too
                await node.start()
        except BaseException as error:
            await self._end(type(error), error, error.__traceback__)
            raise
        self.top.notify(ParentUp(self.top))
        return self

    def enter(self) -> None:
        """Bind every fop for use, children first."""
        self.entered = True
        for node in self.nodes:
            bind(node)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.top.notify(ParentDown(self.top))
        await self._end(kind, error, trace)

    async def _end(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.tasks.finish()
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await self._stop()
            finally:
                self.seams.blocking.close()
                await self.tasks.__aexit__(kind, error, trace)

    async def _stop(self) -> None:
        """Stop what was started, parents first; one that fails does not keep the others from stopping."""
        failed: Exception | None = None
        while self._started:
            try:
                await self._started.pop().stop()
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def heard_from_top(self, wait: float) -> None:
        """Return when the top has said up or down, or after `wait` seconds."""
        with anyio.move_on_after(wait):
            await self._heard

    async def up(self, wait: float) -> bool:
        """Return True once the top is up, False if it is not within `wait` seconds."""
        with anyio.move_on_after(wait):
            while self.top.state is not State.UP:
                await self.next_change()
        return self.top.state is State.UP

    async def heard_from_all(self, wait: float) -> None:
        """Return when every node has said up or down, or after `wait` seconds."""
        with anyio.move_on_after(wait):
            while any(node.state is State.UNKNOWN or not node.settled for node in self.nodes):
                await self.next_change()

    async def next_change(self) -> None:
        """Return when a node next has something to say."""
        changed: Coming[None] = Coming()
        self._watchers.append(changed)
        await changed

    def node_changed(self) -> None:
        """A node has something to say (its state, or that something below it changed)."""
        if self.top.state is not State.UNKNOWN:
            self._heard.resolve(None)
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.resolve(None)

    def find(self, kind: type[T]) -> list[T]:
        """Every node of a class, children first: `graph.find(Afr)`."""
        return [node for node in self.nodes if isinstance(node, kind)]

    def node(self, name: str) -> Translator:
        """The node of that name. KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def relink(self) -> None:
        """Bind all fops anew after nodes were put in or taken out. The graph must be quiet: no fop under way."""
        self.nodes = children_first(self.top)
        for node in self.nodes:
            node._graph = self
            node.parents.clear()
        for node in self.nodes:
            for child in node.below:
                child.parents.append(node)
            bind(node)
