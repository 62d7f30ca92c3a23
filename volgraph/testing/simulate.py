"""A whole cluster under virtual time: clients, network, servers and bricks in one thread, driven by one seed.

    history = simulate(afr("mirror", brick("a"), brick("b")), draw_workload(7), draw_faults(7, tree), seed=7)
    assert_invariants(history)

First the clients work while faults happen; then the faults stop, a healer heals, and everything is read once more.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import anyio
import attrs

from ..graph import ROOT_GFID, ROOT_LOC, Call, Fd, Gfid, Graph, Loc, Seams, Translator, fail
from ..translators.cluster.afr import Afr
from .cluster import Cluster
from .history import HEALER, KILLED, SECONDS_MAX, Event, History
from .loop import run
from .transcript import note
from .tree import Tree
from .workload import BLOCK_BYTES, BLOCKS, NAMES, Do, Fault, Step, Workload

CONNECT_SECONDS = 60.0
GIVE_UP_SECONDS = 10 * SECONDS_MAX
"""When an operation that does not end (I22) is left behind, so that the others are judged too."""
SETTLE_SECONDS = 120.0
"""By then every connection that is dead has been given up by both sides."""
HEAL_ROUNDS_MAX = 10
HEAL_PAUSE_SECONDS = 30.0


def simulate(
    tree: Tree, workload: Workload, faults: Sequence[Fault] = (), seed: int = 0, backend: str = "asyncio"
) -> History:
    """Run it, and give the record. Equal arguments give equal records and traces, on every machine.

    What escapes (SimDeadlock, SimLivelock, a bug) carries the plan as a note.
    """
    history = History(seed, backend, tree, workload, faults)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            cluster = Cluster(tree, seed, tasks)
            await cluster.start()
            await _under_faults(cluster, history)
            await cluster.recover()
            await anyio.sleep(SETTLE_SECONDS)
            history.left = {name: host.left() for name, host in cluster.hosts.items()}
            await _heal_and_read(cluster, history)
            await cluster.stop()
            history.images = {name: host.store.image() for name, host in cluster.hosts.items()}
            history.marks = {name: host.store.marks() for name, host in cluster.hosts.items()}

    try:
        finished = run(main, seed, backend)
    except Exception as raised:
        error = _innermost(raised)
        error.add_note(str(history))
        raise error from None
    history.trace, history.steps, history.seconds = finished.trace, finished.steps, finished.seconds
    return history


def _innermost(error: Exception) -> Exception:
    """Out of groups of one: task groups wrap whatever escapes from their tasks."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        for note_of_group in getattr(error, "__notes__", ()):
            error.exceptions[0].add_note(note_of_group)
        error = error.exceptions[0]
    return error


async def _under_faults(cluster: Cluster, history: History) -> None:
    async with anyio.create_task_group() as clients:
        clients.start_soon(_suffer, cluster, history)
        for number, steps in enumerate(history.workload):
            clients.start_soon(_client, cluster, history, f"client-{number}", steps)


async def _suffer(cluster: Cluster, history: History) -> None:
    history.happened = await cluster.suffer(history.faults)


async def _client(cluster: Cluster, history: History, name: str, steps: Sequence[Step]) -> None:
    """One process after the other, as often as it is killed; each goes on behind the step that the last one began."""
    left, made = deque(steps), 0
    while left:
        async with cluster.process(name) as graph:
            await graph.up(CONNECT_SECONDS)
            worker = Worker(name, graph, history.events, made)
            while left:
                await anyio.sleep(left[0].pause)
                made += 1
                await worker.make(left.popleft())


async def _heal_and_read(cluster: Cluster, history: History) -> None:
    """Heal from the lowest afr up until nothing is left; then read all there is, from the top."""
    async with cluster.client(HEALER) as graph:
        await graph.heard_from_all(CONNECT_SECONDS)
        for _ in range(HEAL_ROUNDS_MAX):
            history.heal_left, history.split = await _heal(graph)
            if not history.heal_left and not history.split:
                break
            await anyio.sleep(HEAL_PAUSE_SECONDS)
        worker = Worker(HEALER, graph, history.events)
        for name in NAMES:
            await worker.make(Step(0.0, Do.LOOKUP, name))
            for block in range(BLOCKS):
                await worker.make(Step(0.0, Do.READ, name, block))


