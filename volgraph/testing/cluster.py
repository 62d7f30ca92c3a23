"""The servers of a simulated cluster: each brick on a host of its own, which may be killed and started again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import anyio.abc
import attrs

from ..graph import Coming, Graph, Seams
from ..translators.protocol.client import Client
from ..translators.protocol.server import Server
from ..translators.storage.heal_index import INDEXES
from ..translators.storage.memory import Fault as Failing
from ..translators.storage.memory import Faults, Keep, Memory, MemoryStore
from ..translators.storage.memory.sparse import PAGE
from .history import LeftBehind
from .network import SimNetwork
from .seams import SimClock, simulated
from .transcript import note
from .tree import Tree, build
from .workload import Fault, Go

PORT = 24007
DISK_BYTES = 1 << 30
SICK_CALLS = 1000
"""As many calls of a sick disk fail at most."""


@attrs.define(eq=False)
class BrickHost:
    """One process that serves one brick; its store outlives it."""

    name: str
    network: SimNetwork
    seams: Seams
    rng: random.Random
    store: MemoryStore = attrs.field(factory=lambda: MemoryStore(journal=True, faults=Faults({})))
    full: bool = False
    """Is there no room for anything more?"""
    _node: Memory | None = None
    _stop: Coming[None] = attrs.field(factory=Coming)
    _stopped: Coming[None] = attrs.field(factory=Coming)

    @property
    def running(self) -> bool:
        return self._node is not None

    def left(self) -> LeftBehind:
        """What is here now."""
        store = self.store
        locks = 0 if self._node is None else self._node.locks.held + self._node.locks.waiting
        open_fds = sum(inode.open_fds for inode in (*store.inodes.values(), *store.unlinked.values()))
        listed = set().union(*(store.index[index] for index in INDEXES))
        return LeftBehind(locks, open_fds, store.image(), store.marks(), frozenset(store.marks().keys() - listed))

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Serve until `kill` or `stop`."""
        self._stop, self._stopped = Coming(), Coming()
        self._node = Memory(self.name, store=self.store)
        self.fill(self.full)
        server = Server(
            f"{self.name}-server", [self._node], listen_port=PORT, bind_address="0.0.0.0", auth={self.name: "*"}
        )
        try:
            async with Graph(server, self.seams):
                task_status.started()
                await self._stop
        finally:
            self._node = None
            self._stopped.resolve(None)

    async def kill(self, keep: Keep) -> None:
        """End as by SIGKILL, or (unless all is kept) as by a loss of power."""
        if self._node is None:
            return
        note(f"kill {self.name} keeping {keep}")
        self.network.crash(self.name)
        self._node.crash(keep, self.rng)
        await self.stop()

    def fill(self, full: bool) -> None:
        """Take all the room that is left, or give it back."""
        self.full = full
        if self._node is not None:
            self._node.size_limit = max(1, self.store.pages) * PAGE if full else DISK_BYTES

    def sicken(self, every: int, code: int) -> None:
        """Of the calls to come let every so-manieth fail; for good, unless `cure` comes first."""
        assert self.store.faults is not None
        first = self.store.faults.calls + every
        self.store.faults.plan = {first + number * every: Failing(code) for number in range(SICK_CALLS)}

    def cure(self) -> None:
        assert self.store.faults is not None
        self.store.faults.plan = {}

    async def stop(self) -> None:
        if self._node is not None:
            self._stop.resolve(None)
            await self._stopped


class Cluster:
    """All bricks of a tree, on one network."""

    def __init__(self, tree: Tree, seed: int, tasks: anyio.abc.TaskGroup) -> None:
        self.tree = tree
        self.network = SimNetwork(seed)
        self._seed = seed
        self._tasks = tasks
        self.hosts = {
            name: BrickHost(
                name, self.network, simulated(seed, name, self.network), random.Random(f"{seed}/{name}/disk")
            )
            for name in tree.bricks()
        }
        self._lives = count()
        """Two processes of one client share no random number: they would give two objects one gfid."""
        self._processes: dict[str, anyio.CancelScope] = {}
        self._away: dict[str, float] = {}
        """How long a client that was killed stays away."""

    async def start(self) -> None:
        for name in self.hosts:
            await self.restart(name)

    async def restart(self, name: str) -> None:
        if not self.hosts[name].running:
            note(f"start {name}")
            await self._tasks.start(self.hosts[name].run)

    async def stop(self) -> None:
        for host in self.hosts.values():
            await host.stop()

    def client(self, host: str, **options: Any) -> Graph:
        """The graph of a new client on `host`, not started; its protocol/clients have these options."""
        top = build(
            self.tree,
            lambda name: Client(name, remote_host=name, remote_port=PORT, remote_subvolume=name, **options),
        )
        seams = simulated(self._seed, host, self.network)
        seams.random = random.Random(f"{self._seed}/{host}/{next(self._lives)}")
        return Graph(top, seams)

    @asynccontextmanager
    async def process(self, host: str) -> AsyncIterator[Graph]:
        """A client's graph, up to its end or until somebody kills it: then it is gone for a while."""
        self.network.revive(host)
        with anyio.CancelScope() as scope:
            self._processes[host] = scope
            try:
                async with self.client(host) as graph:
                    yield graph
            finally:
                del self._processes[host]
        if scope.cancelled_caught:
            await anyio.sleep(self._away.pop(host))

    def kill_client(self, host: str, seconds: float) -> None:
        """End a client's process as by SIGKILL: nothing that it still wants to say gets out."""
        scope = self._processes.get(host)
        if scope is not None and not scope.cancel_called:
            note(f"kill {host}")
            self.network.die(host)
            self._away[host] = seconds
            scope.cancel()

    async def suffer(self, faults: Iterable[Fault]) -> Counter[str]:
        """Let each fault happen at its time; answers which found somebody there."""
        happened: Counter[str] = Counter()
        for fault in sorted(faults, key=lambda each: each.when):
            await anyio.sleep(max(0.0, fault.when - anyio.current_time()))
            there = self.hosts[fault.brick].running or fault.what is Go.RESTART
            if fault.what is Go.CLIENT_KILL:
                there = f"client-{fault.client}" in self._processes
            happened[fault.what.value] += there
            await self._happen(fault)
        return happened

    async def recover(self) -> None:
        """No faults any more: every brick runs, and everybody reaches everybody."""
        self.network.mend()
        for name, host in self.hosts.items():
            host.fill(False)
            host.cure()
            await self.restart(name)

    async def _happen(self, fault: Fault) -> None:
        host, client = self.hosts[fault.brick], f"client-{fault.client}"
        match fault.what:
            case Go.CUT:
                self.network.cut(client, fault.brick)
            case Go.PARTITION:
                self.network.partition(client, fault.brick)
            case Go.BLACK_HOLE:
                self.network.black_hole(client, fault.brick)
            case Go.MEND:
                self.network.mend(client, fault.brick)
            case Go.KILL:
                await host.kill(fault.keep)
            case Go.RESTART:
                await self.restart(fault.brick)
            case Go.FULL | Go.ROOM:
                host.fill(fault.what is Go.FULL)
            case Go.SICK:
                host.sicken(fault.every, fault.code)
            case Go.CURED:
                host.cure()
            case Go.CLIENT_KILL:
                self.kill_client(client, fault.seconds)
            case Go.SKEW:
                assert isinstance(host.seams.clock, SimClock)
                host.seams.clock.skew_seconds = fault.seconds
