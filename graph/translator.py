"""`Translator`: a node of the graph, with its children, parents, options and life. Its fops are those of `Fops`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from .capabilities import Capability
from .events import ChildDown, ChildUp, Event
from .fops import Fops
from .types import Fd, Gfid

if TYPE_CHECKING:
    from .graph import Graph
    from .seams import Seams
    from .tasks import Tasks


class State(Enum):
    """What a node has told its parents."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


def _as_tuple(children: Iterable[Translator]) -> tuple[Translator, ...]:
    return tuple(children)


@attrs.define(eq=False, slots=False)
class Translator(Fops):
    """A node of the graph. Subclasses are decorated with `@attrs.define(eq=False)` where they declare options."""

    name: str
    children: tuple[Translator, ...] = attrs.field(default=(), converter=_as_tuple)

    parents: list[Translator] = attrs.field(init=False, factory=list, repr=False)
    state: State = attrs.field(init=False, default=State.UNKNOWN, repr=False)
    down_reason: str = attrs.field(init=False, default="", repr=False)
    type_name: str = attrs.field(init=False, repr=False)
    """The type as a spec writes it; of a node made in Python, what its class says, or the name of the class."""
    _graph: Graph | None = attrs.field(init=False, default=None, repr=False)

    children_allowed: ClassVar[tuple[int, int | None]] = (1, 1)
    """How many children the type takes, at least and at most (None: any number)."""
    loses: ClassVar[frozenset[Capability]] = frozenset()
    """What children can do and this node cannot pass on."""
    needs: ClassVar[frozenset[Capability]] = frozenset()
    """What each child must be able to do; link refuses a graph where one cannot."""
    leaf_capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What a node without children can do."""
    ignored_options: ClassVar[frozenset[str]] = frozenset()
    """Options that GlusterFS knows and this type does not use: accepted with a warning. `*` stands for any text."""
    remote: ClassVar[bool] = False
    """Does it answer from another process, perhaps far away?"""
    warning: ClassVar[str] = ""
    """What whoever writes a spec with this type should know."""

    @type_name.default
    def _class_name(self) -> str:
        return str(getattr(type(self), "type_name", type(self).__name__))

    # --- the node in its graph ---------------------------------------------------------------------------------------

    @property
    def child(self) -> Translator:
        """The only child."""
        (only,) = self.children
        return only

    @property
    def below(self) -> tuple[Translator, ...]:
        """Every node this one calls: its children, and those that an option names (unify's namespace)."""
        return self.children

    @property
    def settled(self) -> bool:
        """False while the node is still finding out what to tell its parents: `Graph.heard_from_all` waits for it."""
        return True

    @property
    def graph(self) -> Graph:
        if self._graph is None:
            raise RuntimeError(f"{self.name} is not part of a graph yet")
        return self._graph

    @property
    def seams(self) -> Seams:
        return self.graph.seams

    @property
    def tasks(self) -> Tasks:
        return self.graph.tasks

    @classmethod
    def takes(cls, children: int) -> bool:
        """May a node of this type have so many children?"""
        low, high = cls.children_allowed
        return low <= children and (high is None or children <= high)

    def problems(self) -> Sequence[tuple[str | None, str, str]]:
        """What is wrong with this node's options taken together: (option or None, message, hint) each."""
        return ()

    def warnings(self) -> Sequence[str]:
        """What is allowed, and whoever wrote it should know what it means."""
        return ()

    async def start(self) -> None:
        """Get ready; all nodes below have started. An error here ends the start of the whole graph."""

    async def stop(self) -> None:
        """Give everything back; all nodes above have stopped."""

    def notify(self, event: Event) -> None:
        """Take an event, and by default pass it on: rising ones to the parents, the others to the nodes below.

        A node with several children overrides this and calls `rise` only when its *own* state changes.
        """
        if event.rises:
            self.rise(event)
        else:
            for node in self.below:
                node.notify(attrs.evolve(event, source=self))

    def rise(self, event: Event) -> None:
        """Tell the parents; ChildUp and ChildDown also become this node's own state."""
        if isinstance(event, ChildUp):
            self.state, self.down_reason = State.UP, ""
        elif isinstance(event, ChildDown):
            self.state, self.down_reason = State.DOWN, event.reason
        for parent in self.parents:
            parent.notify(attrs.evolve(event, source=self))
        if self._graph is not None:
            self._graph.node_changed()

    def detours(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """Fops that this node answers otherwise than by its class's methods; asked when the graph is entered. So
        a way that few nodes take (a thread for each call) costs the others nothing."""
        return {}

    # --- callbacks: synchronous, without an answer, to every node below ----------------------------------------------

    def release(self, fd: Fd) -> None:
        """The last use of an fd (file or directory) is over: drop its slot."""
        fd.slots.pop(self, None)
        for node in self.below:
            node.release(fd)

    def forget(self, gfid: Gfid) -> None:
        """Nobody above knows the object any more: its inode context may go."""
        for node in self.below:
            node.forget(gfid)

    def disconnect(self, client: str) -> None:
        """A client is gone: give its locks back, and cancel those it waits for."""
        for node in self.below:
            node.disconnect(client)
