"""Planted bugs below cluster/afr: how a brick lists, and how a connection notices that nobody is there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from unittest import mock

import anyio

from ..graph import ROOT_GFID, ROOT_LOC, Call, Done, Entries, Fd, Flock, Graph, Loc, LockCommand, LockType
from ..translators.protocol.calls import Calls
from ..translators.protocol.client import Client
from ..translators.protocol.server import Server
from ..translators.storage.leaf import Leaf
from ..translators.storage.memory import Memory
from ..translators.storage.name_rules import RESERVED_IN_ROOT
from ..translators.storage.posix import Posix
from .hunts import Mutant, by_scenario, must
from .network import SimNetwork
from .seams import simulated

PORT = 24007
PING_SECONDS = 10


@contextmanager
def hidden_names_fill_the_listing() -> Iterator[None]:
    """The brick's own directory is left out after the page was filled, and nothing is put in its place."""
    named, readdir = Posix._named, Posix.readdir

    def with_hidden(self: Posix, slot: Any) -> Iterator[tuple[bytes, int]]:
        yield from named(self, slot)
        yield RESERVED_IN_ROOT, 4

    def hiding(self: Posix, call: Call, fd: Fd, size: int, offset: int) -> Done[Entries]:
        reply: Entries = readdir(self, call, fd, size, offset).value
        return Done(Entries([entry for entry in reply.entries if entry.name != RESERVED_IN_ROOT], reply.end))

    with mock.patch.object(Posix, "_named", with_hidden), mock.patch.object(Posix, "readdir", hiding):
        yield


async def a_listing_by_the_smallest_pages() -> None:
    with tempfile.TemporaryDirectory() as directory:
        brick = Posix("brick", directory=directory)
        async with Graph(brick, simulated(0)) as graph:
            await graph.up(30)
            for number in (1, 2, 3):
                made = Call(xdata={"gfid-req": graph.seams.new_gfid()})
                await brick.mkdir(made, Loc(parent=ROOT_GFID, name=b"%d" % number), 0o755, 0)
            fd, names, offset = Fd(ROOT_GFID, is_dir=True), [], 0
            await brick.opendir(Call(), ROOT_LOC, fd)
            while entries := (await brick.readdir(Call(), fd, 1, offset)).entries:
                names += [entry.name for entry in entries]
                offset = entries[-1].offset
            brick.release(fd)
        must(sorted(names) == [b"1", b"2", b"3"], "I15", f"of three names were listed: {names}")


@contextmanager
def what_is_sent_counts_as_life() -> Iterator[None]:
    fop = Calls.fop

    def hopeful(self: Calls, *args: Any) -> Any:
        self._heard_at = self._now()
        return fop(self, *args)

    with mock.patch.object(Calls, "fop", hopeful):
        yield


async def a_server_that_says_nothing_any_more() -> None:
    """TCP would notice in the end; the ping has to notice before."""
    network = SimNetwork(0, patience=1e9)
    server = Server("server", [Memory("brick")], listen_port=PORT, bind_address="0.0.0.0", auth={"brick": "*"})
    client = Client("client", remote_host="s", remote_port=PORT, remote_subvolume="brick", ping_timeout=PING_SECONDS)
    ended: list[float] = []

    async def asked() -> None:
        with suppress(OSError):
            await client.lookup(Call(), ROOT_LOC)
        ended.append(anyio.current_time())

    async with Graph(server, simulated(0, "s", network)), Graph(client, simulated(0, "c", network)) as graph:
        await graph.up(5)
        silent = anyio.current_time()
        network.black_hole("c", "s")
        async with anyio.create_task_group() as group:
            for _ in range(3 * PING_SECONDS):
                group.start_soon(asked)
                await anyio.sleep(1)
            must(bool(ended), "I22", f"a server that was silent for {3 * PING_SECONDS} s was not noticed")
        must(ended[0] - silent <= PING_SECONDS + 1, "I22", f"it was noticed after {ended[0] - silent:.0f} s only")


def forgets_locks_and_says_nothing() -> AbstractContextManager[object]:
    def forget(self: Leaf) -> None:
        self.locks = self._new_locks()

    return mock.patch.object(Leaf, "_forget_locks", forget)


async def a_brick_that_goes_down_and_comes_back() -> None:
    brick, flock = Memory("brick"), Flock(LockType.WRITE)
    async with Graph(brick, simulated(0)) as graph:
        fd = Fd(graph.seams.new_gfid(), os.O_RDWR)
        made = Call(lk_owner=b"one", xdata={"gfid-req": fd.gfid})
        await brick.create(made, Loc(parent=ROOT_GFID, name=b"f"), os.O_RDWR | os.O_CREAT, 0o644, 0, fd)
        await brick.lk(made, fd, LockCommand.SET, flock)
        brick.crash()
        brick.restart()
        await brick.lk(Call(lk_owner=b"another"), Fd(fd.gfid), LockCommand.SET, flock)
        try:
            await brick.writev(made, fd, b"x", 0)
        except OSError:
            return
        must(False, "I21", "who has lost its lock writes on")


BELOW = (
    Mutant(
        "L14",
        "a brick that was down forgets locks, and the fds do not tell",
        forgets_locks_and_says_nothing,
        by_scenario(a_brick_that_goes_down_and_comes_back),
    ),
    Mutant(
        "F57",
        "names that are hidden count for the size of a listing",
        hidden_names_fill_the_listing,
        by_scenario(a_listing_by_the_smallest_pages),
    ),
    Mutant(
        "F76",
        "what is sent counts as a sign of life, so a silent server is never given up",
        what_is_sent_counts_as_life,
        by_scenario(a_server_that_says_nothing_any_more),
    ),
)
