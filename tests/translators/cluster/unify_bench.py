"""A unify on a workbench: memory bricks behind gates that fail on demand, raw fops by path, and the I17 scan."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import anyio.lowlevel
import attrs

from tests.translators.cluster.by_path import Paths
from volgraph.graph import (
    Graph,
    Translator,
    fail,
)
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.storage.memory import Memory, MemoryStore


@attrs.define(eq=False)
class Plan:
    """Which fop fails, counted over all gates of a bench, and how.

    refuse: it does nothing and says EIO. lose: it is done, but the answer is lost (ENOTCONN). down: its node is gone
    from then on. die: the client dies, so that no node gets any further fop.
    """

    at: int | None = None
    fate: str = ""
    seen: list[tuple[str, str]] = attrs.field(factory=list)
    armed: bool = True
    dead: bool = False

    def strikes(self, node: str, fop: str) -> bool:
        if not self.armed:
            return False
        self.seen.append((node, fop))
        return self.at is not None and len(self.seen) == self.at + 1


@attrs.define(eq=False)
class Gate(Translator):
    """Hands fops on unless the plan says otherwise."""

    plan: Plan = attrs.field(factory=Plan, kw_only=True)
    on: bool = True
    dither: Random | None = None
    """Lets other tasks go first, for a random number of turns."""

    def relay(self, fop: Any, *args: Any, **kwargs: Any) -> Any:
        if self.dither is not None:
            return self._later(self.dither.randrange(4), fop, *args, **kwargs)
        return self._now(fop, *args, **kwargs)

    async def _later(self, turns: int, fop: Any, *args: Any, **kwargs: Any) -> Any:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        return await self._now(fop, *args, **kwargs)

    def _now(self, fop: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.on or self.plan.dead:
            raise fail(errno.ENOTCONN, self.name)
        if self.plan.strikes(self.name, fop.__name__):
            self._strike(fop, *args, **kwargs)
        return super().relay(fop, *args, **kwargs)

    def _strike(self, fop: Any, *args: Any, **kwargs: Any) -> None:
        if self.plan.fate == "refuse":
            raise fail(errno.EIO, self.name)
        if self.plan.fate == "lose":
            with suppress(OSError):
                super().relay(fop, *args, **kwargs)
        elif self.plan.fate == "down":
            self.turn(False)
        elif self.plan.fate == "die":
            self.plan.dead = True
        raise fail(errno.ENOTCONN, self.name)

    def turn(self, on: bool) -> None:
        """End the brick's process, so that its locks go too, or start it again; the parents hear of it at once."""
        self.on = on
        brick = self.child
        assert isinstance(brick, Memory)
        if on:
            brick.restart()
        else:
            brick.crash()


@attrs.define(eq=False)
class Disks:
    """What outlives a graph: the store of the namespace and of every child."""

    namespace: MemoryStore
    children: list[MemoryStore]

    @classmethod
    def blank(cls, count: int) -> Disks:
        return cls(MemoryStore(), [MemoryStore() for _ in range(count)])


@attrs.define(eq=False)
class Bench(Paths):
    top: Unify
    namespace: Gate
    gates: list[Gate]
    disks: Disks
    plan: Plan

    def holders(self, path: str) -> list[int]:
        """The children that have something at a path."""
        return [number for number, store in enumerate(self.disks.children) if f"/{path}" in store.image()]


@asynccontextmanager
async def unified(
    count: int = 2, disks: Disks | None = None, plan: Plan | None = None, off: Sequence[int] = (), **options: Any
) -> AsyncIterator[Bench]:
    """A unify over `count` bricks and a namespace, each behind a gate named c0, c1, ... and names."""
    disks, plan = disks or Disks.blank(count), plan or Plan()
    namespace = Gate("names", (Memory("m-names", store=disks.namespace),), plan=plan)
    gates = [
        Gate(f"c{number}", (Memory(f"m{number}", store=store),), plan=plan)
        for number, store in enumerate(disks.children)
    ]
    top = Unify("one", gates, namespace=namespace, **options)
    async with Graph(top) as graph:
        for number in off:
            gates[number].turn(False)
        yield Bench(graph, top, namespace, gates, disks, plan)


def breaches(disks: Disks) -> list[str]:
    """I17: a file is in the namespace and on exactly one child, a directory everywhere; kind and gfid agree."""
    found: list[str] = []
    names = disks.namespace.image()
    children = [store.image() for store in disks.children]
    for path, entry in names.items():
        copies = [(number, image[path]) for number, image in enumerate(children) if path in image]
        wanted = len(children) if entry.kind == "directory" else 1
        if len(copies) != wanted:
            found.append(f"{path}: a {entry.kind} on children {[number for number, _ in copies]}")
        for number, copy in copies:
            if (copy.kind, copy.gfid) != (entry.kind, entry.gfid):
                found.append(f"{path}: child {number} has a {copy.kind} {copy.gfid}, the namespace {entry.gfid}")
            if entry.kind == "directory" and path != "/" and (copy.mode, copy.uid) != (entry.mode, entry.uid):
                found.append(f"{path}: child {number} has another mode or owner")
        if entry.kind == "file" and entry.content:
            found.append(f"{path}: the stand-in is not empty")
        if entry.xattrs:
            found.append(f"{path}: an intent is left, or an xattr is where it should not be: {sorted(entry.xattrs)}")
    for number, image in enumerate(children):
        found += [f"{path}: on child {number}, but not in the namespace" for path in image if path not in names]
    return found


async def error_of(attempt: Awaitable[object]) -> int | None:
    """The errno of what fails; None for what succeeds."""
    try:
        await attempt
    except OSError as error:
        return error.errno
    return None
