"""Disks that remember whose copies they hold, and the mirrors over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from tests.translators.cluster.bench import Bench, Switch, afr_of
from volgraph.graph import (
    ROOT_GFID,
    Graph,
)
from volgraph.translators.cluster.afr import Afr
from volgraph.translators.cluster.afr.identities import Identity
from volgraph.translators.storage.memory import Memory, MemoryStore

KEY = "trusted.afr.mirror.volgraph-id"
NAMES = ("b0", "b1", "b2")


@asynccontextmanager
async def mirror(stores: Iterable[MemoryStore], off: Iterable[int] = (), **options: Any) -> AsyncIterator[Bench]:
    """A new client over bricks that are there already; those `off` are away from the start."""
    options.setdefault("self_heal_daemon", False)
    bricks = [Memory(f"m{number}", store=store) for number, store in enumerate(stores)]
    switches = [Switch(f"b{number}", (brick,), on=number not in off) for number, brick in enumerate(bricks)]
    top = Afr("mirror", switches, **options)
    async with Graph(top) as graph:
        yield Bench(graph, top, switches, bricks)


def disks(count: int) -> list[MemoryStore]:
    return [MemoryStore() for _ in range(count)]


async def used(count: int) -> list[MemoryStore]:
    """The disks of a mirror with one file."""
    stores = disks(count)
    async with mirror(stores) as bench:
        await bench.mkdir("d")
        await bench.write("d/f", b"precious")
    return stores


def identity(store: MemoryStore, key: str = KEY) -> Identity | None:
    return Identity.read(store.inodes[ROOT_GFID].xattrs.get(key))


async def filled(bench: Bench, name: str) -> None:
    """Accept a child, heal, and all copies are alike."""
    await afr_of(bench).accept(name)
    report = await afr_of(bench).heal(full=True)

    assert report.clean, report
    assert afr_of(bench).up == set(range(len(bench.bricks)))
    assert bench.images_equal()
    assert not any(bench.marks())
    assert await bench.read("d/f") == b"precious"
