"""A unify on a workbench: memory bricks behind gates that fail on demand, raw fops by path, and the I17 scan."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import anyio.lowlevel
import attrs

from volgraph.graph import (
    ROOT_GFID,
    Call,
    Fd,
    Gfid,
    Graph,
    Iatt,
    Loc,
    NewAttributes,
    Translator,
    fail,
)
from volgraph.translators.cluster.unify import Unify
from volgraph.translators.storage.memory import Memory, MemoryStore

LISTING_BYTES = 1 << 16


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
class Paths:
    """Raw fops on any stack, by path relative to the root."""

    graph: Graph
    top: Translator
    call: Call = attrs.field(factory=lambda: Call(client="test", lk_owner=b"owner000"), kw_only=True)

    def requesting(self) -> Call:
        return self.call.with_xdata({"gfid-req": self.graph.seams.new_gfid()})

    async def find(self, path: str) -> Iatt:
        gfid, iatt = ROOT_GFID, None
        for name in path.split("/"):
            iatt = (await self.top.lookup(self.call, Loc(parent=gfid, name=name.encode()))).iatt
            gfid = iatt.gfid
        assert iatt is not None
        return iatt

    async def loc(self, path: str) -> Loc:
        above, _, name = path.rpartition("/")
        parent = (await self.find(above)).gfid if above else ROOT_GFID
        return Loc(parent=parent, name=name.encode())

    async def mkdir(self, path: str, mode: int = 0o755) -> Gfid:
        return (await self.top.mkdir(self.requesting(), await self.loc(path), mode, 0)).iatt.gfid

    async def create(self, path: str, flags: int = os.O_RDWR | os.O_EXCL, mode: int = 0o644) -> Fd:
        fd = Fd(flags=flags)
        reply = await self.top.create(self.requesting(), await self.loc(path), flags | os.O_CREAT, mode, 0, fd)
        fd.gfid = reply.iatt.gfid
        return fd

    async def open(self, path: str, flags: int = os.O_RDWR) -> Fd:
        gfid = (await self.find(path)).gfid
        fd = Fd(gfid, flags)
        await self.top.open(self.call, Loc(gfid), flags, fd)
        return fd

    async def write(self, path: str, data: bytes) -> None:
        """Create or overwrite a whole file."""
        fd = await self.create(path, os.O_RDWR | os.O_TRUNC)
        try:
            await self.top.writev(self.call, fd, data, 0)
            await self.top.flush(self.call, fd)
        finally:
            self.top.release(fd)

    async def read(self, path: str) -> bytes:
        fd = await self.open(path, os.O_RDONLY)
        try:
            return bytes((await self.top.readv(self.call, fd, 1 << 20, 0)).data)
        finally:
            self.top.release(fd)

    async def symlink(self, target: str, path: str) -> None:
        await self.top.symlink(self.requesting(), target.encode(), await self.loc(path), 0)

    async def readlink(self, path: str) -> str:
        gfid = (await self.find(path)).gfid
        return (await self.top.readlink(self.call, Loc(gfid), 4096)).target.decode()

    async def mkfifo(self, path: str) -> None:
        await self.top.mknod(self.requesting(), await self.loc(path), stat.S_IFIFO | 0o600, 0, 0)

    async def link(self, old: str, new: str) -> None:
        await self.top.link(self.call, Loc((await self.find(old)).gfid), await self.loc(new))

    async def unlink(self, path: str) -> None:
        await self.top.unlink(self.call, await self.loc(path))

    async def rmdir(self, path: str) -> None:
        await self.top.rmdir(self.call, await self.loc(path))

    async def rename(self, old: str, new: str) -> None:
        await self.top.rename(self.call, await self.loc(old), await self.loc(new))

    async def chmod(self, path: str, mode: int) -> None:
        await self.top.setattr(self.call, Loc((await self.find(path)).gfid), NewAttributes(mode=mode))

    async def entries(self, path: str = "") -> dict[str, Iatt | None]:
        gfid = (await self.find(path)).gfid if path else ROOT_GFID
        fd, offset = Fd(gfid, is_dir=True), 0
        found: dict[str, Iatt | None] = {}
        await self.top.opendir(self.call, Loc(gfid), fd)
        try:
            while True:
                reply = await self.top.readdirp(self.call, fd, LISTING_BYTES, offset)
                found |= {entry.name.decode(): entry.iatt for entry in reply.entries}
                if reply.end or not reply.entries:
                    return found
                offset = reply.entries[-1].offset
        finally:
            self.top.release(fd)

    async def tree(self, path: str = "") -> dict[str, object]:
        """What an application sees, by path: None for a directory, a file's bytes, a symlink's target, or the kind."""
        seen: dict[str, object] = {}
        for name in await self.entries(path):
            inside = f"{path}/{name}" if path else name
            try:
                iatt = await self.find(inside)
            except FileNotFoundError:
                continue  # what a failure left was settled by this lookup
            if iatt.is_dir:
                seen |= {inside: None, **await self.tree(inside)}
            elif iatt.is_file:
                seen[inside] = await self.read(inside)
            else:
                seen[inside] = await self.readlink(inside) if iatt.is_symlink else iatt.kind
        return seen


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
