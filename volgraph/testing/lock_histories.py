"""Applications that lock parts of a file, on a whole cluster under virtual time, and the model of I21.

    history = lock_history(afr("mirror", brick("a"), brick("b"), brick("c")), ROUGH, seed=7)
    assert not history.violations()

What an application holds is what the answers say that it got. Two may say so of conflicting locks, as a lock may go
with its connections before its holder hears of it; but then not both may write on through the fds of those locks.
"""

from __future__ import annotations

import errno
import math
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import combinations

import anyio
import attrs

from ..graph import ROOT_GFID, Call, Fd, Flock, Graph, Loc, LockCommand, LockType
from ..translators.cluster.afr import Afr
from .cluster import Cluster
from .loop import run
from .transcript import note
from .tree import Tree

BYTES = 6
"""Ranges lie within so few bytes that they often meet."""
CLIENTS = 3
SECONDS = 400.0
"""How long the clients work, unless told otherwise; in the last 30 s nothing breaks any more."""
QUIET_SECONDS = 30.0
CONNECT_SECONDS = 60.0
SETTLE_SECONDS = 200.0
"""By then every connection that is dead has been given up by both sides, and everything that was behind caught up."""
WAIT_SECONDS_MAX = 60.0
ROUND_SECONDS = 4.0
"""Longer than a client takes to come back after a cut."""
NAME = b"f"

ROUGH, ROLLING, NONE = "rough", "rolling", "none"
"""Faults at any time, or bricks that are killed one after the other, each back for long before the next."""


@attrs.frozen
class Claim:
    """One byte that a client has locked, and until when, as far as it was told."""

    client: str
    byte: int
    exclusive: bool
    since: float
    until: float

    def meets(self, other: Claim) -> bool:
        return (
            self.client != other.client
            and self.byte == other.byte
            and (self.exclusive or other.exclusive)
            and max(self.since, other.since) < min(self.until, other.until)
        )


@attrs.define
class LockHistory:
    """What became of it. `writes`: when each client called what succeeded then."""

    seed: int
    claims: list[Claim] = attrs.field(factory=list)
    writes: dict[str, list[tuple[float, float]]] = attrs.field(factory=dict)
    answers: Counter[str] = attrs.field(factory=Counter)
    left: dict[str, int] = attrs.field(factory=dict)
    """Locks on each brick, when all clients have closed the file."""
    free: bool = False
    """Could somebody lock it all in the end?"""
    unhealed: str = ""
    """What one full heal of each afr, from the lowest up, has left, or why the file cannot be read after it."""

    def violations(self) -> list[str]:
        return list(self._violations())

    def _violations(self) -> Iterator[str]:
        for one, other in combinations(self.claims, 2):
            since, until = max(one.since, other.since), min(one.until, other.until)
            if one.meets(other) and all(self._wrote(each.client, since, until) for each in (one, other)):
                yield f"I21: both write between {since:.3f} and {until:.3f}: {one} {other}"
        for name, locks in self.left.items():
            if locks:
                yield f"I21: {locks} locks are left on {name}"
        if not self.free:
            yield "I22: the file cannot be locked any more"
        if self.unhealed:
            yield f"I07: {self.unhealed}"

    def _wrote(self, client: str, since: float, until: float) -> bool:
        return any(since <= called and returned <= until for called, returned in self.writes[client])


@attrs.define(eq=False)
class Application:
    """One client that locks, writes and unlocks at random."""

    name: str
    graph: Graph
    rng: random.Random
    history: LockHistory
    fd: Fd | None = None
    held: dict[int, tuple[bool, float]] = attrs.field(factory=dict)
    """By byte: exclusively, and since when."""

    @property
    def call(self) -> Call:
        return Call(client=self.name, lk_owner=self.name.encode())

    async def live(self, until: float) -> None:
        self.history.writes[self.name] = []
        while anyio.current_time() < until:
            await anyio.sleep(self.rng.expovariate(1))
            if self.fd is None:
                await self._open()
            else:
                await self.rng.choice((self._lock, self._lock, self._write, self._write, self._write, self._unlock))()
        await self._close()

    async def _open(self) -> None:
        top = self.graph.top
        try:
            gfid = (await top.lookup(self.call, Loc(parent=ROOT_GFID, name=NAME))).iatt.gfid
            fd = Fd(gfid, os.O_RDWR)
            await top.open(self.call, Loc(gfid), os.O_RDWR, fd)
        except OSError as error:
            self._told("open", error)
        else:
            self.fd = fd

    async def _close(self) -> None:
        if self.fd is not None:
            self._drop(range(BYTES))
            await self._through("flush", self.graph.top.flush, self.fd)
            self.graph.top.release(self.fd)
            self.fd = None

    async def _lock(self) -> None:
        assert self.fd is not None
        start = self.rng.randrange(BYTES)
        length = self.rng.randint(1, BYTES - start)
        exclusive, wait = self.rng.random() < 0.7, self.rng.random() < 0.4
        flock = Flock(LockType.WRITE if exclusive else LockType.READ, start, length)
        command = LockCommand.WAIT if wait else LockCommand.SET
        with anyio.move_on_after(WAIT_SECONDS_MAX) as limit:
            if await self._through("lock", self.graph.top.lk, self.fd, command, flock):
                self._drop(range(start, start + length))
                for byte in range(start, start + length):
                    self.held[byte] = (exclusive, anyio.current_time())
        if limit.cancelled_caught:
            self._drop(range(BYTES))
            await self._give_back(0)

    async def _unlock(self) -> None:
        assert self.fd is not None
        start = self.rng.randrange(BYTES)
        self._drop(range(start, BYTES))
        await self._give_back(start)

    async def _give_back(self, start: int) -> None:
        """What an unlock that failed leaves behind, only closing the file gives back."""
        unlock = Flock(LockType.UNLOCK, start)
        if not await self._through("unlock", self.graph.top.lk, self.fd, LockCommand.SET, unlock):
            await self._close()

    async def _write(self) -> None:
        assert self.fd is not None
        called = anyio.current_time()
        place = self.rng.choice([*self.held] or [BYTES])
        if await self._through("write", self.graph.top.writev, self.fd, b"x", place):
            self.history.writes[self.name].append((called, anyio.current_time()))

    async def _through(self, what: str, fop: Callable[..., Awaitable[object]], *args: object) -> bool:
        try:
            await fop(self.call, *args)
        except OSError as error:
            self._told(what, error)
            if error.errno == errno.EBADFD and what != "flush":
                await self._close()
            return False
        self._told(what, None)
        return True

    def _told(self, what: str, error: OSError | None) -> None:
        name = "done" if error is None else errno.errorcode.get(error.errno or 0, str(error))
        self.history.answers[f"{what} {name}"] += 1
        note(f"{self.name} {what} {name}")

    def _drop(self, places: range) -> None:
        now = anyio.current_time()
        for byte in places:
            found = self.held.pop(byte, None)
            if found is not None:
                self.history.claims.append(Claim(self.name, byte, *found, now))


