"""A stage for small scenarios: clients of some memory bricks, each over connections of its own, under virtual time.

    async with stage(copies=2, clients=2, quorum_type="none") as (one, two):
        fd = await one.make(b"f", b"text")
        one.connections[1].go_down()
        await one.write(fd, b"TEXT")

A connection may lose or refuse fops as `Fated` does, and may be slow: then fops overtake each other.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from ..graph import ROOT_GFID, Call, Fd, Gfid, Graph, Iatt, Loc, Translator
from ..translators.cluster.afr import Afr
from ..translators.storage.memory import Memory
from .fated import OK, Fate, Fated, Moment
from .seams import simulated

R = TypeVar("R")
P = ParamSpec("P")


@attrs.define(eq=False)
class Connection(Fated):
    """One client's way to one brick. `before` and `after` are the seconds that a fop takes to the brick and back, by
    its name; where a fop is in neither, both are 0 and it is answered at once."""

    owner: str = ""
    before: dict[str, float] = attrs.field(factory=dict)
    after: dict[str, float] = attrs.field(factory=dict)
    refuses: dict[str, Fate] = attrs.field(factory=dict)
    """What happens to every fop of a name."""
    seen: list[str] = attrs.field(factory=list, init=False)
    """The names of all fops that came."""

    def __attrs_post_init__(self) -> None:
        self.decide = self._decide

    def _decide(self, moment: Moment) -> Fate:
        return self.refuses.get(moment.fop, OK)

    def relay(
        self, fop: Callable[Concatenate[Any, P], Awaitable[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[R]:
        name = fop.__name__
        self.seen.append(name)
        call: Any = args[0]
        changed: Any = (attrs.evolve(call, client=self._caller(call.client)), *args[1:])
        if name in self.before or name in self.after:
            return self._slowly(fop, changed, kwargs)
        return super().relay(fop, *changed, **kwargs)

    async def _slowly(self, fop: Callable[..., Awaitable[R]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        await self.seams.clock.sleep(self.before.get(fop.__name__, 0.0))
        answer: Awaitable[R] = Fated.relay(self, fop, *args, **kwargs)
        value = await answer
        await self.seams.clock.sleep(self.after.get(fop.__name__, 0.0))
        return value

    def disconnect(self, client: str) -> None:
        super().disconnect(self._caller(client))

    def _caller(self, client: str) -> str:
        return f"{self.owner}/{client}"


@attrs.define(eq=False)
class Person:
    """A client program: an afr of its own over its own connections."""

    afr: Afr
    connections: list[Connection]
    bricks: list[Memory]
    call: Call

    async def make(self, name: bytes, data: bytes = b"") -> Fd:
        """A new file in the root with these contents, closed and opened again; of its making nothing is left."""
        fd = Fd(self.afr.seams.new_gfid(), os.O_RDWR)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        await self.afr.create(self.call.with_xdata({"gfid-req": fd.gfid}), self.at(name), flags, 0o644, 0, fd)
        if data:
            await self.write(fd, data)
        await self.afr.flush(self.call, fd)
        await self.afr.rest()
        return fd

    async def open(self, name: bytes, flags: int = os.O_RDWR) -> Fd:
        fd = Fd((await self.find(name)).gfid, flags)
        await self.afr.open(self.call, Loc(fd.gfid), flags, fd)
        return fd

    async def find(self, name: bytes) -> Iatt:
        return (await self.afr.lookup(self.call, self.at(name))).iatt

    async def write(self, fd: Fd, data: bytes, offset: int = 0) -> None:
        await self.afr.writev(self.call, fd, data, offset)

    async def write_and_flush(self, fd: Fd, data: bytes, offset: int = 0) -> None:
        await self.write(fd, data, offset)
        await self.afr.flush(self.call, fd)

    async def read(self, fd: Fd) -> bytes:
        return bytes((await self.afr.readv(self.call, fd, 1 << 20, 0)).data)

    async def rename(self, old: bytes, new: bytes) -> None:
        await self.afr.rename(self.call, self.at(old), self.at(new))

    async def unlink(self, name: bytes) -> None:
        await self.afr.unlink(self.call, self.at(name))

    def at(self, name: bytes) -> Loc:
        return Loc(parent=ROOT_GFID, name=name)

    # --- what is on the bricks -----------------------------------------------------------------------------------

    @property
    def alike(self) -> bool:
        first, *others = [brick.store.image() for brick in self.bricks]
        return all(image == first for image in others)

    def marks(self, gfid: Gfid) -> list[dict[str, tuple[int, ...]]]:
        """The counters of an object that are not zero, brick by brick."""
        return [dict(brick.store.marks().get(gfid, {})) for brick in self.bricks]

    @property
    def marked(self) -> bool:
        return any(brick.store.marks() for brick in self.bricks)

    @property
    def locks(self) -> int:
        """Locks that are held, and requests that wait, on all bricks."""
        return sum(brick.locks.held + brick.locks.waiting for brick in self.bricks)

    def on_disk(self, child: int, name: bytes) -> bytes:
        return self.bricks[child].store.image()["/" + name.decode()].content

    async def mark(self, child: int, gfid: Gfid, values: dict[str, bytes]) -> None:
        """Set xattrs of an object on one brick, behind the afr's back."""
        await self.bricks[child].setxattr(Call(), Loc(gfid), values)


@attrs.define(eq=False)
class Everybody(Translator):
    """All clients, in one graph."""

    children_allowed = (1, None)


@asynccontextmanager
async def stage(
    copies: int = 2, clients: int = 1, off: Collection[int] = (), **options: Any
) -> AsyncIterator[list[Person]]:
    """Clients with an afr of these options each, over the same bricks. Nobody reaches those that are `off` at first."""
    options = {"self_heal_daemon": False, "post_op_delay": 3600, **options}
    bricks = [Memory(f"m{number}") for number in range(copies)]
    people = []
    for number in range(clients):
        connections = [
            Connection(f"b{child}", [brick], owner=f"client-{number}", reachable=child not in off)
            for child, brick in enumerate(bricks)
        ]
        call = Call(client=f"client-{number}", lk_owner=b"client-%d" % number)
        people.append(Person(Afr("mirror", connections, **options), connections, bricks, call))
    async with Graph(Everybody("everybody", [person.afr for person in people]), simulated(0)):
        yield people
