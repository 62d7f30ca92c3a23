"""The servers of a simulated cluster: each brick on a host of its own, which may be killed and started again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import anyio
import anyio.abc
import attrs

from ..graph import Coming, Graph, Seams
from ..translators.protocol.client import Client
from ..translators.protocol.server import Server
from ..translators.storage.memory import Memory, MemoryStore
from .network import SimNetwork
from .seams import SimClock, simulated
from .transcript import note
from .tree import Tree, build
from .workload import Fault, Go

PORT = 24007


@attrs.define(eq=False)
class BrickHost:
    """One process that serves one brick; its store outlives it."""

    name: str
    network: SimNetwork
    seams: Seams
    store: MemoryStore = attrs.field(factory=MemoryStore)
    _node: Memory | None = None
    _stop: Coming[None] = attrs.field(factory=Coming)
    _stopped: Coming[None] = attrs.field(factory=Coming)

    @property
    def running(self) -> bool:
        return self._node is not None

    @property
    def locks(self) -> int:
        """Locks that somebody holds or waits for here."""
        return 0 if self._node is None else self._node.locks.held + self._node.locks.waiting

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Serve until `kill` or `stop`."""
        self._stop, self._stopped = Coming(), Coming()
        self._node = Memory(self.name, store=self.store)
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

    async def kill(self, keep: Literal["all", "synced"]) -> None:
        """End as by SIGKILL: "synced" forgets what was not fsynced, as a loss of power does."""
        if self._node is None:
            return
        note(f"kill {self.name}")
        self.network.crash(self.name)
        self._node.crash(keep)
        await self.stop()

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
            name: BrickHost(name, self.network, simulated(seed, name, self.network)) for name in tree.bricks()
        }

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

    def client(self, host: str) -> Graph:
        """The graph of a new client on `host`, not started."""
        top = build(self.tree, lambda name: Client(name, remote_host=name, remote_port=PORT, remote_subvolume=name))
        return Graph(top, simulated(self._seed, host, self.network))

    async def suffer(self, faults: Iterable[Fault]) -> None:
        """Let each fault happen at its time."""
        for fault in sorted(faults, key=lambda each: each.when):
            await anyio.sleep(max(0.0, fault.when - anyio.current_time()))
            await self._happen(fault)

    async def recover(self) -> None:
        """No faults any more: every brick runs, and everybody reaches everybody."""
        self.network.mend()
        for name in self.hosts:
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
                await host.kill("all")
            case Go.POWER_LOSS:
                await host.kill("synced")
            case Go.RESTART:
                await self.restart(fault.brick)
            case Go.SKEW:
                assert isinstance(host.seams.clock, SimClock)
                host.seams.clock.skew_seconds = fault.seconds