def lock_history(
    tree: Tree, faults: str, seed: int, backend: str = "asyncio", seconds: float = SECONDS, strict: bool = True
) -> LockHistory:
    """Run it. Equal arguments give equal histories. `strict`: the option strict-locks of protocol/client; without it an
    afr above has to know by itself what its children have forgotten."""
    history = LockHistory(seed)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            cluster = Cluster(tree, seed, tasks)
            await cluster.start()
            await _make_file(cluster)
            async with anyio.create_task_group() as everybody:
                everybody.start_soon(_trouble, cluster, faults, random.Random(f"{seed}/trouble"), seconds)
                for name in [f"client-{number}" for number in range(CLIENTS)]:
                    everybody.start_soon(_client, cluster.client(name, strict_locks=strict), name, history, seconds)
            history.left = {name: host.left().locks for name, host in cluster.hosts.items()}
            await _look_at_the_end(cluster, history)
            await cluster.stop()

    run(main, seed, backend)
    return history


async def _client(client: Graph, name: str, history: LockHistory, seconds: float) -> None:
    async with client as graph:
        await graph.up(CONNECT_SECONDS)
        application = Application(name, graph, random.Random(f"{history.seed}/{name}"), history)
        await application.live(seconds)
        await anyio.sleep(SETTLE_SECONDS)


async def _make_file(cluster: Cluster) -> None:
    async with cluster.client("maker") as graph:
        await graph.heard_from_all(CONNECT_SECONDS)
        fd = Fd(graph.seams.new_gfid(), os.O_RDWR)
        call, flags = Call(xdata={"gfid-req": fd.gfid}), os.O_RDWR | os.O_CREAT | os.O_EXCL
        await graph.top.create(call, Loc(parent=ROOT_GFID, name=NAME), flags, 0o644, 0, fd)
        graph.top.release(fd)


async def _look_at_the_end(cluster: Cluster, history: LockHistory) -> None:
    async with cluster.client("last") as graph:
        await graph.heard_from_all(CONNECT_SECONDS)
        call, fd = Call(lk_owner=b"last"), Fd(flags=os.O_RDWR)
        try:
            for afr in graph.find(Afr):
                await afr.crawler.rest()
                report = await afr.heal(full=True)
                if not report.clean:
                    history.unhealed += f"{afr.name}: {report} "
            fd.gfid = (await graph.top.lookup(call, Loc(parent=ROOT_GFID, name=NAME))).iatt.gfid
            await graph.top.open(call, Loc(fd.gfid), os.O_RDWR, fd)
            await graph.top.readv(call, fd, BYTES, 0)
        except OSError as error:
            history.unhealed += str(error)
        # Also where the copies are not good enough to be read, and the fd is open nowhere:
        with suppress(OSError):
            await graph.top.lk(call, fd, LockCommand.SET, Flock(LockType.WRITE))
            history.free = True
        graph.top.release(fd)


async def _trouble(cluster: Cluster, faults: str, rng: random.Random, seconds: float) -> None:
    """Until shortly before the clients end; then everything is mended."""
    network, bricks = cluster.network, sorted(cluster.hosts)
    pause = {ROUGH: 5.0, ROLLING: 20.0, NONE: math.inf}[faults]
    turn = 0
    while anyio.current_time() < seconds - QUIET_SECONDS and faults != NONE:
        await anyio.sleep(rng.expovariate(1 / pause) if faults == ROUGH else pause)
        brick, client = rng.choice(bricks), f"client-{rng.randrange(CLIENTS)}"
        if faults == ROLLING:
            brick, turn = bricks[turn % len(bricks)], turn + 1
            await cluster.hosts[brick].kill("all")
            await anyio.sleep(5)
            await cluster.restart(brick)
            continue
        match rng.randrange(8):
            case 0 | 1:
                network.cut(client, brick)
            case 6:
                for each in bricks:
                    network.cut(client, each)
            case 7:  # each is back before the next one goes
                for each in bricks:
                    network.cut(client, each)
                    await anyio.sleep(ROUND_SECONDS)
            case 2:
                network.black_hole(client, brick)
            case 3:
                network.partition(client, brick)
            case 4:
                network.mend()
            case 5:
                await cluster.hosts[brick].kill("all")
                await anyio.sleep(rng.expovariate(1 / pause))
                await cluster.restart(brick)
    await cluster.recover()