async def _heal(graph: Graph) -> tuple[str, dict[str, frozenset[Gfid]]]:
    """What could not be healed now, or ""; and by afr what is in split-brain, with what waits for it."""
    left, split = [], {}
    for node in graph.find(Afr):
        with anyio.move_on_after(GIVE_UP_SECONDS) as limit:
            try:
                await node.crawler.rest()
                report = await node.heal(full=True)
            except OSError as error:
                left.append(f"{node.name}: {error}")
            else:
                if report.split_brain and not report.failed:
                    split[node.name] = frozenset(item.gfid for item in (*report.split_brain, *report.pending))
                elif not report.clean:
                    left.append(f"{node.name}: {report}")
        if limit.cancelled_caught:
            left.append(f"{node.name}: the heal does not end")
    return "; ".join(left), split


@attrs.define
class Worker:
    """Makes the steps of one client, and writes down what it saw."""

    name: str
    graph: Graph
    events: list[Event]
    _made: int = 0
    """Steps that were made under this name before: no value is written twice."""

    @property
    def top(self) -> Translator:
        return self.graph.top

    @property
    def seams(self) -> Seams:
        return self.graph.seams

    async def make(self, step: Step) -> None:
        event = Event(self.name, step.do, step.name, anyio.current_time(), step.block, step.target)
        self.events.append(event)
        self._made += 1
        work: Any = getattr(self, f"_{step.do.value}")
        try:
            with anyio.move_on_after(GIVE_UP_SECONDS):
                try:
                    await work(event)
                except OSError as error:
                    event.error = errno.errorcode.get(error.errno or 0, str(error))
                event.returned = anyio.current_time()
        except anyio.get_cancelled_exc_class():
            event.error, event.returned = KILLED, anyio.current_time()
            raise
        finally:
            note(str(event))

    def _call(self, **xdata: object) -> Call:
        return Call(client=self.name, lk_owner=self.name.encode(), xdata=xdata or None)

    async def _create(self, event: Event) -> None:
        gfid = self.seams.new_gfid()
        fd, flags = Fd(gfid, os.O_RDWR), os.O_RDWR | os.O_CREAT | os.O_EXCL
        event.tried = True
        loc = Loc(parent=ROOT_GFID, name=event.name)
        await self.top.create(self._call(**{"gfid-req": gfid}), loc, flags, 0o644, 0, fd)
        event.gfid = gfid
        self.top.release(fd)

    async def _lookup(self, event: Event) -> None:
        event.gfid = (await self.top.lookup(self._call(), Loc(parent=ROOT_GFID, name=event.name))).iatt.gfid

    async def _opened(self, event: Event, flags: int) -> Fd:
        await self._lookup(event)
        assert event.gfid is not None
        fd = Fd(event.gfid, flags)
        await self.top.open(self._call(), Loc(event.gfid), flags, fd)
        return fd

    async def _write(self, event: Event) -> None:
        fd = await self._opened(event, os.O_WRONLY)
        event.value = f"{self.name}/{self._made}".encode().ljust(BLOCK_BYTES, b".")
        event.tried = True
        try:
            reply = await self.top.writev(self._call(), fd, event.value, event.block * BLOCK_BYTES, os.O_WRONLY)
        finally:
            self.top.release(fd)
        if reply.count < BLOCK_BYTES:
            raise fail(errno.EIO, f"{reply.count} bytes were written")  # as the caller was told

    async def _read(self, event: Event) -> None:
        fd = await self._opened(event, os.O_RDONLY)
        try:
            reply = await self.top.readv(self._call(), fd, BLOCK_BYTES, event.block * BLOCK_BYTES)
        finally:
            self.top.release(fd)
        event.value = bytes(reply.data) if any(reply.data) else None

    async def _sync(self, event: Event) -> None:
        fd, root = await self._opened(event, os.O_WRONLY), Fd(ROOT_GFID, is_dir=True)
        try:
            await self.top.fsync(self._call(), fd)
            await self.top.opendir(self._call(), ROOT_LOC, root)
            await self.top.fsyncdir(self._call(), root)
        finally:
            self.top.release(fd)
            self.top.release(root)

    async def _unlink(self, event: Event) -> None:
        await self._lookup(event)
        event.tried = True
        await self.top.unlink(self._call(), Loc(event.gfid or Gfid(bytes(16)), ROOT_GFID, event.name))

    async def _rename(self, event: Event) -> None:
        await self._lookup(event)
        event.tried = True
        old = Loc(event.gfid or Gfid(bytes(16)), ROOT_GFID, event.name)
        await self.top.rename(self._call(), old, Loc(parent=ROOT_GFID, name=event.target))
