"""A mirror on a workbench: raw fops by short names, children that can be taken away and given back."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import attrs

from tests.translators.cluster.by_path import Paths
from volgraph.graph import (
    ROOT_GFID,
    Call,
    ChildDown,
    ChildUp,
    Coming,
    Done,
    Fd,
    Graph,
    Loc,
    Translator,
    fail,
)
from volgraph.graph.events import Event
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.storage.memory import Memory


@attrs.define(eq=False)
class Switch(Translator):
    """A child that can be switched off and on, and made to refuse: `refuse(fop name, args) -> OSError or None`.

    It stands for a connection: locks that came over it are given back when it is switched off.
    """

    on: bool = True
    refuse: Callable[[str, tuple[Any, ...]], OSError | None] = attrs.field(default=lambda name, args: None)
    seen: list[str] = attrs.field(factory=list, init=False)
    _callers: set[str] = attrs.field(factory=set, init=False)

    def relay(self, fop: Any, *args: Any, **kwargs: Any) -> Any:
        name, args = fop.__name__, (self._over_this_connection(args[0]), *args[1:])
        self.seen.append(name)
        if not self.on:
            raise fail(107, self.name)
        error = self.refuse(name, args)
        if error is not None:
            raise error
        return super().relay(fop, *args, **kwargs)

    def notify(self, event: Event) -> None:
        if event.rises and not self.on:
            self.rise(ChildDown(self, "switched off"))
        else:
            super().notify(event)

    def turn(self, on: bool) -> None:
        """Take the child away, or give it back; the parents hear of it at once."""
        self.on = on
        if not on:
            for caller in sorted(self._callers):
                self.child.disconnect(caller)
        self.rise(ChildUp(self) if on else ChildDown(self, "switched off"))

    def disconnect(self, client: str) -> None:
        super().disconnect(self._caller(client))

    def _over_this_connection(self, call: Call) -> Call:
        caller = self._caller(call.client)
        self._callers.add(caller)
        return attrs.evolve(call, client=caller)

    def _caller(self, client: str) -> str:
        return f"{id(self)}/{client}"


class Gate:
    """Holds back the answers of one child to some fops, while what was asked of it is done at once."""

    def __init__(self, switch: Switch, *fops: str) -> None:
        self.closed = True
        self._waiting: list[tuple[Coming[Any], Done[Any]]] = []

        def slow(fop: Any, *args: Any, **kwargs: Any) -> Any:
            answer: Any = Switch.relay(switch, fop, *args, **kwargs)
            if not self.closed or fop.__name__ not in fops:
                return answer
            coming: Coming[Any] = Coming()
            self._waiting.append((coming, answer))
            return coming

        switch.relay = slow  # type: ignore[method-assign]

    def let_go(self) -> None:
        waiting, self._waiting = self._waiting, []
        for coming, answer in waiting:
            coming.resolve(answer.value)

    def open(self) -> None:
        self.closed = False
        self.let_go()

    @property
    def count(self) -> int:
        """How many answers it holds."""
        return len(self._waiting)

    def fail(self, number: int, error: OSError) -> None:
        """What was done is told as a failure, once the gate opens."""
        coming, _ = self._waiting.pop(number)
        coming.reject(error)

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    @asynccontextmanager
    async def holding(self, fop: Callable[..., Awaitable[object]], *args: Any) -> AsyncIterator[anyio.abc.TaskGroup]:
        """A fop under way, one of whose answers it holds back. In the end its caller, if not cancelled, gets them."""
        async with anyio.create_task_group() as group:
            group.start_soon(awaiting, fop, *args)
            await self.arrival()
            yield group

    async def arrival(self) -> None:
        """Return once somebody waits for an answer."""
        with anyio.fail_after(5):
            while not self._waiting:
                await anyio.lowlevel.checkpoint()


async def awaiting(fop: Callable[..., Awaitable[object]], *args: Any) -> None:
    """A fop as a task: `group.start_soon(awaiting, bench.top.writev, ...)`."""
    await fop(*args)


@attrs.define(eq=False)
class Bench(Paths):
    switches: list[Switch]
    bricks: list[Memory]
    call: Call = attrs.field(factory=lambda: Call(client="test", lk_owner=b"owner000"))

    async def write(self, path: str, data: bytes) -> None:
        """Create or overwrite a whole file."""
        try:
            fd = await self.open(path)
        except FileNotFoundError:
            fd = await self.create(path)
        else:
            await self.top.ftruncate(self.call, fd, 0)
        await self.top.writev(self.call, fd, data, 0)
        await self.top.flush(self.call, fd)
        self.top.release(fd)

    async def names(self, path: str = "") -> list[str]:
        gfid = (await self.find(path)).gfid if path else ROOT_GFID
        fd = Fd(gfid, is_dir=True)
        await self.top.opendir(self.call, Loc(gfid), fd)
        reply = await self.top.readdirp(self.call, fd, 1 << 20, 0)
        self.top.release(fd)
        return sorted(entry.name.decode() for entry in reply.entries)

    @contextmanager
    def without(self, child: int) -> Iterator[None]:
        """It is away meanwhile."""
        self.switches[child].turn(False)
        yield
        self.switches[child].turn(True)

    def all_on(self) -> None:
        for switch in self.switches:
            if not switch.on:
                switch.turn(True)

    def moment(self) -> list[int]:
        """For `asked_since`."""
        return [len(switch.seen) for switch in self.switches]

    def asked_since(self, moment: list[int]) -> list[list[str]]:
        """The fops that each child was asked for."""
        return [switch.seen[start:] for switch, start in zip(self.switches, moment, strict=True)]

    def images_equal(self) -> bool:
        first, *others = [brick.image() for brick in self.bricks]
        return all(image == first for image in others)

    def marks(self) -> list[dict[str, tuple[int, ...]]]:
        """Every counter above zero, brick by brick, whatever the object."""
        return [
            {key: value for keys in brick.marks().values() for key, value in keys.items() if any(value)}
            for brick in self.bricks
        ]


QUIET: dict[str, Any] = {"self_heal_daemon": False, "eager_entry_lock": "off"}
"""What benches have unless they ask for more: nothing happens after an answer, except to open files."""


@attrs.define(eq=False)
class Clients(Translator):
    """The clients of some bricks, in one graph."""

    children_allowed = (1, None)


@asynccontextmanager
async def clients(count: int = 2, copies: int = 2, **options: Any) -> AsyncIterator[list[Bench]]:
    """Afrs of one name over the same memory bricks, as in programs of their own: each has its own switches."""
    options = QUIET | options
    bricks = [Memory(f"m{number}") for number in range(copies)]
    switches = [[Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)] for _ in range(count)]
    afrs = [Afr("mirror", each, **options) for each in switches]
    async with Graph(Clients("clients", afrs)) as graph:
        yield [
            Bench(graph, afr, each, bricks, Call(client=f"client-{number}", lk_owner=b"owner%03d" % number))
            for number, (afr, each) in enumerate(zip(afrs, switches, strict=True))
        ]


@asynccontextmanager
async def mirror(count: int = 2, off: Iterable[int] = (), **options: Any) -> AsyncIterator[Bench]:
    """An afr over `count` memory bricks, each behind a switch."""
    options = QUIET | options
    bricks = [Memory(f"m{number}") for number in range(count)]
    switches = [Switch(f"b{number}", (brick,)) for number, brick in enumerate(bricks)]
    top = Afr("mirror", switches, **options)
    async with Graph(top) as graph:
        for number in off:
            switches[number].turn(False)
        yield Bench(graph, top, switches, bricks)


async def healed(bench: Bench) -> None:
    """Heal, and nothing may be left."""
    report = await afr_of(bench).heal()

    assert report.clean, report
    assert bench.images_equal()
    assert not any(bench.marks())


def locks_left(bench: Bench) -> int:
    """Locks held and requests that wait, on all bricks."""
    return sum(brick.locks.held + brick.locks.waiting for brick in bench.bricks)


async def opened(bench: Bench, content: bytes = b"0123456789", flags: int = os.O_RDWR) -> Fd:
    """A file, f, that is there and open."""
    await bench.write("f", content)
    return await bench.open("f", flags)


def afr_of(bench: Bench) -> Afr:
    assert isinstance(bench.top, Afr)
    return bench.top


__all__ = [
    "QUIET",
    "Bench",
    "Clients",
    "Gate",
    "Switch",
    "afr_of",
    "awaiting",
    "clients",
    "healed",
    "locks_left",
    "mirror",
    "opened",
]
